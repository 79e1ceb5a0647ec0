"""One case a SQL model of the attribution: input rows, and the rows that come out, worked out by hand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from attribution.lake.engine import DuckDBEngine
from tests.attribution.attribution.tables import DAY, TYPES, charge, charges, shown, table, usage, used, with_nulls

SEP, NONE = "\x1f", "\x1e"
NO_USES = dict.fromkeys(
    (
        "use_tags",
        "use_sub_account_name",
        "use_resource_id",
        "use_resource_name",
        "use_publisher_name",
        "use_invoice_issuer_name",
    ),
    False,
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="300MB", threads=1, temp_directory=tmp_path) as running:
        yield running


DAYS = table("day:day epoch:int", (DAY, 0), (date(2026, 5, 5), 1))


def test_charge_days_sums_equal_lines_and_keeps_what_is_known_apart(engine: DuckDBEngine) -> None:
    billed = charges(
        charge(cost="1", tags='{"team":"a"}'),
        charge(cost="2", tags='{"team":"b"}'),
        charge(cost="4", list_cost=None),
        charge(cost="8", day=date(2026, 5, 5)),
        charge(cost="16", provider="gcp"),
    )
    found = engine.run(
        "marts/charge_days", params={**NO_USES, "provider": "aws"}, inputs={"charges": billed, "days": DAYS}
    )
    # Known: 31 = all four costs and the quantity; 27 without the list cost. Nobody looks at tags: two lines, one row.
    assert shown(found, "day", "epoch", "known", "billed_cost", "list_cost", "pricing_quantity", "lines", "tags") == [
        (DAY, 0, 27, "4", None, "100", 1, None),
        (DAY, 0, 31, "3", "3", "200", 2, None),
        (date(2026, 5, 5), 1, 31, "8", "8", "100", 1, None),
    ]


def charge_days(engine: DuckDBEngine, *rows: dict[str, Any], **uses: bool) -> pa.Table:
    return engine.run(
        "marts/charge_days",
        params={**NO_USES, **uses, "provider": "aws"},
        inputs={"charges": charges(*rows), "days": DAYS},
    )


def test_charge_meters_are_distinct(engine: DuckDBEngine) -> None:
    days = charge_days(engine, charge("m"), charge("m", tags="{}", billing_currency="EUR"), charge("n"))
    found = engine.run("marts/charge_meters", inputs={"charge_days": days})
    assert shown(found, "provider", "sku_meter", "pricing_unit") == [("aws", "m", "Tokens"), ("aws", "n", "Tokens")]


def test_charge_evidence_is_distinct_a_set_and_an_epoch(engine: DuckDBEngine) -> None:
    later = date(2026, 5, 5)
    rows = [charge(tags="{}"), charge(tags="{}", billing_currency="EUR"), charge(tags="{}", day=later)]
    found = engine.run("marts/charge_evidence", inputs={"charge_days": charge_days(engine, *rows, use_tags=True)})
    assert shown(found, "epoch", "tags", "billing_account_id") == [(0, "{}", "payer"), (1, "{}", "payer")]


def test_charge_cells_route_lines_and_name_their_cell(engine: DuckDBEngine) -> None:
    days = charge_days(
        engine, charge("m", cost="3"), charge("m", cost="4", tags="t"), charge("n", cost="5"), use_tags=True
    )
    meters = engine.run("marts/charge_meters", inputs={"charge_days": days})
    known = [
        ("inference", True, "opus", "output", Decimal(1000)) if name == "m" else ("other", True, None, None, None)
        for name in meters["sku_meter"].to_pylist()
    ]
    for place, (name, kind) in enumerate(
        {
            "charge_scope": "text",
            "understood": "bool",
            "model": "text",
            "token_type": "text",
            "tokens_per_unit": "money",
        }.items()
    ):
        meters = meters.append_column(name, pa.array([row[place] for row in known], TYPES[kind]))
    for name in ("publisher", "tier", "context_band", "routing", "hardware"):
        meters = meters.append_column(name, pa.nulls(meters.num_rows, pa.string()))
    evidence = engine.run("marts/charge_evidence", inputs={"charge_days": days})
    tagged = [tags == "t" for tags in evidence["tags"].to_pylist()]
    for name, value in (("team", "a"), ("owner_kind", "proof"), ("owner_rules", "tag:t")):
        evidence = evidence.append_column(
            name, pa.array([value if is_tagged else None for is_tagged in tagged], pa.string())
        )
    for name in ("project", "environment", "pool"):
        evidence = evidence.append_column(name, pa.nulls(evidence.num_rows, pa.string()))
    evidence = evidence.append_column("is_platform", pa.array([False] * evidence.num_rows))
    found = engine.run(
        "marts/charge_cells",
        inputs={
            "charge_days": days,
            "meters": meters,
            "evidence": evidence,
            "pools": table("pool"),
            "closed": table("billing_account_id billing_period", ("payer", "2026-05")),
        },
    )
    assert shown(found, "route", "team", "billed_cost", "tokens", "lines", "state") == [
        ("direct", "a", "4", 100_000, 2, "final"),
        ("tokens", None, "3", 100_000, 2, "final"),
        ("unattributed", None, "5", None, 1, "final"),
    ]
    assert len(set(found["cell_id"].to_pylist())) == 2


USES = {"use_endpoint": False, "use_service": False, "use_principal": False, "provider": "aws"}


def usage_days(engine: DuckDBEngine, *rows: dict[str, Any], **uses: bool) -> pa.Table:
    return engine.run("marts/usage_days", params={**USES, **uses}, inputs={"usage_hourly": usage(*rows), "days": DAYS})


def test_usage_hourly_counts_requests_by_the_utc_hour_and_series(engine: DuckDBEngine) -> None:
    # One microsecond before and at two o'clock; a request without usage; a failed one.
    start = datetime(2026, 5, 4, 1, 59, 59, 999_999, tzinfo=UTC)
    at_two = datetime(2026, 5, 4, 2, tzinfo=UTC)
    requests = table(
        "completed_at:time series_id:int requests:int input_uncached:int output:int estimated_cost:money error:bool",
        (start, 1, 1, 10, 5, "0.5", False),
        (start, 1, 3, None, 7, "0.25", False),
        (at_two, 1, 1, None, None, None, True),
        (at_two, 2, 1, 1, 1, None, False),
    )
    requests = with_nulls(requests, "int", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
    series = table("series_id:int team price_status", (1, "a", "priced"), (2, "b", "unpriced"), day=DAY)
    facts = "provider endpoint billing_account_id sub_account_id region routing tier context_band model publisher pool"
    rest = "project environment api_key principal service price_version"
    series = with_nulls(series, "text", *facts.split(), *rest.split())
    found = engine.run(
        "marts/usage_hourly", params={"source": "gateway"}, inputs={"requests": requests, "series": series}
    )
    columns = ("hour", "team", "requests", "requests_without_usage", "errors", "output", "estimated_cost")
    assert shown(found, *columns, "unpriced_requests", "input_uncached") == [
        (start.replace(minute=0, second=0, microsecond=0), "a", 4, 0, 0, 12, "0.75", 0, 10),
        (at_two, "a", 1, 1, 1, None, None, 0, None),
        (at_two, "b", 1, 0, 0, 1, None, 1, 1),
    ]
    assert found["day"].to_pylist() == [DAY] * 3


def test_usage_days_sums_hours_and_hides_what_nobody_looks_at(engine: DuckDBEngine) -> None:
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    found = usage_days(
        engine,
        used("a", 1, endpoint="x", estimated_cost=Decimal("0.5")),
        used("a", 2, endpoint="y", hour=noon, estimated_cost=Decimal("0.25")),
        used("a", None, principal="p", requests_without_usage=1),
        used("a", 9, provider="gcp"),
    )
    assert shown(
        found, "key_or_principal", "endpoint", "output", "requests", "requests_without_usage", "estimated_cost"
    ) == [
        (None, None, 3, 2, 0, "0.75"),
        ("p", None, None, 1, 1, None),
    ]


def test_usage_evidence_is_distinct(engine: DuckDBEngine) -> None:
    days = usage_days(engine, used("a", 1, api_key="k1"), used("a", 1, api_key="k2"), used("b", 1))
    found = engine.run("marts/usage_evidence", params={"use_api_key": False}, inputs={"usage_days": days})
    assert shown(found, "epoch", "team", "api_key") == [(0, "a", None), (0, "b", None)]


def test_usage_by_owner_takes_the_owner_and_the_bound_account(engine: DuckDBEngine) -> None:
    days = usage_days(engine, used("a", 1), used("A", 2), used(None, 4, billing_account_id="own"))
    evidence = engine.run("marts/usage_evidence", params={"use_api_key": False}, inputs={"usage_days": days})
    owner = [None if team is None else "a" for team in evidence["team"].to_pylist()]
    for name, values in (
        ("owner_team", owner),
        ("owner_project", [None] * 3),
        ("owner_environment", [None] * 3),
        ("bound_account_id", ["bound"] * 3),
        ("bound_sub_account_id", [None] * 3),
    ):
        evidence = evidence.append_column(name, pa.array(values, pa.string()))
    found = engine.run(
        "marts/usage_by_owner", params={"use_api_key": False}, inputs={"usage_days": days, "evidence": evidence}
    )
    # What the event itself says of its account wins over the binding.
    assert shown(found, "team", "owned", "billing_account_id", "output") == [
        (None, False, "own", 4),
        ("a", True, "bound", 3),
    ]


def by_owner(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of usage_by_owner: (team, pool, region, output, cache_read)."""
    made = table("team pool region output:int cache_read:int", *rows, provider="aws", day=DAY, model="opus", requests=1)
    made = with_nulls(
        made, "text", "project", "environment", "api_key", "billing_account_id", "sub_account_id", "publisher"
    )
    made = with_nulls(with_nulls(made, "text", "routing", "tier", "context_band"), "money", "estimated_cost")
    for name in (
        "input_uncached",
        "cache_write_5m",
        "cache_write_1h",
        "reasoning",
        "requests_without_usage",
        "unpriced_requests",
    ):
        made = made.append_column(name, pa.array([0] * made.num_rows, pa.int64()))
    owned = [team is not None for team in made["team"].to_pylist()]
    return made.append_column("owned", pa.array(owned))


