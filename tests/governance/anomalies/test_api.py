"""/api/v1/anomalies: who gets what, and what an answer to a question that makes no sense says."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone

from attribution.models import TaskRun
from attribution.scope import EVERYTHING
from governance import anomaly_tasks
from governance.anomalies import AnomalyView, anomalies
from governance.identity import services
from governance.models import User
from tests.governance.anomalies.conftest import NOW, Company

pytestmark = pytest.mark.django_db
As = Callable[..., Client]


@pytest.fixture
def as_person(people: dict[str, User]) -> As:
    """A client that carries a token of the person."""

    def made(name: str, *, may_write: bool = True) -> Client:
        token = services.issue_token(people[name], name="test", may_write=may_write)
        return Client(headers={"authorization": f"Bearer {token.secret}"})

    return made


@pytest.fixture
def of_ml(company: Company) -> AnomalyView:
    company({("ml", "large"): ("300", 3000)})
    return anomalies(EVERYTHING)[0]


def triage(client: Client, number: int, **body: object):  # type: ignore[no-untyped-def]
    return client.post(f"/api/v1/anomalies/{number}/triage", body, content_type="application/json")


def test_amounts_are_exact_and_the_drivers_sum_to_the_excess(of_ml: AnomalyView, as_person: As) -> None:
    (row,) = as_person("owner").get("/api/v1/anomalies").json()["rows"]

    assert row["cause"] == {"team": "ml", "model": "large", "provider": "aws"}
    assert (row["actual"], row["state"], row["is_share"]) == ("300", "open", False)
    assert row["drivers"]["volume"] == row["excess"]
    assert row == as_person("lead").get(f"/api/v1/anomalies/{of_ml.id}").json()


@pytest.mark.parametrize(("who", "seen"), [("owner", 1), ("viewer", 1), ("lead", 1), ("member", 1), ("other", 0)])
def test_a_reader_gets_those_of_their_teams(of_ml: AnomalyView, as_person: As, who: str, seen: int) -> None:
    client = as_person(who)

    assert len(client.get("/api/v1/anomalies").json()["rows"]) == seen
    assert client.get(f"/api/v1/anomalies/{of_ml.id}").status_code == (200 if seen else 404)


def test_a_lead_gets_no_word_of_others_in_a_grouped_one(company: Company, as_person: As) -> None:
    company({("ml", "large"): ("180", 1000), ("sales", "large"): ("150", 1000), ("support", "large"): ("160", 1000)})

    answer = as_person("lead").get("/api/v1/anomalies")

    (row,) = answer.json()["rows"]
    assert (row["actual"], row["is_share"]) == ("180", True)
    assert not {"sales", "support", "490", "150", "160"} & set(answer.content.decode().replace('"', " ").split())


@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("lead", 200), ("viewer", 403), ("member", 403), ("other", 404)]
)
def test_who_may_triage(of_ml: AnomalyView, as_person: As, who: str, status: int) -> None:
    answer = triage(as_person(who), of_ml.id, state="resolved", version=1, note="stopped")

    assert answer.status_code == status
    assert anomalies(EVERYTHING)[0].state == ("resolved" if status == 200 else "open")


def test_a_token_that_only_reads_triages_nothing(of_ml: AnomalyView, as_person: As) -> None:
    assert triage(as_person("owner", may_write=False), of_ml.id, state="resolved", version=1).status_code == 403


def test_outsiders_and_strangers_get_nothing(of_ml: AnomalyView, as_person: As, client: Client) -> None:
    assert as_person("outsider").get("/api/v1/anomalies").status_code == 403
    assert client.get("/api/v1/anomalies").status_code == 401


def test_the_second_of_two_is_told(of_ml: AnomalyView, as_person: As) -> None:
    triage(as_person("lead"), of_ml.id, state="resolved", version=1)

    answer = triage(as_person("owner"), of_ml.id, state="explained", version=1, note="expected")

    assert answer.status_code == 409
    assert "Lead" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": 1}, "state"),
        ({"state": "gone", "version": 1}, "state"),
        ({"state": "explained", "version": 1}, "note"),
        ({"state": "muted", "version": 1}, "muted_until"),
        ({"state": "resolved", "version": 1, "reason": "x"}, "reason"),
    ],
)
def test_a_mistake_names_its_field(of_ml: AnomalyView, as_person: As, body: dict[str, object], field: str) -> None:
    answer = triage(as_person("lead"), of_ml.id, **body)

    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_pages_follow_and_filters_hold(company: Company, as_person: As) -> None:
    company({("ml", "large"): ("300", 3000)}, day=NOW.date() - timedelta(days=20))
    company({("sales", "small"): ("300", 3000)})
    client = as_person("owner")

    first = client.get("/api/v1/anomalies?limit=1").json()
    rest = client.get(f"/api/v1/anomalies?limit=50&after={first['next_after']}").json()

    every = [row["id"] for row in client.get("/api/v1/anomalies").json()["rows"]]
    assert [row["id"] for row in (*first["rows"], *rest["rows"])] == every
    assert rest["next_after"] is None
    assert client.get("/api/v1/anomalies?state=muted").json()["rows"] == []
    for wrong in ("state=gone", "limit=0", "limit=x", "start=yesterday", "colour=red", "after=-1"):
        assert client.get(f"/api/v1/anomalies?{wrong}").status_code == 400


def test_the_task_judges_once_until_the_figures_change(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company({})
    judged = []
    judge = anomaly_tasks.judge
    monkeypatch.setattr(anomaly_tasks, "judge", lambda now: judged.append(now) or judge(now))

    anomaly_tasks.judge_anomalies()
    anomaly_tasks.judge_anomalies()

    assert len(judged) == 1
    assert TaskRun.objects.get(task=anomaly_tasks.TASK).outcome["day"] == f"{timezone.now().date()}"
    assert anomaly_tasks.TASK in {each["task"] for each in current_app.conf.beat_schedule.values()}
