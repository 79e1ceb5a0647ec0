"""Who may see and do what, over every endpoint and page of changes. A lead of team A moves nothing of team B."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from attribution.models import Team
from governance.identity.services import create_person, issue_token
from governance.models import Role, User
from routing import services
from routing.models import ChangeSet
from routing.services import Why

from .conftest import Edge, block, fresh, status

PEOPLE = ("owner", "operator", "finance", "viewer", "lead", "member", "other lead", "outsider")
SEES_ALL = {"owner", "operator", "finance", "viewer"}
ACTS_ALL = {"owner", "operator"}


@pytest.fixture
def people(edge: Edge) -> dict[str, User]:
    search, ads = Team.objects.get(slug="search"), Team.objects.get(slug="ads")
    now = timezone.now()
    roles = {
        "owner": (Role.OWNER, None),
        "operator": (Role.OPERATOR, None),
        "finance": (Role.FINANCE, None),
        "viewer": (Role.VIEWER, None),
        "lead": (Role.LEAD, search),
        "member": (Role.MEMBER, search),
        "other lead": (Role.LEAD, ads),
    }
    made = {
        name: create_person(email=f"{name.replace(' ', '-')}@x.example", name=name, role=role, now=now, team=team)
        for name, (role, team) in roles.items()
    }
    made["outsider"] = User.objects.create_user("outsider@x.example", name="outsider")
    return made


@pytest.fixture
def call(people: dict[str, User]) -> Callable[..., int]:
    """Status of a call as somebody, by session; and by a token that may write, which must agree."""
    tokens = {
        name: issue_token(person, name="all", may_write=True).secret
        for name, person in people.items()
        if name != "outsider"
    }

    def asked(name: str, method: str, path: str, body: dict[str, Any] | None = None, *, token: bool = False) -> Any:
        client = Client(headers={"Authorization": f"Bearer {tokens[name]}"} if token else {})
        if not token:
            client.force_login(people[name])
        data = {} if method == "get" else {"data": json.dumps(body or {}), "content_type": "application/json"}
        return getattr(client, method)(path, **data)

    return asked


def waiting(edge: Edge) -> ChangeSet:
    """A stop of team search that waits for a yes."""
    return edge.propose(edge.blocked(block("search")))


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("token", [False, True])
def test_who_sees_a_teams_change(edge: Edge, call: Callable[..., Any], name: str, token: bool):
    if token and name == "outsider":
        pytest.skip("has no token")
    change = waiting(edge)
    sees = name in SEES_ALL | {"lead", "member"}
    expected = 200 if sees else 403 if name == "outsider" else 404
    assert call(name, "get", f"/api/v1/changes/{change.pk}", token=token).status_code == expected
    listed = call(name, "get", "/api/v1/changes", token=token)
    if name == "outsider":
        assert listed.status_code == 403
        return
    ids = [row["id"] for row in listed.json()["rows"]]
    assert (change.pk in ids) is sees
    # The baseline is the organisation's.
    assert (edge.row.standing_id in ids) is (name in SEES_ALL)
    if not sees:
        assert "search" not in listed.content.decode().lower()


ACTIONS = {
    "approve": ("/api/v1/changes/{id}/approve", {}, 200),
    "reject": ("/api/v1/changes/{id}/reject", {"reason": "no"}, 200),
    "rollback": ("/api/v1/changes/{id}/rollback", {}, 409),
}


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("token", [False, True])
def test_who_acts_on_a_teams_change(edge: Edge, call: Callable[..., Any], name: str, action: str, token: bool):
    if token and name == "outsider":
        pytest.skip("has no token")
    change = waiting(edge)
    path, body, done = ACTIONS[action]
    answer = call(name, "post", path.format(id=change.pk), body, token=token)
    if name in ACTS_ALL | {"lead"}:
        assert answer.status_code == done, answer.content
    else:
        expected = 404 if name == "other lead" else 403
        assert answer.status_code == expected
        assert status(change) == "proposed"


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/orchestrators/edge/rollback", {"generation": 1}),
        ("/api/v1/orchestrators/edge/drift", {"decision": "overwrite"}),
        ("/api/v1/loop/freeze", {}),
        ("/api/v1/loop/resume", {}),
    ],
)
def test_who_acts_on_everything(edge: Edge, call: Callable[..., Any], name: str, path: str, body: dict[str, Any]):
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    edge.watch()
    before = ChangeSet.objects.count()
    answer = call(name, "post", path, body)
    if name in ACTS_ALL:
        assert answer.status_code in (200, 409), answer.content
    else:
        assert answer.status_code == 403
        assert (ChangeSet.objects.count(), services.is_frozen()) == (before, False)


def test_a_token_that_was_made_to_read_only_does_nothing(edge: Edge, people: dict[str, User]):
    change = waiting(edge)
    secret = issue_token(people["owner"], name="reads").secret
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    for path, body, _done in ACTIONS.values():
        answer = client.post(path.format(id=change.pk), json.dumps(body), content_type="application/json")
        assert answer.status_code == 403
    assert status(change) == "proposed"


def test_a_change_of_several_teams_is_for_the_organisation(edge: Edge, call: Callable[..., Any]):
    change = edge.propose(edge.blocked(block("search"), block("ads")), team="search")
    for name in ("lead", "other lead", "member"):
        assert call(name, "get", f"/api/v1/changes/{change.pk}").status_code == 404
        assert call(name, "post", f"/api/v1/changes/{change.pk}/approve").status_code == 404


def test_drift_names_other_teams_only_to_who_sees_all(edge: Edge, call: Callable[..., Any]):
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    edge.watch()
    for name, shown in (("owner", True), ("other lead", False)):
        (row,) = call(name, "get", "/api/v1/orchestrators").json()["rows"]
        assert row["state"] == "drifted"
        assert bool(row["drift"]) is shown
        assert ("search" in json.dumps(row)) is shown


def test_no_endpoint_or_page_of_changes_is_left_out_of_this_matrix():
    """Whoever adds an address here adds its row above."""
    known = {
        "api/v1/changes",
        "api/v1/changes/<int:change_id>",
        "api/v1/changes/<int:change_id>/approve",
        "api/v1/changes/<int:change_id>/reject",
        "api/v1/changes/<int:change_id>/rollback",
        "api/v1/orchestrators",
        "api/v1/orchestrators/<str:name>/rollback",
        "api/v1/orchestrators/<str:name>/drift",
        "api/v1/loop/freeze",
        "api/v1/loop/resume",
        "changes",
        "changes/<int:change_id>",
        "changes/<int:change_id>/<str:action>",
        "changes/loop/<str:action>",
        "changes/orchestrators/<str:name>/<str:action>",
    }
    found = {path for path in _paths(get_resolver().url_patterns) if re.search(r"changes|orchestrators|loop/", path)}
    assert found == known


def _paths(patterns: Any, prefix: str = "") -> list[str]:
    found = []
    for each in patterns:
        path = f"{prefix}{each.pattern}"
        found += _paths(each.url_patterns, path) if hasattr(each, "url_patterns") else [path]
    return found


def test_the_first_yes_of_two_is_shown_and_does_not_approve(edge: Edge, call: Callable[..., Any]):
    change = edge.propose(edge.blocked(block(None)), team=None)
    answer = call("owner", "post", f"/api/v1/changes/{change.pk}/approve", {"note": "go"}).json()
    assert (answer["status"], answer["approvals"], answer["approvals_needed"]) == ("proposed", 1, 2)
    # The same person, by another way in.
    again = call("owner", "post", f"/api/v1/changes/{change.pk}/approve", token=True).json()
    assert (again["status"], again["approvals"]) == ("proposed", 1)
    done = call("operator", "post", f"/api/v1/changes/{change.pk}/approve").json()
    assert done["status"] == "approved"


def test_a_withdrawn_why_is_told(edge: Edge):
    change = waiting(edge)
    services.withdraw("budget:12", actor=services_actor(), now=edge.clock.now, reason="budget deleted")
    assert fresh(change).transitions.last().reason == "budget deleted"
    assert Why("decision").reference == ""


def services_actor() -> Any:
    from .conftest import OWNER

    return OWNER
