"""URLs of policies, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import policies

urlpatterns: list[URLPattern | URLResolver] = [
    path("policies", policies.PoliciesView.as_view(), name="policies-api"),
    path("policies/<int:budget_id>", policies.OnePolicyView.as_view(), name="policy-api"),
    path("policies/<int:budget_id>/versions", policies.PolicyVersionsView.as_view(), name="policy-versions-api"),
    path("policies/<int:budget_id>/what-if", policies.WhatIfView.as_view(), name="policy-what-if-api"),
]
