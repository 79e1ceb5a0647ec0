"""The two sides of an Azure bill become one: laws on random pairs, and cases that decide what a disagreement means."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.lake.engine import DuckDBEngine
from attribution.lake.schemas import CHARGES

Row = dict[str, Any]
START, END = datetime(2026, 5, 3, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
ZERO = Decimal(0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="500MB", threads=1, temp_directory=Path(tmp_path_factory.mktemp("engine"))) as made:
        yield made


def line(meter: str, **columns: Any) -> Row:
    row = dict.fromkeys(CHARGES.names)
    return row | {
        "provider": "azure",
        "billing_account_id": "88",
        "billing_period": "2026-05",
        "charge_period_start": START,
        "charge_period_end": END,
        "day": date(2026, 5, 3),
        "billing_currency": "USD",
        "charge_category": "Usage",
        "x_native_type": "Usage",
        "sku_meter": meter,
        "pricing_quantity": Decimal(1),
        **columns,
    }


def plain(meter: str, cost: str, **columns: Any) -> Row:
    """A line without a commitment, as either side has it."""
    return line(meter, billed_cost=Decimal(cost), effective_cost=Decimal(cost), **columns)


def covered(meter: str, *, billed: str | None = None, effective: str | None = None, **columns: Any) -> Row:
    costs = {"billed_cost": billed and Decimal(billed), "effective_cost": effective and Decimal(effective)}
    commitment = {"commitment_discount_id": "r-1", "commitment_discount_type": "Reservation"}
    return line(meter, **costs, **commitment, **{"commitment_discount_status": "Used", **columns})


def bought(cost: str) -> Row:
    return covered("purchase", billed=cost, charge_category="Purchase", x_native_type="Purchase")


def unused(cost: str) -> Row:
    return covered("unused", effective=cost, x_native_type="UnusedReservation", commitment_discount_status="Unused")


def merged(engine: DuckDBEngine, actual: list[Row] | None, amortized: list[Row] | None) -> list[Row]:
    """None: that side of the period was never delivered."""
    table = engine.run(
        "staging/merge_azure",
        params={"has_actual": actual is not None, "has_amortized": amortized is not None},
        inputs={
            "actual": pa.Table.from_pylist(actual or [], schema=CHARGES),
            "amortized": pa.Table.from_pylist(amortized or [], schema=CHARGES),
        },
    )
    rows: list[Row] = table.select(CHARGES.names).cast(CHARGES).to_pylist()
    return sorted(rows, key=lambda row: (row["sku_meter"], str(row["billed_cost"]), str(row["effective_cost"])))


def costs(rows: list[Row]) -> list[tuple[str, str | None, str | None]]:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else format(value.normalize(), "f")

    return [(row["sku_meter"], text(row["billed_cost"]), text(row["effective_cost"])) for row in rows]


def total(rows: list[Row], column: str) -> Decimal:
    return sum((row[column] for row in rows if row[column] is not None), ZERO)


def test_a_commitment_is_billed_where_it_is_bought_and_effective_where_it_is_used(engine: DuckDBEngine) -> None:
    actual = [plain("disk", "5"), covered("vm", billed="0"), bought("300")]
    amortized = [plain("disk", "5"), covered("vm", effective="7.5"), unused("2.5")]
    assert costs(merged(engine, actual, amortized)) == [
        ("disk", "5", "5"),
        ("purchase", "300", "0"),
        ("unused", "0", "2.5"),
        ("vm", "0", "7.5"),
    ]


def test_the_actual_side_alone_knows_no_effective_cost_of_a_commitment(engine: DuckDBEngine) -> None:
    actual = [plain("disk", "5"), covered("vm", billed="0"), bought("300")]
    assert costs(merged(engine, actual, None)) == [("disk", "5", "5"), ("purchase", "300", None), ("vm", "0", None)]


def test_the_amortized_side_alone_knows_no_billed_cost_of_a_commitment(engine: DuckDBEngine) -> None:
    amortized = [plain("disk", "5"), covered("vm", effective="7.5"), unused("2.5")]
    expected = [("disk", "5", "5"), ("unused", None, "2.5"), ("vm", None, "7.5")]
    assert costs(merged(engine, None, amortized)) == expected


def test_identical_lines_are_matched_as_often_as_they_stand(engine: DuckDBEngine) -> None:
    disk = plain("disk", "5")
    assert costs(merged(engine, [disk, disk], [disk, disk])) == [("disk", "5", "5")] * 2
    # The amortised side has one of two: the second is known by the actual side only, and nothing amortises it.
    assert costs(merged(engine, [disk, disk], [disk])) == [("disk", "5", "5")] * 2
    assert costs(merged(engine, [disk], [disk, disk])) == [("disk", "5", "5"), ("disk", None, "5")]


def test_a_line_with_two_amounts_never_counts_twice(engine: DuckDBEngine) -> None:
    """The amortised export ran an hour later: the same line grew. Each side keeps its own figure, on its own basis."""
    rows = merged(engine, [plain("tokens", "5")], [plain("tokens", "6", pricing_quantity=Decimal(2))])
    assert costs(rows) == [("tokens", "5", None), ("tokens", None, "6")]


def test_a_line_of_one_side_stays(engine: DuckDBEngine) -> None:
    rows = merged(engine, [plain("early", "1")], [plain("late", "2")])
    assert costs(rows) == [("early", "1", "1"), ("late", None, "2")]


def test_covered_usage_that_one_side_lacks_stays(engine: DuckDBEngine) -> None:
    rows = merged(engine, [covered("a", billed="0")], [covered("b", effective="3")])
    assert costs(rows) == [("a", "0", None), ("b", "0", "3")]


def test_a_day_without_lines_on_a_delivered_side_is_known_to_be_empty(engine: DuckDBEngine) -> None:
    assert costs(merged(engine, [], [covered("vm", effective="3"), plain("x", "1")])) == [
        ("vm", "0", "3"),
        ("x", None, "1"),
    ]


METERS = st.sampled_from(["disk", "vm", "tokens", "egress"])
AMOUNTS = st.decimals(min_value=-50, max_value=50, places=18).map(str)
PLAIN = st.builds(plain, METERS, AMOUNTS)
SHARED = st.lists(PLAIN, max_size=6)
ACTUAL_ONLY = st.lists(st.one_of(PLAIN, AMOUNTS.map(bought)), max_size=4)
AMORTIZED_ONLY = st.lists(st.one_of(PLAIN, AMOUNTS.map(unused)), max_size=4)
COVERED = st.lists(st.tuples(METERS, AMOUNTS), max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=SHARED, only_actual=ACTUAL_ONLY, only_amortized=AMORTIZED_ONLY, used=COVERED)
def test_billed_is_the_actual_side_and_effective_the_amortized_side(
    engine: DuckDBEngine,
    shared: list[Row],
    only_actual: list[Row],
    only_amortized: list[Row],
    used: list[tuple[str, str]],
) -> None:
    actual = [*shared, *only_actual, *(covered(meter, billed="0") for meter, _ in used)]
    amortized = [*shared, *only_amortized, *(covered(meter, effective=cost) for meter, cost in used)]
    rows = merged(engine, actual, amortized)
    assert total(rows, "billed_cost") == total(actual, "billed_cost")
    # What the actual side has alone, and in no other form on the amortised side, is effective at its cost.
    left = list(amortized)
    alone = []
    for row in actual:
        if row in left:
            left.remove(row)
        elif row["commitment_discount_type"] is None:
            alone.append(row)
    disputed = {row["sku_meter"] for row in left if row["commitment_discount_type"] is None}
    undisputed = [row for row in alone if row["sku_meter"] not in disputed]
    assert total(rows, "effective_cost") == total(amortized, "effective_cost") + total(undisputed, "effective_cost")
    assert total(rows, "pricing_quantity") >= max(
        total(actual, "pricing_quantity"), total(amortized, "pricing_quantity")
    )


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=SHARED, used=COVERED, data=st.data())
def test_the_order_of_lines_says_nothing(
    engine: DuckDBEngine, shared: list[Row], used: list[tuple[str, str]], data: st.DataObject
) -> None:
    actual = [*shared, bought("9"), *(covered(meter, billed="0") for meter, _ in used)]
    amortized = [*shared, unused("1"), *(covered(meter, effective=cost) for meter, cost in used)]
    shuffled = (data.draw(st.permutations(actual)), data.draw(st.permutations(amortized)))
    assert merged(engine, *shuffled) == merged(engine, actual, amortized)