def test_usage_owned_folds_capacity_pools_in(engine: DuckDBEngine) -> None:
    counted = by_owner(("a", None, "r", 1, 0), ("a", "fleet", "r", 2, 0))
    found = engine.run("marts/usage_owned", inputs={"usage_by_owner": counted})
    assert shown(found, "team", "region", "output", "requests") == [("a", "r", 3, 2)]


CELL = "route model token_type region billing_account_id team project tokens:int"


def cells(*rows: tuple[Any, ...]) -> pa.Table:
    made = table(CELL, *rows, provider="aws", day=DAY, currency="USD")
    for name in ("sub_account_id", "context_band", "routing", "tier", "pool"):
        made = made.append_column(name, pa.nulls(made.num_rows, pa.string()))
    return made


def test_pool_fields_drop_what_one_side_does_not_know(engine: DuckDBEngine) -> None:
    billed = cells(
        ("tokens", "opus", "output", "r", "payer", None, None, 10),
        ("tokens", "opus", "cache_read", "r", "payer", None, None, 10),
        ("unattributed", "opus", "output", None, None, None, None, None),
    )
    counted = by_owner(("a", None, None, 5, 0), ("a", None, "r", 0, 5), ("a", "fleet", None, 0, 5))
    found = engine.run("marts/pool_fields", inputs={"cells": billed, "usage": counted})
    nobody = " sub_account context_band routing tier"
    assert shown(found, "token_type", "no_region", "no_account", "dropped") == [
        ("cache_read", False, True, f"{nobody} account"),
        ("output", True, True, f"{nobody} region account"),
    ]


