"""The snapshot as a value: one content, one digest; what is unsound is named with its fix; differences in words."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.desired import (
    Block,
    BlockReason,
    DesiredState,
    Quota,
    ResidencyRule,
    Route,
    Target,
    Tier,
    WeightedTarget,
    diff,
    from_plain,
    percent,
    problems,
    to_plain,
)

AWS = Target("aws", "aws", "eu-central-1", "https://aws.example", "eu", attributes=(("account", "1"),))
GCP = Target("gcp", "gcp", "us-central1", "http://10.0.0.1:8080", "us", spot=True)
REASON = BlockReason("Search", Decimal("40000.50"), Decimal(40000), datetime(2026, 12, 1, tzinfo=UTC), "spent")


def state(generation: int = 1, aws: int = 600_000, **more: Any) -> DesiredState:
    route = Route("gpt", (Tier.of({"aws": aws, "gcp": 1_000_000 - aws}),))
    return replace(DesiredState("edge", generation, (AWS, GCP), (route,)), **more)


NAMES = st.sampled_from(["a", "b", "team-1", "m/x:1"])
MAYBE = st.none() | NAMES
STATES = st.builds(
    DesiredState,
    orchestrator=st.just("edge"),
    generation=st.integers(1, 9),
    targets=st.permutations([AWS, GCP]).map(tuple),
    routes=st.lists(
        st.builds(
            Route,
            model=NAMES,
            tiers=st.lists(st.integers(1, 999_999), max_size=3).map(
                lambda each: tuple(Tier.of({"aws": ppm, "gcp": 1_000_000 - ppm}) for ppm in each)
            ),
            team=MAYBE,
            served_model=MAYBE,
        ),
        max_size=4,
        unique_by=lambda each: (each.model, each.team),
    ).map(tuple),
    blocks=st.lists(
        st.builds(Block, st.just(REASON), MAYBE, MAYBE), max_size=3, unique_by=lambda each: (each.team, each.model)
    ).map(tuple),
    quotas=st.lists(
        st.builds(Quota, MAYBE, MAYBE, MAYBE, st.none() | st.integers(1, 9), st.none() | st.integers(1, 9)),
        max_size=3,
        unique_by=lambda each: (each.team, each.key, each.model),
    ).map(tuple),
    residency_rules=st.lists(
        st.builds(ResidencyRule, st.frozensets(st.sampled_from(["eu", "us"])), MAYBE, MAYBE),
        max_size=3,
        unique_by=lambda each: (each.team, each.model),
    ).map(tuple),
)


@given(STATES)
def test_what_is_written_reads_back_and_order_never_matters(snapshot: DesiredState) -> None:
    read = from_plain(json.loads(json.dumps(to_plain(snapshot))), orchestrator="edge", generation=snapshot.generation)
    assert (read.canonical(), read.key()) == (snapshot.canonical(), snapshot.key())
    turned = replace(
        snapshot,
        targets=snapshot.targets[::-1],
        routes=snapshot.routes[::-1],
        blocks=snapshot.blocks[::-1],
        quotas=snapshot.quotas[::-1],
        residency_rules=snapshot.residency_rules[::-1],
    )
    assert turned.digest() == snapshot.digest()
    assert diff(snapshot, turned) == []


@given(STATES, STATES)
def test_equal_content_has_no_difference_and_no_difference_is_equal_content(a: DesiredState, b: DesiredState) -> None:
    assert (diff(a, b) == []) is (a.digest() == b.digest())


def test_the_generation_is_in_the_key_and_not_in_the_digest() -> None:
    one, two = state(1), state(2)
    assert one.digest() == two.digest()
    assert one.key() == f"edge:1:{one.digest()}"
    assert two.version() == f"2-{one.digest()[:12]}"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"generation": 0}, "starts at 1"),
        ({"targets": (AWS, GCP, AWS)}, "stands twice"),
        ({"targets": (replace(AWS, endpoint="ftp://x"), GCP)}, "no http(s) address"),
        ({"targets": (replace(AWS, endpoint="https://user:secret@x"), GCP)}, "without sign-in"),
        ({"targets": (replace(AWS, name="aws\n"), GCP)}, "can't be a name"),
        ({"routes": (Route("gpt", ()),)}, "has no tier"),
        ({"routes": (Route("gpt", (Tier(()),)),)}, "tier 1 is empty"),
        ({"routes": (Route("gpt", (Tier((WeightedTarget("aws", 0),)),)),)}, "tier 1 is empty"),
        ({"routes": (Route("gpt", (Tier.of({"aws": 999_999}),)),)}, "sum to 1000000"),
        ({"routes": (Route("gpt", (Tier.of({"azure": 1_000_000}),)),)}, "'azure' is not among the targets"),
        ({"routes": (Route("gpt", (Tier.of({"aws": 1_000_000}),) * 2),)}, "stands twice in this route"),
        ({"blocks": (Block(REASON, "a"), Block(REASON, "a"))}, "this block stands twice"),
        ({"quotas": (Quota("a"),)}, "limits nothing"),
        ({"quotas": (Quota("a", rpm=0),)}, "to refuse requests use a block"),
        ({"residency_rules": (ResidencyRule(frozenset({"eu"})),) * 2}, "this residency rule stands twice"),
        ({"residency_rules": (ResidencyRule(frozenset({"eu"})),)}, "gcp keeps data in us"),
        ({"residency_rules": (ResidencyRule(frozenset({"eu"}), team="a", model="gpt"),)}, "the rule for a allows eu"),
    ],
)
def test_what_is_unsound_is_named_with_its_fix(more: dict[str, Any], words: str) -> None:
    found = problems(state(**more))
    assert any(words in each.words for each in found), found


def test_a_rule_for_a_team_binds_the_team_s_own_route_only() -> None:
    own = Route("gpt", (Tier.of({"aws": 1_000_000}),), team="a")
    rule = ResidencyRule(frozenset({"eu"}), team="a")
    assert problems(state(routes=(*state().routes, own), residency_rules=(rule,))) == []
    failover = Route("gpt", (Tier.of({"aws": 1_000_000}), Tier.of({"gcp": 1_000_000})), team="a")
    (problem,) = problems(state(routes=(*state().routes, failover), residency_rules=(rule,)))
    assert problem.subject == "a/gpt"


def test_differences_are_sentences() -> None:
    own = Route("gpt", (Tier.of({"gcp": 1_000_000}),), team="a", served_model="gpt-small")
    after = state(2, 425_000, blocks=(Block(REASON, "search"),), quotas=(Quota("a", rpm=60, tpm=90_000),))
    after = replace(after, routes=(*after.routes, own))
    assert [each.words for each in diff(state(), after)] == [
        "block for search/every model comes: spent (Search: 40000.50 of 40000 USD, resets 2026-12-01T00:00:00+00:00)",
        "quota for a/every model comes: 60 requests and 90,000 tokens a minute",
        "route a/gpt comes: gcp 100 %, answered by gpt-small",
        "every team/gpt: aws from 60 % to 42.5 %",
        "every team/gpt: gcp from 40 % to 57.5 %",
    ]


def test_the_body_of_a_refusal_names_budget_spend_limit_and_reset() -> None:
    assert REASON.body()["error"] == {
        "type": "budget_exceeded",
        "code": "budget_exceeded",
        "message": "spent",
        "budget": "Search",
        "spend": "40000.50",
        "limit": "40000",
        "currency": "USD",
        "resets_at": "2026-12-01T00:00:00+00:00",
    }


@pytest.mark.parametrize(("ppm", "words"), [(0, "0 %"), (5_000, "0.5 %"), (182_500, "18.25 %"), (1_000_000, "100 %")])
def test_percent_is_exact(ppm: int, words: str) -> None:
    assert percent(ppm) == words
