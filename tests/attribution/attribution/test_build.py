"""What attribution makes of bill lines and usage, worked out by hand; every case runs the audits too."""

from datetime import date
from pathlib import Path

import pytest

from attribution.ledger import BoundEndpoint, BrokenLaw, audit
from attribution.ownership import Membership, Rule, RuleBook
from tests.attribution.attribution.tables import (
    DAY,
    RULES,
    attribute,
    charge,
    charges,
    engine,
    shown,
    unit,
    usage,
    used,
)

PARTS = ("team", "method", "reason", "billed_cost", "billed_quantity", "metered_tokens")


def test_it_shares_a_cell_by_tokens(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge(cost="10")), usage(used("a", 25), used("b", 75)))
    assert shown(built.ledger, *PARTS) == [
        ("a", "token_share", None, "2.5", "25", 25),
        ("b", "token_share", None, "7.5", "75", 75),
    ]


def test_a_line_that_proves_its_owner_is_direct_and_its_tokens_are_taken_off_that_teams_share(tmp_path: Path) -> None:
    # Team a used 60 tokens, 40 of them on a line tagged as its own: of the other line's 60, a used 20 and b used 40.
    billed = charges(
        charge(cost="4", pricing_quantity="40", tags='{"team":"a"}'), charge(cost="6", pricing_quantity="60")
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 60), used("b", 40)))
    assert shown(built.ledger, *PARTS) == [
        ("a", "direct", None, "4", "40", 40),
        ("a", "token_share", None, "2", "20", 20),
        ("b", "token_share", None, "4", "40", 40),
    ]
    # Both lines are one cell, and each part says so.
    assert len(set(built.ledger["cell_id"].to_pylist())) == 1
    assert set(built.ledger["lines"].to_pylist()) == {2}


def test_proven_tokens_come_off_the_same_project_before_the_rest_of_the_team(tmp_path: Path) -> None:
    # The tagged 30 + 10 tokens are a/x's 30 (all it used) and 10 more of team a's 50 that are left: a/y keeps 40.
    billed = charges(
        charge(pricing_quantity="40", tags='{"project":"x","team":"a"}'), charge(cost="9", pricing_quantity="90")
    )
    counted = usage(used("a", 30, project="x"), used("a", 50, project="y"), used("b", 50))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    assert shown(built.ledger, "team", "project", "method", "billed_cost", "metered_tokens") == [
        ("a", "x", "direct", "1", 40),
        ("a", "y", "token_share", "4", 40),
        ("b", None, "token_share", "5", 50),
    ]


def test_a_bill_above_the_telemetry_leaves_the_rest_unmetered(tmp_path: Path) -> None:
    # 100 billed, 80 counted: 80 at the billed rate of 0.1 are attributed.
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge(cost="10")), usage(used("a", 60), used("b", 20)))
    assert shown(built.ledger, *PARTS) == [
        (None, "unattributed", "unmetered", "2", "20", None),
        ("a", "token_share", None, "6", "60", 60),
        ("b", "token_share", None, "2", "20", 20),
    ]


def test_telemetry_above_the_bill_is_shared_pro_rata_and_flagged(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge(cost="10")), usage(used("a", 150), used("b", 50)))
    assert shown(built.ledger, *PARTS) == [
        ("a", "over_metered", None, "7.5", "75", 150),
        ("b", "over_metered", None, "2.5", "25", 50),
    ]


@pytest.mark.parametrize(
    ("billed", "method"),
    [("10100", "token_share"), ("10102", "unmetered"), ("9901", "token_share"), ("9900", "over_metered")],
)
def test_the_tolerance_is_one_percent_of_the_billed_tokens(tmp_path: Path, billed: str, method: str) -> None:
    # 10,000 counted. 1 % of 10,100 is 101 >= 100; of 10,102 it is 101.02 < 102; of 9,901 99.01 >= 99; of 9,900 99 <
    # 100.
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge(pricing_quantity=billed)), usage(used("a", 10_000)))
    assert method in {word for row in built.ledger.to_pylist() for word in (row["method"], row["reason"])}
    assert len(built.ledger) == (2 if method == "unmetered" else 1)


