"""URLs of forecasts and known events, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import forecasts

urlpatterns: list[URLPattern | URLResolver] = [
    path("forecasts", forecasts.ForecastsView.as_view(), name="forecasts-api"),
    path("forecasts/accuracy", forecasts.AccuracyView.as_view(), name="forecast-accuracy-api"),
    path("forecast-events", forecasts.EventsView.as_view(), name="forecast-events-api"),
    path("forecast-events/<int:event_id>", forecasts.OneEventView.as_view(), name="forecast-event-api"),
]
