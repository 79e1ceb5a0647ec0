"""AWS reports to FOCUS: a case for each kind of line, the bill's sum always kept. Also the cases of the SQL models."""

import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attribution.ingest import ingest_billing
from attribution.sources.billing.aws_cur import tag_key

D = Decimal
PLAN = {"savingsPlan/SavingsPlanARN": "arn:plan"}
COVERED = {**PLAN, "lineItem/LineItemType": "SavingsPlanCoveredUsage", "savingsPlan/SavingsPlanEffectiveCost": "0.7"}
NEGATION = {**PLAN, "lineItem/LineItemType": "SavingsPlanNegation"}


@pytest.fixture
def take(lake, bills, write):
    """take(changes...) -> (the file's summary, its charges)."""

    def ingest(*changes):
        (file,) = ingest_billing([write("cur.csv", bills.cur_text(*changes))]).as_json()["files"]
        assert file["rows_read"] + file["rows_created"] == (
            file["rows_kept"] + file["rows_quarantined"] + file["rows_dropped"]
        )
        return file, bills.charges()

    return ingest


def costs(row):
    return tuple(row[f"{basis}_cost"] for basis in ("billed", "effective", "list", "contracted"))


def test_usage(take):
    _, (row,) = take({})
    assert costs(row) == (D(1), D(1), D("1.5"), D(1))
    assert (row["charge_category"], row["sku_meter"], row["x_operation"]) == (
        "Usage",
        "USE1-Claude4.5Sonnet-input-tokens",
        "InvokeModelInference",
    )
    assert (row["pricing_quantity"], row["pricing_unit"], row["region_id"]) == (D(10), "1K tokens", "us-east-1")
    assert json.loads(row["tags"]) == {"user:team": "search"}
    assert row["scope"] == "aws/cur/111122223333"


def test_savings_plan_lines_that_cancel(take):
    # On demand 1.0; the plan's price is 0.7; the negation takes the 1.0 off again.
    file, (row,) = take(COVERED, {**NEGATION, "lineItem/UnblendedCost": "-1"})
    assert costs(row) == (D(0), D("0.7"), D("1.5"), D(1))
    assert (row["commitment_discount_id"], row["commitment_discount_status"]) == ("arn:plan", "Used")
    assert file["dropped"] == [{"reason": "cancels the savings plan usage that it belongs to", "count": 1}]
    assert file["control_totals"]["billed"] == {"USD": "0"}
    assert file["billed_cost"] == {"USD": "0"}


def test_a_negation_that_does_not_cancel_stays(take):
    file, rows = take(COVERED, {**NEGATION, "lineItem/UnblendedCost": "-0.9"})
    assert sorted(costs(row)[:2] for row in rows) == [(D("-0.9"), D(0)), (D(1), D("0.7"))]
    assert file["billed_cost"] == file["control_totals"]["billed"] == {"USD": "0.1"}


def test_a_negation_without_its_usage_stays(take):
    file, (row,) = take({**NEGATION, "lineItem/UnblendedCost": "-1"})
    assert costs(row)[:2] == (D(-1), D(0))
    assert file["rows_dropped"] == 0


def test_negations_of_another_account_do_not_cancel(take):
    file, rows = take(COVERED, {**NEGATION, "lineItem/UnblendedCost": "-1", "lineItem/UsageAccountId": "999900001111"})
    assert len(rows) == 2
    assert file["billed_cost"] == {"USD": "0"}


def test_a_savings_plan_fee_is_a_purchase_and_what_it_did_not_cover_is_unused(take):
    fee = {
        **PLAN,
        "lineItem/LineItemType": "SavingsPlanRecurringFee",
        "lineItem/UnblendedCost": "5",
        "savingsPlan/TotalCommitmentToDate": "5",
        "savingsPlan/UsedCommitment": "3.2",
    }
    file, rows = take(fee)
    bought, unused = sorted(rows, key=lambda row: -row["billed_cost"])
    assert (bought["charge_category"], costs(bought)[:2]) == ("Purchase", (D(5), D(0)))
    assert (unused["charge_category"], costs(unused)) == ("Usage", (D(0), D("1.8"), None, None))
    assert (unused["commitment_discount_status"], unused["consumed_quantity"]) == ("Unused", None)
    assert (file["rows_read"], file["rows_created"], file["rows_kept"]) == (1, 1, 2)


