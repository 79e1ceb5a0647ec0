"""What the Overview says of the days to come: the month's forecast against its budget, the bars' way on, marks.

Forecasts are those that a task has stored; a scope that has none says why. Only a scope that the reader may see whole
has a forecast: a total of others is told by difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from attribution.queries import Dimension, Filter, Granularity, Operator
from attribution.scope import TeamScope
from governance.anomalies import AnomalyView, State
from governance.budgeting import BudgetView
from governance.dashboards import anomalies_shown, formats
from governance.dashboards.bar import Bar, month_of
from governance.dashboards.figures import Ahead, Mark
from governance.dashboards.shown import Shown
from governance.forecasting.values import SCOPE_DIMENSIONS, ForecastScope, PeriodForecast, StoredForecast
from governance.team_tree import TeamTree

# How far a figure that isn't of a month runs on.
DAYS_ON = 14
MOST_MARKS = 6


@dataclass(frozen=True)
class Bullet:
    """A bullet bar, in units of 200 width: spent, the 80 % interval with its middle, the limit (None: no budget)."""

    spent: int
    low: int
    middle: int
    high: int
    limit: int | None
    words: str

    @property
    def width(self) -> int:
        """Of the interval; never too thin to see."""
        return max(2, self.high - self.low)


@dataclass(frozen=True)
class ForecastTile:
    label: str
    meaning: str
    figure: Shown
    currency: str
    interval: str
    against: Shown | None  # the difference to the budget, with its sign
    against_words: str
    budget_id: int | None
    bullet: Bullet | None
    is_provisional: bool


def forecast_scope(bar: Bar, scope: TeamScope, tree: TeamTree, today: date) -> ForecastScope | None:
    """The scope that a page shows, where a forecast can name it: each filter one value; a lead's own team is named."""
    dims: dict[str, str] = {}
    for each in bar.filters:
        if each.dimension.value not in SCOPE_DIMENSIONS or not _is_one(each):
            return None
        dims[each.dimension.value] = each.values[0]
    if not scope.everything:
        if "team" not in dims:
            root = next((team for team in sorted(scope.teams) if tree.below(team, today) == scope.teams), None)
            if root is None:
                return None
            dims["team"] = root
        if not tree.below(dims["team"], today) <= scope.teams:
            return None
    return ForecastScope(tuple(dims.items()))


def tile(
    bar: Bar,
    stored: StoredForecast | None,
    spent: Decimal | None,
    currency: str,
    budget: BudgetView | None,
    today: date,
) -> ForecastTile | None:
    """The forecast of the month that is running; None on pages of other periods.

    spent: of the month until the forecast begins, as budgets count it.
    """
    month = month_of(today)
    if bar.period != "this-month" or bar.span.start != month.start:
        return None
    label = f"Forecast for {today:%B}"
    meaning = (
        f"{bar.basis.value}_cost to date, and the stored forecast of the days until the month's end, 80 % interval"
    )
    if stored is None or spent is None:
        why = "No forecast is stored for this scope yet; a task makes one every night"
        return ForecastTile(label, meaning, Shown(formats.UNKNOWN, why), "", why, None, "", None, None, False)
    total = stored.period_total(month.start, month.end, spent)
    if budget is not None and budget.forecast is not None and budget.basis == bar.basis.value:
        # One number: the budget's own, which knows of today what is consumed already.
        total, spent = budget.forecast, budget.consumed
    limit = budget.limit if budget is not None else None
    over = total.p50 - limit if limit is not None else None
    return ForecastTile(
        label=label,
        meaning=meaning,
        figure=Shown(formats.tile_money(total.p50, currency), f"{formats.exact(total.p50)} {currency}"),
        currency=currency,
        interval=_between(total, currency),
        against=_against(over, currency),
        against_words=_against_words(over, limit, currency),
        budget_id=budget.id if budget is not None else None,
        bullet=_bullet(spent, total, limit, currency),
        is_provisional=total.provisional,
    )


