"""Azure cost details through the whole import: both sides, every spelling, and what happens where they disagree."""

import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from attribution.ingest import IngestSummary, UnreadableDelivery, ingest_billing
from attribution.lake import catalogue
from attribution.vocabulary import Dataset

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("lake_root")]

SAMPLES = Path(__file__).parents[2] / "samples" / "azure"
Cells = dict[str, str]

EA: Cells = {
    "BillingAccountId": "88112233",
    "BillingAccountName": "Example AS",
    "BillingPeriodStartDate": "05/01/2026",
    "BillingPeriodEndDate": "05/31/2026",
    "SubscriptionId": "sub-1",
    "SubscriptionName": "prod",
    "Date": "05/03/2026",
    "MeterCategory": "Foundry Models",
    "MeterSubCategory": "Azure OpenAI GPT5",
    "MeterId": "m-1",
    "MeterName": "GPT 5 Inpt Glbl 1M Tokens",
    "Quantity": "2500000",
    "UnitOfMeasure": "1M",
    "CostInBillingCurrency": "3.125",
    "BillingCurrencyCode": "USD",
    "ResourceLocation": "EAST US 2",
    "ConsumedService": "Microsoft.CognitiveServices",
    "ResourceId": "/subscriptions/sub-1/resourceGroups/RG/providers/Microsoft.CognitiveServices/accounts/Claims",
    "Tags": '"team": "claims","env": "prod"',
    "AdditionalInfo": "",
    "ChargeType": "Usage",
    "Frequency": "UsageBased",
    "PricingModel": "OnDemand",
    "ReservationId": "",
    "PublisherType": "Azure",
}
PTU = {"MeterName": "Provisioned Managed Global Unit", "UnitOfMeasure": "1/Hour", "ReservationId": "r-1"}
COVERED = EA | PTU | {"PricingModel": "Reservation", "Quantity": "24"}
PURCHASE = COVERED | {"ChargeType": "Purchase", "Frequency": "Recurring", "Date": "05/01/2026", "Quantity": "1"}
UNUSED = COVERED | {"ChargeType": "UnusedReservation", "Quantity": "6", "ResourceId": ""}


def cost(row: Cells, amount: str) -> Cells:
    return row | {"CostInBillingCurrency": amount}


ACTUAL = [EA, cost(EA, "1.5"), cost(COVERED, "0"), cost(PURCHASE, "300")]
AMORTIZED = [cost(EA, "1.5"), EA, cost(COVERED, "7.2"), cost(UNUSED, "1.8")]


