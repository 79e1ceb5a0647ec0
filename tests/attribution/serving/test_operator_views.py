"""What the Data page reads: sources, imports, quarantine, freshness."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from attribution import selectors
from attribution.lake.serving import build_serving_file
from attribution.models import Delivery, ImportedFile, QuarantinedRow
from attribution.scope import EVERYTHING
from tests.attribution.serving_lake import publish_lake, rollup, usage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("lake_root")]

MONDAY = datetime(2026, 5, 4, 6, tzinfo=UTC)


def deliver(hours: int, status: str = "done", *, kept: int = 10, quarantined: int = 0) -> ImportedFile:
    at = MONDAY + timedelta(hours=hours)
    delivery = Delivery.objects.create(
        kind="billing",
        source="aws/payer",
        status=status,
        started_at=at,
        finished_at=at + timedelta(minutes=1),
        error="disk full" if status == "failed" else "",
    )
    return ImportedFile.objects.create(
        delivery=delivery,
        path=f"cur-{hours}.csv",
        sha256="0",
        format="aws-cur-2",
        provider="aws",
        rows_read=kept + quarantined,
        rows_kept=kept,
        rows_quarantined=quarantined,
    )


def test_a_source_shows_its_newest_state_and_its_last_success() -> None:
    deliver(0, quarantined=2)
    deliver(24, "failed", kept=0)

    (source,) = selectors.sources(EVERYTHING)

    assert (source.source, source.provider, source.status, source.error) == ("aws/payer", "aws", "failed", "disk full")
    assert source.last_success == MONDAY + timedelta(minutes=1)
    assert source.last_started == MONDAY + timedelta(hours=24)
    assert (source.deliveries, source.rows_kept, source.rows_quarantined) == (2, 10, 2)


def test_imports_come_newest_first() -> None:
    deliver(0)
    deliver(1)

    assert [one.path for one in selectors.imports(EVERYTHING)] == ["cur-1.csv", "cur-0.csv"]
    assert [one.path for one in selectors.imports(EVERYTHING, limit=1)] == ["cur-1.csv"]


def test_quarantine_says_which_row_of_which_file_and_why() -> None:
    file = deliver(0, quarantined=3)
    QuarantinedRow.objects.create(file=file, line=17, field="cost", value="NaN", reason="not a number", count=3)

    (row,) = selectors.quarantine(EVERYTHING)

    assert (row.path, row.line, row.field, row.value, row.reason, row.count) == (
        "cur-0.csv",
        17,
        "cost",
        "NaN",
        "not a number",
        3,
    )


def test_freshness_tells_how_far_the_bill_the_estimate_and_the_capture_reach() -> None:
    """Of 8 dollars of tokens, 2 had no telemetry: 75 % captured. Capacity and tax are no tokens."""
    publish_lake(
        [
            rollup("2026-05-01", "6", team="ml"),
            rollup("2026-05-02", "2", method="unattributed", reason="bypass"),
            rollup("2026-05-02", "50", token_type="capacity", method="unattributed", reason="idle"),
            rollup("2026-05-02", "9", token_type=None, charge_category="Tax"),
        ],
        [usage("2026-05-05", "ml", "1"), usage("2026-05-06", "ml", "1", provider="openai", billing_account_id=None)],
        billed_through={("aws", "111"): "2026-05-03", ("aws", "112"): "2026-05-02"},
    )
    build_serving_file()

    aws, openai = selectors.freshness(EVERYTHING)

    assert (aws.provider, aws.billed_through, aws.estimated_through) == ("aws", date(2026, 5, 2), date(2026, 5, 5))
    assert aws.captured_share == Decimal("0.75")
    assert (openai.provider, openai.billed_through, openai.estimated_through) == ("openai", None, date(2026, 5, 6))
    assert openai.captured_share is None
