"""From wishes and quotas to snapshots: what the loop steers, and nothing else."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from governance.enforcement.orders import Base, Stop, Wish, with_wishes
from governance.enforcement.pools import Kitchen, Latency, menu
from governance.enforcement.quota_orders import Spent, declared_quotas, unheld, with_quotas
from governance.enforcement.rungs import Disutility, Substitute
from governance.quotas import QuotaState, QuotaView
from routing.desired import Block, BlockReason, DesiredState, Quota, ResidencyRule, Route, Target, Tier, problems
from routing.orchestrators.base import QuotaKind

END = datetime(2026, 12, 1, tzinfo=UTC)
TARGETS = (
    Target("aws", "aws", "eu-central-1", "http://127.0.0.1:1", residency="eu"),
    Target("gcp", "gcp", "europe-west4", "http://127.0.0.1:2", residency="eu"),
    Target("far", "azure", "eastus", "http://127.0.0.1:3", residency="us", spot=True),
)
COMMON = Route("large", (Tier.of({"aws": 600_000, "gcp": 400_000}), Tier.of({"far": 1_000_000})))
SMALL = Route("small", (Tier.of({"gcp": 1_000_000}),))
STATE = DesiredState("edge", 7, TARGETS, (COMMON, SMALL))
BASE = {("search", "large"): Base(None, COMMON)}
STOP = BlockReason("Search", Decimal("40001.20"), Decimal(40000), END, "Search is spent")


def wish(**values: object) -> Wish:
    return Wish("search", "large", **values)  # type: ignore[arg-type]


def told(*wishes: Wish, state: DesiredState = STATE, **more: object) -> DesiredState:
    made = with_wishes(state, wishes, BASE, budget="Search", **more)  # type: ignore[arg-type]
    assert problems(made) == []
    return made


def test_a_team_gets_a_route_of_its_own_and_the_others_keep_theirs() -> None:
    made = told(wish(weights={"aws": 300_000, "gcp": 700_000}))
    mine = made.route("large", "search")
    assert mine is not None
    assert mine.tiers[0].weights == {"aws": 300_000, "gcp": 700_000}
    assert mine.tiers[1].weights == {"far": 1_000_000}
    assert made.route("large", "ads") == COMMON


def test_a_target_that_moves_up_leaves_its_tier() -> None:
    made = told(wish(weights={"aws": 300_000, "far": 700_000}))
    mine = made.route("large", "search")
    assert mine is not None
    assert [tier.weights for tier in mine.tiers] == [{"aws": 300_000, "far": 700_000}]


def test_nothing_asked_any_more_brings_back_what_stood() -> None:
    moved = told(wish(weights={"aws": 300_000, "gcp": 700_000}), wish(rpm=30))
    assert told(wish(), state=moved).digest() == STATE.digest()
    own = Route("large", (Tier.of({"aws": 1_000_000}),), "search")
    back = with_wishes(moved, [wish()], {("search", "large"): Base(own, COMMON)}, budget="Search")
    assert back.route("large", "search") == own


def test_a_smaller_model_answers_where_it_is_at_home() -> None:
    mine = told(wish(served_model="small")).route("large", "search")
    assert mine is not None
    assert (mine.served_model, mine.tiers) == ("small", SMALL.tiers)


def test_a_block_says_why_and_is_not_pushed_again_for_another_cent() -> None:
    made = told(wish(block=STOP))
    assert made.blocks == (Block(STOP, "search", "large"),)
    later = BlockReason("Search", Decimal("40002.00"), Decimal(40000), END, "Search is spent")
    assert told(wish(block=later), state=made).digest() == made.digest()
    assert told(wish(), state=made).blocks == ()


def test_a_stop_of_a_whole_scope_is_said_once_and_lifted_as_one() -> None:
    stop = Stop(frozenset({("search", None), ("ranker", None)}), STOP)
    made = told(wish(block=STOP), stop=stop)
    assert set(made.blocks) == {Block(STOP, "search", None), Block(STOP, "ranker", None)}
    assert told(wish(), state=made).blocks == ()


def test_another_budgets_block_stays() -> None:
    held = DesiredState("edge", 7, TARGETS, (COMMON, SMALL), (Block(STOP, "search", "large"),))
    assert with_wishes(held, [wish()], BASE, budget="Company").blocks == held.blocks


def test_throttling_never_gives_more_than_a_person_declared() -> None:
    declared = {("search", None, "large"): Quota("search", None, "large", rpm=60, tpm=9000)}
    assert told(wish(rpm=30), declared=declared).quotas == (Quota("search", None, "large", 30, 9000),)
    assert told(wish(rpm=90), declared=declared).quotas == (Quota("search", None, "large", 60, 9000),)
    throttled = told(wish(rpm=30), declared=declared)
    assert told(wish(), state=throttled, declared=declared).quotas == (Quota("search", None, "large", 60, 9000),)


def test_a_quota_that_hardly_moves_stays() -> None:
    made = told(wish(rpm=100))
    assert told(wish(rpm=105), state=made).quotas[0].rpm == 100
    assert told(wish(rpm=120), state=made).quotas[0].rpm == 120


def test_a_limit_goes_down_gently_unless_the_budget_is_hard() -> None:
    made = told(wish(rpm=100))
    assert told(wish(rpm=10), state=made).quotas[0].rpm == 76
    assert told(wish(rpm=10), state=made, gently=False).quotas[0].rpm == 10


# --- quotas ----------------------------------------------------------------------------------------------------------


def view(id: int = 1, **values: object) -> QuotaView:
    given = {
        "team": "search",
        "key": None,
        "model": None,
        "provider": None,
        "unit": "requests",
        "window": "minute",
        "limit": 60,
        "used": None,
        "peak": None,
        "window_start": END,
        "resets_at": END,
        "state": QuotaState.OK,
        "version": 1,
        "updated_at": END,
        "updated_by": "Lea",
        **values,
    }
    return QuotaView(id=id, **given)  # type: ignore[arg-type]


def test_declared_minutes_are_told_and_retired_ones_go() -> None:
    said = declared_quotas([view(), view(2, unit="tokens", limit=9000), view(3, provider="aws")])
    made = with_quotas(STATE, said)
    assert made.quotas == (Quota("search", None, None, 60, 9000),)
    assert with_quotas(made, {}, retired=[("search", None, None)]).quotas == ()


def test_retiring_a_quota_keeps_what_a_budget_leaves() -> None:
    subject = ("search", None, "large")
    made = with_quotas(STATE, {}, retired=[subject], throttled={subject: Quota(*subject, rpm=30)})
    assert made.quotas == (Quota("search", None, "large", 30, None),)


def test_what_a_gateway_cannot_count_is_said_and_not_told() -> None:
    said = declared_quotas([view()])
    assert with_quotas(STATE, said, able=frozenset({QuotaKind.TEAM_TPM})).quotas == ()
    assert unheld([view()], frozenset({QuotaKind.TEAM_TPM})) == {1: "the gateway has no counter of this kind"}
    assert "aws alone" in unheld([view(provider="aws")], frozenset(QuotaKind))[1]


def test_a_used_up_day_blocks_until_it_turns_and_leaves_budgets_blocks() -> None:
    reason = BlockReason("quota of 10 requests a day", Decimal(12), Decimal(10), END, "used up", "requests")
    held = DesiredState("edge", 7, TARGETS, (COMMON, SMALL), (Block(STOP, "ads"),))
    made = with_quotas(held, {}, spent=[Spent("search", None, reason)])
    assert set(made.blocks) == {Block(STOP, "ads"), Block(reason, "search", None)}
    assert with_quotas(made, {}).blocks == (Block(STOP, "ads"),)


# --- menus -----------------------------------------------------------------------------------------------------------

USD = {("aws", "large"): 10.0, ("gcp", "large"): 7.2, ("azure", "large"): 4.5, ("gcp", "small"): 2.0}


def kitchen(state: DesiredState = STATE, **values: object) -> Kitchen:
    return Kitchen(state, lambda provider, model: USD.get((provider, model)), {}, **values)  # type: ignore[arg-type]


def test_a_menu_holds_every_pool_that_serves_the_model_and_its_base() -> None:
    found = menu(kitchen(), COMMON, "search", (Substitute("small", Disutility.WORSE), Substitute("unheard-of")))
    assert found is not None
    assert [each.target for each in found.options] == ["aws", "gcp", "far", "model:small"]
    assert [each.usd_per_mtok for each in found.options] == [10.0, 7.2, 4.5, 2.0]
    assert found.base == (0.6, 0.4, 0.0, 0.0)
    assert [each.disutility for each in found.options] == [0.0, 0.0, 0.06, 0.3]


def test_no_menu_leads_out_of_where_data_may_stay() -> None:
    rule = ResidencyRule(frozenset({"eu"}), team="search")
    held = DesiredState("edge", 7, TARGETS, (COMMON, SMALL), residency_rules=(rule,))
    found = menu(kitchen(held), COMMON, "search", ())
    assert found is not None
    assert [each.target for each in found.options] == ["aws", "gcp"]


def test_an_unknown_price_is_no_cheap_pool() -> None:
    known = {("aws", "large"): 10.0}
    blind = Kitchen(STATE, lambda provider, model: known.get((provider, model)), {"aws": Latency(600.0, 0.01)}, 2000)
    found = menu(blind, COMMON, "search", ())
    assert found is not None
    # gcp is part of the base: it stays, at what the base costs; far is not offered.
    assert [(each.target, each.usd_per_mtok) for each in found.options] == [("aws", 10.0), ("gcp", 10.0)]
    assert found.options[0].p95_ms == 600.0
    assert menu(Kitchen(STATE, lambda _provider, _model: None, {}), COMMON, "search", ()) is None


def test_an_orchestrator_that_renames_no_model_offers_no_smaller_one() -> None:
    found = menu(kitchen(renames=False, throttles=False), COMMON, "search", (Substitute("small"),))
    assert found is not None
    assert all(each.substitute is None for each in found.options)
    assert not found.may_refuse


def test_a_target_can_say_its_own_price() -> None:
    own = Target("aws", "aws", "eu-central-1", "http://127.0.0.1:1", attributes=(("usd_per_mtok", "3.5"),))
    found = menu(kitchen(DesiredState("edge", 7, (own, *TARGETS[1:]), (COMMON,))), COMMON, "search", ())
    assert found is not None
    assert found.options[0].usd_per_mtok == pytest.approx(3.5)
