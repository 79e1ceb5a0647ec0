"""The Anomalies pages: what stands on them, for whom, and what a form does."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from attribution.scope import EVERYTHING
from governance.anomalies import AnomalyView, anomalies
from governance.models import User
from tests.governance.anomalies.conftest import NOW, Company

pytestmark = pytest.mark.django_db
As = Callable[[str], Client]


@pytest.fixture
def as_person(people: dict[str, User]) -> As:
    def made(name: str) -> Client:
        client = Client()
        client.force_login(people[name])
        return client

    return made


@pytest.fixture
def of_ml(company: Company) -> AnomalyView:
    company({("ml", "large"): ("300", 3000)})
    return anomalies(EVERYTHING)[0]


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_the_list_says_the_cause_the_dollars_and_the_driver(of_ml: AnomalyView, as_person: As) -> None:
    page = text(as_person("owner"), "/anomalies")

    assert "1 open, $200.00 above expected." in page
    assert "Ml, Large on AWS 31 May 2026 +200.00 3.0 × expected 300.00 100.00 More tokens Open" in page


def test_the_list_of_nothing_says_so(company: Company, as_person: As) -> None:
    company({})

    assert "Nothing unusual is open" in text(as_person("owner"), "/anomalies")
    assert "None is here" in text(as_person("owner"), "/anomalies?state=muted")


def test_one_page_says_why_and_whose(of_ml: AnomalyView, as_person: As) -> None:
    page = text(as_person("lead"), f"/anomalies/{of_ml.id}")

    assert "Volume +200.00 Above expected +200.00 the sum of the parts" in page
    assert "Ml Large on AWS +200.00 300.00 100.00 More tokens" in page
    assert "It was to be expected" in page


@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("viewer", 200), ("lead", 200), ("member", 200), ("other", 404)]
)
def test_who_sees_it(of_ml: AnomalyView, as_person: As, who: str, status: int) -> None:
    assert as_person(who).get(f"/anomalies/{of_ml.id}").status_code == status
    assert ("Large on AWS" in text(as_person(who), "/anomalies")) is (status == 200)


def test_who_is_not_signed_in_is_sent_to_sign_in(of_ml: AnomalyView, client: Client) -> None:
    assert client.get("/anomalies").status_code == 302
    assert client.get(f"/anomalies/{of_ml.id}").headers["Location"].startswith("/sign-in")


def test_a_lead_s_page_of_a_grouped_one_names_no_other_team(company: Company, as_person: As) -> None:
    company({("ml", "large"): ("180", 1000), ("sales", "large"): ("150", 1000), ("support", "large"): ("160", 1000)})
    number = anomalies(EVERYTHING)[0].id

    page = as_person("lead").get(f"/anomalies/{number}").content.decode()

    assert "yours alone" in page
    assert "It was to be expected" not in page
    assert not re.search(r"sales|support|490|3 teams", page.replace("Notifications", ""), re.IGNORECASE)


@pytest.mark.parametrize(("who", "status"), [("lead", 302), ("member", 403), ("viewer", 403), ("other", 404)])
def test_who_may_say_what_became_of_it(of_ml: AnomalyView, as_person: As, who: str, status: int) -> None:
    answer = as_person(who).post(
        f"/anomalies/{of_ml.id}/triage", {"state": "explained", "version": 1, "note": "monthly re-index"}
    )

    assert answer.status_code == status
    assert anomalies(EVERYTHING)[0].state == ("explained" if status == 302 else "open")


def test_muting_counts_the_chosen_days_from_now(of_ml: AnomalyView, as_person: As) -> None:
    as_person("lead").post(f"/anomalies/{of_ml.id}/triage", {"state": "muted", "version": 1, "days": "30"})

    (found,) = anomalies(EVERYTHING)
    assert found.muted_until == found.state_at + timedelta(days=30)
    assert "Muted until" in text(as_person("lead"), "/anomalies?state=muted")


def test_a_refused_form_keeps_what_was_written(of_ml: AnomalyView, as_person: As) -> None:
    answer = as_person("lead").post(f"/anomalies/{of_ml.id}/triage", {"state": "explained", "version": 1, "note": ""})
    second = as_person("lead").post(
        f"/anomalies/{of_ml.id}/triage", {"state": "resolved", "version": 7, "note": "it was the batch"}
    )

    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.content.decode()
    assert second.status_code == 409
    assert 'value="it was the batch"' in second.content.decode()
    assert NOW.year == 2026
