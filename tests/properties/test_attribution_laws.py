"""Laws of the attribution on arbitrary bills and telemetry: nothing is lost, and SQL says what the pure definition
says."""

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.allocation import Metered, pool_shares, split_exactly
from attribution.lake.engine import DuckDBEngine
from attribution.ledger import Built, audit, build
from attribution.money import exact_sum, from_units
from tests.attribution.attribution.tables import charge, charges, recognize, unit, usage, used

BASES = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
slow = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with (
        tempfile.TemporaryDirectory() as folder,
        DuckDBEngine(memory_limit="500MB", threads=1, temp_directory=Path(folder)) as running,
    ):
        yield running


units = st.one_of(st.integers(-(10**24), 10**24), st.sampled_from([0, 1, -1, 10**37, -(10**37)]))
amounts = st.none() | units.map(from_units)
slugs = st.sampled_from([None, None, "a", "b", "c"])
places = st.sampled_from([None, "x", "y"])


@st.composite
def lines(draw: st.DrawFn) -> dict[str, Any]:
    meter = draw(
        st.sampled_from(["opus|output", "opus|output", "opus|input_uncached", "gpu", "ptu|opus", "net", "odd", "s3"])
    )
    team, project = draw(slugs), draw(slugs)
    tags = "{" + ",".join(f'"{key}":"{value}"' for key, value in (("project", project), ("team", team)) if value) + "}"
    quantity = draw(st.none() | st.integers(-100, 10**10))
    costs = {basis: draw(amounts) for basis in BASES}
    return charge(
        meter,
        None,
        tags=tags,
        billing_period=draw(st.sampled_from(["2026-05", "2026-06"])),
        billing_account_id=draw(st.sampled_from(["one", "two"])),
        sub_account_id=draw(places),
        region_id=draw(places),
        resource_name=draw(st.sampled_from([None, "fleet"])),
        billing_currency=draw(st.sampled_from(["USD", "USD", "EUR"])),
        charge_category=draw(st.sampled_from(["Usage", "Usage", "Usage", "Credit", "Tax"])),
        charge_class=draw(st.sampled_from([None, None, "Correction"])),
        commitment_discount_status=draw(st.sampled_from([None, None, None, "Unused"])),
        pricing_quantity=None if quantity is None else Decimal(quantity),
        **costs,
    )


@st.composite
def telemetry(draw: st.DrawFn) -> dict[str, Any]:
    tokens = st.none() | st.integers(0, 10**10)
    return used(
        draw(slugs),
        draw(tokens),
        project=draw(slugs),
        input_uncached=draw(tokens),
        billing_account_id=draw(st.sampled_from([None, "one", "two"])),
        region=draw(places),
        pool=draw(st.sampled_from([None, None, "fleet"])),
        api_key=draw(places),
    )


def made(engine: DuckDBEngine, billed: list[dict[str, Any]], counted: list[dict[str, Any]]) -> Built:
    of, lines_, hours = unit(), charges(*billed), usage(*counted)
    built = build(engine, of, charges=lines_, usage=hours, recognize=recognize)
    audit(engine, of, built, charges=lines_, usage=hours)
    return built


@slow
@given(st.lists(lines(), max_size=12), st.lists(telemetry(), max_size=8))
def test_attributed_and_unattributed_are_what_was_billed_on_every_basis(
    engine: DuckDBEngine, billed: list[dict[str, Any]], counted: list[dict[str, Any]]
) -> None:
    rows = made(engine, billed, counted).ledger.to_pylist()
    for currency in {line["billing_currency"] for line in billed}:
        for basis in BASES:
            bill = exact_sum(
                line[basis] for line in billed if line["billing_currency"] == currency and line[basis] is not None
            )
            parts = exact_sum(row[basis] for row in rows if row["currency"] == currency and row[basis] is not None)
            assert parts == bill
    # Telemetry is never counted twice: what the parts of token-priced cells say is at most what was metered.
    for bucket in ("output", "input_uncached"):
        shared = [row for row in rows if row["token_type"] == bucket and row["method"] not in ("direct", "manual")]
        assert sum(row["metered_tokens"] or 0 for row in shared) <= sum(hour[bucket] or 0 for hour in counted)


