"""The folder that `simulate` writes, read back as any reader of the clouds' formats would."""

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from attribution.simulator.run import Plan, months_before, simulate

PLAN = Plan(start=date(2026, 9, 1), until=date(2026, 11, 1), seed=7, size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("company")
    simulate(out, PLAN)
    return out


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "truth" / "manifest.json").read_text())
    return read


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def current_aws(folder: Path) -> Iterator[dict[str, str]]:
    exports = folder / "bills" / "aws" / "halden-cur2"
    for path in sorted((exports / "metadata").glob("*/*.json")):
        for uri in json.loads(path.read_text())["dataFiles"]:
            yield from rows_of(folder / "bills" / "aws" / uri.removeprefix("s3://halden-billing/aws/"))


def azure_runs(folder: Path, export: str) -> dict[str, list[tuple[str, list[dict[str, str]]]]]:
    """Period folder -> (submitted, rows) of each run, the newest last."""
    runs: dict[str, list[tuple[str, list[dict[str, str]]]]] = defaultdict(list)
    for path in (folder / "bills" / "azure" / export).glob("*/*/manifest.json"):
        read = json.loads(path.read_text())
        rows = rows_of(folder / "bills" / read["blobs"][0]["blobName"])
        assert len(rows) == read["dataRowCount"]
        runs[path.parts[-3]].append((read["runInfo"]["submittedTime"], rows))
    return {period: sorted(found, key=lambda run: run[0]) for period, found in runs.items()}


def totals(manifest: dict[str, Any], provider: str, basis: str) -> Decimal:
    return sum((Decimal(row[basis]) for row in manifest["totals"] if row["provider"] == provider), Decimal(0))


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    plan = Plan(start=date(2026, 10, 1), until=date(2026, 10, 20), seed=3, size=20)
    for name in ("one", "two"):
        simulate(tmp_path / name, plan)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_cur_has_all_columns_and_its_sum_is_the_truth(folder: Path, manifest: dict[str, Any]) -> None:
    rows = list(current_aws(folder))
    assert len(rows[0]) == 127
    assert sum(Decimal(row["line_item_unblended_cost"]) for row in rows) == totals(manifest, "aws", "billed_cost")
    kinds = Counter(row["line_item_line_item_type"] for row in rows)
    assert kinds.keys() == {
        "Usage", "DiscountedUsage", "SavingsPlanCoveredUsage", "SavingsPlanNegation", "SavingsPlanRecurringFee",
        "RIFee", "Fee", "Tax", "Credit", "Refund",
    }  # fmt: skip
    assert {row["bill_billing_entity"] for row in rows} == {"AWS", "AWS Marketplace"}


def test_a_double_of_the_cur_loses_nothing(folder: Path) -> None:
    for row in current_aws(folder):
        cost = row["line_item_unblended_cost"]
        assert Decimal(repr(float(cost))) == Decimal(cost)


def test_azure_has_two_sides_of_one_bill(folder: Path, manifest: dict[str, Any]) -> None:
    sides = {}
    for export, basis in (("halden-actual", "billed_cost"), ("halden-amortized", "effective_cost")):
        rows = [row for runs in azure_runs(folder, export).values() for row in runs[-1][1]]
        assert sum(Decimal(row["Cost"]) for row in rows) == totals(manifest, "azure", basis)
        sides[export] = Counter(row["ChargeType"] for row in rows)
    assert "UnusedReservation" in sides["halden-amortized"]
    assert "UnusedReservation" not in sides["halden-actual"]
    assert sides["halden-actual"]["Purchase"] > sides["halden-amortized"]["Purchase"]


def test_gcp_costs_and_credits_sum_to_the_truth(folder: Path, manifest: dict[str, Any]) -> None:
    billed: dict[str, Decimal] = defaultdict(Decimal)
    kinds = set()
    for path in (folder / "bills" / "gcp").iterdir():
        for row in rows_of(path):
            credits = json.loads(row["credits"], parse_float=Decimal, parse_int=Decimal)
            kinds |= {credit["type"] for credit in credits} | {row["cost_type"]}
            billed[row["invoice.month"]] += Decimal(row["cost"]) + sum(
                (credit["amount"] for credit in credits), Decimal(0)
            )
    known = {
        row["billing_period"].replace("-", ""): Decimal(row["billed_cost"])
        for row in manifest["totals"]
        if row["provider"] == "gcp"
    }
    assert billed == known
    assert kinds == {"DISCOUNT", "COMMITTED_USAGE_DISCOUNT", "PROMOTION", "regular", "tax", "rounding_error"}


