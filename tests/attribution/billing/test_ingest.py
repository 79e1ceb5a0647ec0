"""A delivery from files to charges: exactness, idempotence, replacement, authority."""

from decimal import Decimal
from pathlib import Path

import pytest

from attribution.imports import SecondAuthority
from attribution.ingest import DeliveryRefused, UnreadableDelivery, ingest_billing
from attribution.lake import catalogue
from attribution.models import Authority, ControlTotal, Delivery, ImportedFile, QuarantinedRow
from attribution.vocabulary import Dataset

D = Decimal


def only(summary):
    (file,) = summary.as_json()["files"]
    assert file["rows_read"] + file["rows_created"] == (
        file["rows_kept"] + file["rows_quarantined"] + file["rows_dropped"]
    )
    return file


def test_the_real_legacy_report_is_read_to_the_last_digit(lake, samples, bills):
    file = only(ingest_billing([str(samples / "aws/sample-anonymous-aws-export-dataset.csv.gz")]))
    assert (file["format"], file["provider"], file["rows_kept"]) == ("aws-cur", "aws", 1281)
    assert D(file["billed_cost"]["USD"]) == D("1.68230869740")
    assert bills.billed() == {"USD": D("1.68230869740")}


def test_the_real_focus_sample_is_read_to_the_last_digit(lake, samples, bills):
    file = only(ingest_billing([str(samples / "focus/focus_sample.csv.gz")]))
    assert (file["format"], file["provider"], file["rows_kept"]) == ("focus", "aws,azure,oracle", 1000)
    assert bills.billed() == {"USD": D("20.52022672899")}
    assert sum(row["effective_cost"] for row in bills.charges()) == D("14.97651418586")


@pytest.mark.parametrize(
    ("version", "provider", "billed"),
    [("1.0", "oci", 10), ("1.1", "cloudnine", 20), ("1.2", "aws", 11), ("1.3", "gcp", 34), ("1.4", "azure", 25)],
)
def test_every_focus_version_is_read(lake, samples, bills, version, provider, billed):
    file = only(ingest_billing([str(samples / f"focus/focus-{version}.csv")]))
    assert (file["rows_kept"], file["provider"]) == (4, provider)
    assert bills.billed() == {"USD": D(billed)}


def test_the_same_delivery_again_changes_nothing(lake, samples):
    paths = [str(samples / "focus/focus_sample.csv.gz")]
    first = ingest_billing(paths)
    before = catalogue.lake_hash(Dataset.CHARGES)
    assert first.changes == 55
    assert ingest_billing(paths).changes == 0
    assert catalogue.lake_hash(Dataset.CHARGES) == before
    assert [delivery.changes for delivery in Delivery.objects.order_by("id")] == [55, 0]


def test_two_identical_lines_in_one_file_are_two_charges(lake, bills, write):
    ingest_billing([write("bill.csv", bills.focus_text({}, {}))])
    assert bills.billed() == {"USD": D("2.50")}


def test_the_same_content_twice_in_one_command_counts_once(lake, bills, write):
    text = bills.focus_text({})
    summary = ingest_billing([write("a.csv", text), write("b.csv", text)])
    second = summary.as_json()["files"][1]
    assert bills.billed() == {"USD": D("1.25")}
    assert (second["rows_read"], second["rows_kept"], second["rows_dropped"]) == (1, 0, 1)
    assert second["duplicate_of"].endswith("a.csv")


def test_two_currencies_in_one_file_stay_apart(lake, bills, write):
    file = only(
        ingest_billing([write("bill.csv", bills.focus_text({}, {"BillingCurrency": "EUR", "BilledCost": "3"}))])
    )
    assert file["billed_cost"] == {"EUR": "3", "USD": "1.25"}
    assert file["control_totals"]["billed"] == {"EUR": "3", "USD": "1.25"}
    assert bills.billed() == {"EUR": D(3), "USD": D("1.25")}
    totals = ControlTotal.objects.filter(basis="billed").values_list("currency", "amount", "rows")
    assert sorted(totals) == [("EUR", D(3), 1), ("USD", D("1.25"), 1)]


def test_nineteen_decimals_are_rounded_once_and_the_residue_is_told(lake, bills, write):
    # 0.1234567890123456785 is half way: half-even goes to ...678, and 5e-19 is left over; ...6775 goes up to ...678.
    text = bills.focus_text({"BilledCost": "0.1234567890123456785"}, {"BilledCost": "0.1234567890123456775"})
    file = only(ingest_billing([write("bill.csv", text)]))
    assert bills.billed() == {"USD": D("0.246913578024691356")}
    assert D(file["rounding_residue"]) == 0
    file = only(ingest_billing([write("one.csv", bills.focus_text({"BilledCost": "0.1234567890123456785"}))]))
    assert D(file["rounding_residue"]) == D("5E-19")


def test_an_exponent_is_exact(lake, bills, write):
    ingest_billing([write("bill.csv", bills.focus_text({"BilledCost": "1.385e-05"}, {"BilledCost": "3.0E-6"}))])
    assert bills.billed() == {"USD": D("0.00001685")}


def test_a_delivery_replaces_its_period_whole(lake, bills, write):
    ingest_billing(
        [
            write(
                "may.csv",
                bills.focus_text(
                    {}, {"ChargePeriodStart": "2026-05-04T00:00:00Z", "ChargePeriodEnd": "2026-05-05T00:00Z"}
                ),
            )
        ]
    )
    summary = ingest_billing([write("again.csv", bills.focus_text({"BilledCost": "2"}))])
    # The 2nd is restated, the 4th vanished: it stands as an empty revision.
    assert summary.changes == 2
    assert bills.billed() == {"USD": D(2)}
    vanished = [one for one in catalogue.current(Dataset.CHARGES) if not one.rows]
    assert [one.day.isoformat() for one in vanished] == ["2026-05-04"]
    assert list(ControlTotal.objects.filter(basis="billed", current=True).values_list("amount", flat=True)) == [D(2)]


