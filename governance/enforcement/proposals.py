"""From a tick's plan to proposed changes: one for each orchestrator and budget, made only of what that budget decides.

What needs nobody's yes is proposed by itself; what needs a person's is proposed beside it and waits, and keeps its
place for a while, so that a link to it stays good. What stood before the loop steered is kept, and comes back in turn.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.db import transaction

from attribution.actors import SYSTEM
from governance.models import ControlTick, Decision, DecisionChange, SteeredRoute
from routing import selectors, services
from routing.desired import PPM, BlockReason, DesiredState, Route, to_plain
from routing.models import ChangeSet
from routing.services import Overlaps, RefusedChange, Why

from .control import BudgetPlan, CellPlan, ControlPlan, Menu, Method
from .controller import plan_tick
from .gathering import Gathered, Judged, Place, ask_reference, reference, route_from
from .orders import SERVE_SMALLER_FROM, SERVE_SMALLER_UNTIL, Base, Stop, Wish, with_wishes
from .rungs import Approval, Rung

logger = structlog.get_logger(__name__)

Reason = ControlTick.Reason
# A change that waits for a person keeps its place so long.
ASK_STANDS = timedelta(hours=6)
_STRICTNESS = list(Approval)
_PERCENT = 10_000
# Weights this near to the base are the base, parts per million.
_AS_BASE = 5_000


@dataclass(frozen=True)
class _Order:
    """What one budget wants of one orchestrator."""

    orchestrator: str
    each: Judged
    asked: BudgetPlan
    wishes: tuple[Wish, ...]
    places: tuple[Place, ...]
    rungs: frozenset[Rung]


def propose(
    gathered: Gathered,
    plan: ControlPlan,
    decisions: Mapping[int, Decision],
    reason: str,
    now: datetime,
    *,
    asks: bool,
    only: frozenset[int] | None = None,
) -> None:
    for order in _orders(gathered, plan):
        if only is not None and order.each.view.id not in only:
            continue
        if order.each.held or order.each.state.frozen:
            continue
        try:
            _propose_one(gathered, order, decisions, reason, now, asks=asks)
        except (RefusedChange, Overlaps) as refused:
            logger.warning("change refused", budget=order.each.view.id, error=f"{refused}")
            decision = decisions[order.each.view.id]
            decision.blocked = [*decision.blocked, f"{order.orchestrator}: {refused}"]
            decision.save(update_fields=["blocked"])


def _orders(gathered: Gathered, plan: ControlPlan) -> list[_Order]:
    """The changed cells by orchestrator and by the budget that decides them, or that steered them before."""
    judged = {each.view.id: (each, asked) for each, asked in zip(gathered.judged, plan.budgets, strict=True)}
    groups: dict[tuple[str, int], list[int]] = {}
    for at in plan.changed:
        place = gathered.places[at]
        budget = int(plan.deciding[at])
        if budget < 0:
            budget = (place.steered.budget_id or -1) if place.steered is not None else -1
        if budget not in judged:
            budget = _counting(gathered, int(at))
        if budget in judged:
            groups.setdefault((place.orchestrator, budget), []).append(int(at))
    return [_order(gathered, plan, name, *judged[budget], cells) for (name, budget), cells in sorted(groups.items())]


def _counting(gathered: Gathered, cell: int) -> int:
    """The narrowest budget that counts a cell, for what goes back to its base."""
    found = [each for each in gathered.inputs.budgets if cell in each.cells]
    return min(found, key=lambda each: (len(each.cells), each.id)).id if found else -1


def _order(
    gathered: Gathered, plan: ControlPlan, name: str, each: Judged, asked: BudgetPlan, cells: Sequence[int]
) -> _Order:
    plans = [plan.cell(at) for at in cells]
    places = [gathered.places[at] for at in cells]
    menus = [gathered.inputs.menus[gathered.inputs.cells.menu[at]] for at in cells]
    wishes = [
        _wish(each, one, place, menu, [float(share) for share in plan.target[one.cell]])
        for one, place, menu in zip(plans, places, menus, strict=True)
    ]
    return _Order(
        orchestrator=name,
        each=each,
        asked=asked,
        wishes=tuple(wishes),
        places=tuple(places),
        rungs=frozenset(one.rung for one in plans),
    )


def _wish(each: Judged, one: CellPlan, place: Place, menu: Menu, target: Sequence[float]) -> Wish:
    pools = {
        option.target: weight
        for option, weight in zip(menu.options, one.weights, strict=True)
        if option.substitute is None and weight
    }
    served = _smaller(place, menu, target)
    weights = None if served is not None or not pools else _whole(pools)
    if weights is not None and _is_base(weights, place.base):
        weights = None
    rpm, tpm = _limits(one, place)
    return Wish(one.team, one.model, weights, served, rpm, tpm, _block(each) if one.blocked else None)


def _smaller(place: Place, menu: Menu, target: Sequence[float]) -> str | None:
    """The model that serves the whole route in its place, where the plan leads most of it there.

    Judged by where the plan leads, not by this tick's step: a route can't be served in part by another model.
    """
    parts = {
        option.substitute: share
        for option, share in zip(menu.options, target, strict=False)
        if option.substitute is not None and share > 0
    }
    served = 1.0 - target[-1]
    if not parts or served <= 0:
        return None
    best = max(parts, key=lambda model: parts[model])
    was = (place.steered.wanted or {}).get("served_model") if place.steered is not None else None
    least = SERVE_SMALLER_UNTIL if was == best else SERVE_SMALLER_FROM
    return best if sum(parts.values()) / served >= least else None


def _limits(one: CellPlan, place: Place) -> tuple[int | None, int | None]:
    """(requests, tokens) a minute that hold what is refused. Requests where they can be counted: a gateway knows what a
    request is before it is answered, and how many tokens it was only afterwards."""
    part = 1.0
    if one.admit_mtok_h is not None and place.rate > 0:
        part = min(part, one.admit_mtok_h / place.rate)
    if 0 < one.refused_ppm < PPM:
        part = min(part, 1 - one.refused_ppm / PPM)
    if part >= 1.0 or one.blocked:
        return None, None
    if place.counts_requests and place.requests > 0:
        return max(1, round(place.requests * part / 60)), None
    return None, max(1, round(place.rate * part * PPM / 60))


def _whole(pools: Mapping[str, int]) -> dict[str, int]:
    """The pools' weights as a whole tier, in whole percents: what people read, and finer than traffic shows."""
    total = sum(pools.values())
    exact = {name: weight * 100 / total for name, weight in sorted(pools.items())}
    whole = {name: int(part) for name, part in exact.items()}
    order = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in order[: 100 - sum(whole.values())]:
        whole[name] += 1
    return {name: part * _PERCENT for name, part in whole.items() if part}


