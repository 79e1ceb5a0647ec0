"""Who calls the API: a bearer token, or the session of a signed-in person."""

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from governance.identity.permissions import actor_of_token
from governance.identity.services import token_of
from governance.models import ServiceToken, User

# One sentence for every bad token: it must not tell an expired one from one that never was.
REFUSED = (
    "this token is not valid: it may be mistyped, expired or revoked; make a new one with 'manage.py create_token'"
)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer weir_...`; sets `request.actor` and `request.team_scope` to what the token may."""

    def authenticate(self, request: Request) -> tuple[User, ServiceToken] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        now = timezone.now()
        token = token_of(secret.strip().decode("latin-1"), now)
        if token is None:
            raise AuthenticationFailed(REFUSED)
        # On DRF's request, which hides what the session middleware set on Django's.
        actor = actor_of_token(token, now)
        request.actor = actor  # type: ignore[attr-defined]
        request.team_scope = actor.scope  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'Bearer realm="weir"'