def test_no_telemetry_is_bypass_and_telemetry_without_an_owner_is_unowned(tmp_path: Path) -> None:
    billed = charges(charge(cost="10"), charge("haiku|output", cost="3"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 90), used(None, 10)))
    assert shown(built.ledger, "model", *PARTS) == [
        ("haiku", None, "unattributed", "bypass", "3", "100", None),
        ("opus", None, "unattributed", "unowned", "1", "10", 10),
        ("opus", "a", "token_share", None, "9", "90", 90),
    ]


def test_zero_tokens_of_a_type_are_no_telemetry(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge("opus|cache_read")), usage(used("a", 90, cache_read=0)))
    assert shown(built.ledger, "method", "reason") == [("unattributed", "bypass")]


def test_all_telemetry_on_tagged_lines_leaves_the_other_lines_unmetered(tmp_path: Path) -> None:
    billed = charges(charge(cost="5", tags='{"team":"a"}'), charge(cost="7"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 100)))
    assert shown(built.ledger, *PARTS[:4]) == [
        (None, "unattributed", "unmetered", "7"),
        ("a", "direct", None, "5"),
    ]


def test_a_cost_that_is_unknown_stays_unknown_in_every_part(tmp_path: Path) -> None:
    billed = charges(charge(cost="10", list_cost=None), charge(cost="2", list_cost="4"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 50), used("b", 150)))
    assert shown(built.ledger, "team", "billed_cost", "list_cost", "metered_tokens") == [
        ("a", "0.5", "1", 25),
        ("a", "2.5", None, 25),
        ("b", "1.5", "3", 75),
        ("b", "7.5", None, 75),
    ]


def test_a_correction_of_another_period_gets_the_pools_shares_and_adds_no_tokens(tmp_path: Path) -> None:
    late = charge(cost="-0.50", pricing_quantity=None, billing_period="2026-06", charge_class="Correction")
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge(cost="10"), late), usage(used("a", 40), used("b", 60)))
    assert shown(built.ledger, "billing_period", "team", "method", "billed_cost", "metered_tokens") == [
        ("2026-05", "a", "token_share", "4", 40),
        ("2026-05", "b", "token_share", "6", 60),
        ("2026-06", "a", "token_share", "-0.2", 0),
        ("2026-06", "b", "token_share", "-0.3", 0),
    ]


def test_odd_units_fall_by_the_order_of_owners_and_negatives_mirror_them(tmp_path: Path) -> None:
    # One unit of 1e-18 over weights 1, 1, 1: floor(1/3), floor(2/3), floor(3/3) = 0, 0, 1. The refund is its mirror.
    tiny = "0.000000000000000001"
    billed = charges(
        charge(cost=tiny, pricing_quantity="3"),
        charge(cost=f"-{tiny}", pricing_quantity="0", charge_class="Correction"),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 1), used("b", 1), used("c", 1)))
    assert shown(built.ledger, "charge_class", "team", "billed_cost") == [
        (None, "a", "0"),
        (None, "b", "0"),
        (None, "c", tiny),
        ("Correction", "a", "0"),
        ("Correction", "b", "0"),
        ("Correction", "c", f"-{tiny}"),
    ]


def test_two_currencies_stay_apart(tmp_path: Path) -> None:
    billed = charges(
        charge(cost="10", pricing_quantity="50"), charge(cost="8", pricing_quantity="50", billing_currency="EUR")
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 50), used("b", 50)))
    assert shown(built.ledger, "currency", "team", "billed_cost", "metered_tokens") == [
        ("EUR", "a", "4", 25),
        ("EUR", "b", "4", 25),
        ("USD", "a", "5", 25),
        ("USD", "b", "5", 25),
    ]


