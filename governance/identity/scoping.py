"""The one place that decides what a person or a token may see, as an `attribution.scope.TeamScope`.

Every page and endpoint reads the result from `request.team_scope` and hands it to the selectors.
Not here: what a role may do.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from attribution.models import Placement, Team
from attribution.scope import EVERYTHING, NOTHING, TeamScope
from governance.models import ORGANISATION_ROLES, Membership, Role, ServiceToken, User


def memberships_at(user: User, now: datetime) -> QuerySet[Membership]:
    """The person's memberships that are valid at `now` (half-open)."""
    return Membership.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=now), user=user, valid_from__lte=now)


def team_scope_of(user: User | AnonymousUser, now: datetime) -> TeamScope:
    """What `user` may see at `now`: everything with an organisation role, else their teams with all teams below.

    Teams are those below *today*: who leads a business unit now reads the whole history of what is in it now.
    """
    if not isinstance(user, User) or not user.is_active:
        return NOTHING
    return scope_of_roles(roles_at(user, now), now)


def roles_at(user: User, now: datetime) -> list[tuple[Role, int | None]]:
    """The person's roles at `now`, each with its team's id; None for the organisation's."""
    held = memberships_at(user, now).values_list("role", "team_id")
    return [(Role(role), team_id) for role, team_id in held]


def scope_of_roles(held: Iterable[tuple[Role, int | None]], now: datetime) -> TeamScope:
    """What these roles see: everything with one of the organisation's, else their teams with all below."""
    roots: list[int] = []
    for role, team_id in held:
        if role in ORGANISATION_ROLES:
            return EVERYTHING
        if team_id is not None:
            roots.append(team_id)
    return TeamScope(teams=teams_below(roots, now.astimezone(UTC).date())) if roots else NOTHING


def narrowed_to_token(scope: TeamScope, token: ServiceToken, now: datetime) -> TeamScope:
    """The part of its person's scope that the token may see."""
    if token.team_id is None or scope.is_empty:
        return scope
    return scope.narrowed_to(teams_below([token.team_id], now.astimezone(UTC).date()))


def teams_below(roots: Iterable[int], day: date) -> frozenset[str]:
    """Slugs of the teams with ids `roots` and of all teams placed below them on `day`."""
    children: dict[int, list[int]] = {}
    placed = Placement.objects.filter(
        Q(valid_from__isnull=True) | Q(valid_from__lte=day),
        Q(valid_to__isnull=True) | Q(valid_to__gt=day),
        team__isnull=False,
    )
    for parent_id, team_id in placed.values_list("parent_id", "team_id"):
        if team_id is not None:
            children.setdefault(parent_id, []).append(team_id)
    # A set of what was seen, because nothing in the database forbids a circle.
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        team_id = todo.pop()
        if team_id not in seen:
            seen.add(team_id)
            todo.extend(children.get(team_id, ()))
    return frozenset(Team.objects.filter(id__in=seen).values_list("slug", flat=True))
