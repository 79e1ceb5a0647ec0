"""What happens to budgets by itself: learn from settled days, find passed thresholds, tell each once a period.

Thin tasks call `watch`; it may run twice and at once: a threshold's row is made once, and its event is queued in the
same transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from attribution import spend
from attribution.scope import EVERYTHING
from governance import budget_figures
from governance.budgeting import BudgetView, budgets
from governance.budgets import passed
from governance.closing import closed_months
from governance.models import ThresholdPassed
from governance.notifications.events import Event, Kind
from governance.notifications.outbox import enqueue

Measure = ThresholdPassed.Measure
# A restatement below this is shown on the page and not told.
TOLD_ADJUSTMENT = Decimal("0.01")


@dataclass(frozen=True)
class Watched:
    """What a watch did."""

    budgets: int
    passed: int
    figures: str  # fingerprint of the figures that were looked at


@dataclass(frozen=True)
class _Passing:
    """A threshold that a budget has reached."""

    view: BudgetView
    measure: str
    threshold_ppm: int
    amount: Decimal


def watch(now: datetime, *, known_figures: str | None = None) -> Watched:
    """Look at every budget once, and at closed months unless the figures are still `known_figures`."""
    budget_figures.learn(now)
    views = budgets(EVERYTHING, now)
    told = sum(_record(one, now) for view in views if view.period_start <= now < view.period_end for one in _of(view))
    figures = spend.fingerprint()
    if figures != known_figures:
        _tell_restatements(figures, now)
    return Watched(len(views), told, figures)


def _of(view: BudgetView) -> Iterator[_Passing]:
    """The highest threshold of each measure that is reached: a jump past three is one message."""
    reached = [ppm for ppm in view.draft.tell_actual_ppm if passed(view.consumed, view.limit, ppm)]
    if reached:
        yield _Passing(view, Measure.ACTUAL, max(reached), view.consumed)
    if view.forecast is None or view.consumed > view.limit:
        return
    middle = view.forecast.p50
    expected = [ppm for ppm in view.draft.tell_forecast_ppm if middle > 0 and passed(middle, view.limit, ppm)]
    if expected:
        yield _Passing(view, Measure.FORECAST, max(expected), middle)


def _record(one: _Passing, now: datetime) -> bool:
    """Keep and tell it, unless it was found before or a higher one was. True: it is new."""
    view = one.view
    held = ThresholdPassed.objects.filter(budget_id=view.id, period_start=view.period_start, measure=one.measure)
    if held.filter(threshold_ppm__gte=one.threshold_ppm).exists():
        return False
    figures: dict[str, Any] = {
        "consumed": view.consumed,
        "limit": view.limit,
        "expected": view.forecast.p50 if view.forecast else None,
    }
    try:
        with transaction.atomic():
            ThresholdPassed.objects.create(
                budget_id=view.id,
                period_start=view.period_start,
                measure=one.measure,
                threshold_ppm=one.threshold_ppm,
                found_at=now,
                **figures,
            )
            enqueue(_event(one), now)
    except IntegrityError:
        return False
    return True


def _event(one: _Passing) -> Event:
    view = one.view
    actual = one.measure == Measure.ACTUAL
    percent = f"{Decimal(one.threshold_ppm) / 10_000:.0f} %"
    amount = f"{one.amount:,.2f} {view.currency}"
    if actual:
        subject = f"{view.name} passed {percent} of its budget"
        words = f"{view.name} has consumed {amount}, more than {percent} of {view.limit:,.2f}."
    else:
        when = view.crossing.date if view.crossing else None
        day = f" on {when:%Y-%m-%d}" if when else ""
        subject = f"{view.name} is expected to pass {percent} of its budget"
        words = f"{view.name} is expected to end at {amount} and to pass its limit of {view.limit:,.2f}{day}."
        if one.threshold_ppm != 1_000_000:
            words = f"{view.name} is expected to end at {amount}, more than {percent} of {view.limit:,.2f}."
    return Event(
        kind=Kind.BUDGET_CROSSED if actual else Kind.BUDGET_FORECAST_CROSSED,
        team=view.team,
        budget_id=view.id,
        subject=subject,
        figures={
            "budget": view.name,
            "spend": view.consumed,
            "forecast": view.forecast.p50 if view.forecast else None,
            "limit": view.limit,
            "currency": view.currency,
            "resets_at": view.period_end,
            "threshold": percent,
            "words": words,
        },
        link_path=f"/budgets/{view.id}",
        once_key=f"budget:{view.id}:{view.period_start.isoformat()}:{one.measure}:{one.threshold_ppm}",
    )


def _tell_restatements(figures: str, now: datetime) -> None:
    """Tell, once for each state of the figures, what a bill changed in a closed month."""
    for closed in closed_months(EVERYTHING, now):
        moved = {currency: by for currency, by in closed.adjusted.items() if abs(by) >= TOLD_ADJUSTMENT}
        if not moved:
            continue
        amounts = ", ".join(f"{by:+,.2f} {currency}" for currency, by in moved.items())
        with transaction.atomic():
            enqueue(
                Event(
                    kind=Kind.RESTATEMENT,
                    team=None,
                    budget_id=None,
                    subject=f"Bills changed the closed month {closed.month} by {amounts}",
                    figures={
                        "words": f"{closed.month} stays as it was closed; {amounts} are shown beside it.",
                        "month": closed.month,
                    },
                    link_path="/data",
                    once_key=f"restatement:{closed.month}:{figures}:{amounts}",
                ),
                now,
            )
