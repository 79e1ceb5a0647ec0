"""URLs of anomalies, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import anomalies

urlpatterns: list[URLPattern | URLResolver] = [
    path("anomalies", anomalies.AnomaliesView.as_view(), name="anomalies-api"),
    path("anomalies/<int:anomaly_id>", anomalies.OneAnomalyView.as_view(), name="anomaly-api"),
    path("anomalies/<int:anomaly_id>/triage", anomalies.TriageView.as_view(), name="anomaly-triage-api"),
]