def test_fields_that_both_sides_know_keep_pools_apart(tmp_path: Path) -> None:
    billed = charges(charge(cost="10", region_id="us-east-1"), charge(cost="30", region_id="eu-west-1"))
    counted = usage(used("a", 100, region="us-east-1"), used("b", 100, region="eu-west-1"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    assert shown(built.ledger, "region", "team", "billed_cost") == [("eu-west-1", "b", "30"), ("us-east-1", "a", "10")]


def test_a_field_that_one_side_does_not_know_is_dropped_for_that_group_and_named(tmp_path: Path) -> None:
    billed = charges(
        charge(cost="10", region_id="us-east-1", sub_account_id="1"),
        charge(cost="30", region_id="eu-west-1", sub_account_id="1"),
        charge("opus|input_uncached", cost="1", region_id="us-east-1", sub_account_id="1"),
    )
    counted = usage(
        used("a", 100, region="us-east-1", sub_account_id="1", input_uncached=100),
        used("b", 100, sub_account_id="1"),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    assert shown(built.ledger, "token_type", "region", "team", "billed_cost") == [
        ("input_uncached", "us-east-1", "a", "1"),
        ("output", "eu-west-1", "a", "15"),
        ("output", "eu-west-1", "b", "15"),
        ("output", "us-east-1", "a", "5"),
        ("output", "us-east-1", "b", "5"),
    ]
    versions = dict(
        zip(built.ledger["token_type"].to_pylist(), built.ledger["method_version"].to_pylist(), strict=True)
    )
    assert versions["output"].endswith("without context_band routing tier region account")
    assert versions["input_uncached"].endswith("without context_band routing tier account")


def test_a_binding_says_which_account_an_endpoint_bills_to(tmp_path: Path) -> None:
    billed = charges(charge(cost="10", billing_account_id="one"), charge(cost="20", billing_account_id="two"))
    counted = usage(used("a", 100, endpoint="gpt-one"), used("b", 100, endpoint="gpt-two"))
    bindings = (BoundEndpoint("gpt-one", "one"), BoundEndpoint("gpt-two", "two"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(bindings=bindings), billed, counted)
    assert shown(built.ledger, "billing_account_id", "team", "billed_cost") == [("one", "a", "10"), ("two", "b", "20")]
    assert shown(built.usage_owned, "billing_account_id", "team") == [("one", "a"), ("two", "b")]


def test_a_binding_holds_only_in_its_time(tmp_path: Path) -> None:
    first, second = date(2026, 5, 3), date(2026, 5, 4)
    billed = charges(charge(day=first, billing_account_id="one"), charge(day=second, billing_account_id="two"))
    counted = usage(used("a", 100, day=first, endpoint="e"), used("a", 100, day=second, endpoint="e"))
    bindings = (BoundEndpoint("e", "one", valid_to=second), BoundEndpoint("e", "two", valid_from=second))
    with engine(tmp_path) as running:
        built = attribute(running, unit(bindings=bindings), billed, counted)
    assert shown(built.ledger, "billing_account_id", "method") == [("one", "token_share"), ("two", "token_share")]


def test_lines_that_nobody_metered_say_why(tmp_path: Path) -> None:
    billed = charges(
        charge("s3", cost="1"),
        charge("odd", cost="2"),
        charge("gpu", cost="3"),
        charge("opus|output", cost="4", commitment_discount_status="Unused"),
        charge("opus|output", cost="5", charge_category="Tax"),
        charge("opus|output", cost="-6", charge_category="Credit"),
        charge("opus|other", cost="7"),
        charge("net", cost="8"),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage())
    assert shown(built.ledger, "billed_cost", "charge_scope", "reason") == [
        ("-6", "inference", "shared_unassigned"),
        ("1", "other", "other_scope"),
        ("2", "inference", "not_understood"),
        ("3", "inference", "idle"),
        ("4", "inference", "commitment_unused"),
        ("5", "inference", "shared_unassigned"),
        ("7", "inference", "bypass"),
        ("8", "platform", "shared_unassigned"),
    ]


def test_a_tag_proves_the_owner_of_any_line_but_one_of_another_scope(tmp_path: Path) -> None:
    tags = '{"team":"a"}'
    billed = charges(
        charge("s3", cost="1", tags=tags),
        charge("odd", cost="2", tags=tags),
        charge("gpu", cost="3", tags=tags),
        charge("opus|output", cost="4", charge_category="Tax", tags=tags),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage())
    assert shown(built.ledger, "billed_cost", "team", "method") == [
        ("1", None, "unattributed"),
        ("2", "a", "direct"),
        ("3", "a", "direct"),
        ("4", "a", "direct"),
    ]


def test_capacity_is_shared_by_the_weighted_tokens_of_its_pool(tmp_path: Path) -> None:
    # a: 100 prompt tokens weigh 1,000; b: 50 cached and 25 output weigh 50 + 1,000: 1000 / 2050 and 1050 / 2050 of 41.
    billed = charges(charge("gpu", cost="41", resource_name="fleet"))
    counted = usage(
        used("a", 0, pool="fleet", input_uncached=100), used("b", 25, pool="fleet", cache_read=50, input_uncached=0)
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    assert shown(built.ledger, "team", "method", "billed_cost", "metered_tokens") == [
        ("a", "capacity_share", "20", 100),
        ("b", "capacity_share", "21", 75),
    ]
    assert built.ledger["method_version"][0].as_py() == "capacity-1(in=1,cached=0.1,out=4)"


def test_a_pools_parts_carry_the_model_that_they_served(tmp_path: Path) -> None:
    # 10 output tokens of opus for a, 20 of haiku for a, 30 of opus for b: a sixth, a third and a half of 6.
    counted = usage(
        used("a", 10, pool="fleet"), used("a", 20, pool="fleet", model="haiku"), used("b", 30, pool="fleet")
    )
    idle = charge("gpu", cost="2", day=date(2026, 5, 5), resource_name="fleet")
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge("gpu", cost="6", resource_name="fleet"), idle), counted)
    assert shown(built.ledger, "team", "model", "reason", "billed_cost") == [
        (None, None, "idle", "2"),
        ("a", "haiku", None, "2"),
        ("a", "opus", None, "1"),
        ("b", "opus", None, "3"),
    ]


def test_a_pools_line_that_names_a_model_keeps_it(tmp_path: Path) -> None:
    counted = usage(used("a", 10, pool="fleet"), used("a", 20, pool="fleet", model="haiku"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge("ptu|opus", cost="6", resource_name="fleet")), counted)
    assert shown(built.ledger, "team", "model", "billed_cost") == [("a", "opus", "6")]


def test_a_pool_without_requests_on_a_day_is_idle_that_day(tmp_path: Path) -> None:
    billed = charges(
        charge("gpu", cost="1", tags='{"pool":"fleet"}'),
        charge("gpu", cost="2", day=date(2026, 5, 5), tags='{"pool":"fleet"}'),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 10, pool="fleet")))
    assert shown(built.ledger, "day", "team", "reason") == [(DAY, "a", None), (date(2026, 5, 5), None, "idle")]


def test_capacity_of_a_model_meets_the_telemetry_of_its_region(tmp_path: Path) -> None:
    billed = charges(charge("ptu|opus", cost="6", region_id="us-east-1"))
    counted = usage(used("a", 10, region="us-east-1"), used("b", 20, region="us-east-1"), used("c", 5, region="eu"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    assert shown(built.ledger, "team", "method", "billed_cost") == [
        ("a", "capacity_share", "2"),
        ("b", "capacity_share", "4"),
    ]


def test_a_pool_that_no_telemetry_names_is_no_pool(tmp_path: Path) -> None:
    billed = charges(charge("ptu|opus", cost="6", region_id="r", tags='{"pool":"unheard"}'))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 10, region="r"), used("b", 9, pool="fleet")))
    assert shown(built.ledger, "team", "method") == [("a", "capacity_share")]


