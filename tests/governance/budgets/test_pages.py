"""The pages of closed months: on Data, one to close, one that is closed; for who may see the whole organisation."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from attribution.lake.serving import build_serving_file
from governance.budget_drafts import BudgetDraft
from governance.models import ClosedPeriod
from tests.attribution.serving_lake import publish_lake, rollup
from tests.governance.budgets.personas import People

# A month that is over whatever today is.
MONTH = "2026-05"


@pytest.fixture
def figures(lake: Path) -> None:
    publish_lake(
        [rollup("2026-05-10", "700", team="search"), rollup("2026-05-11", "50", team="labs")],
        billed_through={("aws", "111"): "2026-06-01"},
    )
    build_serving_file()


def _client(people: People, who: str) -> Client:
    client = Client()
    client.force_login(people.users[who])
    return client


def test_an_owner_closes_a_month_on_its_page(people: People, figures: None, draft: Callable[..., BudgetDraft]) -> None:
    client = _client(people, "owner")
    page = client.get("/data/periods/2026-05").content.decode()
    assert "<h1>Close May 2026</h1>" in page
    # The test's bill has no raw file: its control total is missing, which the page says.
    assert "of the bill are not in the ledger" in page

    refused = client.post("/data/periods/2026-05", {"reason": "reviewed"})
    assert refused.status_code == 409
    assert "<b>Not closed.</b>" in refused.content.decode()
    assert not ClosedPeriod.objects.exists()

    done = client.post("/data/periods/2026-05", {"reason": "reviewed", "despite": "yes"}, follow=True)
    page = done.content.decode()
    assert "<h1>May 2026, closed</h1>" in page
    assert "750.00 USD" in page
    assert "reviewed" in page
    again = client.post("/data/periods/2026-05", {"despite": "yes"}, follow=True)
    assert "<b>Closed before.</b>" in again.content.decode()


@pytest.mark.parametrize("who", ["lead", "other_lead", "member", "outsider"])
def test_who_sees_a_team_only_sees_no_page_of_the_organisation(who: str, people: People, figures: None) -> None:
    client = _client(people, who)
    assert client.get("/data/periods/2026-05").status_code == 403
    assert client.post("/data/periods/2026-05", {"despite": "yes"}).status_code == 403
    assert not ClosedPeriod.objects.exists()


def test_a_month_that_is_none_is_not_found(people: People, figures: None) -> None:
    client = _client(people, "owner")
    for month in ("2026-13", "soon", "2999-01"):
        assert client.get(f"/data/periods/{month}").status_code == 404
        assert client.post(f"/data/periods/{month}").status_code == 404
