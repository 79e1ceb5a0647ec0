"""The Changes pages: who sees and may what, what they offer, and that answers without a script work."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from attribution.models import Team
from governance.identity.services import create_person
from governance.models import Role, User
from routing import services
from routing.models import ChangeSet
from tests.routing.changes.conftest import Edge, block, status

PEOPLE = ("owner", "operator", "finance", "viewer", "lead", "member", "other lead", "outsider", "nobody")
SEES_ALL = {"owner", "operator", "finance", "viewer"}
ACTS_ALL = {"owner", "operator"}


@pytest.fixture
def visit(edge: Edge) -> Callable[..., Any]:
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
    people = {
        name: create_person(email=f"{name.replace(' ', '-')}@x.example", name=name, role=role, now=now, team=team)
        for name, (role, team) in roles.items()
    }
    people["outsider"] = User.objects.create_user("outsider@x.example", name="outsider")

    def asked(name: str, path: str, data: dict[str, str] | None = None) -> Any:
        client = Client()
        if name != "nobody":
            client.force_login(people[name])
        return client.get(path) if data is None else client.post(path, data)

    return asked


@pytest.fixture
def waiting(edge: Edge) -> ChangeSet:
    """A stop of team search that waits for a yes; the clock is the wall's, as that of the pages."""
    return edge.propose(edge.blocked(block("search", timezone.now() + timedelta(days=9))))


@pytest.mark.parametrize("name", PEOPLE)
def test_who_sees_which_page(visit: Callable[..., Any], waiting: ChangeSet, name: str):
    listed, shown = visit(name, "/changes"), visit(name, f"/changes/{waiting.pk}")
    if name == "nobody":
        assert (listed.status_code, shown.status_code) == (302, 302)
        return
    if name == "outsider":
        assert (listed.status_code, shown.status_code) == (403, 404)
        return
    sees = name in SEES_ALL | {"lead", "member"}
    assert (listed.status_code, shown.status_code) == (200, 200 if sees else 404)
    page = listed.content.decode()
    assert ("Stop search" in page) is sees
    assert "Enforcement is on." in page
    assert ("Stop all enforcement" in page) is (name in ACTS_ALL)
    if sees:
        offered = shown.content.decode()
        assert ("Approve</button>" in offered) is (name in ACTS_ALL | {"lead"})
        assert ("Reject</button>" in offered) is (name in ACTS_ALL | {"lead"})
    else:
        assert "search" not in page.split("<main")[1].lower()


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("action", ["approve", "reject", "rollback"])
def test_who_answers_a_teams_change(visit: Callable[..., Any], waiting: ChangeSet, name: str, action: str):
    answer = visit(name, f"/changes/{waiting.pk}/{action}", {"note": "because"})
    if name in ACTS_ALL | {"lead"}:
        # There is nothing in force to roll back yet.
        assert answer.status_code == (409 if action == "rollback" else 303)
        assert status(waiting) == {"approve": "approved", "reject": "rejected", "rollback": "proposed"}[action]
        return
    expected = {"nobody": 302, "outsider": 404, "other lead": 404}.get(name, 403)
    assert answer.status_code == expected
    assert status(waiting) == "proposed"


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize(
    "path",
    [
        "/changes/loop/freeze",
        "/changes/loop/resume",
        "/changes/orchestrators/edge/overwrite",
        "/changes/orchestrators/edge/keep",
        "/changes/orchestrators/edge/rollback",
    ],
)
def test_who_acts_on_everything(edge: Edge, visit: Callable[..., Any], name: str, path: str):
    before = ChangeSet.objects.count()
    answer = visit(name, path, {"generation": "1"})
    if name in ACTS_ALL:
        assert answer.status_code in (303, 409)
        return
    assert answer.status_code == (302 if name == "nobody" else 403)
    assert (ChangeSet.objects.count(), services.is_frozen()) == (before, False)


def test_a_no_without_a_reason_is_told_and_what_was_typed_stays(visit: Callable[..., Any], waiting: ChangeSet):
    answer = visit("lead", f"/changes/{waiting.pk}/reject", {"note": " "})
    assert answer.status_code == 409
    assert "say why: a rejection without a reason teaches nobody" in answer.content.decode()


def test_a_stop_is_shown_to_everybody_with_who_and_why(visit: Callable[..., Any], edge: Edge):
    visit("owner", "/changes/loop/freeze", {"note": "incident 7"})
    page = visit("member", "/changes").content.decode()
    assert "Enforcement is stopped." in page
    assert "By owner" in page
    assert "incident 7" in page


def test_drift_is_shown_with_what_differs_and_both_ways_out(visit: Callable[..., Any], edge: Edge):
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    edge.watch()
    page = visit("owner", "/changes").content.decode()
    assert "edge holds what Weir did not write." in page
    assert "search/gpt-large: aws from 60 % to 10 %" in page
    assert "Write over it" in page
    lead = visit("lead", "/changes").content.decode()
    assert "edge holds what Weir did not write." in lead
    assert "to 10 %" not in lead


@pytest.mark.parametrize(
    "path",
    ["/changes/99999999999999999999", "/changes/9", "/changes/1/merge", "/changes/loop/melt"],
)
def test_what_is_not_there_is_404(visit: Callable[..., Any], path: str):
    assert visit("owner", path).status_code in (404, 405)
    assert visit("owner", path, {}).status_code in (404, 405)


def test_odd_queries_are_no_error(visit: Callable[..., Any]):
    for query in ("?after=x", "?after=" + "9" * 40, "?show=x", "?after=0"):
        assert visit("owner", f"/changes{query}").status_code == 200


def test_the_list_costs_few_queries_however_long_it_is(
    visit: Callable[..., Any], edge: Edge, django_assert_max_num_queries
):
    for index in range(30):
        edge.propose(edge.moved(aws=590_000 - index, gcp=410_000 + index))
    with django_assert_max_num_queries(40):
        visit("owner", "/changes")


def test_a_global_stop_counts_its_persons(visit: Callable[..., Any], edge: Edge):
    change = edge.propose(edge.blocked(block(None, timezone.now() + timedelta(days=9))), team=None)
    visit("owner", f"/changes/{change.pk}/approve", {"note": "go"})
    page = visit("owner", f"/changes/{change.pk}").content.decode()
    assert "1 of 2 said yes" in page
    assert "You have said yes; it waits for another person." in page
    visit("operator", f"/changes/{change.pk}/approve", {})
    assert status(change) == "approved"