def test_telemetry_of_a_self_hosted_pool_does_not_claim_token_priced_lines(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        built = attribute(running, unit(), charges(charge()), usage(used("a", 100), used("b", 900, pool="fleet")))
    assert shown(built.ledger, "team", "method") == [("a", "token_share")]


def test_platform_lines_follow_the_days_attributed_inference(tmp_path: Path) -> None:
    # 4 May: a spent 3 and b spent 1 of what is attributed (the bypass line counts for nobody). 5 May has no inference:
    # the month's.
    later = date(2026, 5, 5)
    billed = charges(
        charge(cost="4"), charge("haiku|output", cost="90"), charge("net", cost="8"), charge("net", cost="4", day=later)
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 75), used("b", 25)))
    platform = built.ledger.filter([scope == "platform" for scope in built.ledger["charge_scope"].to_pylist()])
    assert shown(platform, "day", "team", "method", "billed_cost") == [
        (DAY, "a", "platform_share", "6"),
        (DAY, "b", "platform_share", "2"),
        (later, "a", "platform_share", "3"),
        (later, "b", "platform_share", "1"),
    ]


def test_the_largest_amounts_of_the_lake_are_shared_without_overflow(tmp_path: Path) -> None:
    # A refund of 10^19 weighs nothing, a spend of 10^19 as much as 10^12 does: all of the platform line is a's.
    most = "10000000000000000000"
    billed = charges(
        charge(cost=most, tags='{"team":"a"}'),
        charge(cost=f"-{most}", tags='{"team":"b"}'),
        charge("net", cost=f"-{most}"),
    )
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage())
    assert shown(built.ledger, "team", "method", "billed_cost") == [
        ("a", "direct", most),
        ("a", "platform_share", f"-{most}"),
        ("b", "direct", f"-{most}"),
    ]