def test_a_delivery_leaves_other_periods_alone(lake, bills, write):
    ingest_billing([write("may.csv", bills.focus_text({}))])
    june = {"BillingPeriodStart": "2026-06-01T00:00:00Z", "BillingPeriodEnd": "2026-07-01T00:00:00Z"}
    ingest_billing([write("june.csv", bills.focus_text({**june, "BilledCost": "-0.5", "ChargeClass": "Correction"}))])
    assert bills.billed(billing_period="2026-05") == {"USD": D("1.25")}
    assert bills.billed(billing_period="2026-06") == {"USD": D("-0.5")}
    assert {row["day"].isoformat() for row in bills.charges()} == {"2026-05-02"}


def test_most_of_a_period_vanishing_is_refused_unless_it_is_meant(lake, bills, write):
    ingest_billing([write("may.csv", bills.focus_text({}, {}, {}))])
    short = write("short.csv", bills.focus_text({}))
    with pytest.raises(DeliveryRefused, match=r"has 1 rows where the last one had 3.*--replace"):
        ingest_billing([short])
    assert bills.billed() == {"USD": D("3.75")}
    assert Delivery.objects.filter(status="failed").count() == 1
    assert ingest_billing([short], replace=True).changes == 1
    assert bills.billed() == {"USD": D("1.25")}


def test_a_second_authority_is_refused(lake, bills, write):
    ingest_billing([write("may.csv", bills.focus_text({}))])
    with pytest.raises(SecondAuthority, match="is fed by aws/focus/acct-1; these files are other"):
        ingest_billing([write("may2.csv", bills.focus_text({}, {}))], scope="other")
    assert bills.billed() == {"USD": D("1.25")}
    assert Authority.objects.get().scope == "aws/focus/acct-1"


def test_one_bill_in_two_formats_of_one_command_is_refused(lake, bills, write):
    paths = [
        write("cur.csv", bills.cur_text({"bill/PayerAccountId": "acct-1"})),
        write("focus.csv", bills.focus_text({})),
    ]
    with pytest.raises(DeliveryRefused, match="that is one bill twice"):
        ingest_billing(paths)
    with pytest.raises(DeliveryRefused, match="that is one bill twice"):
        ingest_billing(paths, scope="mine")
    assert bills.charges() == []


def test_one_unreadable_file_stops_the_whole_delivery(lake, bills, write):
    good, empty, other = write("a.csv", bills.focus_text({})), write("b.csv", ""), write("c.csv", "x,y\n1,2\n")
    with pytest.raises(UnreadableDelivery) as raised:
        ingest_billing([good, empty, other])
    assert [error.path for error in raised.value.errors] == [empty, other]
    assert bills.charges() == []
    assert not ImportedFile.objects.exists()


def test_control_totals_keep_what_was_quarantined(lake, bills, write):
    text = bills.focus_text({}, {"BilledCost": "7", "ChargePeriodEnd": "2026-05-01T00:00:00Z"}, {"BilledCost": "NaN"})
    file = only(ingest_billing([write("bill.csv", text)]))
    assert (file["rows_kept"], file["rows_quarantined"]) == (1, 2)
    assert file["quarantined_cost"] == {"USD": "7"}
    assert ControlTotal.objects.get(basis="billed").amount == D("8.25")
    assert bills.billed() == {"USD": D("1.25")}
    assert list(QuarantinedRow.objects.order_by("line").values_list("line", "field", "value", "count")) == [
        (3, "charge_period_end", "2026-05-01 00:00:00+00:00", 1),
        (4, "billed_cost", "NaN", 1),
    ]


def test_a_period_with_nothing_but_quarantined_rows_erases_nothing(lake, bills, write):
    ingest_billing([write("may.csv", bills.focus_text({}))])
    with pytest.raises(DeliveryRefused):
        ingest_billing([write("bad.csv", bills.focus_text({"ChargePeriodEnd": "2026-05-01T00:00:00Z"}))])
    assert bills.billed() == {"USD": D("1.25")}


def test_a_large_delivery_spills_and_is_the_same(lake, bills, write, monkeypatch):
    rows = [
        {"BilledCost": f"0.{n:03d}", "ChargePeriodStart": f"2026-05-{n % 28 + 1:02d}T00:00:00Z"} for n in range(400)
    ]
    path = write("bill.csv", bills.focus_text(*[{**row, "ChargePeriodEnd": "2026-06-01T00:00:00Z"} for row in rows]))
    ingest_billing([path])
    before = catalogue.lake_hash(Dataset.CHARGES)
    monkeypatch.setattr("attribution.sources.billing.reading.BLOCK_BYTES", 5_000)
    monkeypatch.setattr("attribution.sources.billing.spool.MEMORY_BYTES", 1)
    assert ingest_billing([path]).changes == 0
    assert catalogue.lake_hash(Dataset.CHARGES) == before
    assert not list((lake / "tmp").glob("ingest-*"))


def test_paths_of_the_machine_are_not_stored(lake, bills, write):
    ingest_billing([write("bill.csv", bills.focus_text({}))])
    assert ImportedFile.objects.get().path == "bill.csv"
    assert not Path(ImportedFile.objects.get().summary["path"]).is_absolute()
