"""What the frame around every page shows: navigation by scope, the person, the theme, freshness."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from attribution import selectors
from attribution.actors import NOBODY, Actor
from attribution.scope import NOTHING, TeamScope
from attribution.selectors import ProviderFreshness
from governance.dashboards import freshness, labels
from governance.identity.scoping import memberships_at
from governance.models import User
from routing import selectors as routing


def scope_of(request: HttpRequest) -> TeamScope:
    """What the reader may see; nothing where no middleware said so."""
    scope: TeamScope = getattr(request, "team_scope", NOTHING)
    return scope


def actor_of(request: HttpRequest) -> Actor:
    """Who acts; nobody where no middleware said so."""
    actor: Actor = getattr(request, "actor", NOBODY)
    return actor


def today_of() -> date:
    """Today in UTC, the calendar of all days in the lake."""
    return timezone.now().date()


def frame(request: HttpRequest, *, page: str, found: Sequence[ProviderFreshness] | None = None) -> dict[str, Any]:
    """The frame's context. page: the entry of the navigation that is current; found: freshness, if already read."""
    scope = scope_of(request)
    if found is None:
        found = selectors.freshness(scope)
    return {
        "page": page,
        "can_see_data": scope.everything,
        "waiting_changes": routing.waiting(scope),
        "freshness": freshness.lines(found, today_of()),
        **person(request),
    }


def person(request: HttpRequest) -> dict[str, Any]:
    """The reader as the menu shows them."""
    user = request.user
    if not isinstance(user, User):
        return {}
    held = memberships_at(user, timezone.now()).select_related("team").order_by("id")
    roles = [labels.role(each.role, each.team.name if each.team else None) for each in held]
    return {"person": user, "initials": labels.initials(user.name or user.email), "roles": ", ".join(roles)}