def test_a_platform_rule_makes_a_line_platform_and_a_manual_rule_names_its_owner(tmp_path: Path) -> None:
    rules = RuleBook(
        (
            *RULES.rules,
            Rule(10, "platform", "sku_meter", "equals", "s3"),
            Rule(11, "manual", "sku_meter", "prefix", "net", team="ops"),
        )
    )
    billed = charges(charge(cost="4"), charge("s3", cost="8"), charge("net", cost="2"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(rules), billed, usage(used("a", 100)))
    assert shown(built.ledger, "charge_scope", "team", "method", "billed_cost") == [
        ("inference", "a", "token_share", "4"),
        ("platform", "a", "platform_share", "8"),
        ("platform", "ops", "manual", "2"),
    ]


def test_a_rule_holds_from_its_day_on(tmp_path: Path) -> None:
    moved = date(2026, 5, 10)
    rules = RuleBook(
        (
            Rule(1, "proof", "sub_account_id", "equals", "77", team="old", valid_to=moved),
            Rule(2, "proof", "sub_account_id", "equals", "77", team="new", valid_from=moved),
        )
    )
    billed = charges(*(charge(sub_account_id="77", day=date(2026, 5, day)) for day in (9, 10)))
    with engine(tmp_path) as running:
        built = attribute(running, unit(rules), billed, usage())
    assert shown(built.ledger, "day", "team") == [(date(2026, 5, 9), "old"), (date(2026, 5, 10), "new")]


def test_a_project_takes_the_team_it_is_placed_in(tmp_path: Path) -> None:
    rules = RuleBook((Rule(1, "proof", "tag:project", "value", takes="project"),), (Membership("chat", "care"),))
    with engine(tmp_path) as running:
        built = attribute(running, unit(rules), charges(charge(tags='{"project":"Chat"}')), usage())
    assert shown(built.ledger, "team", "project", "method") == [("care", "chat", "direct")]


def test_a_closed_period_is_final(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        built = attribute(running, unit(closed=frozenset({("payer", "2026-05")})), charges(charge()), usage())
    assert built.ledger["state"].to_pylist() == ["final"]


def test_rows_of_another_provider_are_not_this_units_business(tmp_path: Path) -> None:
    billed = charges(charge(), charge(provider="azure"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 100), used("b", 100, provider="azure")))
    assert shown(built.ledger, "provider", "team", "billed_cost") == [("aws", "a", "1")]


def test_units_of_a_thousand_and_a_million_tokens_never_add_up(tmp_path: Path) -> None:
    billed = charges(charge(pricing_quantity="5"), charge(pricing_quantity="5", pricing_unit="1K tokens"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage(used("a", 10)))
    assert shown(built.ledger, "billed_unit", "billed_quantity", "metered_tokens") == [
        ("1K tokens", "5", 5),
        ("Tokens", "5", 5),
    ]


def test_big_weights_split_exactly(tmp_path: Path) -> None:
    # Above 3,037,000,499 tokens the remainders need 128 bits.
    billed = charges(charge(cost="99999999.999999999999999999", pricing_quantity="7000000000001"))
    counted = usage(used("a", 3_333_333_333_333), used("b", 3_666_666_666_668))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, counted)
    # floor(99999999999999999999999999 * 3333333333333 / 7000000000001) = 47619047619036054421768708
    assert shown(built.ledger, "team", "billed_cost") == [
        ("a", "47619047.619036054421768708"),
        ("b", "52380952.380963945578231291"),
    ]


def test_a_broken_law_stops_with_a_clear_message(tmp_path: Path) -> None:
    billed = charges(charge(cost="10"))
    with engine(tmp_path) as running:
        built = attribute(running, unit(), billed, usage())
        with pytest.raises(BrokenLaw, match=r"aws 2026-05: audits/ledger_sums found 1 rows .* nothing is published"):
            audit(running, unit(), built, charges=charges(charge(cost="10.01")), usage=usage())
