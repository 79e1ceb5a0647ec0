"""Who sees what: roles, the tree of teams, dates."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction

from attribution.models import Placement, Team
from attribution.scope import EVERYTHING, NOTHING, TeamScope
from governance.identity import services
from governance.identity.permissions import actor_of_token
from governance.identity.scoping import team_scope_of
from governance.models import Membership, Role, User

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def team(slug: str, parent: Team | None = None, *, since: date | None = None, until: date | None = None) -> Team:
    made = Team.objects.create(slug=slug, name=slug.title())
    if parent is not None:
        Placement.objects.create(team=made, parent=parent, valid_from=since, valid_to=until)
    return made


def person(role: Role, of: Team | None = None) -> User:
    return services.create_person(email=f"p{User.objects.count()}@example.org", name="P", role=role, team=of, now=NOW)


@pytest.mark.parametrize("role", [Role.OWNER, Role.FINANCE, Role.OPERATOR, Role.VIEWER])
def test_an_organisation_role_sees_everything(role: Role) -> None:
    assert team_scope_of(person(role), NOW) == EVERYTHING


def test_a_lead_sees_the_team_and_all_below_but_not_its_sisters_or_parent() -> None:
    unit = team("unit")
    ml = team("ml", unit)
    team("ml-search", ml)
    team("sales", unit)

    assert team_scope_of(person(Role.LEAD, ml), NOW) == TeamScope(teams=frozenset({"ml", "ml-search"}))


def test_several_memberships_add_up() -> None:
    user = person(Role.MEMBER, team("a"))
    services.grant(user, role=Role.LEAD, team=team("b"), now=NOW)

    assert team_scope_of(user, NOW).teams == {"a", "b"}


def test_a_membership_holds_from_its_start_until_its_end_exclusive() -> None:
    user = person(Role.MEMBER, team("a"))
    end = NOW + timedelta(days=7)
    services.end_membership(Membership.objects.get(), end)

    assert team_scope_of(user, NOW - timedelta(microseconds=1)) == NOTHING
    assert team_scope_of(user, NOW).teams == {"a"}
    assert team_scope_of(user, end - timedelta(microseconds=1)).teams == {"a"}
    assert team_scope_of(user, end) == NOTHING


def test_a_team_is_below_only_while_it_is_placed_there() -> None:
    unit = team("unit")
    team("gone", unit, until=date(2026, 5, 4))
    team("coming", unit, since=date(2026, 5, 5))
    team("here", unit, since=date(2026, 5, 4), until=date(2026, 5, 5))

    assert team_scope_of(person(Role.LEAD, unit), NOW).teams == {"unit", "here"}


def test_a_circle_of_placements_ends() -> None:
    a = team("a")
    b = team("b", a)
    Placement.objects.create(team=a, parent=b)

    assert team_scope_of(person(Role.LEAD, a), NOW).teams == {"a", "b"}


def test_outsiders_strangers_and_the_inactive_see_nothing() -> None:
    outsider = User.objects.create_user("out@example.org", None, name="Out")
    inactive = person(Role.OWNER)
    inactive.is_active = False

    assert team_scope_of(outsider, NOW) == NOTHING
    assert team_scope_of(AnonymousUser(), NOW) == NOTHING
    assert team_scope_of(inactive, NOW) == NOTHING


def test_a_token_of_an_owner_can_be_narrowed_to_a_team() -> None:
    unit = team("unit")
    team("ml", unit)
    team("sales")
    token = services.issue_token(person(Role.OWNER), name="ci", team=unit).token

    assert actor_of_token(token, NOW).scope == TeamScope(teams=frozenset({"unit", "ml"}))


def test_a_token_never_sees_more_than_its_person() -> None:
    token = services.issue_token(person(Role.MEMBER, team("ml")), name="ci", team=team("sales")).token

    assert actor_of_token(token, NOW).scope.is_empty


@pytest.mark.parametrize(("role", "in_team"), [(Role.VIEWER, True), (Role.LEAD, False)])
def test_the_database_refuses_a_role_in_the_wrong_place(role: Role, in_team: bool) -> None:
    user = User.objects.create_user("x@example.org", None, name="X")

    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(user=user, role=role, team=team("a") if in_team else None, valid_from=NOW)
    with pytest.raises(services.IdentityError):
        services.grant(user, role=role, team=team("b") if in_team else None, now=NOW)
