"""URLs of governance.dashboards."""

from django.urls import URLPattern, URLResolver, path

from governance.dashboards import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.overview_page, name="overview"),
    path("overview.csv", views.overview_csv, name="overview-csv"),
    path("filters", views.filters, name="filters"),
    path("data", views.data, name="data"),
    path("theme", views.theme, name="theme"),
]