def test_the_first_hours_of_a_month_are_on_the_pacific_invoice_before(tmp_path: Path) -> None:
    simulate(tmp_path, Plan(start=date(2026, 9, 30), until=date(2026, 10, 2), size=600))
    rows = [row for path in (tmp_path / "bills" / "gcp").iterdir() for row in rows_of(path)]
    months = {row["invoice.month"] for row in rows if row["usage_start_time"].startswith("2026-10-01 00:")}
    assert months == {"202609"}


def test_the_newest_month_came_twice_and_one_day_differs(folder: Path, manifest: dict[str, Any]) -> None:
    runs = azure_runs(folder, "halden-actual")
    assert [len(found) for _, found in sorted(runs.items())] == [1, 2]
    (_, first), (_, second) = runs["20261001-20261031"]
    changed = {after["Date"] for before, after in zip(first, second, strict=True) if before != after}
    assert changed == {"10/10/2026"}
    assert manifest["restated"] == {"billing_period": "2026-10", "day": "2026-10-10"}


def test_telemetry_holds_what_the_manifest_says(folder: Path, manifest: dict[str, Any]) -> None:
    requests, failed, output, ids = 0, 0, 0, set()
    for path in (folder / "telemetry").iterdir():
        for line in gzip.decompress(path.read_bytes()).splitlines():
            record = json.loads(line)
            if (known := record.get("request_id")) in ids and known is not None:
                continue
            ids.add(known)
            requests += record.get("requests", 1)
            failed += "error" in record
            output += record.get("output_tokens", 0)
            if record.get("output_includes_reasoning") is False:
                output += record.get("reasoning_output_tokens", 0)
    assert requests == manifest["telemetry"]["requests"]
    assert output == manifest["telemetry"]["tokens"]["output"]
    assert 0 < failed <= manifest["telemetry"]["failed"]  # failures inside buckets are only counted


def test_what_was_lost_is_unmetered_and_what_went_past_the_gateway_is_a_bypass(folder: Path) -> None:
    with (folder / "truth" / "costs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    reasons = {(row["reason"], row["model"]) for row in rows}
    assert ("unmetered", "gpt-5-mini") in reasons
    assert {model for reason, model in reasons if reason == "bypass"} >= {"mistral-large"}
    assert {reason for reason, _ in reasons} >= {
        "", "bypass", "unmetered", "unowned", "idle", "commitment_unused", "shared_unassigned", "other_scope",
        "not_understood",
    }  # fmt: skip


def test_parquet_holds_the_same_costs(tmp_path: Path) -> None:
    plan = Plan(start=date(2026, 10, 1), until=date(2026, 10, 4), size=20, parquet=True)
    manifest = simulate(tmp_path, plan)
    newest = max((tmp_path / "bills" / "aws" / "halden-cur2" / "data").rglob("*.parquet"))
    table = pq.read_table(newest)
    assert len(table.schema) == 127
    costs = table.column("line_item_unblended_cost").to_pylist()
    assert sum(Decimal(repr(cost)) for cost in costs) == totals(manifest, "aws", "billed_cost")
    assert dict(table.column("product").to_pylist()[0])["product_name"]


def test_bills_may_lag_behind_telemetry(tmp_path: Path) -> None:
    plan = Plan(start=date(2026, 10, 1), until=date(2026, 10, 6), size=20, lag_days=2)
    manifest = simulate(tmp_path, plan)
    assert manifest["billed_until"] == "2026-10-04"
    newest = max(row["line_item_usage_start_date"] for row in current_aws(tmp_path))
    assert newest == "2026-10-03T00:00:00Z"
    assert (tmp_path / "telemetry" / "requests-2026-10-05.ndjson.gz").is_file()


def test_months_end_before_until() -> None:
    assert months_before(date(2026, 11, 1), 3) == date(2026, 8, 1)
    assert months_before(date(2026, 11, 24), 3) == date(2026, 9, 1)
    assert months_before(date(2026, 1, 2), 2) == date(2025, 12, 1)


def test_the_command_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CommandError, match="not an empty folder"):
        call_command("simulate", out=tmp_path)


@pytest.mark.parametrize(
    "surge", ["ghosts:2026-10-20:2026-10-21:5", "fraud-graph:2026-10-21:2026-10-20:5", "fraud-graph"]
)
def test_a_surge_that_makes_no_sense_is_named(tmp_path: Path, surge: str) -> None:
    with pytest.raises(CommandError, match=surge):
        call_command("simulate", f"--out={tmp_path}", f"--surge={surge}")
