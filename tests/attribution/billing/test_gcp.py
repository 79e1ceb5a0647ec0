"""Google's billing export through the whole import: nested or flat, credits to the last digit, invoice months."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.ingest import UnreadableDelivery, ingest_billing
from attribution.lake import catalogue
from attribution.lake.engine import DuckDBEngine
from attribution.sources.billing.charges import FileStager
from attribution.sources.billing.gcp import GCP
from attribution.sources.billing.reading import RawChunk
from attribution.vocabulary import Basis, Dataset

SAMPLES = Path(__file__).parents[2] / "samples" / "gcp"
Cells = dict[str, str]

FLAT: Cells = {
    "billing_account_id": "01AF3C-77B2D0-9E4411",
    "service.id": "C7E2-9256-1C43",
    "service.description": "Vertex AI",
    "sku.id": "AAAA-BBBB-CCCC",
    "sku.description": "Gemini 2.5 Flash GA Text Input - Predictions",
    "usage_start_time": "2026-05-03 06:00:00+00:00",
    "usage_end_time": "2026-05-03 12:00:00+00:00",
    "project.id": "claims-ai",
    "project.name": "Claims AI",
    "project.labels": "[]",
    "labels": "[]",
    "tags": "[]",
    "location.region": "europe-west4",
    "location.location": "europe-west4",
    "cost": "0.3",
    "currency": "USD",
    "usage.amount": "1000000",
    "usage.unit": "count",
    "usage.amount_in_pricing_units": "1000000",
    "usage.pricing_unit": "count",
    "credits": "[]",
    "invoice.month": "202605",
    "cost_type": "regular",
}


def credit(amount: str, kind: str = "DISCOUNT", name: str = "Contract") -> str:
    """One credit as JSON, its amount a number with every digit."""
    return f'{{"id": "x", "full_name": "{name}", "type": "{kind}", "name": "{name}", "amount": {amount}}}'


def write(path: Path, rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return str(path)


def charges() -> list[dict[str, Any]]:
    tables = [catalogue.read_table(revision) for revision in catalogue.current(Dataset.CHARGES)]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return sorted(rows, key=lambda row: (row["charge_category"], str(row["billed_cost"])))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="500MB", threads=1, temp_directory=Path(tmp_path_factory.mktemp("engine"))) as made:
        yield made


def staged(engine: DuckDBEngine, rows: Sequence[Cells]) -> tuple[FileStager, list[dict[str, Any]]]:
    """Rows through typing and staging, without the lake."""
    stager = FileStager(GCP, engine, 0)
    table = pa.table({name: pa.array([row[name] or None for row in rows], pa.string()) for name in rows[0]})
    found = stager.stage(RawChunk(table, pa.array(range(2, len(rows) + 2), pa.int64())))
    return stager, found.to_pylist()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lake_root")
def test_the_real_detailed_export_is_read_to_the_last_digit() -> None:
    path = str(SAMPLES / "detailed_2022-08-01.csv")
    report = ingest_billing([path]).files[0]
    assert (report.form.name, report.tally.rows_read, report.tally.rows_kept) == ("gcp-export", 9, 9)
    # 2e-06 + 1e-05; no credits.
    assert [control.amount for control in report.tally.controls.values()] == [Decimal("0.000012")]
    assert {row["billing_period"] for row in charges()} == {"2022-08"}
    assert ingest_billing([path]).changes == 0


def nest(flat: Cells) -> dict[str, Any]:
    """A flat row as BigQuery's JSON has it: nested records, lists as lists, numbers as they stand."""
    row: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = row
        for part in path:
            place = place.setdefault(part, {})
        place[last] = json.loads(value) if value.startswith("[") else value
    return row


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lake_root")
def test_nested_json_rows_are_the_same_bill(tmp_path: Path) -> None:
    labels = '[{"key": "team", "value": "claims"}]'
    rows = [FLAT | {"labels": labels, "credits": f"[{credit('-0.015')}]"}, FLAT | {"cost": "7"}]
    ingest_billing([write(tmp_path / "flat.csv", rows)])
    flat = catalogue.lake_hash(Dataset.CHARGES)
    lines = tmp_path / "rows.json"
    lines.write_text("\n".join(json.dumps(nest(row)) for row in rows))
    assert ingest_billing([str(lines)]).changes == 0
    array = tmp_path / "array.json"
    array.write_text(json.dumps([nest(row) for row in rows], indent=1))
    assert ingest_billing([str(array)]).changes == 0
    assert catalogue.lake_hash(Dataset.CHARGES) == flat
    assert charges()[0]["tags"] == '{"team":"claims"}'


