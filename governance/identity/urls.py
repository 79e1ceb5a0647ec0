"""URLs of governance.identity."""

from django.urls import URLPattern, URLResolver, path

from governance.identity import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("first-run", views.first_run, name="first-run"),
    path("first-run/<str:secret>", views.open_first_run, name="open-first-run"),
]
