"""URLs of the Budgets pages."""

from django.urls import URLPattern, URLResolver, path

from governance.dashboards import budgets_page, quotas_page

urlpatterns: list[URLPattern | URLResolver] = [
    path("budgets", budgets_page.budget_list, name="budgets"),
    path("budgets.csv", budgets_page.budget_export, name="budgets-csv"),
    path("budgets/new", budgets_page.budget_new, name="budget-new"),
    path("budgets/what-if", budgets_page.budget_what_if, name="budget-what-if"),
    path("budgets/substitutes", budgets_page.budget_substitutes, name="budget-substitutes"),
    path("budgets/import", budgets_page.budget_import, name="budget-import"),
    path("budgets/<int:budget_id>", budgets_page.budget_detail, name="budget"),
    path("budgets/<int:budget_id>/edit", budgets_page.budget_edit, name="budget-edit"),
    path("budgets/<int:budget_id>/copy", budgets_page.budget_copy, name="budget-copy"),
    path("budgets/<int:budget_id>/archive", budgets_page.budget_archive, name="budget-archive"),
    path("quotas", quotas_page.quota_list, name="quotas"),
    path("quotas/new", quotas_page.quota_new, name="quota-new"),
    path("quotas/<int:quota_id>", quotas_page.quota_edit, name="quota-edit"),
    path("quotas/<int:quota_id>/archive", quotas_page.quota_archive, name="quota-archive"),
]
