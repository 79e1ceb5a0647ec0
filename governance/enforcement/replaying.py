"""The loop's own controller as the what-if asks it: a situation of the past becomes a tick of one budget. Pure.

`choose` fits `whatif.replay(..., controller=choose)`. Steps, hysteresis and smoothing are left out: a replay looks a
few times a day, and asks where the hourly loop would have come to by then.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from .control import Cells, ControlBudget, ControlInputs, Menu, Option, Rails
from .controller import plan_tick
from .rungs import Rung
from .whatif import AIM, MOST_MOVED, MOST_REFUSED, REFUSAL, Answer, Move, Situation, Way

_RAILS = Rails(
    step=1.0,
    loosening_step=1.0,
    hysteresis=0.0,
    risk=0.0,
    tighten=1.0,
    loosen=1.0,
    last_mile_hours=0.0,
    most_refused=MOST_REFUSED,
)
# A day's traffic of a way as tokens of one dollar a million: only what they cost by the base matters.
_HOURS = 24.0


def choose(situation: Situation) -> Answer:
    """What the controller wants at this tick of the past."""
    if Rung.STOP in situation.rungs:
        return Answer(refused=1.0)
    ways = [each for each in situation.ways if each.movable > 0]
    rungs = situation.rungs - {Rung.STOP, Rung.NOTIFY}
    if not ways or not rungs or situation.rest_movable <= 0:
        return Answer()
    plan = plan_tick(_inputs(situation, ways, frozenset(rungs)))
    moves = [
        Move(situation.ways.index(way), offer, min(float(share) / served, MOST_MOVED))
        for way, shares in zip(ways, plan.shares, strict=True)
        if (served := 1.0 - float(shares[-1])) > 1e-9
        for offer, share in zip(way.offers, shares[1:-1], strict=False)
        if share > 1e-9
    ]
    money = np.array([way.movable for way in ways])
    refused = float((plan.shares[:, -1] * money).sum() / money.sum())
    return Answer(tuple(moves), min(refused, MOST_REFUSED))


def _inputs(situation: Situation, ways: Sequence[Way], permitted: frozenset[Rung]) -> ControlInputs:
    width = max(len(way.offers) for way in ways) + 1
    daily = np.array([way.movable for way in ways])
    shares = np.zeros((len(ways), width + 1))
    shares[:, 0] = 1.0
    rate = daily / _HOURS
    cells = Cells(
        team=("",) * len(ways),
        menu=np.arange(len(ways)),
        weight=np.ones(len(ways)),
        usd_per_mtok=np.ones(len(ways)),
        rate=rate,
        shares=shares,
        loads=rate[:, None],
        load_weights=np.ones((len(ways), 1)),
    )
    budget = ControlBudget(
        id=situation.decision.budget_id,
        name="",
        team=None,
        limit=AIM * situation.limit,
        spent=situation.spent,
        committed=situation.rest_fixed,
        period_end=situation.now + timedelta(days=1),
        cells=np.arange(len(ways)),
        remaining=situation.rest_movable * daily / daily.sum(),
        sigma=0.0,
        permitted=permitted,
    )
    menus = tuple(_menu(way) for way in ways)
    return ControlInputs(situation.now, "USD", menus, cells, (budget,), _RAILS, explain=False)


def _menu(way: Way) -> Menu:
    """The way as it was costs 1; a little of it stays, so that the pool keeps warm."""
    offers = tuple(
        Option(
            target=offer.to_provider,
            usd_per_mtok=float(offer.ratio),
            disutility=offer.harm,
            substitute=offer.to_model if offer.rung is Rung.SMALLER_MODEL else None,
        )
        for offer in way.offers
    )
    own = Option("", 1.0, floor=1 - MOST_MOVED)
    return Menu(way.model or "", (own, *offers), (1.0, *(0.0 for _ in offers)), REFUSAL)
