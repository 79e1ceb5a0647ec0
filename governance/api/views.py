"""The OpenAPI document and its page. Both are public: they hold no figure and no name."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny

# Swagger UI draws its icons from data: addresses, which the policy of all other pages forbids. Nothing else is relaxed.
DOCS_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class SchemaView(SpectacularAPIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    http_method_names = ["get", "head"]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The API's description, to read and to try, served from this machine."""
    response = render(request, "governance/api_docs.html")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response
