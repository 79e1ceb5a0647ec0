"""Reads what the Overview says of the days to come: budgets, the stored forecast, anomalies. No figure is made here."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils import timezone

from attribution.scope import TeamScope
from governance import budgeting
from governance.anomalies import anomalies
from governance.budgeting import BudgetView
from governance.dashboards import outlook, overview
from governance.dashboards.bar import Bar, month_of
from governance.dashboards.figures import Ahead, Mark
from governance.dashboards.outlook import ForecastTile
from governance.dashboards.reading import OverviewFacts
from governance.forecast_fits import spent_of
from governance.forecasts import forecast_for
from governance.team_tree import TeamTree


@dataclass(frozen=True)
class ToCome:
    """The forecast's tile (None on pages of other periods), the bars' way on, what is marked, all budgets."""

    tile: ForecastTile | None
    ahead: Ahead | None
    marks: tuple[Mark, ...]
    budgets: tuple[BudgetView, ...]


def days_to_come(scope: TeamScope, bar: Bar, facts: OverviewFacts, names: Mapping[str, str]) -> ToCome:
    now = timezone.now()
    today = now.date()
    currency = overview.main_currency(facts.groups)
    budgets = tuple(budgeting.budgets(scope, now))
    foreseen = outlook.forecast_scope(bar, scope, TeamTree.read(), today)
    stored = forecast_for(foreseen, currency=currency, basis=bar.basis.value) if foreseen is not None else None
    # Counted as budgets and the Forecasts page count, so that all three say one number.
    of_month = stored if bar.period == "this-month" else None
    spent = spent_of(of_month.scope, of_month, month_of(today).start) if of_month is not None else None
    budget = outlook.budget_of(budgets, foreseen, currency, today)
    seen = anomalies(scope, start=bar.span.start, end=bar.span.end)
    return ToCome(
        tile=outlook.tile(bar, stored, spent, currency, budget, today),
        ahead=outlook.ahead(bar, stored, today),
        marks=outlook.marks(bar, seen, currency, names),
        budgets=budgets,
    )
