"""The truth, the ledger, the API and the page say one and the same number, to the last digit."""

import csv
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from attribution.ingest import ingest_billing
from attribution.ingest_telemetry import ingest_telemetry
from attribution.lake import catalogue
from attribution.models import Team
from attribution.money import exact_sum
from attribution.services import attribute
from attribution.simulator.run import Plan, simulate
from attribution.vocabulary import Dataset
from governance.identity import services
from governance.models import Role

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

OCTOBER = "start=2026-10-01&end=2026-11-01"


@pytest.fixture
def company(tmp_path: Path, lake_root: Path) -> Path:
    """A whole month, so that every day of it is settled."""
    simulate(tmp_path / "company", Plan(start=date(2026, 10, 1), until=date(2026, 11, 1), seed=7, size=30))
    ingest_billing([str(tmp_path / "company" / "bills")])
    ingest_telemetry([str(tmp_path / "company" / "telemetry")], "gateway")
    attribute()
    return tmp_path / "company"


def truth(company: Path, basis: str, wanted: Callable[[dict[str, str]], bool]) -> Decimal:
    with (company / "truth" / "costs.csv").open(newline="") as lines:
        return exact_sum(Decimal(row[f"{basis}_cost"]) for row in csv.DictReader(lines) if wanted(row))


def ledger(basis: str, wanted: Callable[[dict[str, str]], bool]) -> Decimal:
    rows = [row for one in catalogue.current(Dataset.LEDGER) for row in catalogue.read_table(one).to_pylist()]
    return exact_sum(row[f"{basis}_cost"] or Decimal(0) for row in rows if wanted(row))


def api(client: Client, question: str) -> Decimal:
    (total,) = client.get(f"/api/v1/costs?{OCTOBER}&{question}").json()["totals"]
    return Decimal(total["total"])


def test_one_number(company: Path, client: Client) -> None:
    owner = services.create_person(email="o@example.org", name="O", role=Role.OWNER, now=timezone.now())
    client.force_login(owner)

    for basis in ("billed", "effective"):
        known = truth(company, basis, lambda row: row["reason"] != "other_scope")
        assert known > 0
        assert ledger(basis, lambda row: row["charge_scope"] != "other") == known
        assert api(client, f"basis={basis}") == known
        page = client.get(f"/?period=custom&from=2026-10-01&to=2026-10-31&basis={basis}").content.decode()
        assert f"{known:f}".rstrip("0").rstrip(".") in page


def test_one_number_of_a_team(company: Path, client: Client) -> None:
    for team in Team.objects.filter(slug__in=["claims", "search"]):
        lead = services.create_person(
            email=f"{team.slug}@example.org", name=team.slug, role=Role.LEAD, team=team, now=timezone.now()
        )
        client.force_login(lead)
        known = truth(company, "effective", lambda row, slug=team.slug: row["team"] == slug)

        assert ledger("effective", lambda row, slug=team.slug: row["team"] == slug) == api(client, "basis=effective")
        # Owners of one cell share what is billed by what they used: a part may be off in the tenth place, no more.
        assert abs(api(client, "basis=effective") - known) < Decimal("1e-9")
