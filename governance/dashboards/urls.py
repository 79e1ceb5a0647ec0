"""URLs of governance.dashboards."""

from django.urls import URLPattern, URLResolver, include, path

from governance.dashboards import anomalies_page, changes_page, forecasts_page, notifications_page, periods_page, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.overview_page, name="overview"),
    path("what-changed", views.what_changed, name="what-changed"),
    path("overview.csv", views.overview_csv, name="overview-csv"),
    path("filters", views.filters, name="filters"),
    path("data", views.data, name="data"),
    path("data/periods/<str:month>", periods_page.period, name="period"),
    path("settings/notifications", notifications_page.page, name="notifications"),
    path("settings/notifications/choice", notifications_page.save_choice, name="notifications-choice"),
    path("settings/notifications/test", notifications_page.test_mail, name="notifications-test"),
    path("settings/notifications/channels", notifications_page.add_channel, name="channels-add"),
    path("settings/notifications/channels/<int:channel_id>", notifications_page.change_channel, name="channel-change"),
    path("settings/notifications/deliveries/<int:delivery_id>", notifications_page.send_again, name="send-again"),
    path("", include("governance.dashboards.budget_urls")),
    path("anomalies", anomalies_page.anomaly_list, name="anomalies"),
    path("anomalies/<int:anomaly_id>", anomalies_page.anomaly_detail, name="anomaly"),
    path("anomalies/<int:anomaly_id>/triage", anomalies_page.anomaly_triage, name="anomaly-triage"),
    path("forecasts", forecasts_page.forecasts_page, name="forecasts"),
    path("forecasts/events", forecasts_page.add_event, name="forecast-event-add"),
    path("forecasts/events/<int:event_id>/withdraw", forecasts_page.withdraw_event, name="forecast-event-withdraw"),
    path("changes", changes_page.changes, name="changes"),
    path("changes/<int:change_id>", changes_page.change, name="change"),
    path("changes/<int:change_id>/<str:action>", changes_page.act, name="change-act"),
    path("changes/loop/<str:action>", changes_page.switch, name="loop-switch"),
    path("changes/orchestrators/<str:name>/<str:action>", changes_page.settle, name="orchestrator-act"),
    path("theme", views.theme, name="theme"),
]
