"""Folders with manifests: the newest run of each export and month, verified; everything else passed over."""

import json
import shutil
from decimal import Decimal

import pytest

from attribution.ingest import UnreadableDelivery, ingest_billing
from attribution.sources.billing.base import UnreadableFile
from attribution.sources.billing.deliveries import plan

D = Decimal
AZURE_SCOPE = (
    "/subscriptions/0aaaaaaa-1111-2222-3333-444444444444/providers/Microsoft.CostManagement/exports/costroid-demo"
)


@pytest.fixture
def blob(samples, tmp_path):
    """A copy of the Azure container that a test may change."""
    return shutil.copytree(samples / "focus/azure-blob", tmp_path / "blob")


@pytest.fixture
def bucket(samples, tmp_path):
    return shutil.copytree(samples / "aws/focus-s3", tmp_path / "s3")


def test_azure_newest_run_wins_and_june_leaves_may_in_place(lake, bills, samples):
    summary = ingest_billing([str(samples / "focus/azure-blob")])
    assert [report.tally.rows_read for report in summary.files] == [3, 2, 5]
    # The run of 1 July with 2 rows is older than that with 5.
    assert len(summary.passed_over) == 1
    assert bills.billed(billing_period="2026-05") == {"USD": D("20.50")}
    assert bills.billed(billing_period="2026-06") == {"USD": D("12.00")}
    first_of_may = [row for row in bills.charges() if row["day"].isoformat() == "2026-05-01"]
    assert sorted(row["billed_cost"] for row in first_of_may) == [D("-0.50"), D("2.50"), D("10.00")]
    assert {row["scope"] for row in first_of_may} == {AZURE_SCOPE}
    assert ingest_billing([str(samples / "focus/azure-blob")]).changes == 0


def test_june_alone_leaves_mays_first_day_alone(lake, bills, blob):
    ingest_billing([str(blob / "devaccount/exports/costroid-demo/mtd-snapshot")])
    assert bills.billed(days=None) == {"USD": D("20.50")}
    ingest_billing([str(blob / "devaccount/exports/costroid-demo/20260601-20260630")])
    may = [row["billed_cost"] for row in bills.charges(billing_period="2026-05") if row["day"].day == 1]
    assert sum(may) == D("12.50")


def test_aws_manifests_name_the_files(lake, bills, samples):
    summary = ingest_billing([str(samples / "aws/focus-s3")])
    assert len(summary.files) == 3
    assert {row["scope"] for row in bills.charges()} == {"aws/demo/exports/costroid-demo"}
    assert {row["billing_period"] for row in bills.charges()} == {"2026-05", "2026-06"}


def test_a_listed_file_that_is_missing(lake, bucket):
    next(bucket.rglob("costroid-demo-00002.csv.gz")).unlink()
    with pytest.raises(UnreadableDelivery, match=r"lists s3://demo.*00002.csv.gz, which isn't there"):
        ingest_billing([str(bucket)])


def test_a_listed_file_of_another_size(lake, bucket):
    path = next(bucket.rglob("costroid-demo-00002.csv.gz"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnreadableDelivery, match="with 1387 bytes, but the file has 1377"):
        ingest_billing([str(bucket)])


def test_a_listed_file_with_other_rows(lake, blob):
    manifest = next(blob.rglob("mtd-snapshot/current/manifest.json"))
    content = json.loads(manifest.read_text())
    content["blobs"][0]["dataRowCount"] = 4
    manifest.write_text(json.dumps(content))
    with pytest.raises(UnreadableDelivery, match="has 3 rows, but its manifest says 4"):
        ingest_billing([str(blob)])


def test_a_legacy_report_of_two_assemblies(write, tmp_path):
    for assembly in ("old", "new"):
        write(f"cur/20260501-20260601/{assembly}/cur-1.csv.gz", b"x")
        manifest = {
            "assemblyId": assembly,
            "bucket": "b",
            "reportName": "cur",
            "billingPeriod": {"start": "20260501T000000.000Z", "end": "20260601T000000.000Z"},
            "reportKeys": [f"/p/cur/20260501-20260601/{assembly}/cur-1.csv.gz"],
        }
        write(f"cur/20260501-20260601/{assembly}/cur-Manifest.json", json.dumps(manifest))
    write("cur/20260501-20260601/cur-Manifest.json", json.dumps(manifest))
    planned = plan([str(tmp_path / "bills")])
    assert [one.path.parent.name for one in planned.files] == ["new"]
    assert planned.files[0].scope == "aws/b/p/cur"
    assert len(planned.passed_over) == 1


def test_a_folder_without_manifests_gives_its_files(lake, bills, write, tmp_path):
    write("one/a.csv", bills.focus_text({}))
    write("two/b.csv", bills.focus_text({"BilledCost": "2"}))
    write(".hidden/c.csv", "not a bill")
    ingest_billing([str(tmp_path / "bills")])
    assert bills.billed() == {"USD": D("3.25")}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"blobs": 1}', '{"reportKeys": []}', '{"other": 1}', '{"dataFiles": [{}]}']
)
def test_a_damaged_manifest(write, tmp_path, content):
    write("manifest.json", content)
    write("part.csv", "x")
    with pytest.raises(UnreadableFile, match="is no manifest that Weir knows"):
        plan([str(tmp_path / "bills")])


def test_a_path_that_is_not_there():
    with pytest.raises(UnreadableFile, match="isn't there"):
        plan(["/nowhere/bill.csv"])


def test_one_file_named_twice_is_one_file(write):
    path = write("a.csv", "x")
    assert len(plan([path, path]).files) == 1
