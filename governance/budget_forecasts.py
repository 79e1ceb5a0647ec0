"""What a budget's period is expected to end at: the stored forecast of its scope (a team's has the teams below it)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from attribution.periods import Period
from governance.budgets import Consumption
from governance.forecasting.values import Crossing, ForecastScope, PeriodForecast, StoredForecast
from governance.forecasts import forecast_for
from governance.models import Budget

_ZERO = Decimal(0)


@dataclass(frozen=True)
class ForecastOf:
    """A budget's forecast, or nothing where none was made or the period is over."""

    total: PeriodForecast | None = None
    crossing: Crossing | None = None
    made_at: datetime | None = None


NONE_MADE = ForecastOf()


def forecast_of(budget: Budget, period: Period, used: Consumption, limit: Decimal, now: datetime) -> ForecastOf:
    """The total of `period` in the middle and at its intervals: what is consumed, and the forecast of what comes."""
    if now >= period.end:
        return NONE_MADE
    stored = _stored(budget)
    if stored is None:
        return NONE_MADE
    today = now.astimezone(UTC).date()
    start, end = _nearest_day(period.start), _nearest_day(period.end)
    through = max(start, min(today, end))
    # Today is forecast as a whole; what of it is consumed already must not count twice.
    before = sum((amount for day, amount in used.by_day if day < through), _ZERO)
    total = stored.period_total(start, end, before, spent_through=through)
    crossing = stored.crossing(limit, before, start, end, spent_through=through)
    return ForecastOf(
        _at_least(total, used.consumed), _already(crossing, limit, used.consumed, through), stored.made_at
    )


def forecast_as_of(budget: Budget, period: Period, used: Consumption) -> dict[str, object] | None:
    """How the period's total was forecast when it was half over and when it ended, for its outcome; None: never.

    {"middle" and "end": {"made_at", "p10", "p50", "p90"}}, decimals as text; spend before the forecast as it is now.
    """
    found: dict[str, object] = {}
    start, end = _nearest_day(period.start), _nearest_day(period.end)
    for name, at in (("middle", period.start + period.duration / 2), ("end", period.end)):
        stored = _stored(budget, at)
        if stored is None:
            continue
        through = max(start, min(end, stored.first_day))
        before = sum((amount for day, amount in used.by_day if day < through), _ZERO)
        total = stored.period_total(start, end, before, spent_through=through)
        figures = {"p10": f"{total.p10:f}", "p50": f"{total.p50:f}", "p90": f"{total.p90:f}"}
        found[name] = {"made_at": stored.made_at.isoformat(), **figures}
    return found or None


def _stored(budget: Budget, as_of: datetime | None = None) -> StoredForecast | None:
    scope = ForecastScope(tuple((str(name), str(value)) for name, value in budget.dims))
    return forecast_for(scope, currency=budget.currency, basis=budget.basis, as_of=as_of)


def _at_least(total: PeriodForecast, consumed: Decimal) -> PeriodForecast:
    """No total is below what is consumed already."""
    return PeriodForecast(
        p2_5=max(total.p2_5, consumed),
        p10=max(total.p10, consumed),
        p50=max(total.p50, consumed),
        p90=max(total.p90, consumed),
        p97_5=max(total.p97_5, consumed),
        provisional=total.provisional,
        sigma=total.sigma,
    )


def _already(crossing: Crossing, limit: Decimal, consumed: Decimal, through: date) -> Crossing:
    return Crossing(crossing.date or through, 1.0) if consumed > limit else crossing


def _nearest_day(instant: datetime) -> date:
    """The UTC day whose beginning is nearest: forecasts know UTC days."""
    return (instant + timedelta(hours=12)).date()
