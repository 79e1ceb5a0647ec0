"""URLs of the loop's decisions, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import decisions

urlpatterns: list[URLPattern | URLResolver] = [
    path("decisions", decisions.DecisionsView.as_view(), name="decisions-api"),
    path("decisions/<int:decision_id>", decisions.OneDecisionView.as_view(), name="decision-api"),
]
