"""The tick: budgets, what their policies permit, and the controller's plan become decisions and proposed changes.

    tick(now, reason=...)    decide for every budget and propose what follows; once an hour, and at once when
    look(now)                a rung starts, a period turns, or spend misses what was expected by more than 30 %

A decision is written down whether or not something follows of it. What needs nobody's yes is proposed by itself; what
needs a person's is proposed beside it, and waits. The routing layer's rails hold in any case. Running twice at once
proposes nothing twice: a newer change of a budget takes the place of one that waits, equal snapshots are no change.
"""

import time as clock
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from governance.models import BudgetControl, ControlTick, Decision
from governance.notifications.events import Event, Kind
from governance.notifications.outbox import enqueue
from routing.desired import PPM

from .control import BudgetPlan, CellPlan, ControlPlan, Method
from .controller import plan_tick
from .gathering import Gathered, Judged, gather, judge_all, spent_an_hour
from .policy import active_of
from .proposals import ask, let_go, propose
from .rungs import Measure, Rung

Reason = ControlTick.Reason
MISS = Decimal("0.30")
# A miss of less than this part of the limit is no reason to decide anew.
MISS_LEAST = Decimal("0.005")
MISS_AFTER = timedelta(minutes=15)


def tick(now: datetime, *, reason: str = Reason.HOURLY) -> list[ControlTick]:
    """Decide for every budget in its period, and propose what follows. One tick for each currency and basis."""
    judged = judge_all(now)
    gathered = gather(judged, now)
    ticks = [_decide(each, reason, now) for each in gathered]
    let_go(now, _counted(gathered))
    return ticks


def _counted(gathered: Iterable[Gathered]) -> set[tuple[str, str, str]]:
    """(orchestrator, team, model) of every use that some budget counts."""
    return {
        (each.places[at].orchestrator, each.places[at].team, each.places[at].model)
        for each in gathered
        for budget in each.inputs.budgets
        for at in budget.cells
    }


def look(now: datetime) -> str | None:
    """Why the loop should decide now instead of at the hour: a Reason, or None."""
    for each in judge_all(now):
        control = each.control
        if each.state.frozen or each.held:
            continue
        if each.turned and control is not None and (control.price > 0 or control.active):
            return Reason.TURN
        known = {rung.rung for rung in each.state.active if rung.since >= each.view.period_start}
        if {rung for rung in each.decision.automatic if rung > Rung.NOTIFY} - known:
            return Reason.BREACH
        if control is not None and not each.turned and _missed(each, control, now):
            return Reason.MISS
    return None


def _missed(each: Judged, control: BudgetControl, now: datetime) -> bool:
    passed = now - control.ticked_at
    if passed < MISS_AFTER or not any(rung > Rung.NOTIFY for rung in each.decision.automatic):
        return False
    expected = control.hourly * Decimal(passed / timedelta(hours=1))
    gap: Decimal = abs(each.view.consumed - control.consumed - expected)
    return bool(gap > MISS * abs(expected) and gap > MISS_LEAST * each.view.limit)


# --- deciding --------------------------------------------------------------------------------------------------------


def _decide(gathered: Gathered, reason: str, now: datetime) -> ControlTick:
    started = clock.monotonic()
    plan = plan_tick(gathered.inputs)
    with transaction.atomic():
        made = ControlTick.objects.create(
            at=now,
            reason=reason,
            currency=gathered.inputs.currency,
            budgets=len(gathered.judged),
            cells=len(gathered.places),
            figures=gathered.figures,
            commit_seq=gathered.commit_seq,
            milliseconds=int((clock.monotonic() - started) * 1000),
        )
        decisions = {
            each.view.id: _record(made, each, asked, plan, gathered)
            for each, asked in zip(gathered.judged, plan.budgets, strict=True)
        }
        for each, asked in zip(gathered.judged, plan.budgets, strict=True):
            _remember(each, asked, now)
            _tell(each, now)
    propose(gathered, plan, decisions, reason, now, asks=False)
    ask(gathered, plan, decisions, reason, now)
    return made


def _record(made: ControlTick, each: Judged, asked: BudgetPlan, plan: ControlPlan, gathered: Gathered) -> Decision:
    view = each.view
    cells = [plan.cell(at) for at in asked.touched]
    amounts: dict[str, Any] = {
        "limit": view.limit,
        "spent": view.consumed,
        "expected_end": _money(asked.expected_end),
        "without": _money(asked.without),
    }
    return Decision.objects.create(
        tick=made,
        budget_id=view.id,
        budget_name=view.name,
        budget_version=view.version,
        policy_version=each.policy.version,
        team=view.team,
        at=made.at,
        period_start=view.period_start,
        period_end=view.period_end,
        currency=view.currency,
        method=asked.method.value,
        price=_decimal(asked.price, "0.0001"),
        **amounts,
        margin_ppm=round(asked.margin * PPM),
        fits=asked.fits,
        permitted=[
            {"rung": one.rung.key, "approval": one.approval.value, "because": one.because, "released": one.released}
            for one in each.decision.permitted
        ],
        blocked=[*each.decision.blocked_because, *([each.held] if each.held else [])],
        alternatives=[
            {
                "name": one.name,
                "expected_end": f"{_money(one.expected_end)}",
                "disutility": f"{_decimal(one.disutility, '0.0001')}",
                "refused_mtok": f"{_decimal(one.refused_mtok, '0.0001')}",
                "possible": one.possible,
                "words": one.words,
            }
            for one in asked.alternatives
        ],
        cells=[_plain_cell(one, gathered) for one in cells],
        inputs=_inputs(each, asked, gathered),
        words=_words(each, asked, gathered),
    )


