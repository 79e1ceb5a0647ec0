"""Who sees what of an anomaly, and who may say what became of it."""

from datetime import timedelta
from decimal import Decimal

import pytest

from attribution import audit
from attribution.actors import Actor, Forbidden
from attribution.scope import EVERYTHING
from governance.anomalies import (
    TRANSITIONS,
    AnomalyView,
    NotFound,
    Outdated,
    Refused,
    State,
    anomalies,
    anomaly,
    may_triage,
    triage,
)
from tests.governance.anomalies.conftest import NOW, TEAMS, Company

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def of_ml(company: Company) -> AnomalyView:
    company({("ml", "large"): ("300", 3000)})
    return anomalies(EVERYTHING)[0]


@pytest.fixture
def of_all(company: Company) -> AnomalyView:
    company({("ml", "large"): ("180", 1000), ("sales", "large"): ("150", 1000), ("support", "large"): ("160", 1000)})
    return anomalies(EVERYTHING)[0]


def test_a_lead_sees_only_his_share_of_a_grouped_one(of_all: AnomalyView, actors: dict[str, Actor]) -> None:
    share = anomaly(actors["lead"].scope, of_all.id)

    assert share.actual == 180
    assert share.teams == ("ml",)
    assert share.is_share
    assert share.drivers.total == share.excess
    assert share.excess == pytest.approx(D(80), abs=D(1))
    assert not of_all.is_share
    assert of_all.actual == 180 + 150 + 160


@pytest.mark.parametrize("who", ["owner", "viewer", "lead", "member"])
def test_who_may_see_a_team_s_anomaly(of_ml: AnomalyView, actors: dict[str, Actor], who: str) -> None:
    assert anomaly(actors[who].scope, of_ml.id).excess == of_ml.excess


@pytest.mark.parametrize("who", ["other", "outsider"])
def test_for_others_there_is_none(of_ml: AnomalyView, actors: dict[str, Actor], who: str) -> None:
    assert anomalies(actors[who].scope) == []
    with pytest.raises(NotFound):
        anomaly(actors[who].scope, of_ml.id)
    with pytest.raises(NotFound):
        triage(actors[who], of_ml.id, State.RESOLVED, version=1, now=NOW)


@pytest.mark.parametrize(("who", "may"), [("owner", True), ("lead", True), ("viewer", False), ("member", False)])
def test_who_may_say_what_became_of_it(of_ml: AnomalyView, actors: dict[str, Actor], who: str, may: bool) -> None:
    assert may_triage(actors[who], of_ml.id) is may
    if not may:
        with pytest.raises(Forbidden):
            triage(actors[who], of_ml.id, State.RESOLVED, version=1, now=NOW)
        return
    after = triage(actors[who], of_ml.id, State.RESOLVED, version=1, note="stopped", now=NOW)
    assert (after.state, after.note, after.state_by, after.version) == (State.RESOLVED, "stopped", who.title(), 2)


def test_a_lead_of_one_team_does_not_decide_for_all(of_all: AnomalyView, actors: dict[str, Actor]) -> None:
    assert not may_triage(actors["lead"], of_all.id)
    with pytest.raises(Forbidden):
        triage(actors["lead"], of_all.id, State.RESOLVED, version=1, now=NOW)
    triage(actors["owner"], of_all.id, State.EXPLAINED, version=1, note="new price list of the Sales team", now=NOW)
    # What was said of all of it may name others.
    assert (anomaly(actors["lead"].scope, of_all.id).note, anomaly(actors["lead"].scope, of_all.id).state_by) == (
        "",
        "",
    )


def test_the_audit_says_who_said_what(of_ml: AnomalyView, actors: dict[str, Actor]) -> None:
    triage(actors["lead"], of_ml.id, State.EXPLAINED, version=1, note="re-index", now=NOW)

    (entry,) = audit.entries(actors["lead"].scope, object_type="anomaly", object_id=of_ml.id)

    assert (entry.actor, entry.action, entry.team, entry.reason) == ("Lead", "anomaly.triaged", "ml", "re-index")
    assert (entry.before["state"], entry.after["state"]) == ("open", "explained")
    assert list(audit.verify()) == []


def test_the_second_of_two_is_told(of_ml: AnomalyView, actors: dict[str, Actor]) -> None:
    triage(actors["lead"], of_ml.id, State.RESOLVED, version=1, now=NOW)

    with pytest.raises(Outdated, match="Lead has made it Resolved"):
        triage(actors["owner"], of_ml.id, State.EXPLAINED, version=1, note="expected", now=NOW)
    assert anomaly(EVERYTHING, of_ml.id).state == State.RESOLVED


@pytest.mark.parametrize(
    ("state", "more", "field"),
    [
        ("gone", {}, "state"),
        ("open", {}, "state"),
        ("explained", {"note": "  "}, "note"),
        ("resolved", {"note": "x" * 501}, "note"),
        ("muted", {}, "muted_until"),
        ("muted", {"muted_until": NOW}, "muted_until"),
        ("resolved", {"muted_until": NOW + timedelta(days=1)}, "muted_until"),
    ],
)
def test_what_makes_no_sense_is_refused(
    of_ml: AnomalyView, actors: dict[str, Actor], state: str, more: dict[str, object], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        triage(actors["lead"], of_ml.id, state, version=1, now=NOW, **more)  # type: ignore[arg-type]

    assert refused.value.field == field
    assert anomaly(EVERYTHING, of_ml.id).version == 1


def test_every_state_can_be_left_again() -> None:
    assert set(TRANSITIONS) == set(State.values)
    assert all(State.OPEN in TRANSITIONS[state] for state in State.values if state != State.OPEN)


def test_the_newest_comes_first_and_pages_follow(company: Company) -> None:
    company({("ml", "large"): ("300", 3000)}, day=NOW.date() - timedelta(days=20))
    company({("sales", "small"): ("300", 3000)})

    newest, *_ = anomalies(EVERYTHING, limit=1)
    assert newest.parts[0].team == "sales"
    assert len(TEAMS) == 3
    assert anomalies(EVERYTHING, before=newest.id, limit=5) == anomalies(EVERYTHING)[1:]
    assert anomalies(EVERYTHING, states=["resolved"]) == []
    assert anomalies(EVERYTHING, start=NOW.date() - timedelta(days=3), end=NOW.date()) == [newest]
