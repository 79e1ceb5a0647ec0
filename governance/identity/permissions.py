"""The one place that decides what a person or a token may do, as an `attribution.actors.Actor`.

A role's actions stand in one table. Services ask the actor; pages ask it only to offer what would be allowed.
"""

from datetime import UTC, date, datetime

from django.contrib.auth.models import AnonymousUser

from attribution.actors import NOBODY, Action, Actor, Grant, grants_narrowed_to
from governance.identity.scoping import narrowed_to_token, roles_at, scope_of_roles, teams_below
from governance.models import ORGANISATION_ROLES, Role, ServiceToken, User

_OF_A_LEAD = frozenset(
    {
        Action.EDIT_BUDGET,
        Action.EDIT_POLICY,
        Action.EDIT_QUOTA,
        Action.EDIT_EVENT,
        Action.TRIAGE_ANOMALY,
        Action.APPROVE_CHANGE,
        Action.ROLL_BACK,
    }
)
ACTIONS_OF: dict[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.FINANCE: frozenset({Action.CLOSE_PERIOD, Action.READ_AUDIT}),
    Role.OPERATOR: frozenset(
        {
            Action.EDIT_EVENT,
            Action.TRIAGE_ANOMALY,
            Action.APPROVE_CHANGE,
            Action.ROLL_BACK,
            Action.KILL_SWITCH,
            Action.EDIT_ORCHESTRATOR,
            Action.EDIT_CHANNELS,
            Action.READ_AUDIT,
        }
    ),
    Role.VIEWER: frozenset({Action.READ_AUDIT}),
    Role.LEAD: _OF_A_LEAD,
    Role.MEMBER: frozenset(),
}


def actor_of_person(user: User | AnonymousUser, now: datetime) -> Actor:
    """What `user` may see and do at `now`; NOBODY for who is not signed in or not active."""
    if not isinstance(user, User) or not user.is_active:
        return NOBODY
    everywhere: set[Action] = set()
    within: list[Grant] = []
    held = roles_at(user, now)
    for role, team_id in held:
        if role in ORGANISATION_ROLES:
            everywhere |= ACTIONS_OF[role]
        elif team_id is not None and ACTIONS_OF[role]:
            within.append(Grant(teams_below([team_id], _day(now)), ACTIONS_OF[role]))
    return Actor(
        name=user.name or user.email,
        user_id=user.pk,
        scope=scope_of_roles(held, now),
        everywhere=frozenset(everywhere),
        within=tuple(within),
    )


def actor_of_token(token: ServiceToken, now: datetime) -> Actor:
    """What a token may: nothing but reading unless it was made to write; never more than its person, or its team."""
    person = actor_of_person(token.user, now)
    name = f"{person.name} (token {token.name})"
    scope = narrowed_to_token(person.scope, token, now)
    if not token.may_write:
        return Actor(name=name, user_id=token.user_id, scope=scope)
    if token.team_id is None:
        return Actor(name=name, user_id=token.user_id, scope=scope, everywhere=person.everywhere, within=person.within)
    teams = teams_below([token.team_id], _day(now))
    within = grants_narrowed_to((*person.within, Grant(teams, person.everywhere)), teams)
    return Actor(name=name, user_id=token.user_id, scope=scope, within=within)


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()
