"""The whole way, from native bills and telemetry to the ledger, against a company whose costs are known.

The simulator shares no code with what it tests: its books add up single requests. Small companies, several seeds.
"""

import json
import shutil
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from attribution.ingest import ingest_billing
from attribution.ingest_telemetry import ingest_telemetry
from attribution.models import Revision
from attribution.services import attribute
from attribution.simulator.run import Plan, simulate
from attribution.vocabulary import Dataset

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def plan(seed: int, **changed: Any) -> Plan:
    """From before a refund and a correction to after the month's end, the lost telemetry and the idle days."""
    return Plan(**{"start": date(2026, 9, 14), "until": date(2026, 10, 13), "seed": seed, "size": 60} | changed)


def load(company: Path) -> None:
    load_bills_and(company / "telemetry", company / "bills")


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


def test_a_restated_month_ends_at_the_truth_whichever_delivery_came_first(
    tmp_path: Path, lake_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    company, early = tmp_path / "company", tmp_path / "early"
    simulate(company, plan(7, start=date(2026, 10, 1), size=30))
    keep_first_deliveries(company / "bills", early)

    load_bills_and(company / "telemetry", early)
    before = compared_with(company, capsys)
    assert {row["provider"] for row in before["worst"] if row["level"] == "totals"} == {"aws", "azure"}

    load(company)
    assert compared_with(company, capsys)["equal"]
    day = Revision.objects.filter(dataset=Dataset.CHARGES, day=date(2026, 10, 10), provider="aws")
    assert sorted(day.values_list("rev", "current")) == [(1, False), (2, True)]
    other = Revision.objects.filter(dataset=Dataset.CHARGES, day=date(2026, 10, 9), provider="aws")
    assert other.get().current


def test_an_empty_ledger_is_not_the_truth(tmp_path: Path, lake_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "company", plan(8, start=date(2026, 10, 1), until=date(2026, 10, 3), size=10))
    assert not compared_with(tmp_path / "company", capsys)["equal"]


def keep_first_deliveries(bills: Path, early: Path) -> None:
    """A copy of `bills` as it was before the newest month came again."""
    shutil.copytree(bills, early)
    (month,) = (early / "azure" / "halden-actual").iterdir()
    for export in ("halden-actual", "halden-amortized"):
        runs = sorted((early / "azure" / export / month.name).iterdir(), key=submitted)
        shutil.rmtree(runs[-1])
    exports = early / "aws" / "halden-cur2"
    (metadata,) = (exports / "metadata").iterdir()
    newest = max(path.name for path in metadata.iterdir() if path.is_dir())
    shutil.rmtree(metadata / newest)
    shutil.rmtree(exports / "data" / metadata.name / newest)
    (metadata / "halden-cur2-Manifest.json").unlink()


def submitted(run: Path) -> str:
    return str(json.loads((run / "manifest.json").read_text())["runInfo"]["submittedTime"])


def load_bills_and(telemetry: Path, bills: Path) -> None:
    ingest_billing([str(bills)])
    ingest_telemetry([str(telemetry)], "gateway")
    attribute()


def compared_with(company: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    with suppress(SystemExit):
        call_command("compare_truth", str(company / "truth"), "--json")
    return json.loads(capsys.readouterr().out)
