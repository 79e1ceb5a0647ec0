"""What every page shares per request: an id that a person can quote, and the theme from the cookie."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from attribution.actors import Forbidden
from governance.dashboards import errors

THEME_COOKIE = "weir_theme"
THEMES = ("system", "light", "dark")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Sets `request.request_id` and the header X-Request-Id; keeps the id of a proxy that already gave one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:12]
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers.setdefault("X-Request-Id", request_id)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A service said no: the page that says who can grant it. The API answers with a problem of its own."""
        return errors.forbidden(request, exception) if isinstance(exception, Forbidden) else None


def theme_of(request: HttpRequest) -> str:
    """The chosen theme; 'system' when none is."""
    chosen = request.COOKIES.get(THEME_COOKIE, "system")
    return chosen if chosen in THEMES else "system"
