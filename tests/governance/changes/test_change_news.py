"""Each step of a change that concerns people is told once, to those who may know its team."""

from datetime import UTC, datetime

import pytest

from attribution.actors import SYSTEM
from attribution.models import Team
from governance.change_news import tell_changes
from governance.models import Notification
from routing import services
from routing.desired import DesiredState, Route, Target, Tier
from routing.models import Orchestrator
from routing.services import Why

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
TARGETS = (Target("aws", "aws", "eu", "http://127.0.0.1:1"), Target("gcp", "gcp", "eu", "http://127.0.0.1:2"))


@pytest.fixture
def waiting(db: None) -> int:
    """A change of team search that waits for a yes, because of its big step."""
    Team.objects.create(slug="search", name="Search")
    Orchestrator.objects.create(name="edge", kind="http")
    state = DesiredState("edge", 0, TARGETS, (Route("m", (Tier.of({"aws": 1_000_000}),), "search"),))
    why = Why("decision", "budget:7", "Search will pass its limit.", {"limit": "40000", "spent": "39000.5"})
    made = services.propose_change("edge", state, why=why, actor=SYSTEM, approval="one", team="search", now=NOW)
    assert made is not None
    return made.pk


def test_a_waiting_change_is_told_once_with_its_budget_and_its_page(waiting: int):
    for _again in range(3):
        tell_changes(now=NOW)
    (told,) = Notification.objects.all()
    # The first snapshot names targets, which are the organisation's.
    assert (told.kind, told.team, told.budget_id) == ("change.waiting", None, 7)
    assert told.link_path == f"/changes/{waiting}"
    assert told.figures["words"] == "Search will pass its limit."
    assert (told.figures["limit"], told.figures["spend"]) == ("40000", "39000.5")
    assert told.subject.endswith("waits for your approval")


def test_steps_that_nobody_has_to_know_are_not_told(waiting: int):
    tell_changes(now=NOW)
    services.withdraw("budget:7", actor=SYSTEM, now=NOW, reason="deleted")
    tell_changes(now=NOW)
    assert Notification.objects.count() == 1
