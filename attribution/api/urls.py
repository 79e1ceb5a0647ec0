"""URLs of attribution's API, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from attribution.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("costs", views.CostsView.as_view(), name="costs"),
    path("unit-costs", views.UnitCostsView.as_view(), name="unit-costs"),
    path("reconciliation", views.ReconciliationView.as_view(), name="reconciliation"),
]