def _plain_cell(one: CellPlan, gathered: Gathered) -> dict[str, Any]:
    place = gathered.places[one.cell]
    menu = gathered.inputs.menus[gathered.inputs.cells.menu[one.cell]]
    weights = {
        option.substitute or option.target: weight
        for option, weight in zip(menu.options, one.weights, strict=True)
        if weight
    }
    return {
        "orchestrator": place.orchestrator,
        "team": one.team,
        "model": one.model,
        "weights": weights,
        "refused_ppm": one.refused_ppm,
        "rung": one.rung.key,
    }


def _inputs(each: Judged, asked: BudgetPlan, gathered: Gathered) -> dict[str, Any]:
    """The figures that the decision rests on, as text."""
    budget = next(one for one in gathered.inputs.budgets if one.id == each.view.id)
    view = each.view
    return {
        "billed": f"{view.billed}",
        "estimated": f"{view.estimated}",
        "carried": f"{view.carried}",
        "learned_ratio": None if view.learned_ratio is None else f"{view.learned_ratio}",
        "forecast_p50": None if view.forecast is None else f"{view.forecast.p50}",
        "forecast_p90": None if view.forecast is None else f"{view.forecast.p90}",
        "committed": f"{_money(budget.committed)}",
        "available": f"{_money(asked.available)}",
        "sigma": None if budget.sigma is None else f"{_decimal(budget.sigma, '0.0001')}",
        "margin_factor": f"{each.decision.margin_factor}",
        "may_loosen": each.decision.may_loosen,
        "uses": len(budget.cells),
        "spared": asked.spared,
    }


def _words(each: Judged, asked: BudgetPlan, gathered: Gathered) -> str:
    if each.held:
        return f"{each.held}."
    unsteered = gathered.unsteered.get(each.view.id)
    if unsteered and any(rung > Rung.NOTIFY for rung in each.decision.automatic):
        return f"{asked.words} The loop can't act on it: {unsteered}."
    return asked.words


def _remember(each: Judged, asked: BudgetPlan, now: datetime) -> None:
    held = each.control
    amounts: dict[str, Any] = {"consumed": each.view.consumed, "hourly": spent_an_hour(each.view)}
    if asked.method is Method.FROZEN and held is not None:
        # What holds goes on; the next tick measures from now.
        BudgetControl.objects.filter(pk=held.pk).update(ticked_at=now, **amounts)
        return
    active = active_of(each.decision, each.state, now)
    BudgetControl.objects.update_or_create(
        budget_id=each.view.id,
        defaults={
            "ticked_at": now,
            "period_start": each.view.period_start,
            "price": _decimal(asked.price, "0.0001"),
            "active": [[one.rung.key, one.since.isoformat()] for one in active],
            **amounts,
        },
    )


def _tell(each: Judged, now: datetime) -> None:
    """The ladder's first rung: people are told once a period; the budget's own thresholds may have told it already."""
    step = each.policy.step(Rung.NOTIFY)
    new = [one for one in each.decision.allowed if one.rung is Rung.NOTIFY and not one.held]
    if step is None or not new or not each.decision.notify:
        return
    view = each.view
    actual = step.measure is Measure.ACTUAL
    percent = f"{Decimal(step.threshold_ppm) / 10_000:.0f} %"
    enqueue(
        Event(
            kind=Kind.BUDGET_CROSSED if actual else Kind.BUDGET_FORECAST_CROSSED,
            team=view.team,
            budget_id=view.id,
            subject=f"{view.name} {'passed' if actual else 'is expected to pass'} {percent} of its budget",
            figures={
                "budget": view.name,
                "spend": view.consumed,
                "forecast": view.forecast.p50 if view.forecast else None,
                "limit": view.limit,
                "currency": view.currency,
                "resets_at": view.period_end,
                "words": new[0].because,
            },
            link_path=f"/budgets/{view.id}",
            once_key=f"budget:{view.id}:{view.period_start.isoformat()}:{step.measure.value}:{step.threshold_ppm}",
        ),
        now,
    )


def _money(amount: float) -> Decimal:
    return _decimal(amount, "0.000001")


def _decimal(amount: float, unit: str) -> Decimal:
    return Decimal(repr(round(amount, 8))).quantize(Decimal(unit))