def budget_of(
    views: Sequence[BudgetView], scope: ForecastScope | None, currency: str, today: date
) -> BudgetView | None:
    """The budget of exactly this scope whose period is this calendar month; the strictest of several."""
    month = month_of(today)
    last = month.end - timedelta(days=1)
    found = [
        view
        for view in views
        if scope is not None
        and _dims(view) == scope.dims
        and view.currency == currency
        and (view.first_day, view.last_day) == (month.start, last)
        and not view.archived
    ]
    return min(found, key=lambda view: view.limit, default=None)


def ahead(bar: Bar, stored: StoredForecast | None, today: date) -> Ahead | None:
    """The days that the bars run on into: to the month's end, or two weeks of a page that reaches to today."""
    if stored is None or bar.granularity is not Granularity.DAY or bar.span.end < today:
        return None
    end = month_of(today).end if bar.period == "this-month" else bar.span.end + timedelta(days=DAYS_ON)
    days = [each for each in stored.days if bar.span.end <= each.day < end]
    if not days:
        return None
    return Ahead(
        [each.day for each in days],
        [each.p10 for each in days],
        [each.p50 for each in days],
        [each.p90 for each in days],
    )


def marks(bar: Bar, views: Sequence[AnomalyView], currency: str, names: Mapping[str, str]) -> tuple[Mark, ...]:
    """The dearest days of what is unusual and neither muted nor expected, within the page's filters."""
    if bar.granularity is not Granularity.DAY:
        return ()
    days = [
        (day.excess, day.day, view)
        for view in views
        if view.state in (State.OPEN, State.RESOLVED) and view.currency == currency and _is_within(view, bar.filters)
        for day in view.days
        if bar.span.start <= day.day < bar.span.end and day.excess > 0
    ]
    days.sort(key=lambda each: (-each[0], each[1]))
    dearest: dict[date, Mark] = {}
    for excess, day, view in days:
        if day not in dearest and len(dearest) < MOST_MARKS:
            title = anomalies_shown.day_title(day, excess, currency)
            dearest[day] = Mark(day, title, anomalies_shown.name_of(view, names))
    return tuple(dearest.values())


def _is_one(each: Filter) -> bool:
    return each.operator is Operator.IN and len(each.values) == 1


def _is_within(view: AnomalyView, filters: Sequence[Filter]) -> bool:
    """Do all its parts match the page's filters? What can't be told of a part doesn't match."""
    for each in filters:
        name = each.dimension
        if name not in (Dimension.TEAM, Dimension.MODEL, Dimension.PROVIDER):
            return False
        values = {getattr(part, name.value) for part in view.parts}
        if each.operator is Operator.NULL and values != {None}:
            return False
        if each.operator is Operator.IN and not values <= set(each.values):
            return False
        if each.operator not in (Operator.IN, Operator.NULL):
            return False
    return True


def _dims(view: BudgetView) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(view.dims))


def _between(total: PeriodForecast, currency: str) -> str:
    return f"80 % between {formats.tile_money(total.p10, currency)} and {formats.tile_money(total.p90, currency)}"


def _against(over: Decimal | None, currency: str) -> Shown | None:
    if over is None:
        return None
    sign = "+" if over > 0 else ""
    return Shown(
        f"{sign}{formats.tile_money(over, currency)}", f"{formats.exact(over)} {currency}", "up" if over > 0 else "down"
    )


def _against_words(over: Decimal | None, limit: Decimal | None, currency: str) -> str:
    if over is None or limit is None:
        return "no budget of this month for it"
    return f"{'over' if over > 0 else 'against'} the budget, {formats.tile_money(limit, currency)}"


def _bullet(spent: Decimal, total: PeriodForecast, limit: Decimal | None, currency: str) -> Bullet | None:
    most = max(total.p90, limit or Decimal(0), spent)
    if most <= 0:
        return None

    def place(amount: Decimal) -> int:
        return max(0, min(200, int(amount / most * 190)))

    words = f"{formats.tile_money(spent, currency)} spent, {formats.tile_money(total.p50, currency)} expected"
    if limit is not None:
        words += f", limit {formats.tile_money(limit, currency)}"
    return Bullet(
        place(spent),
        place(total.p10),
        place(total.p50),
        place(total.p90),
        None if limit is None else place(limit),
        words,
    )
