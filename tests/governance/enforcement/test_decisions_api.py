"""Decisions are for who sees their budget; another team's are as if there were none."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from attribution.models import Team
from governance.identity.services import create_person, issue_token
from governance.models import ControlTick, Decision, DecisionChange, Role, User

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


def decision(tick: ControlTick, team: str | None, name: str) -> Decision:
    return Decision.objects.create(
        tick=tick,
        budget_name=name,
        budget_version=1,
        policy_version=2,
        team=team,
        at=NOW,
        period_start=datetime(2026, 5, 1, tzinfo=UTC),
        period_end=datetime(2026, 6, 1, tzinfo=UTC),
        currency="USD",
        method="forecast",
        price=Decimal("0.0714"),
        limit=Decimal(1000),
        spent=Decimal(400),
        expected_end=Decimal("999.5"),
        without=Decimal(1200),
        fits=True,
        words=f"{name} will pass $1,000.",
    )


@pytest.fixture
def people(db: None) -> dict[str, User]:
    search, ads = (Team.objects.create(slug=slug, name=slug.title()) for slug in ("search", "ads"))
    roles = {"owner": (Role.OWNER, None), "lead": (Role.LEAD, search), "other lead": (Role.LEAD, ads)}
    made = {
        name: create_person(email=f"{name.replace(' ', '-')}@x.example", name=name, role=role, now=NOW, team=team)
        for name, (role, team) in roles.items()
    }
    tick = ControlTick.objects.create(at=NOW, reason="hourly", currency="USD", budgets=2, cells=3)
    mine = decision(tick, "search", "Search")
    DecisionChange.objects.create(decision=mine, change=12)
    decision(tick, None, "Company")
    return made


def client(person: User) -> Client:
    return Client(headers={"authorization": f"Bearer {issue_token(person, name='test').secret}"})


@pytest.mark.parametrize(("who", "seen"), [("owner", ["Company", "Search"]), ("lead", ["Search"]), ("other lead", [])])
def test_each_sees_the_decisions_of_their_budgets(who: str, seen: list[str], people: dict[str, User]) -> None:
    asked = client(people[who])
    rows = asked.get("/api/v1/decisions").json()["rows"]
    assert [each["budget_name"] for each in rows] == seen
    mine = Decision.objects.get(budget_name="Search").pk
    assert asked.get(f"/api/v1/decisions/{mine}").status_code == (200 if "Search" in seen else 404)


def test_an_outsider_learns_nothing(people: dict[str, User]) -> None:
    assert Client().get("/api/v1/decisions").status_code == 401


def test_a_decision_shows_its_figures_as_text(people: dict[str, User]) -> None:
    row = client(people["lead"]).get("/api/v1/decisions").json()["rows"][0]
    assert (row["limit"], row["expected_end"], row["price"]) == ("1000", "999.5", "0.0714")
    assert (row["why_now"], row["changes"]) == ("hourly", [12])


def test_pages_go_on_where_they_ended(people: dict[str, User]) -> None:
    asked = client(people["owner"])
    first = asked.get("/api/v1/decisions?limit=1").json()
    second = asked.get(f"/api/v1/decisions?limit=1&after={first['next_after']}").json()
    assert [each["budget_name"] for each in first["rows"] + second["rows"]] == ["Company", "Search"]
    assert second["next_after"] is None
    assert asked.get("/api/v1/decisions?limit=0").status_code == 400
