"""The whole way, from native bills and telemetry to the ledger, against a company whose costs are known.

The simulator shares no code with what it tests: its books add up single requests. Small companies, several seeds.
"""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from attribution.ingest import ingest_billing
from attribution.ingest_telemetry import ingest_telemetry
from attribution.services import attribute
from attribution.simulator.run import Plan, simulate

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def plan(seed: int, **changed: Any) -> Plan:
    """From before a refund and a correction to after the month's end, the lost telemetry and the idle days."""
    return Plan(**{"start": date(2026, 9, 14), "until": date(2026, 10, 13), "seed": seed, "size": 60} | changed)


def load(company: Path) -> None:
    ingest_billing([str(company / "bills")])
    ingest_telemetry([str(company / "telemetry")], "gateway")
    attribute()


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    capsys.readouterr()
    call_command(*command)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_ledger_equals_the_truth(
    seed: int, tmp_path: Path, lake_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = simulate(tmp_path / "company", plan(seed))
    load(tmp_path / "company")

    compared = printed(capsys, "compare_truth", str(tmp_path / "company" / "truth"), "--json")
    assert compared["equal"]

    reconciled = printed(capsys, "reconcile", "--json")
    assert {Decimal(row["difference"]) for row in reconciled} == {Decimal(0)}
    assert {(row["provider"], row["billing_period"]): Decimal(row["billed"]) for row in reconciled} == {
        (row["provider"], row["billing_period"]): Decimal(row["billed_cost"]) for row in manifest["totals"]
    }


def test_the_cur_as_parquet_gives_the_same_ledger(
    tmp_path: Path, lake_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(tmp_path / "company", plan(4, start=date(2026, 10, 1), size=20, parquet=True))
    load(tmp_path / "company")
    assert printed(capsys, "compare_truth", str(tmp_path / "company" / "truth"), "--json")["equal"]


def test_everything_again_changes_nothing(tmp_path: Path, lake_root: Path) -> None:
    company = tmp_path / "company"
    simulate(company, plan(5, start=date(2026, 10, 1), size=20))
    load(company)
    assert ingest_billing([str(company / "bills")]).changes == 0
    assert ingest_telemetry([str(company / "telemetry")], "gateway")["changes"] == 0
    assert attribute().changes == 0


def test_a_truth_that_differs_is_named(tmp_path: Path, lake_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    company = tmp_path / "company"
    simulate(company, plan(6, start=date(2026, 10, 1), until=date(2026, 10, 6), size=40))
    load(company)
    costs = company / "truth" / "costs.csv"
    lines = costs.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if ",claims-triage,claude-sonnet-4.5,output," in line)
    cells = lines[place].split(",")
    lines[place] = ",".join([*cells[:-1], str(Decimal(cells[-1]) + Decimal("0.00000001"))])
    costs.write_text("\n".join(lines) + "\n")
    with pytest.raises(SystemExit) as stopped:
        call_command("compare_truth", str(company / "truth"))
    assert stopped.value.code == 1
    worst = capsys.readouterr().out
    assert "totals: provider=aws billing_period=2026-10 billed" in worst
    assert "team=claims model=claude-sonnet-4.5" in worst
