"""Who may call: whoever came with a scope. The layer above sets `request.team_scope`; this one only obeys it."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from attribution.actors import NOBODY, Actor
from attribution.scope import NOTHING, TeamScope

if TYPE_CHECKING:
    # The framework reads this module while it makes the view.
    from rest_framework.views import APIView


def scope_of(request: Request) -> TeamScope:
    """What the caller may see; nothing where nobody said."""
    scope = getattr(request, "team_scope", NOTHING)
    return scope if isinstance(scope, TeamScope) else NOTHING


def actor_of(request: Request) -> Actor:
    """Who calls, and what they may do; nobody where nobody said."""
    actor = getattr(request, "actor", NOBODY)
    return actor if isinstance(actor, Actor) else NOBODY


class HasScope(BasePermission):
    """Lets those in who see at least one team."""

    message = "You belong to no team yet: an owner can make you a member of one."

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002
        # The order matters: asking for the user runs the authentication, which sets the scope of a token.
        return bool(request.user and request.user.is_authenticated) and not scope_of(request).is_empty