def test_a_reservation_fee_and_its_unused_hours(take):
    fee = {
        "lineItem/LineItemType": "RIFee",
        "lineItem/UnblendedCost": "7",
        "reservation/ReservationARN": "arn:ri",
        "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "0.5",
        "reservation/UnusedRecurringFee": "0.25",
    }
    _, rows = take(fee)
    bought, unused = sorted(rows, key=lambda row: -row["billed_cost"])
    assert (bought["charge_category"], bought["charge_frequency"], costs(bought)[:2]) == (
        "Purchase",
        "Recurring",
        (D(7), D(0)),
    )
    assert costs(unused)[:2] == (D(0), D("0.75"))
    assert unused["commitment_discount_id"] == "arn:ri"


def test_a_fully_used_fee_makes_no_row(take):
    file, rows = take({"lineItem/LineItemType": "RIFee", "reservation/ReservationARN": "arn:ri"})
    assert len(rows) == 1
    assert file["rows_created"] == 0


def test_usage_under_a_reservation(take):
    _, (row,) = take(
        {
            "lineItem/LineItemType": "DiscountedUsage",
            "lineItem/UnblendedCost": "0",
            "reservation/ReservationARN": "arn:ri",
            "reservation/EffectiveCost": "0.4",
        }
    )
    # What it would cost without the reservation isn't said: unknown, not zero.
    assert costs(row) == (D(0), D("0.4"), D("1.5"), None)
    assert row["commitment_discount_status"] == "Used"


def test_an_upfront_reservation_fee_has_no_effective_cost_and_another_fee_has(take):
    _, rows = take(
        {
            "lineItem/LineItemType": "Fee",
            "lineItem/UnblendedCost": "90",
            "reservation/ReservationARN": "arn:ri",
        },
        {"lineItem/LineItemType": "Fee", "lineItem/UnblendedCost": "20"},
    )
    assert [(row["charge_category"], *costs(row)[:2]) for row in rows] == [
        ("Purchase", D(20), D(20)),
        ("Purchase", D(90), D(0)),
    ]


@pytest.mark.parametrize(
    ("line_type", "extra", "category"),
    [
        ("Tax", {}, "Tax"),
        ("Credit", {}, "Credit"),
        ("EdpDiscount", {}, "Credit"),
        ("BundledDiscount", {}, "Credit"),
        ("PrivateRateDiscount", {}, "Credit"),
        ("Refund", {}, "Usage"),
        ("Refund", {"lineItem/TaxType": "VAT"}, "Tax"),
        ("Refund", {"lineItem/UsageType": ""}, "Adjustment"),
        ("SomethingNew", {}, "Adjustment"),
    ],
)
def test_every_other_line_is_kept_with_its_cost(take, line_type, extra, category):
    _, (row,) = take({"lineItem/LineItemType": line_type, "lineItem/UnblendedCost": "-3", **extra})
    assert (row["charge_category"], row["x_native_type"]) == (category, line_type)
    assert costs(row)[:2] == (D(-3), D(-3))


def test_a_refund_for_an_earlier_period_is_a_correction(take):
    earlier = {"lineItem/UsageStartDate": "2026-04-30T00:00:00Z", "lineItem/UsageEndDate": "2026-05-01T00:00:00Z"}
    _, (row,) = take({"lineItem/LineItemType": "Refund", "lineItem/UnblendedCost": "-3", **earlier})
    assert (row["charge_class"], row["day"].isoformat(), row["billing_period"]) == (
        "Correction",
        "2026-04-30",
        "2026-05",
    )


def test_net_columns_win_where_the_payer_has_them(take):
    file, (row,) = take({"lineItem/NetUnblendedCost": "0.8"})
    assert costs(row)[:2] == (D("0.8"), D("0.8"))
    assert file["control_totals"]["billed"] == {"USD": "0.8"}


def test_a_split_of_a_line_is_dropped(take):
    file, _ = take({}, {"lineItem/UnblendedCost": "", "splitLineItem/ParentResourceId": "i-1"})
    assert file["dropped"] == [{"reason": "a split of a line that is in the bill with its cost", "count": 1}]


