"""Small tables of two datasets, and keys for them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from attribution.lake.catalogue import PartitionKey
from attribution.lake.schemas import CHARGES
from attribution.vocabulary import Dataset


@pytest.fixture
def charges():
    """A table of charges from billed costs, every other column the same or unknown."""

    def make(*costs: str, day: date = date(2026, 5, 1)) -> pa.Table:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        known = {"day": day, "charge_period_start": start, "scope": "aws/cur", "billing_account_id": "111"}
        rows = [{**known, "billed_cost": Decimal(cost)} for cost in costs]
        return pa.Table.from_pylist(rows, schema=CHARGES)

    return make


@pytest.fixture
def key():
    """The key of one day's charges."""

    def make(day: int = 1, *, scope: str = "aws/cur", dataset: Dataset = Dataset.CHARGES) -> PartitionKey:
        return PartitionKey(dataset, scope, "111", "2026-05", date(2026, 5, day), "aws")

    return make