def test_a_discount_lowers_its_row_and_a_promotion_is_a_row_of_its_own(engine: DuckDBEngine) -> None:
    given_away = credit("-0.1", "PROMOTION", "Free trial credit")
    row = FLAT | {"credits": f"[{credit('-0.015')}, {given_away}, {credit('-0.05', 'COMMITTED_USAGE_DISCOUNT')}]"}
    stager, rows = staged(engine, [row])
    assert [(one["fate"], one["charge_category"], one["billed_cost"]) for one in rows] == [
        ("kept", "Usage", Decimal("0.235")),  # 0.3 - 0.015 - 0.05
        ("created", "Credit", Decimal("-0.1")),
    ]
    assert (stager.tally.rows_read, stager.tally.rows_created, stager.tally.rows_kept) == (1, 1, 2)
    # What the contract charged before credits, and what the promotion is called.
    assert rows[0]["contracted_cost"] == Decimal("0.3")
    assert (rows[1]["charge_description"], rows[1]["pricing_quantity"]) == ("Free trial credit", None)
    assert rows[1]["sku_meter"] == FLAT["sku.description"]


def test_more_credit_than_cost_stays_negative(engine: DuckDBEngine) -> None:
    _, rows = staged(engine, [FLAT | {"credits": f"[{credit('-0.8')}]"}])
    assert rows[0]["billed_cost"] == Decimal("-0.5")


def test_lists_in_python_repr_are_read_without_being_run(engine: DuckDBEngine) -> None:
    row = FLAT | {
        "credits": "[{'name': 'x', 'full_name': None, 'type': 'DISCOUNT', 'amount': -1e-06}, "
        "{'name': 'y', 'type': 'DISCOUNT', 'amount': Decimal('-0.000000000000000001')}]",
        "labels": "[{'key': 'team', 'value': \"claims\"}]",
    }
    _, rows = staged(engine, [row])
    assert rows[0]["billed_cost"] == Decimal("0.299998999999999999")
    assert rows[0]["tags"] == '{"team":"claims"}'
    stager, rows = staged(engine, [FLAT | {"credits": "[{'amount': __import__('os').getpid()}]"}])
    assert rows == []
    assert [one.field for one in stager.tally.quarantine] == ["credits"]


@pytest.mark.parametrize("credits", ["[{", '[{"amount": "free"}]', '[{"amount": NaN}]', '[{"type": "DISCOUNT"}]', "5"])
def test_unreadable_credits_keep_the_row_out(engine: DuckDBEngine, credits: str) -> None:
    stager, rows = staged(engine, [FLAT | {"credits": credits}, FLAT])
    assert len(rows) == 1
    complaint = next(iter(stager.tally.quarantine))
    assert (complaint.line, complaint.field) == (2, "credits")
    # Its billed cost is unknown, so it is in no control total either.
    assert [control.amount for control in stager.tally.controls.values()] == [Decimal("0.3")]


def test_the_resource_names_a_key_before_its_project(engine: DuckDBEngine) -> None:
    row = FLAT | {
        "project.labels": '[{"key": "team", "value": "platform"}, {"key": "unit", "value": "insurance"}]',
        "tags": '[{"key": "env", "value": "prod", "inherited": true, "namespace": "123"}]',
        "labels": '[{"key": "team", "value": "claims"}]',
    }
    _, rows = staged(engine, [row])
    assert json.loads(rows[0]["tags"]) == {"team": "claims", "unit": "insurance", "env": "prod"}


