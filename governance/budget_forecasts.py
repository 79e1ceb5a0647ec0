"""What a budget's period is expected to end at: the stored forecasts of its scope, of all teams below it together."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import erf, sqrt

from attribution.periods import Period
from governance.budgets import Consumption
from governance.forecasting.values import Crossing, ForecastScope, PeriodForecast, StoredForecast
from governance.forecasts import forecast_for
from governance.models import Budget
from governance.team_tree import TeamTree

# Teams of one company move together in part: their errors neither cancel out nor add up.
CORRELATION = 0.3
_ZERO = Decimal(0)


@dataclass(frozen=True)
class ForecastOf:
    """A budget's forecast, or nothing where none was made or the period is over."""

    total: PeriodForecast | None = None
    crossing: Crossing | None = None
    made_at: datetime | None = None


NONE_MADE = ForecastOf()


def forecast_of(
    budget: Budget, period: Period, used: Consumption, limit: Decimal, now: datetime, tree: TeamTree
) -> ForecastOf:
    """The total of `period` in the middle and at its intervals: what is consumed, and the forecast of what comes."""
    if now >= period.end:
        return NONE_MADE
    found = [each for each in (_stored(budget, scope) for scope in _scopes(budget, now, tree)) if each is not None]
    if not found:
        return NONE_MADE
    today = now.astimezone(UTC).date()
    start, end = _nearest_day(period.start), _nearest_day(period.end)
    through = max(start, min(today, end))
    # Today is forecast as a whole; what of it is consumed already must not count twice.
    before = sum((amount for day, amount in used.by_day if day < through), _ZERO)
    return _together(found, limit, before, used.consumed, start, end, through)


def forecast_as_of(budget: Budget, period: Period, used: Consumption, tree: TeamTree) -> dict[str, object] | None:
    """How the period's total was forecast when it was half over and when it ended, for its outcome; None: never.

    {"middle" and "end": {"made_at", "p10", "p50", "p90"}}, decimals as text; spend before the forecast as it is now.
    """
    found: dict[str, object] = {}
    start, end = _nearest_day(period.start), _nearest_day(period.end)
    for name, at in (("middle", period.start + period.duration / 2), ("end", period.end)):
        stored = [
            one
            for scope in _scopes(budget, at, tree)
            if (one := forecast_for(scope, currency=budget.currency, basis=budget.basis, as_of=at)) is not None
        ]
        if not stored:
            continue
        through = max(start, min(end, min(each.first_day for each in stored)))
        before = sum((amount for day, amount in used.by_day if day < through), _ZERO)
        total = _together(stored, _ZERO, before, before, start, end, through).total
        if total is not None:
            figures = {"p10": f"{total.p10:f}", "p50": f"{total.p50:f}", "p90": f"{total.p90:f}"}
            found[name] = {"made_at": min(each.made_at for each in stored).isoformat(), **figures}
    return found or None


def _scopes(budget: Budget, now: datetime, tree: TeamTree) -> list[ForecastScope]:
    dims = {str(name): str(value) for name, value in budget.dims}
    team = dims.pop("team", None)
    if team is None:
        return [ForecastScope(tuple(dims.items()))]
    below = sorted(tree.below(team, now.astimezone(UTC).date()))
    return [ForecastScope((*dims.items(), ("team", each))) for each in below]


def _stored(budget: Budget, scope: ForecastScope) -> StoredForecast | None:
    return forecast_for(scope, currency=budget.currency, basis=budget.basis)


def _together(
    found: list[StoredForecast],
    limit: Decimal,
    before: Decimal,
    consumed: Decimal,
    start: date,
    end: date,
    through: date,
) -> ForecastOf:
    made_at = min(each.made_at for each in found)
    if len(found) == 1:
        total = found[0].period_total(start, end, before, spent_through=through)
        crossing = found[0].crossing(limit, before, start, end, spent_through=through)
        return ForecastOf(_at_least(total, consumed), _already(crossing, limit, consumed, through), made_at)
    parts = [each.period_total(start, end, _ZERO, spent_through=through) for each in found]
    middle = before + sum((each.p50 for each in parts), _ZERO)
    total = PeriodForecast(
        p2_5=middle - _width([each.p50 - each.p2_5 for each in parts]),
        p10=middle - _width([each.p50 - each.p10 for each in parts]),
        p50=middle,
        p90=middle + _width([each.p90 - each.p50 for each in parts]),
        p97_5=middle + _width([each.p97_5 - each.p50 for each in parts]),
        provisional=any(each.provisional for each in parts),
        sigma=float(_width([Decimal(repr(each.sigma)) for each in parts])),
    )
    crossing = Crossing(_crossing_day(found, limit, before, start, end, through), _probability(limit, total))
    return ForecastOf(_at_least(total, consumed), _already(crossing, limit, consumed, through), made_at)


def _width(widths: list[Decimal]) -> Decimal:
    """How far a sum may lie from its middle, where each part lies as far from its own as `widths` says."""
    values = [float(each) for each in widths]
    squared = (1 - CORRELATION) * sum(each * each for each in values) + CORRELATION * sum(values) ** 2
    return Decimal(repr(sqrt(max(squared, 0.0)))).quantize(Decimal("0.000001"))


def _probability(limit: Decimal, total: PeriodForecast) -> float:
    if total.sigma <= 0:
        return 0.999 if total.p50 > limit else 0.001
    z = float(limit - total.p50) / total.sigma
    return min(0.999, max(0.001, 0.5 * (1 - erf(z / sqrt(2)))))


def _crossing_day(
    found: list[StoredForecast], limit: Decimal, before: Decimal, start: date, end: date, through: date
) -> date | None:
    day = through
    while day < end:
        following = day + timedelta(days=1)
        spent = sum((each.period_total(start, following, _ZERO, spent_through=through).p50 for each in found), _ZERO)
        if before + spent > limit:
            return day
        day = following
    return None


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
