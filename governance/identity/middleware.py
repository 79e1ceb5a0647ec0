"""What every request gets: the reader's scope; and every response: the content security policy."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from governance.identity.permissions import actor_of_person

# Nothing inline and nothing from elsewhere; a page that needs more sets the header itself.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

GetResponse = Callable[[HttpRequest], HttpResponse]


class TeamScopeMiddleware:
    """Sets `request.actor` and its `request.team_scope` from the session's person; stands after authentication."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        actor = actor_of_person(request.user, timezone.now())
        request.actor = actor  # type: ignore[attr-defined]
        request.team_scope = actor.scope  # type: ignore[attr-defined]
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    """Sets the policy on every response that has none of its own; stands first."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response