FIELDS = table(
    "no_region:bool no_account:bool",
    (False, True),
    provider="aws",
    model="opus",
    token_type="output",
    day=DAY,
    no_sub_account=True,
    no_context_band=True,
    no_routing=True,
    no_tier=True,
    dropped=" account",
)
POOL = SEP.join(("tokens", str(DAY), "aws", "opus", "output", "", "", "", "", "r", ""))


def test_pooled_cells_name_the_weights_that_split_them(engine: DuckDBEngine) -> None:
    billed = cells(
        ("tokens", "opus", "output", "r", "payer", None, None, 10),
        ("direct", "opus", "output", "r", "payer", "a", None, 10),
        ("capacity", "opus", "capacity", "r", "payer", None, None, None),
        ("platform", None, None, None, "payer", None, None, None),
        ("unattributed", None, None, None, "payer", None, None, None),
    )
    found = engine.run("marts/pooled_cells", inputs={"cells": billed, "fields": FIELDS})
    assert shown(found, "route", "weight_set") == [
        ("capacity", SEP.join(("model", str(DAY), "opus", "r"))),
        ("direct", POOL),
        ("platform", SEP.join(("platform", str(DAY), "USD"))),
        ("tokens", POOL),
        ("unattributed", None),
    ]


def test_metered_pools_sum_tokens_by_owner(engine: DuckDBEngine) -> None:
    counted = by_owner(
        ("a", None, "r", 5, 7),
        ("a", None, "r", 6, 0),
        (None, None, "r", 1, 0),
        ("b", None, "r", 0, 0),
        ("c", "fleet", "r", 9, 0),
    )
    found = engine.run("marts/metered_pools", inputs={"usage": counted, "fields": FIELDS})
    assert shown(found, "weight_set", "team", "owner_key", "owned", "tokens", "requests") == [
        (POOL, None, SEP.join((NONE,) * 4), False, 1, 1),
        (POOL, "a", SEP.join(("a", NONE, NONE, NONE)), True, 11, 2),
    ]


