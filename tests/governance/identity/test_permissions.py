"""What each role may do, and what its tokens may."""

from datetime import UTC, datetime, timedelta

import pytest

from attribution.actors import SYSTEM, Action, Forbidden
from attribution.models import Placement, Team
from governance.identity.permissions import actor_of_person, actor_of_token
from governance.identity.services import create_person, issue_token
from governance.models import Membership, Role, User

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def teams(db: None) -> dict[str, Team]:
    made = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("retail", "search", "ads")}
    Placement.objects.create(team=made["search"], parent=made["retail"])
    return made


def person(role: Role, team: Team | None = None) -> User:
    return create_person(email=f"{role}@x.example", name=role.title(), role=role, now=NOW, team=team, password="p" * 14)


def test_a_lead_acts_on_their_team_and_below_and_nowhere_else(teams: dict[str, Team]):
    actor = actor_of_person(person(Role.LEAD, teams["retail"]), NOW)
    assert actor.may(Action.EDIT_BUDGET, "retail")
    assert actor.may(Action.EDIT_BUDGET, "search")
    assert not actor.may(Action.EDIT_BUDGET, "ads")
    assert not actor.may(Action.EDIT_BUDGET, None)
    assert not actor.may(Action.KILL_SWITCH, "retail")
    with pytest.raises(Forbidden, match="an owner, or a lead of the team can"):
        actor.require(Action.EDIT_BUDGET, "ads")


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.OWNER, set(Action)),
        (Role.FINANCE, {Action.CLOSE_PERIOD, Action.READ_AUDIT}),
        (Role.VIEWER, {Action.READ_AUDIT}),
        (
            Role.OPERATOR,
            set(Action) - {Action.EDIT_BUDGET, Action.EDIT_POLICY, Action.EDIT_QUOTA, Action.CLOSE_PERIOD},
        ),
    ],
)
def test_organisation_roles_act_everywhere_or_not_at_all(teams: dict[str, Team], role: Role, actions: set[Action]):
    actor = actor_of_person(person(role), NOW)
    assert {action for action in Action if actor.may(action, None)} == actions
    assert {action for action in Action if actor.may(action, "search")} == actions


def test_a_member_does_nothing(teams: dict[str, Team]):
    actor = actor_of_person(person(Role.MEMBER, teams["search"]), NOW)
    assert not any(actor.may_somewhere(action) for action in Action)
    assert actor.scope.allows("search")


def test_a_membership_that_ended_gives_nothing(teams: dict[str, Team]):
    user = person(Role.LEAD, teams["search"])
    Membership.objects.update(valid_to=NOW)
    assert not actor_of_person(user, NOW).may(Action.EDIT_BUDGET, "search")
    assert actor_of_person(user, NOW).scope.is_empty


def test_a_token_only_reads_unless_it_was_made_to_write(teams: dict[str, Team]):
    owner = person(Role.OWNER)
    reads = actor_of_token(issue_token(owner, name="etl").token, NOW)
    assert reads.scope.everything
    assert not any(reads.may_somewhere(action) for action in Action)
    writes = actor_of_token(issue_token(owner, name="ci", may_write=True).token, NOW + timedelta(hours=1))
    assert writes.may(Action.EDIT_BUDGET, None)
    assert writes.name == "Owner (token ci)"


def test_a_token_of_one_team_writes_only_there_even_if_an_owner_made_it(teams: dict[str, Team]):
    token = issue_token(person(Role.OWNER), name="ci", team=teams["search"], may_write=True).token
    actor = actor_of_token(token, NOW)
    assert actor.may(Action.EDIT_BUDGET, "search")
    assert not actor.may(Action.EDIT_BUDGET, "retail")
    assert not actor.may(Action.EDIT_BUDGET, None)
    assert not actor.may(Action.KILL_SWITCH, None)


def test_the_product_never_approves_its_own_changes():
    assert not SYSTEM.may(Action.APPROVE_CHANGE, "search")
    assert not SYSTEM.may(Action.EDIT_BUDGET, None)
