"""All URLs of the product."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("governance.dashboards.urls")),
    path("", include("governance.identity.urls")),
    path("api/", include("governance.api.urls")),
]
