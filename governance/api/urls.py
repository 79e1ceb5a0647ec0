"""URLs below /api/: the API of each layer, its document, and a problem for every other address."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from attribution.api.views import NothingHereView
from governance.api import openapi as openapi  # registers how the document names tokens
from governance.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include("attribution.api.urls")),
    path("v1/", include("routing.api.urls")),
    path("v1/", include("governance.api.notification_urls")),
    path("v1/", include("governance.api.anomaly_urls")),
    path("v1/", include("governance.api.budget_urls")),
    path("v1/", include("governance.api.decision_urls")),
    path("v1/", include("governance.api.forecast_urls")),
    path("v1/", include("governance.api.policy_urls")),
    path("schema", views.SchemaView.as_view(), name="api-schema"),
    path("docs", views.docs, name="api-docs"),
    re_path(r"^[\s\S]*$", NothingHereView.as_view()),
]