def _is_base(weights: Mapping[str, int], base: Base) -> bool:
    stood = base.route.tiers[0].weights if base.route is not None and base.route.tiers else {}
    return all(abs(weights.get(name, 0) - stood.get(name, 0)) <= _AS_BASE for name in weights.keys() | stood.keys())


def _block(each: Judged) -> BlockReason:
    view = each.view
    return BlockReason(
        budget=view.name,
        spend=view.consumed.quantize(Decimal("0.01")),
        limit=view.limit,
        resets_at=view.period_end,
        message=f"{view.name} has spent its budget of {view.limit:,.2f} {view.currency} for this period.",
        currency=view.currency,
    )


def _propose_one(
    gathered: Gathered,
    order: _Order,
    decisions: Mapping[int, Decision],
    reason: str,
    now: datetime,
    *,
    asks: bool,
) -> None:
    view = order.each.view
    bases = {(place.team, place.model): place.base for place in order.places}
    standing = gathered.states[order.orchestrator]
    stop = _stop(gathered, order)
    uses = {(place.team, place.model) for place in gathered.places if place.orchestrator == order.orchestrator}
    desired = with_wishes(
        standing,
        order.wishes,
        bases,
        budget=view.name,
        stop=stop,
        uses=uses,
        gently=not view.hard,
        declared=gathered.declared,
    )
    decision = decisions[view.id]
    named = ask_reference(view.id) if asks else reference(view.id)
    waiting = _waits_for_a_person(order.orchestrator, named, now)
    if waiting is not None and (waiting.wanted["blocks"] or order.asked.method is not Method.STOP):
        DecisionChange.objects.get_or_create(decision=decision, change=waiting.pk, defaults={"asks": True})
        return
    if desired.digest() == standing.digest():
        return
    with transaction.atomic():
        change = services.propose_change(
            order.orchestrator,
            desired,
            why=Why("decision", named, decision.words, _figures(decision, order), _title(order)),
            actor=SYSTEM,
            approval=_approval(order).value,
            team=view.team,
            now=now,
            urgent=order.asked.method in (Method.STOP, Method.LAST_MILE) or reason in (Reason.BREACH, Reason.TURN),
            expires_at=view.period_end,
        )
        if change is None:
            return
        DecisionChange.objects.create(decision=decision, change=change.pk, asks=asks)
        _keep(order, now, asks=asks)


