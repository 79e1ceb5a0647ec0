"""What traffic proves, and what it doesn't."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from routing.desired import Block, BlockReason, DesiredState, Route, Target, Tier
from routing.drift import Verdict, judge_split
from routing.orchestrators.base import ObservedSplit, RouteSplit

SINCE = datetime(2026, 11, 1, 12, tzinfo=UTC)
TARGETS = tuple(Target(name, name, "r", f"https://{name}.example", "eu") for name in ("aws", "azure", "gcp"))


def state(*routes: Route, blocks: tuple[Block, ...] = ()) -> DesiredState:
    return DesiredState("edge", 1, TARGETS, routes, blocks)


def route(aws: int, team: str | None = None) -> Route:
    return Route("gpt", (Tier.of({"aws": aws, "gcp": 1_000_000 - aws}),), team)


def counted(*splits: RouteSplit, complete: bool = True) -> ObservedSplit:
    return ObservedSplit(SINCE, SINCE + timedelta(minutes=5), splits, complete)


def search(aws: int, gcp: int, **more: int) -> RouteSplit:
    return RouteSplit("gpt", "search", {"aws": aws, "gcp": gcp}, **more)


@pytest.mark.parametrize(
    ("exact", "aws", "gcp", "verdict"),
    [
        (True, 20, 80, Verdict.FOLLOWS),
        (True, 24, 76, Verdict.FOLLOWS),  # 4 points: one turn of a few workers
        (True, 30, 70, Verdict.DIVERGES),  # 10 points of 100 requests: more than 1 + 4
        (True, 5, 20, Verdict.UNPROVEN),  # 25 requests
        (False, 200, 800, Verdict.FOLLOWS),
        (False, 235, 765, Verdict.FOLLOWS),  # 1 + 3 x 1.26 points = 4.8
        (False, 260, 740, Verdict.UNPROVEN),  # between 4.8 and 1 + 5 x 1.26 = 7.3 points
        (False, 300, 700, Verdict.DIVERGES),
        (False, 12, 48, Verdict.FOLLOWS),  # 3 x 5.2 = 15.5 points are under half of the 40 that were moved
    ],
)
def test_a_move_from_60_to_20_percent(exact: bool, aws: int, gcp: int, verdict: Verdict) -> None:
    (finding,) = judge_split(state(route(200_000)), state(route(600_000)), counted(search(aws, gcp)), exact=exact)
    assert finding.verdict is verdict, finding.words


def test_a_small_move_needs_more_requests_than_a_large_one() -> None:
    before, after = state(route(230_000)), state(route(200_000))
    (few,) = judge_split(after, before, counted(search(20, 80)), exact=True)
    (many,) = judge_split(after, before, counted(search(200, 800)), exact=True)
    assert (few.verdict, many.verdict) == (Verdict.UNPROVEN, Verdict.FOLLOWS)
    assert many.words == "every team/gpt: gcp 80 % of 1,000, wanted 80 %"


def test_what_did_not_move_is_not_judged() -> None:
    same = state(route(200_000))
    assert judge_split(same, same, counted(search(500, 500)), exact=True) == []


def test_a_team_with_a_route_of_its_own_is_not_counted_for_all() -> None:
    wanted = state(route(200_000), route(1_000_000, "search"))
    found = judge_split(
        wanted, None, counted(search(100, 0), RouteSplit("gpt", "ads", {"aws": 20, "gcp": 80})), exact=True
    )
    assert {each.subject: (each.verdict, each.requests) for each in found} == {
        "every team/gpt": (Verdict.FOLLOWS, 100),
        "search/gpt": (Verdict.FOLLOWS, 100),
    }


def test_requests_at_a_target_that_has_no_weight_are_seen() -> None:
    split = counted(RouteSplit("gpt", "search", {"aws": 20, "gcp": 60, "azure": 20}))
    (finding,) = judge_split(state(route(200_000)), None, split, exact=True)
    assert finding.verdict is Verdict.DIVERGES


def test_a_log_that_does_not_reach_back_and_an_unhealthy_target_prove_nothing() -> None:
    after, before = state(route(200_000)), state(route(600_000))
    (cut,) = judge_split(after, before, counted(search(600, 400), complete=False), exact=True)
    (sick,) = judge_split(after, before, counted(search(0, 1000)), exact=True, ejected=["aws"])
    (was_sick,) = judge_split(after, before, counted(search(100, 900, retried=3)), exact=True)
    assert (cut.verdict, sick.verdict, was_sick.verdict) == (Verdict.UNPROVEN,) * 3


def test_a_block_is_proved_by_refusals_and_disproved_by_one_answer() -> None:
    reason = BlockReason("b", Decimal(1), Decimal(1), None, "spent")
    blocked, free = state(route(200_000), blocks=(Block(reason, "search"),)), state(route(200_000))
    assert [each.verdict for each in judge_split(blocked, free, counted(search(0, 0, refused=3)), exact=True)] == [
        Verdict.FOLLOWS
    ]
    assert judge_split(blocked, free, counted(search(1, 0, refused=99)), exact=True)[0].verdict is Verdict.DIVERGES
    assert judge_split(blocked, free, counted(), exact=True)[0].verdict is Verdict.UNPROVEN
    assert judge_split(free, blocked, counted(search(1, 4)), exact=True)[0].verdict is Verdict.FOLLOWS
    assert judge_split(free, blocked, counted(search(0, 0, refused=3)), exact=True)[0].verdict is Verdict.UNPROVEN