def metered(*rows: tuple[Any, ...]) -> pa.Table:
    made = table("weight_set team project tokens:int", *rows, environment=None, api_key=None, dropped="", requests=1)
    teams, projects = made["team"].to_pylist(), made["project"].to_pylist()
    keys = [
        SEP.join((team or NONE, project or NONE, NONE, NONE)) for team, project in zip(teams, projects, strict=True)
    ]
    owned = [team is not None for team in teams]
    return made.append_column("owner_key", pa.array(keys)).append_column("owned", pa.array(owned))


def test_token_weights_take_off_what_is_proven_and_judge_the_rest(engine: DuckDBEngine) -> None:
    billed = table(
        "weight_set route team project tokens:int",
        ("close", "tokens", None, None, 100),
        ("short", "tokens", None, None, 100),
        ("over", "tokens", None, None, 100),
        ("mixed", "tokens", None, None, 60),
        ("mixed", "direct", "a", "x", 50),
        ("direct only", "direct", "a", None, 50),
    )
    counted = metered(
        ("close", "a", None, 99),
        ("short", "a", None, 40),
        ("short", None, None, 20),
        ("over", "a", None, 300),
        # 50 proven for a/x: its 30, and 20 of the 40 that a has left (a/y: 20 of 40 stay). b keeps 40: 60 in all.
        ("mixed", "a", "x", 30),
        ("mixed", "a", "y", 40),
        ("mixed", "b", None, 40),
        ("direct only", "a", None, 50),
        ("no such bill", "a", None, 5),
    )
    found = engine.run(
        "marts/token_weights", params={"tolerance_ppm": 10_000}, inputs={"cells": billed, "metered": counted}
    )
    assert shown(found, "weight_set", "team", "project", "method", "reason", "weight") == [
        ("close", "a", None, "token_share", None, 99),
        ("mixed", "a", "y", "token_share", None, 20),
        ("mixed", "b", None, "token_share", None, 40),
        ("over", "a", None, "over_metered", None, 300),
        ("short", None, None, "unattributed", "unmetered", 40),
        ("short", None, None, "unattributed", "unowned", 20),
        ("short", "a", None, "token_share", None, 40),
    ]