def _keep(order: _Order, now: datetime, *, asks: bool) -> None:
    """Remember what stood before, and what is wanted. What only asks for a yes may never come: it changes no wish."""
    for wish, place in zip(order.wishes, order.places, strict=True):
        values: dict[str, Any] = {
            "budget_id": order.each.view.id,
            "base": None if place.base.own is None else plain_route(place.base.own),
            "wanted": {} if asks else wish.plain(),
            "blocked": wish.block is not None and not asks,
            "since": now,
        }
        subject: dict[str, Any] = {"orchestrator": order.orchestrator, "team": place.team, "model": place.model}
        if asks:
            SteeredRoute.objects.get_or_create(**subject, defaults=values)
        else:
            SteeredRoute.objects.update_or_create(**subject, defaults=values)


def _stop(gathered: Gathered, order: _Order) -> Stop:
    """A stopped budget refuses its whole scope, so that no model that was never used slips through."""
    view = order.each.view
    if order.asked.method is not Method.STOP or not all(wish.block for wish in order.wishes):
        return Stop()
    model = dict(view.dims).get("model")
    teams = gathered.teams.get(view.id)
    subjects = {(None, model)} if teams is None else {(team, model) for team in teams}
    return Stop(frozenset(subjects), _block(order.each))


def _waits_for_a_person(orchestrator: str, named: str, now: datetime) -> ChangeSet | None:
    """A change of this reference that a person is looking at: a new one would void the link they were sent."""
    found = ChangeSet.objects.filter(
        orchestrator__name=orchestrator,
        reference=named,
        status=ChangeSet.Status.PROPOSED,
        proposed_at__gt=now - ASK_STANDS,
    ).order_by("-id")
    return found.first()


def ask(gathered: Gathered, plan: ControlPlan, decisions: Mapping[int, Decision], reason: str, now: datetime) -> None:
    """Where what needs nobody's yes does not hold the limit, propose what a person may permit."""
    more: dict[int, frozenset[Rung]] = {}
    held = {each.id: each.permitted for each in gathered.inputs.budgets}
    for each, asked in zip(gathered.judged, plan.budgets, strict=True):
        allowed = frozenset(one.rung for one in each.decision.allowed)
        if allowed - held[each.view.id] and not asked.fits and asked.method is not Method.FROZEN:
            more[each.view.id] = allowed
    if not more:
        return
    budgets = tuple(
        replace(each, permitted=more[each.id], hard=each.hard or Rung.STOP in more[each.id])
        if each.id in more
        else each
        for each in gathered.inputs.budgets
    )
    bolder = plan_tick(replace(gathered.inputs, budgets=budgets))
    propose(gathered, bolder, decisions, reason, now, asks=True, only=frozenset(more))


def _approval(order: _Order) -> Approval:
    """The strictest yes that a rung of this change needs; what is let go needs none."""
    needed = [order.each.decision.approval_of(rung) or Approval.NONE for rung in order.rungs if rung > Rung.NOTIFY]
    if order.each.view.hard and order.each.view.team is not None:
        # Given when the budget was set, for its own scope: stops and deep cuts need no second yes.
        needed.append(Approval.STANDING)
    return max(needed, key=_STRICTNESS.index, default=Approval.NONE)