@pytest.mark.parametrize(
    ("columns", "category"),
    [
        ({"cost_type": "regular"}, "Usage"),
        ({"cost_type": "tax"}, "Tax"),
        ({"cost_type": "adjustment"}, "Adjustment"),
        ({"cost_type": "rounding_error"}, "Adjustment"),
        ({"sku.description": "Commitment v1: N2 Cpu in Americas for 1 Year"}, "Purchase"),
    ],
)
def test_cost_types_become_categories(engine: DuckDBEngine, columns: Cells, category: str) -> None:
    _, rows = staged(engine, [FLAT | columns])
    assert rows[0]["charge_category"] == category
    assert (rows[0]["pricing_quantity"] is None) == (category in ("Tax", "Adjustment"))


def test_the_period_is_the_invoice_month_and_never_the_usage_time(engine: DuckDBEngine) -> None:
    """The last Pacific hours of April are May in UTC; a correction carries a later month."""
    first_hour = FLAT | {"usage_start_time": "2026-05-01 00:00:00+00:00", "invoice.month": "202604"}
    late = FLAT | {"cost": "-0.5", "invoice.month": "202606", "adjustment_info.type": "USAGE_CORRECTION"}
    rows = staged(engine, [first_hour | {"adjustment_info.type": ""}, late])[1]
    assert [(row["billing_period"], row["charge_class"]) for row in rows] == [
        ("2026-04", None),
        ("2026-06", "Correction"),
    ]
    assert rows[0]["billing_period_end"].isoformat() == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize("month", ["202613", "2026-05", "may", "000000"])
def test_a_month_that_is_none_is_quarantined(engine: DuckDBEngine, month: str) -> None:
    stager, rows = staged(engine, [FLAT | {"invoice.month": month}])
    assert rows == []
    assert stager.tally.quarantine.rows == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lake_root")
def test_an_export_without_credits_is_refused(tmp_path: Path) -> None:
    """Without the column a discounted row would look like full price."""
    row = {name: value for name, value in FLAT.items() if name != "credits"}
    with pytest.raises(UnreadableDelivery, match="lacks the column credits"):
        ingest_billing([write(tmp_path / "a.csv", [row])])


AMOUNTS = st.decimals(min_value=-1000, max_value=1000, places=18).map(lambda amount: format(amount, "f"))
CREDITS = st.lists(st.tuples(AMOUNTS, st.sampled_from(["DISCOUNT", "PROMOTION", "FREE_TIER"])), max_size=4)
ROWS = st.lists(st.tuples(AMOUNTS, CREDITS), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_billed_is_cost_plus_credits_exactly(
    engine: DuckDBEngine, rows: list[tuple[str, list[tuple[str, str]]]]
) -> None:
    cells = [
        FLAT | {"cost": cost, "credits": f"[{', '.join(credit(amount, kind) for amount, kind in credits)}]"}
        for cost, credits in rows
    ]
    stager, found = staged(engine, cells)
    expected = sum(
        (Decimal(cost) + sum(Decimal(amount) for amount, _ in credits) for cost, credits in rows), Decimal(0)
    )
    assert sum(row["billed_cost"] for row in found) == expected
    assert sum(row["effective_cost"] for row in found) == expected
    assert [control.amount for (_, _, basis), control in stager.tally.controls.items() if basis is Basis.BILLED] == [
        expected
    ]
    promotions = sum(any(kind == "PROMOTION" for _, kind in credits) for _, credits in rows)
    assert stager.tally.rows_created <= promotions
    assert stager.tally.rows_kept == stager.tally.rows_read + stager.tally.rows_created


def test_what_rounding_takes_off_a_cost_is_reported(engine: DuckDBEngine) -> None:
    """A double of BigQuery may have more than 18 decimals."""
    stager, rows = staged(engine, [FLAT | {"cost": "1.2345678901234567e-05"}])
    assert rows[0]["billed_cost"] == Decimal("0.000012345678901235")
    assert stager.tally.residue == Decimal("0.0000123456789012345670") - Decimal("0.000012345678901235")