WEIGHTS = {"prompt_weight": 10, "cached_weight": 1, "output_weight": 40, "version": "v"}


def test_capacity_weights_weigh_tokens_by_kind(engine: DuckDBEngine) -> None:
    billed = table("weight_set route", (SEP.join(("pool", str(DAY), "fleet")), "capacity"))
    counted = by_owner(("a", "fleet", "r", 2, 5), (None, "fleet", "r", 1, 0), ("b", "other", "r", 9, 9))
    found = engine.run("marts/capacity_weights", params=WEIGHTS, inputs={"cells": billed, "usage": counted})
    # a: 2 * 40 + 5 * 1; the nameless: 40.
    assert shown(found, "team", "method", "reason", "weight", "metered_tokens", "model") == [
        (None, "unattributed", "unowned", 40, 1, "opus"),
        ("a", "capacity_share", None, 85, 7, "opus"),
    ]


def test_platform_weights_are_the_days_spend_or_else_the_months(engine: DuckDBEngine) -> None:
    later = date(2026, 5, 5)
    parts = table(
        "day:day team method charge_scope effective_cost:money",
        (DAY, "a", "token_share", "inference", "2"),
        (DAY, "b", "direct", "inference", "0.5"),
        (DAY, None, "unattributed", "inference", "9"),
        (DAY, "a", "direct", "platform", "9"),
        (DAY, "c", "direct", "inference", "-1"),
        currency="USD",
        project=None,
        environment=None,
    )
    billed = table("day:day weight_set", (DAY, "d4"), (later, "d5"), currency="USD", route="platform")
    found = engine.run("marts/platform_weights", inputs={"cells": billed, "parts": parts})
    assert shown(found, "weight_set", "team", "method", "weight") == [
        ("d4", "a", "platform_share", 2_000_000),
        ("d4", "b", "platform_share", 500_000),
        ("d5", "a", "platform_share", 2_000_000),
        ("d5", "b", "platform_share", 500_000),
    ]


LEDGER_CELL = (
    "cell_id weight_set route team reason tokens:int billed_cost:money effective_cost:money list_cost:money"
    " contracted_cost:money billed_quantity:money"
)


def ledger_cells(*rows: tuple[Any, ...]) -> pa.Table:
    made = table(LEDGER_CELL, *rows, day=DAY, lines=1, currency="USD", charge_scope="inference", state="billed")
    made = with_nulls(
        made, "text", "scope", "provider", "billing_account_id", "sub_account_id", "billing_period", "region"
    )
    made = with_nulls(made, "text", "invoice_id", "routing", "service", "model", "publisher", "token_type", "tier")
    made = with_nulls(made, "text", "context_band", "hardware", "charge_category", "charge_class", "project")
    made = with_nulls(made, "text", "environment", "api_key", "billed_unit", "owner_rules")
    return with_nulls(made, "time", "charge_period_start", "charge_period_end")


def weights(*rows: tuple[Any, ...]) -> pa.Table:
    return table(
        "weight_set team owner_key weight:int metered_tokens:int",
        *rows,
        model=None,
        publisher=None,
        project=None,
        environment=None,
        api_key=None,
        method="token_share",
        reason=None,
        method_version="v",
        requests=1,
    )


