"""What a token cost: attributed and settled, exact, NULL where there is nothing to divide by."""

from datetime import date
from decimal import Decimal

import pytest

from attribution import selectors
from attribution.lake.serving import build_serving_file
from attribution.queries import Dimension, UnitCostQuery
from attribution.scope import EVERYTHING, TeamScope
from tests.attribution.serving_lake import publish_lake, rollup, usage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("lake_root")]

START, END = date(2026, 5, 1), date(2026, 6, 1)


def ask(*dimensions: Dimension, scope: TeamScope = EVERYTHING) -> dict[tuple[str | None, ...], selectors.UnitCostRow]:
    table = selectors.unit_costs(scope, UnitCostQuery(START, END, dimensions))
    return {row.group: row for row in table.rows}


def serve(*rows: dict[str, object], through: str = "2026-06-01") -> None:
    publish_lake(
        [row for row in rows if "owned" not in row],
        [row for row in rows if "owned" in row],
        billed_through={("aws", "111"): through},
    )
    build_serving_file()


def test_rates_by_hand() -> None:
    """2 M uncached input at $3 = $6, 4 M cached at $0.30 = $1.20, 1 M output at $15 = $15: $22.20 for 7 M tokens."""
    serve(
        rollup("2026-05-01", "6", team="ml", token_type="input_uncached", metered_tokens=2_000_000),
        rollup("2026-05-01", "1.2", team="ml", token_type="cache_read", metered_tokens=4_000_000),
        rollup("2026-05-01", "15", team="ml", token_type="output", metered_tokens=1_000_000),
    )

    row = ask(Dimension.TEAM)["ml",]

    assert row.micros_per_token["input_uncached"] == Decimal(3)
    assert row.micros_per_token["cache_read"] == Decimal("0.3")
    assert row.micros_per_token["output"] == Decimal(15)
    assert row.micros_per_token["cache_write_5m"] is None
    assert row.attributed_cost == Decimal("22.2")
    assert row.micros_per_output_token == Decimal("22.2")
    # 22.2 / 7 = 3.171428571428 571...
    assert row.per_million_tokens == Decimal("3.171428571429")
    assert row.tokens == {
        "input_uncached": 2_000_000,
        "cache_read": 4_000_000,
        "cache_write_5m": None,
        "cache_write_1h": None,
        "output": 1_000_000,
    }
    assert (row.all_tokens, row.output_tokens) == (7_000_000, 1_000_000)


@pytest.mark.parametrize("tokens", [0, None])
def test_no_tokens_no_rate(tokens: int | None) -> None:
    serve(rollup("2026-05-01", "6", team="ml", metered_tokens=tokens))

    row = ask(Dimension.TEAM)["ml",]

    assert row.attributed_cost == Decimal(6)
    assert row.micros_per_output_token is None
    assert row.per_million_tokens is None
    assert row.micros_per_token["output"] is None


def test_what_has_no_owner_or_is_not_settled_is_in_neither_side() -> None:
    serve(
        rollup("2026-05-01", "15", team="ml", metered_tokens=1_000_000),
        rollup("2026-05-01", "99", method="unattributed", reason="unmetered"),
        rollup("2026-05-20", "99", team="ml", metered_tokens=7),
        usage("2026-05-20", "ml", "99", output=7),
        through="2026-05-20",
    )

    row = ask()[()]

    assert (row.attributed_cost, row.output_tokens, row.micros_per_output_token) == (
        Decimal(15),
        1_000_000,
        Decimal(15),
    )


def test_capacity_brings_its_output_tokens_from_telemetry() -> None:
    """$60 of capacity served 3 M tokens; of the owner's telemetry there 1 in 3 is output: $60 per 1 M output tokens."""
    serve(
        rollup("2026-05-01", "60", team="ml", token_type="capacity", method="capacity_share", metered_tokens=3_000_000),
        usage("2026-05-01", "ml", None, input_uncached=2_000_000, output=1_000_000),
    )

    row = ask(Dimension.TEAM)["ml",]

    assert (row.output_tokens, row.all_tokens) == (1_000_000, 3_000_000)
    assert row.micros_per_output_token == Decimal(60)
    assert row.per_million_tokens == Decimal(20)


def test_a_reader_of_a_team_gets_rates_of_the_team_only() -> None:
    serve(
        rollup("2026-05-01", "15", team="ml", metered_tokens=1_000_000),
        rollup("2026-05-01", "5", team="sales", metered_tokens=1_000_000),
    )

    assert ask(scope=TeamScope(teams=frozenset({"ml"})))[()].micros_per_output_token == Decimal(15)
    assert ask()[()].micros_per_output_token == Decimal(10)


def test_rounding_is_half_even_at_the_named_scale() -> None:
    """1 / 3,000,000 dollars a token is 0.333... micro-dollars; the 13th place decides, a tie goes to the even digit."""
    assert selectors.per_million(Decimal(1), 3_000_000) == Decimal("0.333333333333")
    assert selectors.per_million(Decimal("0.0000000000005"), 1_000_000) == Decimal(0)
    assert selectors.per_million(Decimal("0.0000000000015"), 1_000_000) == Decimal("0.000000000002")
    # Neither many digits of money nor of tokens are lost before the rounding.
    assert selectors.per_million(Decimal("99999999999999999999.999999999999999999"), 10**18) == Decimal("100000000")