def test_a_line_without_a_cost_is_quarantined(take):
    file, rows = take({}, {"lineItem/UnblendedCost": ""})
    assert len(rows) == 1
    assert file["quarantine"][0]["field"] == "line_item_unblended_cost"


def test_rows_that_are_all_shorter_than_a_proven_header_are_read(lake, bills, write):
    lines = bills.cur_text({}, {"lineItem/UnblendedCost": "2"}).splitlines()
    text = "\n".join([lines[0] + ",costCategory/Center", *lines[1:], ""])
    (file,) = ingest_billing([write("cur.csv", text)]).as_json()["files"]
    assert (file["rows_kept"], file["billed_cost"]) == (2, {"USD": "3"})


def test_short_rows_under_a_header_that_is_not_proven_are_quarantined(lake, bills, write):
    lines = bills.cur_text({}, {}).splitlines()
    header = lines[0].replace("lineItem/CurrencyCode", "lineItem/Currency,Code", 1)
    (file,) = ingest_billing([write("cur.csv", "\n".join([header, *lines[1:], ""]))]).as_json()["files"]
    assert (file["rows_kept"], file["rows_quarantined"]) == (0, 2)


def test_report_2_0_in_parquet(lake, bills, tmp_path):
    row = {
        "bill_billing_entity": "AWS",
        "bill_billing_period_start_date": pa.scalar(1_777_593_600_000, pa.timestamp("ms")),  # 2026-05-01
        "bill_payer_account_id": "111122223333",
        "line_item_usage_account_id": "444455556666",
        "line_item_line_item_type": "Usage",
        "line_item_usage_start_date": pa.scalar(1_777_680_000_000, pa.timestamp("ms")),  # 2026-05-02
        "line_item_usage_end_date": pa.scalar(1_777_683_600_000, pa.timestamp("ms")),
        "line_item_product_code": "AmazonBedrock",
        "line_item_usage_type": "USE1-Claude4.5Sonnet-input-tokens",
        # A double that a cast to decimal would turn into 12345.678900999999193088.
        "line_item_unblended_cost": 12345.678901,
        "line_item_usage_amount": 1e-07,
        "line_item_currency_code": "USD",
        "line_item_iam_principal": "arn:aws:iam::1:role/search",
        "product": pa.scalar([("product_name", "Claude (Amazon Bedrock Edition)"), ("region", "eu-west-1")], TEXT_MAP),
        "resource_tags": pa.scalar([("user_team", "search"), ("user_empty", "")], TEXT_MAP),
        "tags": pa.scalar([("iamPrincipal/cost", "c1")], TEXT_MAP),
    }
    path = tmp_path / "cur.parquet"
    pq.write_table(pa.table({name: pa.array([value]) for name, value in row.items()}), path)
    ingest_billing([str(path)])
    (charge,) = bills.charges()
    assert charge["billed_cost"] == D("12345.678901")
    assert charge["pricing_quantity"] == D("0.0000001")
    assert (charge["service_name"], charge["region_id"]) == ("Claude (Amazon Bedrock Edition)", "eu-west-1")
    assert json.loads(charge["tags"]) == {"user:team": "search", "iamPrincipal/cost": "c1"}
    assert charge["x_principal"] == "arn:aws:iam::1:role/search"
    assert charge["day"].isoformat() == "2026-05-02"


TEXT_MAP = pa.map_(pa.string(), pa.string())


def test_report_2_0_in_csv_has_its_maps_as_json(lake, bills, write):
    header = bills.cur_text({}).replace("resourceTags/user:team", "resource_tags").splitlines()
    header[1] = header[1].removesuffix("search") + '"{""user_team"":""search""}"'
    ingest_billing([write("cur.csv", "\n".join(header) + "\n")])
    assert json.loads(bills.charges()[0]["tags"]) == {"user:team": "search"}


@pytest.mark.parametrize(
    ("key", "owners"), [("user_team", "user:team"), ("aws_created_by", "aws:created_by"), ("team", "team")]
)
def test_tag_keys(key, owners):
    assert tag_key(key) == owners