def test_ledger_splits_every_amount_by_one_set_of_weights_and_mirrors_negatives(engine: DuckDBEngine) -> None:
    billed = ledger_cells(
        ("1", "w", "tokens", None, "bypass", 30, "0.000000000000000010", "-0.00000000000000001", None, "7", "30"),
        ("2", "w", "tokens", None, "bypass", 10, "4", "4", "4", "4", "10"),
        ("3", "none", "tokens", None, "bypass", 5, "9", "9", "9", "9", "5"),
        ("4", None, "direct", "z", None, 5, "8", "8", "8", "8", "5"),
        ("5", "p", "platform", None, None, None, "8", "8", "8", "8", "5"),
    )
    by = weights(("w", "a", "a", 1, 100), ("w", "b", "b", 2, 201))
    found = engine.run("marts/ledger", params={"platform": False}, inputs={"cells": billed, "weights": by})
    # 10 units over 1 : 2: floor(10/3) = 3 and 7. Telemetry over 30 and 10 tokens: 100 is 75 and 25; 201 is 150 and 51.
    columns = (
        "cell_id",
        "team",
        "method",
        "reason",
        "billed_cost",
        "effective_cost",
        "list_cost",
        "contracted_cost",
        "metered_tokens",
    )
    assert shown(found, *columns) == [
        ("1", "a", "token_share", None, f"0.{'3':0>18}", f"-0.{'3':0>18}", None, "2.333333333333333333", 75),
        ("1", "b", "token_share", None, f"0.{'7':0>18}", f"-0.{'7':0>18}", None, "4.666666666666666667", 150),
        ("2", "a", "token_share", None, *["1.333333333333333333"] * 4, 25),
        ("2", "b", "token_share", None, *["2.666666666666666667"] * 4, 51),
        ("3", None, "unattributed", "bypass", "9", "9", "9", "9", None),
        ("4", "z", "direct", None, "8", "8", "8", "8", 5),
    ]
    platform = engine.run("marts/ledger", params={"platform": True}, inputs={"cells": billed, "weights": by})
    assert shown(platform, "cell_id", "method", "reason") == [("5", "unattributed", "shared_unassigned")]


LEDGER = "cell_id team method reason billed_cost:money effective_cost:money metered_tokens:int"


def ledger(*rows: tuple[Any, ...]) -> pa.Table:
    made = table(
        LEDGER, *rows, scope="s", billing_account_id="payer", billing_period="2026-05", day=DAY, currency="USD"
    )
    made = with_nulls(made, "text", "provider", "sub_account_id", "invoice_id", "region", "service", "charge_scope")
    made = with_nulls(made, "text", "charge_category", "charge_class", "model", "publisher", "token_type", "tier")
    made = with_nulls(made, "text", "project", "environment", "api_key", "state")
    return with_nulls(made, "money", "list_cost", "contracted_cost", "billed_quantity")


SHARED, OWNED = ("1", None, "unattributed", "idle", "2", None, None), ("1", "a", "token_share", None, "3", None, 5)


def test_rollup_sums_parts_and_counts_what_is_unknown(engine: DuckDBEngine) -> None:
    rows = ledger(SHARED, OWNED, ("2", "a", "token_share", None, "4", "1", 6))
    found = engine.run("marts/rollup_daily", inputs={"ledger": rows})
    columns = (
        "team",
        "reason",
        "billed_cost",
        "effective_cost",
        "billed_unknown",
        "effective_unknown",
        "metered_tokens",
        "parts",
    )
    assert shown(found, *columns) == [(None, "idle", "2", None, 0, 1, None, 1), ("a", None, "7", "1", 0, 1, 11, 2)]


def test_reconcile_sums_by_reason(engine: DuckDBEngine) -> None:
    found = engine.run("marts/reconcile", inputs={"ledger": ledger(SHARED, SHARED, OWNED)})
    assert shown(found, "billing_account_id", "reason", "billed_cost") == [("payer", None, "3"), ("payer", "idle", "4")]


def test_usage_providers_are_distinct(engine: DuckDBEngine) -> None:
    counted = usage(used("a", 1), used("b", 1), used("a", 1, provider="gcp"), used("a", 1, provider=None))
    assert shown(engine.run("marts/usage_providers", inputs={"usage_hourly": counted}), "provider") == [
        ("aws",),
        ("gcp",),
    ]


def test_watermark_is_the_newest_day_with_usage(engine: DuckDBEngine) -> None:
    billed = charges(
        charge(),
        charge(day=date(2026, 5, 31)),
        charge(billing_account_id="two"),
        charge(billing_account_id="two", day=date(2026, 5, 9), charge_category="Tax"),
    )
    found = engine.run("marts/watermark", params={"provider": "aws"}, inputs={"charges": billed})
    assert shown(found, "billing_account_id", "newest_day", "ends_period") == [
        ("payer", date(2026, 5, 31), True),
        ("two", DAY, False),
    ]