def write(path: Path, rows: Sequence[Cells], *, bom: bool = False, rename: dict[str, str] | None = None) -> str:
    text = io.StringIO()
    names = {name: (rename or {}).get(name, name) for name in rows[0]}
    writer = csv.DictWriter(text, list(names.values()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({names[name]: value for name, value in row.items()} for row in rows)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode())
    return str(path)


def charges(dataset: Dataset = Dataset.CHARGES) -> list[dict[str, Any]]:
    tables = [catalogue.read_table(revision) for revision in catalogue.current(dataset)]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return rows


def costs() -> list[tuple[str, str | None, str | None]]:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else format(value.normalize(), "f")

    found = [(row["x_native_type"], text(row["billed_cost"]), text(row["effective_cost"])) for row in charges()]
    return sorted(found, key=repr)


def total(summary: IngestSummary, index: int = 0) -> Any:
    return summary.as_json()["files"][index]["control_totals"]  # type: ignore[index]


def test_the_real_actual_export_is_read_to_the_last_digit() -> None:
    summary = ingest_billing([str(SAMPLES / "actual_ea.csv")])
    report = summary.files[0]
    assert (report.form.name, report.tally.rows_read, report.tally.rows_kept) == ("azure-actual", 5, 5)
    # 0.114455 + 0 + 3.455664 + 0.034567754 + 16.393727
    assert total(summary) == {"billed": {"MC": "19.998413754"}}
    rows = {row["sku_meter"]: row for row in charges()}
    # 22 hours in blocks of ten.
    assert rows["D4 v3/D4s v3"]["pricing_quantity"] == Decimal("2.2")
    assert rows["D4 v3/D4s v3"]["resource_type"] == "Standard_D4s_v3"
    assert rows["Unassigned"]["charge_category"] == "Purchase"
    assert ingest_billing([str(SAMPLES / "actual_ea.csv")]).changes == 0


@pytest.mark.parametrize("name", ["Template.csv", "VirtualMachine.csv"])
def test_a_file_without_currency_and_period_is_refused(name: str) -> None:
    with pytest.raises(UnreadableDelivery, match="lacks the column billing_currency, billing_period_start_date"):
        ingest_billing([str(SAMPLES / name)])


def test_an_enrolment_file_with_us_dates_bom_and_bare_tags(tmp_path: Path) -> None:
    ingest_billing([write(tmp_path / "a.csv", [EA], bom=True)])
    row = charges()[0]
    assert row["billing_period"] == "2026-05"
    # Azure writes the last day; ours is exclusive.
    assert row["billing_period_end"].isoformat() == "2026-06-01T00:00:00+00:00"
    assert (row["charge_period_start"].day, row["charge_period_end"].day) == (3, 4)
    assert json.loads(row["tags"]) == {"team": "claims", "env": "prod"}
    assert (row["pricing_quantity"], row["pricing_unit"]) == (Decimal("2.5"), "1M")
    assert (row["region_id"], row["resource_name"]) == ("eastus2", "Claims")
    assert row["resource_type"] == "microsoft.cognitiveservices/accounts"


GERMAN = {
    "BillingAccountId": "Abrechnungskonto-ID",
    "BillingPeriodStartDate": "Startdatum des Abrechnungszeitraums",
    "BillingPeriodEndDate": "Enddatum des Abrechnungszeitraums",
    "SubscriptionId": "Abonnement-GUID",
    "SubscriptionName": "Abonnementname",
    "Date": "Datum",
    "MeterCategory": "Verbrauchseinheitskategorie",
    "MeterSubCategory": "Unterkategorie der Verbrauchseinheit",
    "MeterId": "Verbrauchseinheits-ID",
    "MeterName": "Verbrauchseinheitsname",
    "Quantity": "Verbrauchte Menge",
    "UnitOfMeasure": "Maßeinheit",
    "CostInBillingCurrency": "Erweiterte Kosten",
    "BillingCurrencyCode": "Währung",
    "ResourceLocation": "Ressourcenspeicherort",
    "ConsumedService": "Verbrauchter Dienst",
    "ResourceId": "Instanz-ID",
    "AdditionalInfo": "Zusatzinformationen",
}


def test_a_german_header_is_the_same_bill(tmp_path: Path) -> None:
    ingest_billing([write(tmp_path / "english.csv", [EA])])
    english = charges()
    summary = ingest_billing([write(tmp_path / "german.csv", [EA], rename=GERMAN)])
    # No name of the account in the German file; everything else is equal.
    assert [row | {"billing_account_name": "Example AS"} for row in charges()] == english or summary.changes == 0


def test_german_dates_and_numbers_never_become_other_ones(tmp_path: Path) -> None:
    rows = [EA | {"Date": "03.05.2026"}, cost(EA | {"Date": "03.05.2026"}, "3,125")]
    summary = ingest_billing([write(tmp_path / "a.csv", rows, rename=GERMAN)])
    assert [(row["charge_period_start"].day, row["charge_period_start"].month) for row in charges()] == [(3, 5)]
    quarantined = next(iter(summary.files[0].tally.quarantine))
    assert (quarantined.line, quarantined.value) == (3, "3,125")


def test_an_mca_file_states_list_cost_and_savings_plans(tmp_path: Path) -> None:
    names = {"CostInBillingCurrency": "costInBillingCurrency", "BillingCurrencyCode": "billingCurrency", "Date": "date"}
    mca = EA | {"paygCostInBillingCurrency": "4", "benefitId": "", "invoiceId": "G001", "Date": "2026-05-03"}
    plan = mca | {
        "PricingModel": "SavingsPlan",
        "benefitId": "/providers/Microsoft.BillingBenefits/savingsPlanOrders/o/savingsPlans/s",
        "CostInBillingCurrency": "2",
        "paygCostInBillingCurrency": "0",
    }
    ingest_billing([write(tmp_path / "a.csv", [mca, plan], rename=names)])
    rows = {row["pricing_category"]: row for row in charges()}
    assert (rows["Standard"]["list_cost"], rows["Standard"]["invoice_id"]) == (Decimal(4), "G001")
    assert rows["Committed"]["list_cost"] is None
    assert rows["Committed"]["commitment_discount_type"] == "Savings Plan"
    assert "list_cost" in rows["Committed"]["x_repairs"]
    # A share of the plan in the cost: this is the amortised side, and alone it knows nothing billed.
    assert (rows["Committed"]["billed_cost"], rows["Committed"]["effective_cost"]) == (None, Decimal(2))


def test_words_of_azure_become_words_of_focus(tmp_path: Path) -> None:
    kinds = {
        "Usage": ("Usage", None),
        "Purchase": ("Purchase", None),
        "Refund": ("Purchase", "Correction"),
        "RoundingAdjustment": ("Adjustment", None),
    }
    ingest_billing([write(tmp_path / "a.csv", [EA | {"ChargeType": kind} for kind in kinds])])
    assert {row["x_native_type"]: (row["charge_category"], row["charge_class"]) for row in charges()} == kinds


BOTH = [
    ("Purchase", "300", "0"),
    ("UnusedReservation", "0", "1.8"),
    ("Usage", "0", "7.2"),
    ("Usage", "1.5", "1.5"),
    ("Usage", "3.125", "3.125"),
]


def test_both_sides_in_one_command_or_two_in_either_order_are_the_same_bill(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", AMORTIZED)]
    ingest_billing(files)
    assert costs() == BOTH
    together = catalogue.lake_hash(Dataset.CHARGES)
    for first, second in itertools.permutations(files):
        # An empty period, then one side after the other.
        nothing = [EA | {"BillingPeriodStartDate": "05/01/2026", "CostInBillingCurrency": "9"}]
        ingest_billing([write(tmp_path / "x.csv", nothing)], replace=True)
        ingest_billing([first], replace=True)
        ingest_billing([second], replace=True)
        assert costs() == BOTH
        assert catalogue.lake_hash(Dataset.CHARGES) == together
    assert ingest_billing(files).changes == 0


def test_one_side_alone_leaves_the_other_basis_unknown(tmp_path: Path) -> None:
    ingest_billing([write(tmp_path / "a.csv", ACTUAL)])
    assert ("Purchase", "300", None) in costs()
    assert ("Usage", "0", None) in costs()
    assert ("Usage", "3.125", "3.125") in costs()


def test_the_amortized_side_alone_knows_no_bill_of_a_commitment(tmp_path: Path) -> None:
    summary = ingest_billing([write(tmp_path / "b.csv", AMORTIZED)])
    assert summary.files[0].form.name == "azure-amortized"
    assert costs() == [
        ("UnusedReservation", None, "1.8"),
        ("Usage", "1.5", "1.5"),
        ("Usage", "3.125", "3.125"),
        ("Usage", None, "7.2"),
    ]
    assert total(summary) == {"effective": {"USD": "13.625"}, "billed": {"USD": "4.625"}}


def test_nothing_is_lost_where_the_sides_disagree(tmp_path: Path) -> None:
    actual = [*ACTUAL, EA | {"MeterId": "late", "MeterName": "only on the actual side", "CostInBillingCurrency": "4"}]
    amortized = [cost(EA, "1.6"), EA, cost(COVERED, "7.2"), cost(UNUSED, "1.8")]
    ingest_billing([write(tmp_path / "a.csv", actual), write(tmp_path / "b.csv", amortized)])
    rows = charges()
    billed = sum(row["billed_cost"] for row in rows if row["billed_cost"] is not None)
    effective = sum(row["effective_cost"] for row in rows if row["effective_cost"] is not None)
    assert billed == Decimal("308.625")  # 3.125 + 1.5 + 0 + 300 + 4: the actual file
    assert effective == Decimal("17.725")  # 1.6 + 3.125 + 7.2 + 1.8: the amortised file; + 4 of the actual one alone
    assert ("Usage", "1.5", None) in costs()
    assert ("Usage", None, "1.6") in costs()


def test_a_commitment_deep_in_the_file_still_tells_the_side(tmp_path: Path) -> None:
    many = [cost(EA, str(amount)) for amount in range(1, 40)]
    summary = ingest_billing([write(tmp_path / "b.csv", [*many, *AMORTIZED])])
    assert summary.files[0].form.name == "azure-amortized"


def test_two_equal_files_of_an_account_without_commitments_are_its_two_sides(tmp_path: Path) -> None:
    rows = [EA, cost(EA, "1.5"), cost(EA, "1.5")]
    files = [write(tmp_path / "a.csv", rows), write(tmp_path / "b.csv", rows[::-1])]
    ingest_billing(files)
    assert costs() == [("Usage", "1.5", "1.5"), ("Usage", "1.5", "1.5"), ("Usage", "3.125", "3.125")]


def test_two_parts_of_a_bill_without_commitments_add_up(tmp_path: Path) -> None:
    ingest_billing([write(tmp_path / "a.csv", [EA]), write(tmp_path / "b.csv", [cost(EA, "1.5")])])
    assert costs() == [("Usage", "1.5", "1.5"), ("Usage", "3.125", "3.125")]


def test_a_part_without_commitments_belongs_to_the_side_of_its_other_parts(tmp_path: Path) -> None:
    parts = [write(tmp_path / "1.csv", AMORTIZED[:2]), write(tmp_path / "2.csv", AMORTIZED[2:])]
    summary = ingest_billing(parts)
    assert {report.form.name for report in summary.files} == {"azure-amortized"}
    with pytest.raises(UnreadableDelivery, match="no commitment line"):
        ingest_billing([*parts, write(tmp_path / "3.csv", ACTUAL)])


def export(folder: Path, name: str, kind: str, rows: Sequence[Cells]) -> None:
    """An export as Azure delivers it: blobs below a run's folder, and the manifest that lists them."""
    run = folder / name / "20260501-20260531" / "run-1"
    run.mkdir(parents=True)
    plain = write(run / "part.csv", rows)
    blob = run / "part_0_0001.csv.gz"
    blob.write_bytes(gzip.compress(Path(plain).read_bytes(), mtime=0))
    Path(plain).unlink()
    scope = "/providers/Microsoft.Billing/billingAccounts/88112233/providers/Microsoft.CostManagement/exports"
    manifest = {
        "exportConfig": {
            "exportName": name,
            "resourceId": f"{scope}/{name}",
            "type": kind,
            "dataVersion": "2021-10-01",
        },
        "runInfo": {"submittedTime": "2026-06-02T06:00:00Z", "runId": "run-1", "startDate": "2026-05-01T00:00:00"},
        "blobs": [{"blobName": f"{name}/20260501-20260531/run-1/{blob.name}", "byteCount": blob.stat().st_size}],
    }
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_manifests_say_which_side_a_file_is(tmp_path: Path) -> None:
    """An account without commitments: only the manifest knows."""
    export(tmp_path, "daily-actual", "ActualCost", [EA])
    export(tmp_path, "daily-amortized", "AmortizedCost", [cost(EA, "3.2")])
    summary = ingest_billing([str(tmp_path)])
    assert sorted(report.form.name for report in summary.files) == ["azure-actual", "azure-amortized"]
    assert costs() == [("Usage", "3.125", None), ("Usage", None, "3.2")]


def test_price_sheets_are_no_bill(tmp_path: Path) -> None:
    sheet = {"MeterId": "1", "MeterCategory": "Storage", "UnitPrice": "1", "UnitOfMeasure": "1 GB", "Currency": "USD"}
    with pytest.raises(UnreadableDelivery):
        ingest_billing([write(tmp_path / "prices.csv", [sheet])])


def _units() -> Iterable[tuple[str, str, str]]:
    yield "1K", "1500", "1.5"
    yield "1M Tokens", "1500000", "1.5"
    yield "10 Hours", "22", "2.2"
    yield "100000000", "5.748", "0.00000005748"
    yield "1/Month", "3", "3"
    yield "1 Month", "3", "3"
    yield "100 MB", "250", "2.5"
    yield "0 Unassigned", "1", "1"
    yield "Unassigned", "7", "7"


@pytest.mark.parametrize(("unit", "quantity", "priced"), list(_units()))
def test_pricing_quantity_counts_blocks(tmp_path: Path, unit: str, quantity: str, priced: str) -> None:
    ingest_billing([write(tmp_path / "a.csv", [EA | {"UnitOfMeasure": unit, "Quantity": quantity}])])
    row = charges()[0]
    assert (row["pricing_quantity"], row["consumed_quantity"]) == (Decimal(priced), Decimal(quantity))
