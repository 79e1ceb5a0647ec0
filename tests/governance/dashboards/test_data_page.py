"""The Data page's parts from rows that can be added by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from attribution.selectors import ImportRow, ProviderFreshness, ReconciliationRow
from governance.dashboards import data_page, freshness

TODAY = date(2026, 11, 24)


def row(**changed: object) -> ReconciliationRow:
    values: dict[str, object] = {
        "provider": "aws",
        "billing_account_id": "111",
        "billing_period": "2026-10",
        "currency": "USD",
        "billed": Decimal("100.50"),
        "attributed": Decimal("60"),
        "unattributed": {"bypass": Decimal("0.50"), "other_scope": Decimal("40")},
        "difference": Decimal(0),
    }
    return ReconciliationRow(**(values | changed))  # type: ignore[arg-type]


def test_a_cell_adds_the_accounts_and_its_proof_names_each() -> None:
    rows = [row(), row(billing_account_id="222", billed=Decimal(10), attributed=Decimal(10), unattributed={})]
    (matrix,) = data_page.matrices(rows, chosen="aws:2026-10:USD", all_months=False, today=TODAY)
    cell = matrix.rows[0].cells[0]
    proof = data_page.proof(rows, "aws:2026-10:USD")

    assert cell is not None
    assert proof is not None
    assert (cell.billed.text, cell.difference, cell.is_chosen) == ("110.50", "0.00", True)
    assert matrix.rows[0].accounts == "2 accounts"
    # 100.50 + 10 - 40 outside inference = 70.50 of inference, 0.50 of it without an owner.
    assert matrix.outside[0][0].text == "40.00"
    assert (matrix.unattributed[0][0].text, matrix.unattributed[0][1]) == ("0.50", "0.71 %")
    assert [line.account for line in proof.rows] == ["111", "222"]
    assert (proof.billed.text, proof.attributed.text, proof.unattributed.text) == ("110.50", "70.00", "0.50")


def test_differences_of_two_accounts_do_not_cancel_out() -> None:
    rows = [row(difference=Decimal("0.01")), row(billing_account_id="222", difference=Decimal("-0.01"))]
    (matrix,) = data_page.matrices(rows, chosen="", all_months=False, today=TODAY)
    cell = matrix.rows[0].cells[0]

    assert cell is not None
    assert not cell.is_zero
    assert cell.difference == "0.02"
    assert data_page.summary(rows, []) == "0 sources. 2 of 2 account months do not reconcile."


def test_a_difference_in_the_last_digit_is_shown_in_full() -> None:
    proof = data_page.proof([row(difference=Decimal("0.000000000000000001"))], "aws:2026-10:USD")
    assert proof is not None
    assert (proof.difference, proof.is_zero) == ("0.000000000000000001", False)


def test_currencies_have_a_matrix_each() -> None:
    matrices = data_page.matrices([row(currency="EUR"), row()], chosen="", all_months=False, today=TODAY)
    assert [matrix.currency for matrix in matrices] == ["USD", "EUR"]


def test_six_months_are_shown_at_first_and_all_on_request() -> None:
    rows = [row(billing_period=f"2026-{month:02}") for month in range(1, 11)]
    (few,) = data_page.matrices(rows, chosen="", all_months=False, today=TODAY)
    (every,) = data_page.matrices(rows, chosen="", all_months=True, today=TODAY)

    assert (few.months[0], len(few.months), few.hidden_months) == (("May 2026", False), 6, 4)
    assert (len(every.months), every.hidden_months) == (10, 0)


def test_a_month_that_is_not_over_is_marked_open() -> None:
    rows = [row(), row(billing_period="2026-11")]
    (matrix,) = data_page.matrices(rows, chosen="", all_months=False, today=TODAY)
    assert matrix.months == (("Oct 2026", False), ("Nov 2026", True))


def test_the_proof_that_opens_first_is_the_one_that_departs() -> None:
    rows = [row(billing_period="2026-09", difference=Decimal(1)), row(), row(provider="gcp", billed=Decimal(900))]
    assert data_page.default_cell(rows) == "aws:2026-09:USD"
    assert data_page.default_cell(rows[1:]) == "gcp:2026-10:USD"
    assert data_page.default_cell([]) == ""
    assert data_page.proof(rows, "nothing") is None


def imported(path: str, delivery: int, **changed: object) -> ImportRow:
    values: dict[str, object] = {
        "id": 1,
        "delivery_id": delivery,
        "source": "gateway",
        "kind": "telemetry",
        "path": path,
        "format": "ndjson",
        "provider": "aws",
        "started_at": datetime(2026, 11, 24, 9, tzinfo=UTC),
        "finished_at": None,
        "status": "done",
        "changes": 7,
        "rows_read": 10,
        "rows_created": 0,
        "rows_kept": 9,
        "rows_quarantined": 1,
        "rows_dropped": 0,
        "duplicates": 0,
        "rounding_residue": "0",
        "error": "",
    }
    return ImportRow(**(values | changed))  # type: ignore[arg-type]


def test_files_of_one_delivery_are_one_line() -> None:
    lines = data_page.import_lines([imported("a", 2), imported("b", 2), imported("c", 1)], TODAY)

    assert [(line.detail, line.rows_read, line.rows_quarantined) for line in lines] == [
        ("2 files, ndjson", "20", 2),
        ("c, ndjson", "10", 1),
    ]
    assert lines[0].state_words == "Imported in part"
    assert lines[0].files == ("a: 10 read, 9 kept", "b: 10 read, 9 kept")


def test_a_live_source_that_delivers_every_minute_is_one_line() -> None:
    """09:02, 09:01 and 09:00 came in whole; the bill before them and the rows kept out before that stand alone."""
    at = datetime(2026, 11, 24, 9, tzinfo=UTC)
    live = [imported(f"{k}", k, rows_quarantined=0, started_at=at + timedelta(minutes=k - 5)) for k in (7, 6, 5)]
    bill = imported("bill", 4, kind="billing", source="aws", rows_quarantined=0)
    lines = data_page.import_lines([*live, bill, imported("c", 3), imported("d", 2, rows_quarantined=0)], TODAY)

    assert [(line.source, line.detail, line.rows_read, line.changes) for line in lines] == [
        ("gateway", "3 deliveries since 24 Nov 09:00", "30", "21"),
        ("aws", "bill, ndjson", "10", "7"),
        ("gateway", "c, ndjson", "10", "7"),
        ("gateway", "d, ndjson", "10", "7"),
    ]
    assert (lines[0].when, lines[0].files) == ("24 Nov 09:02", ())


@pytest.mark.parametrize("reason", ["input_tokens is negative", "not a decimal number", "something else entirely"])
def test_every_reason_has_a_fix(reason: str) -> None:
    assert data_page.fix_of(reason).endswith(".")


def provider(name: str, billed: date | None, telemetry: date | None) -> ProviderFreshness:
    return ProviderFreshness(name, billed, telemetry, Decimal("0.993"))


def test_freshness_says_what_is_late_in_words() -> None:
    lines = freshness.lines(
        [provider("aws", date(2026, 11, 23), date(2026, 11, 24)), provider("gcp", date(2026, 11, 10), None)], TODAY
    )
    assert lines[0].words == "billed to 22 Nov, estimated to 24 Nov, 99.3 % captured"
    assert not lines[0].is_late
    assert lines[1].words == "billed to 9 Nov, 14 days ago, 99.3 % captured"
    assert lines[1].is_late


def test_what_holds_for_all_providers_is_said_once() -> None:
    lines = freshness.lines(
        [provider("aws", date(2026, 11, 23), TODAY), provider("gcp", date(2026, 11, 22), TODAY)], TODAY
    )
    assert [line.words for line in lines] == [
        "billed to 22 Nov, 99.3 % captured",
        "billed to 21 Nov, 99.3 % captured",
        "All estimated from telemetry to 24 Nov",
    ]
    assert freshness.newest_day([provider("aws", date(2026, 11, 23), date(2026, 11, 20))]) == date(2026, 11, 22)