def _title(order: _Order) -> str:
    view = order.each.view
    if all(wish.is_base for wish in order.wishes):
        return f"{view.name}: back to what stood before"
    verb = {Rung.STOP: "stop", Rung.THROTTLE: "throttle", Rung.SMALLER_MODEL: "serve by smaller models"}
    what = verb.get(max(order.rungs), "move to cheaper pools")
    names = sorted({wish.model for wish in order.wishes})
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{view.name}: {what}, {shown}"


def _figures(decision: Decision, order: _Order) -> dict[str, Any]:
    return {
        "decision": decision.pk,
        "budget": order.each.view.id,
        "limit": decision.limit,
        "spent": decision.spent,
        "expected_end": decision.expected_end,
        "without": decision.without,
        "price": decision.price,
        "method": decision.method,
        "policy_version": decision.policy_version,
        "budget_version": decision.budget_version,
        "alternatives": [one["words"] for one in decision.alternatives],
    }


def plain_route(route: Route) -> dict[str, Any]:
    """A route as a snapshot writes it."""
    plain: dict[str, Any] = to_plain(DesiredState("-", 1, routes=(route,)))["routes"][0]
    return plain


def let_go(now: datetime, counted: Collection[tuple[str, str, str]]) -> None:
    """Give back what no budget counts any more, and forget routes that stand as they stood before the loop.

    counted: (orchestrator, team, model) of the uses that a budget counts: those are the controller's.
    """
    orphans: dict[tuple[str, str], list[SteeredRoute]] = {}
    states: dict[str, DesiredState | None] = {}
    for row in SteeredRoute.objects.select_related("budget").order_by("id"):
        if row.orchestrator not in states:
            states[row.orchestrator] = selectors.standing_state(row.orchestrator)
        state = states[row.orchestrator]
        if state is None:
            continue
        wanted = row.wanted or {}
        asks = any(wanted.get(key) for key in ("weights", "served_model", "rpm", "tpm", "blocked"))
        if _stands_at_base(row, state) and not asks and row.since < now:
            row.delete()
        elif asks and (row.orchestrator, row.team, row.model) not in counted:
            orphans.setdefault((row.orchestrator, row.team), []).append(row)
    for (name, _), rows in orphans.items():
        state = states[name]
        if state is not None and not selectors.is_frozen():
            _give_back(state, name, rows, now)


def _give_back(standing: DesiredState, orchestrator: str, rows: Sequence[SteeredRoute], now: datetime) -> None:
    """What stood before one team's routes were steered, because the budget that asked is gone."""
    bases = {
        (row.team, row.model): Base(None if row.base is None else route_from(row.base), standing.route(row.model, None))
        for row in rows
    }
    gone = next((row.budget.name for row in rows if row.budget is not None), "a deleted budget")
    desired = with_wishes(standing, [Wish(row.team, row.model) for row in rows], bases, budget=gone)
    why = Why(
        "decision",
        f"gone:{orchestrator}:{rows[0].team}",
        f"No budget counts this traffic any more ({gone} is gone), so it goes back to what stood before.",
        {},
        f"{rows[0].team}: back to what stood before",
    )
    try:
        with transaction.atomic():
            if desired.digest() != standing.digest():
                services.propose_change(orchestrator, desired, why=why, actor=SYSTEM, team=rows[0].team, now=now)
            SteeredRoute.objects.filter(pk__in=[row.pk for row in rows]).update(wanted={}, blocked=False, since=now)
    except (RefusedChange, Overlaps) as refused:
        logger.warning("change refused", orchestrator=orchestrator, error=f"{refused}")


def _stands_at_base(row: SteeredRoute, state: DesiredState) -> bool:
    own = next((each for each in state.routes if (each.team, each.model) == (row.team, row.model)), None)
    return (None if own is None else plain_route(own)) == row.base
