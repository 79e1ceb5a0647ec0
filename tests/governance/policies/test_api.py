"""/api/v1/policies over HTTP, as every kind of person."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from attribution.models import Team
from governance.identity import services
from governance.models import Budget, PolicyVersion, Role

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = [
    {"rung": "notify", "threshold_ppm": 800_000},
    {"rung": "throttle", "measure": "forecast", "threshold_ppm": 1_100_000, "clear_ppm": 900_000, "approval": "two"},
]


def client(name: str, role: Role, team: Team | None) -> Client:
    user = services.create_person(email=f"{name}@example.org", name=name.title(), role=role, team=team, now=START)
    issued = services.issue_token(user, name="test", may_write=True)
    return Client(headers={"authorization": f"Bearer {issued.secret}"})


@pytest.fixture
def people(lake_root: Path) -> dict[str, Client]:
    claims, growth = (Team.objects.create(slug=slug, name=slug.title()) for slug in ("claims", "growth"))
    return {
        "owner": client("owner", Role.OWNER, None),
        "reader": client("reader", Role.FINANCE, None),
        "lead": client("lead", Role.LEAD, claims),
        "member": client("member", Role.MEMBER, claims),
        "other": client("other", Role.LEAD, growth),
        "outsider": Client(),
    }


@pytest.fixture
def budget() -> Budget:
    return Budget.objects.create(
        name="Claims",
        dims=[["team", "claims"]],
        team="claims",
        amount=Decimal(1000),
        starts_on=date(2026, 1, 1),
        created_at=START,
        created_by="x",
        updated_at=START,
        updated_by="x",
    )


def send(person: Client, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    data = "" if body is None else json.dumps(body)
    answer = person.generic(method, f"/api/v1{path}", data, content_type="application/json")
    return answer.status_code, json.loads(answer.content)


def test_a_policy_is_read_saved_and_its_versions_kept(people: dict[str, Client], budget: Budget) -> None:
    path = f"/policies/{budget.pk}"
    code, standing = send(people["lead"], "GET", path)
    assert (code, standing["version"], [step["rung"] for step in standing["steps"]]) == (200, 0, ["notify"])

    code, saved = send(people["lead"], "PUT", path, {"version": 0, "steps": STEPS, "priorities": {"*": 3}})
    assert (code, saved["version"], saved["priorities"]) == (200, 1, {"*": 3})
    assert saved["steps"][0] == {
        "rung": "notify",
        "measure": "actual",
        "threshold_ppm": 800_000,
        "clear_ppm": 750_000,
        "approval": "none",
    }
    send(people["owner"], "PUT", path, {"version": 1, "steps": [], "reason": "calm"})
    _, versions = send(people["member"], "GET", f"{path}/versions")
    assert [(each["version"], each["made_by"], each["reason"]) for each in versions["rows"]] == [
        (2, "Owner (token test)", "calm"),
        (1, "Lead (token test)", ""),
    ]
    _, listed = send(people["reader"], "GET", "/policies")
    assert [(row["budget"], row["version"]) for row in listed["rows"]] == [("Claims", 2)]
    assert listed["next_after"] is None


def test_the_second_is_told_what_stands(people: dict[str, Client], budget: Budget) -> None:
    path = f"/policies/{budget.pk}"
    send(people["owner"], "PUT", path, {"version": 0, "steps": STEPS})
    code, told = send(people["lead"], "PUT", path, {"version": 0, "steps": []})
    assert (code, told["status"], told["current"]["version"]) == (409, 409, 1)
    assert told["current"]["steps"][1]["rung"] == "throttle"
    assert PolicyVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"steps": [{"rung": "stop", "threshold_ppm": 1_000_000}]}, "steps.stop", "a stop needs a person's yes"),
        ({"steps": [*reversed(STEPS)]}, "steps", "the steps are not in order"),
        ({"zone": "Mars"}, "zone", "'Mars' is no time zone"),
        ({"ladder": []}, "ladder", "there is no such field"),
    ],
)
def test_a_mistake_names_its_field_and_the_fix(
    people: dict[str, Client], budget: Budget, body: dict, field: str, words: str
) -> None:
    code, told = send(people["lead"], "PUT", f"/policies/{budget.pk}", {"version": 0, **body})
    assert code == 400
    assert told["errors"][0]["field"] == field
    assert words in json.dumps(told["errors"][0])


@pytest.mark.parametrize(
    ("who", "reads", "writes"),
    [
        ("owner", 200, 200),
        ("reader", 200, 403),
        ("lead", 200, 200),
        ("member", 200, 403),
        ("other", 404, 404),
        ("outsider", 401, 401),
    ],
)
def test_each_person_may_what_their_role_says(
    people: dict[str, Client], budget: Budget, who: str, reads: int, writes: int
) -> None:
    path = f"/policies/{budget.pk}"
    assert send(people[who], "GET", path)[0] == reads
    assert send(people[who], "GET", f"{path}/versions")[0] == reads
    assert send(people[who], "POST", f"{path}/what-if", {})[0] == reads
    assert send(people[who], "PUT", path, {"version": 0, "steps": STEPS})[0] == writes
    assert PolicyVersion.objects.count() == (1 if writes == 200 else 0)


def test_a_what_if_without_a_past_says_so(people: dict[str, Client], budget: Budget) -> None:
    code, found = send(people["lead"], "POST", f"/policies/{budget.pk}/what-if", {"steps": STEPS, "limit": "10.00"})
    assert code == 200
    assert found["words"] == ["There is no history of this scope to replay."]
    assert [each["known"] for each in found["periods"]] == [False, False, False]