# Audits: what is right gives no row, what is wrong gives its own.


def test_audit_ledger_grain_finds_a_part_that_stands_twice(engine: DuckDBEngine) -> None:
    assert not engine.run("audits/ledger_grain", inputs={"ledger": ledger(SHARED, OWNED)}).num_rows
    found = engine.run("audits/ledger_grain", inputs={"ledger": ledger(SHARED, OWNED, OWNED)})
    assert shown(found, "cell_id", "team", "rows_found") == [("1", "a", 2)]


@pytest.mark.parametrize(
    "wrong",
    [
        ("1", "a", "guessed", None, "1", None, None),
        ("1", None, "unattributed", None, "1", None, None),
        ("1", None, "unattributed", "lost", "1", None, None),
        ("1", "a", "unattributed", "idle", "1", None, None),
        ("1", "a", "direct", "idle", "1", None, None),
        ("1", None, "direct", None, "1", None, None),
        ("1", "a", "token_share", None, "1", None, -1),
    ],
)
def test_audit_ledger_words_finds_what_the_closed_lists_do_not_allow(
    engine: DuckDBEngine, wrong: tuple[Any, ...]
) -> None:
    assert not engine.run("audits/ledger_words", inputs={"ledger": ledger(SHARED, OWNED)}).num_rows
    assert engine.run("audits/ledger_words", inputs={"ledger": ledger(SHARED, wrong)}).num_rows == 1


def test_audit_ledger_cells_finds_a_wrong_sum_and_a_half_known_cost(engine: DuckDBEngine) -> None:
    whole = ledger_cells(("1", None, "tokens", None, None, 1, "5", None, None, None, None))
    for rows, wrong in (((SHARED, OWNED), 0), ((SHARED,), 1), ((SHARED, (*OWNED[:5], "0", 5)), 1)):
        found = engine.run("audits/ledger_cells", inputs={"cells": whole, "ledger": ledger(*rows)})
        assert found.num_rows == wrong


def test_audit_ledger_sums_compares_with_the_charges_themselves(engine: DuckDBEngine) -> None:
    unknown = dict.fromkeys(("effective_cost", "list_cost", "contracted_cost", "pricing_quantity"))
    billed = charges(charge(cost="5", scope="s", service_name=None, charge_category=None, **unknown))
    for rows, wrong in (((SHARED, OWNED), 0), ((SHARED,), 1)):
        found = engine.run(
            "audits/ledger_sums", params={"provider": "aws"}, inputs={"charges": billed, "ledger": ledger(*rows)}
        )
        assert shown(found, "charge_billed", "ledger_billed") == [("5", "2")] * wrong


def test_audit_rollup_sums_finds_a_rollup_of_other_parts(engine: DuckDBEngine) -> None:
    rows = ledger(SHARED, OWNED)
    rollup = engine.run("marts/rollup_daily", inputs={"ledger": rows})
    assert not engine.run("audits/rollup_sums", inputs={"ledger": rows, "rollup": rollup}).num_rows
    found = engine.run("audits/rollup_sums", inputs={"ledger": ledger(SHARED), "rollup": rollup})
    assert shown(found, "ledger_parts", "rollup_parts") == [(None, 1)]


def test_audit_usage_kept_finds_lost_tokens(engine: DuckDBEngine) -> None:
    hours = usage(used("a", 3), used("b", 4), used("b", 9, provider="gcp"))
    for output, wrong in ((7, 0), (6, 1)):
        owned = table("output:int", (output,), day=DAY, requests=2)
        owned = with_nulls(owned, "int", "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h")
        owned = with_nulls(owned, "money", "estimated_cost")
        found = engine.run(
            "audits/usage_kept", params={"provider": "aws"}, inputs={"usage_hourly": hours, "usage_owned": owned}
        )
        assert found.num_rows == wrong
