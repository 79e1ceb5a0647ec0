"""All URLs of the product."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("governance.dashboards.urls")),
    path("", include("governance.identity.urls")),
    path("api/", include("governance.api.urls")),
]

handler400 = "governance.dashboards.errors.bad_request"
handler403 = "governance.dashboards.errors.forbidden"
handler404 = "governance.dashboards.errors.not_found"
handler500 = "governance.dashboards.errors.failed"
