"""URLs of routing's API, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from routing.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("changes", views.ChangesView.as_view(), name="api-changes"),
    path("changes/<int:change_id>", views.ChangeView.as_view(), name="api-change"),
    path("changes/<int:change_id>/approve", views.ApproveView.as_view(), name="api-approve"),
    path("changes/<int:change_id>/reject", views.RejectView.as_view(), name="api-reject"),
    path("changes/<int:change_id>/rollback", views.RollBackView.as_view(), name="api-roll-back"),
    path("orchestrators", views.OrchestratorsView.as_view(), name="api-orchestrators"),
    path("orchestrators/<str:name>/rollback", views.RollBackToView.as_view(), name="api-roll-back-to"),
    path("orchestrators/<str:name>/drift", views.DriftView.as_view(), name="api-drift"),
    path("loop/freeze", views.FreezeView.as_view(), name="api-freeze"),
    path("loop/resume", views.ResumeView.as_view(), name="api-resume"),
]
