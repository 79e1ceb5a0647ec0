"""/api/v1/budgets, /quotas, /periods over HTTP, as every kind of person."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from governance.identity import services
from governance.models import Budget
from tests.governance.budgets.personas import People

BODY = {"name": "Search", "amount": "1000", "scope": {"team": "search"}, "starts_on": "2026-01-01"}
QUOTA = {"unit": "tokens", "window": "day", "limit": 1000, "team": "search", "model": "gpt-large"}
AsPerson = Callable[[str], Client]


@pytest.fixture
def as_person(people: People, lake: Path) -> AsPerson:
    """A client with a token of that person that may write."""

    def make(name: str) -> Client:
        issued = services.issue_token(people.users[name], name="test", may_write=True)
        return Client(headers={"authorization": f"Bearer {issued.secret}"})

    return make


def send(client: Client, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    answer = client.generic(method, f"/api/v1{path}", json.dumps(body or {}), content_type="application/json")
    return answer.status_code, (json.loads(answer.content) if answer.content else None)


def test_a_budget_is_made_read_changed_and_archived(as_person: AsPerson) -> None:
    lead = as_person("lead")
    code, made = send(lead, "POST", "/budgets", BODY)
    assert code == 201, made
    assert (made["limit"], made["consumed"], made["scope"], made["version"]) == ("1000", "0", {"team": "search"}, 1)

    code, changed = send(lead, "PUT", f"/budgets/{made['id']}", {**BODY, "amount": "1200.50", "version": 1})
    assert (code, changed["limit"], changed["version"]) == (200, "1200.5", 2)
    # Made from what nobody reads any more.
    code, told = send(lead, "PUT", f"/budgets/{made['id']}", {**BODY, "amount": "1300", "version": 1})
    assert (code, told["status"], told["current"]["limit"]) == (409, 409, "1200.5")
    assert "Your values were not saved" in told["detail"]
    assert told["audit_entry"] == 3

    assert send(lead, "GET", f"/budgets/{made['id']}/periods")[0] == 200
    assert send(lead, "DELETE", f"/budgets/{made['id']}?version=2")[0] == 204
    assert send(lead, "GET", "/budgets") == (200, {"rows": [], "next_after": None})
    assert Budget.objects.count() == 1


def test_budgets_come_in_pages(as_person: AsPerson) -> None:
    owner = as_person("owner")
    for name in "abc":
        assert send(owner, "POST", "/budgets", {**BODY, "name": name})[0] == 201
    _, first = send(owner, "GET", "/budgets?limit=2")
    _, second = send(owner, "GET", f"/budgets?limit=2&after={first['next_after']}")
    assert [row["name"] for row in first["rows"] + second["rows"]] == ["a", "b", "c"]
    assert second["next_after"] is None


@pytest.mark.parametrize(
    ("who", "reads", "writes"),
    [("owner", 200, 201), ("lead", 200, 201), ("member", 200, 403), ("other_lead", 404, 403), ("outsider", 403, 403)],
)
def test_each_person_may_what_their_role_says(as_person: AsPerson, who: str, reads: int, writes: int) -> None:
    _, made = send(as_person("owner"), "POST", "/budgets", BODY)
    _, quota = send(as_person("owner"), "POST", "/quotas", QUOTA)
    client = as_person(who)

    assert send(client, "GET", f"/budgets/{made['id']}")[0] == reads
    assert send(client, "GET", f"/budgets/{made['id']}/periods")[0] == reads
    assert send(client, "GET", f"/quotas/{quota['id']}")[0] == reads
    assert send(client, "POST", "/budgets", {**BODY, "name": "Other"})[0] == writes
    assert send(client, "POST", "/quotas", {**QUOTA, "window": "month"})[0] == writes
    # What one can't see isn't there; what one sees and may not change is forbidden.
    hidden = {404: 404, 403: 403, 200: 200 if writes == 201 else 403}[reads]
    assert send(client, "PUT", f"/budgets/{made['id']}", {**BODY, "version": 1})[0] == hidden
    assert send(client, "PUT", f"/quotas/{quota['id']}", {**QUOTA, "version": 1})[0] == hidden
    gone = 204 if hidden == 200 else hidden
    assert send(client, "DELETE", f"/budgets/{made['id']}?version={2 if hidden == 200 else 1}")[0] == gone
    assert send(client, "DELETE", f"/quotas/{quota['id']}?version={2 if hidden == 200 else 1}")[0] == gone


def test_a_token_that_only_reads_writes_nothing(people: People, lake: Path) -> None:
    issued = services.issue_token(people.users["owner"], name="reads")
    client = Client(headers={"authorization": f"Bearer {issued.secret}"})
    assert send(client, "POST", "/budgets", BODY)[0] == 403
    assert send(client, "GET", "/budgets")[0] == 200


def test_mistakes_name_their_field_and_the_fix(as_person: AsPerson) -> None:
    wrong = {**BODY, "zone": "Mars/Olympus", "amount": "-5", "unknown": 1, "scope": {"planet": "mars"}}
    code, told = send(as_person("owner"), "POST", "/budgets", wrong)
    assert code == 400
    assert {"amount", "unknown"} <= {each["field"] for each in told["errors"]}

    code, told = send(as_person("owner"), "POST", "/budgets", {**BODY, "zone": "Mars/Olympus"})
    assert [(each["field"], each["fix"]) for each in told["errors"]] == [
        ("zone", "write a name like Europe/Berlin or UTC")
    ]
    code, told = send(as_person("owner"), "POST", "/budgets", {**BODY, "scope": {"planet": "mars"}})
    assert (code, told["errors"][0]["field"]) == (400, "scope")


def test_budgets_are_imported_all_or_none(as_person: AsPerson) -> None:
    lead = as_person("lead")
    wrong = "name,amount,team,zone\nSearch,40000,search,UTC\nAds,many,ads,UTC\nLabs,1,labs,UTC\n"
    code, told = send(lead, "POST", "/budgets/import", {"csv": wrong})
    assert code == 400
    assert [each["field"] for each in told["errors"]] == ["line 3: amount", "line 4: team"]
    assert not Budget.objects.exists()

    right = 'name,amount,team,zone\n"Search, all",40000,search,Asia/Kolkata\nAds,10000.50,ads,\n'
    code, done = send(lead, "POST", "/budgets/import", {"csv": right, "check_only": True})
    assert (code, done["created"], Budget.objects.count()) == (200, ["Search, all", "Ads"], 0)
    assert send(lead, "POST", "/budgets/import", {"csv": right})[1]["created"] == ["Search, all", "Ads"]
    assert send(lead, "POST", "/budgets/import", {"csv": right})[1]["unchanged"] == ["Search, all", "Ads"]
    code, done = send(lead, "POST", "/budgets/import", {"csv": right.replace("10000.50", "11000")})
    assert (done["changed"], done["unchanged"]) == (["Ads"], ["Search, all"])


def test_a_copy_for_next_year(as_person: AsPerson) -> None:
    _, made = send(as_person("lead"), "POST", "/budgets", BODY)
    code, copied = send(as_person("lead"), "POST", f"/budgets/{made['id']}/copy")
    assert code == 201
    assert copied["starts_on"] == f"{timezone.now().year + 1}-01-01"
    assert copied["name"] == f"Search {timezone.now().year + 1}"


@pytest.mark.parametrize(("who", "code"), [("lead", 403), ("member", 403), ("outsider", 403), ("owner", 201)])
def test_who_closes_a_month(as_person: AsPerson, who: str, code: int) -> None:
    found, body = send(as_person(who), "POST", "/periods", {"month": "2026-01"})
    assert found == code, body
    assert len(send(as_person("owner"), "GET", "/periods")[1]["rows"]) == (1 if code == 201 else 0)
    if code == 201:
        assert send(as_person(who), "POST", "/periods", {"month": "2026-01"})[0] == 409
        assert send(as_person("lead"), "GET", "/periods/2026-01")[0] == 200
    this = f"{datetime.now(UTC):%Y-%m}"
    found, told = send(as_person("owner"), "POST", "/periods", {"month": this})
    assert (found, told["errors"][0]["field"]) == (400, "month")


def test_who_says_exchange_rates(as_person: AsPerson) -> None:
    body = {"currency": "EUR", "into": "USD", "day": "2026-05-01", "rate": "1.25", "source": "ECB"}
    assert send(as_person("lead"), "POST", "/exchange-rates", body)[0] == 403
    assert send(as_person("owner"), "POST", "/exchange-rates", body)[0] == 201
    _, rates = send(as_person("lead"), "GET", "/exchange-rates")
    assert [(row["currency"], row["rate"]) for row in rates["rows"]] == [("EUR", "1.25"), ("USD", "0.8")]