@slow
@given(st.lists(lines(), max_size=10), st.lists(telemetry(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_lines_and_hours_is_irrelevant(
    engine: DuckDBEngine, billed: list[dict[str, Any]], counted: list[dict[str, Any]], shuffle: random.Random
) -> None:
    first = made(engine, billed, counted)
    mixed, hours = list(billed), list(counted)
    shuffle.shuffle(mixed)
    shuffle.shuffle(hours)
    second = made(engine, mixed, hours)
    for name in ("ledger", "usage_owned", "rollup"):
        one, two = getattr(first, name), getattr(second, name)
        order = [(column, "ascending") for column in one.column_names]
        assert one.sort_by(order).equals(two.sort_by(order))


keys = st.sampled_from([None, "", "k"])


@st.composite
def one_pool(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines and usage of one pool: only output tokens of one model and day, tagged or not."""
    quantities = st.integers(-10, 5 * 10**9) | st.integers(1, 50)
    billed = []
    for _ in range(draw(st.integers(1, 4))):
        team, project = draw(slugs), draw(slugs)
        tags = (
            "{" + ",".join(f'"{key}":"{value}"' for key, value in (("project", project), ("team", team)) if value) + "}"
        )
        quantity = draw(st.none() | quantities)
        billed.append(
            charge(
                "opus|output",
                None,
                tags=tags,
                charge_class=draw(st.sampled_from([None, "Correction"])),
                pricing_quantity=None if quantity is None else Decimal(quantity),
                **{basis: draw(amounts) for basis in BASES},
            )
        )
    counted = [
        used(draw(slugs), draw(quantities.map(abs)), project=draw(slugs), environment=draw(keys), api_key=draw(keys))
        for _ in range(draw(st.integers(0, 6)))
    ]
    return billed, counted


@settings(max_examples=60, deadline=None)
@given(one_pool())
def test_sql_splits_as_the_pure_definition_does(
    engine: DuckDBEngine, pool: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    billed, counted = pool
    rows = made(engine, billed, counted).ledger.to_pylist()
    shared = [row for row in rows if row["method"] != "direct"]
    assert _parts_of(shared) == _expected_parts(billed, counted)


Part = tuple[Any, ...]


def _parts_of(rows: list[dict[str, Any]]) -> dict[Part, tuple[Any, ...]]:
    """(cell, owner, method, reason) -> the part's costs and quantity; a cell is its class and what it knows."""
    found = {}
    for row in rows:
        amounts_of = tuple(row[name] for name in (*BASES, "billed_quantity"))
        known = tuple(amount is not None for amount in amounts_of)
        owner = tuple(row[name] for name in ("team", "project", "environment", "api_key"))
        found[row["charge_class"], known, owner, row["method"], row["reason"]] = amounts_of
    return found


def _expected_parts(billed: list[dict[str, Any]], counted: list[dict[str, Any]]) -> dict[Part, tuple[Any, ...]]:
    proven: dict[tuple[str | None, str | None], int] = defaultdict(int)
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in billed:
        owner = _tagged(line["tags"])
        tokens = line["pricing_quantity"]
        if owner != (None, None):
            proven[owner] += int(tokens or 0)
        else:
            known = tuple(line[name] is not None for name in (*BASES, "pricing_quantity"))
            cells[line["charge_class"], known].append(line)
    quantities = [line["pricing_quantity"] for of_cell in cells.values() for line in of_cell]
    pooled = None if all(one is None for one in quantities) else int(sum(one for one in quantities if one is not None))
    tokens_of: dict[tuple[Any, ...], int] = defaultdict(int)
    for hour in counted:
        # An empty name is no name: rules don't match it. Keys are facts of the event and stay as they are.
        tokens_of[hour["team"], hour["project"], None, hour["api_key"]] += hour["output"]
    metered = [
        Metered(*owner, tokens, owner[0] is not None or owner[1] is not None) for owner, tokens in tokens_of.items()
    ]
    shares = pool_shares(pooled, metered, proven, tolerance_ppm=10_000)
    expected = {}
    for (charge_class, known), of_cell in cells.items():
        sums = [
            exact_sum(line[name] for line in of_cell) if is_known else None
            for name, is_known in zip((*BASES, "pricing_quantity"), known, strict=True)
        ]
        if not shares:
            expected[charge_class, known, (None,) * 4, "unattributed", "bypass"] = tuple(sums)
            continue
        by = [share.weight for share in shares]
        columns = [split_exactly(amount, by) if amount is not None else [None] * len(by) for amount in sums]
        for share, *parts in zip(shares, *columns, strict=True):
            one = share.owner
            owner = (one.team, one.project, one.environment, one.api_key) if one else (None,) * 4
            expected[charge_class, known, owner, share.method, share.reason] = tuple(parts)
    return expected


def _tagged(tags: str) -> tuple[str | None, str | None]:
    found = json.loads(tags)
    return found.get("team"), found.get("project")
