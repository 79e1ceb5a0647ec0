"""URLs of budgets, quotas and closed months, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import budgets, periods, quotas

urlpatterns: list[URLPattern | URLResolver] = [
    path("budgets", budgets.BudgetsView.as_view(), name="budgets-api"),
    path("budgets/import", budgets.ImportBudgetsView.as_view(), name="budgets-import-api"),
    path("budgets/<int:budget_id>", budgets.OneBudgetView.as_view(), name="budget-api"),
    path("budgets/<int:budget_id>/copy", budgets.CopyBudgetView.as_view(), name="budget-copy-api"),
    path("budgets/<int:budget_id>/periods", budgets.BudgetPeriodsView.as_view(), name="budget-periods-api"),
    path("quotas", quotas.QuotasView.as_view(), name="quotas-api"),
    path("quotas/<int:quota_id>", quotas.OneQuotaView.as_view(), name="quota-api"),
    path("periods", periods.PeriodsView.as_view(), name="periods-api"),
    path("periods/<str:month>", periods.OnePeriodView.as_view(), name="period-api"),
    path("exchange-rates", periods.ExchangeRatesView.as_view(), name="exchange-rates-api"),
]
