"""LiteLLM's proxy: what was measured on a real one decides what must hold."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from routing.desired import Block, BlockReason, DesiredState, Quota, Route, Target, Tier
from routing.orchestrators.base import Conflict, Level, Overloaded, Refused, Stale, Unauthorized, Unsupported
from routing.orchestrators.litellm import PROPAGATION, LiteLLM, open_litellm
from tests.routing.orchestrators import litellm_stub
from tests.routing.orchestrators.litellm_stub import Proxy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AWS = Target("aws", "aws", "us-east-1", "https://bedrock.example/v1")
AZURE = Target(
    "azure",
    "azure",
    "westeurope",
    "https://azure.example/v1",
    "eu",
    attributes=(("credential", "azure-prod"), ("dialect", "azure")),
)
STOP = Block(BlockReason("Search March", Decimal("40000"), Decimal("40000"), None, "over"), "search")
Opened = tuple[LiteLLM, Proxy]


def snapshot(generation: int, aws: int = 700_000, **more: Any) -> DesiredState:
    route = Route("llama-70b", (Tier.of({"aws": aws, "azure": 1_000_000 - aws}),))
    return replace(DesiredState("proxy", generation, (AWS, AZURE), (route,)), **more)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.setenv("MASTER", litellm_stub.MASTER)
    with litellm_stub.running() as (address, proxy):
        proxy.add_team("search")
        proxy.add_key("hashed-key")
        yield open_litellm("proxy", {"url": address, "token_env": "MASTER"}), proxy


def push(it: LiteLLM, desired: DesiredState, now: datetime = NOW):
    plan = it.plan(desired, it.observe())
    assert it.validate(plan) == []
    return it.apply(plan, now=now)


def named(shares: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Deployment ids by the target in them."""
    return {
        order: {("azure" if "azure" in key else "aws"): weight for key, weight in each.items()}
        for order, each in shares.items()
    }


def test_weights_reach_the_router_and_read_back(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    assert named(proxy.shares("llama-70b")) == {"1": {"aws": 700_000, "azure": 300_000}}
    assert it.observe().state == snapshot(1)
    assert it.observe().generation == 1


def test_each_target_keeps_its_dialect_and_credential_and_no_secret_is_sent(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    params = {each["litellm_params"]["api_base"]: each["litellm_params"] for each in proxy.models.values()}
    assert params["https://azure.example/v1"]["model"] == "azure/llama-70b"
    assert params["https://azure.example/v1"]["litellm_credential_name"] == "azure-prod"
    assert params["https://bedrock.example/v1"]["model"] == "openai/llama-70b"
    assert "api_key" not in str(proxy.calls)


def test_an_update_never_uses_the_call_that_drops_the_order(opened: Opened):
    it, proxy = opened
    tiers = (Tier.of({"aws": 1_000_000}), Tier.of({"azure": 1_000_000}))
    push(it, snapshot(1, routes=(Route("llama-70b", tiers),)))
    assert named(proxy.shares("llama-70b")) == {"1": {"aws": 1_000_000}, "2": {"azure": 1_000_000}}
    push(it, snapshot(2, routes=(Route("llama-70b", tiers[::-1]),)))
    assert named(proxy.shares("llama-70b")) == {"1": {"azure": 1_000_000}, "2": {"aws": 1_000_000}}
    assert not any(path == "/model/update" for _, path, _ in proxy.calls)


def test_a_share_rises_before_another_falls(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1, aws=900_000))
    proxy.calls.clear()
    push(it, snapshot(2, aws=200_000))
    weights = [body["litellm_params"]["weight"] for method, _, body in proxy.calls if method == "PATCH"]
    assert weights == [800_000, 200_000]


def test_a_target_that_leaves_gets_nothing_and_can_come_back(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    push(it, snapshot(2, aws=0))
    assert named(proxy.shares("llama-70b")) == {"1": {"azure": 1_000_000}}
    assert it.observe().state == snapshot(2, aws=0)
    push(it, snapshot(3))
    assert named(proxy.shares("llama-70b")) == {"1": {"aws": 700_000, "azure": 300_000}}


def test_another_model_answers_where_the_snapshot_says_so(opened: Opened):
    it, proxy = opened
    smaller = replace(snapshot(1).routes[0], served_model="llama-8b")
    push(it, snapshot(1, routes=(smaller,)))
    assert {each["litellm_params"]["model"] for each in proxy.models.values()} == {"openai/llama-8b", "azure/llama-8b"}
    assert it.observe().state == snapshot(1, routes=(smaller,))


def test_a_stop_comes_first_and_an_opening_last(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1, aws=900_000))
    proxy.calls.clear()
    push(it, snapshot(2, aws=200_000, blocks=(STOP,)))
    assert proxy.calls[0][1] == "/team/block"
    assert proxy.teams["search"]["blocked"]
    proxy.calls.clear()
    push(it, snapshot(3, aws=900_000))
    assert [path for _, path, _ in proxy.calls][-2:] == ["/team/unblock", "/team/update"]
    assert not proxy.teams["search"]["blocked"]


def test_quotas_of_teams_and_keys_are_set_and_taken_away(opened: Opened):
    it, proxy = opened
    quotas = (Quota(team="search", rpm=600, tpm=100_000), Quota(key="hashed-key", rpm=5))
    push(it, snapshot(1, quotas=quotas))
    assert (proxy.teams["search"]["rpm_limit"], proxy.teams["search"]["tpm_limit"]) == (600, 100_000)
    assert proxy.keys["hashed-key"]["rpm_limit"] == 5
    assert it.observe().state.digest() == snapshot(1, quotas=quotas).digest()
    push(it, snapshot(2))
    assert proxy.teams["search"]["rpm_limit"] is None
    assert proxy.keys["hashed-key"]["rpm_limit"] is None


def test_a_team_that_litellm_does_not_know_is_found_before_the_push(opened: Opened):
    it, _ = opened
    plan = it.plan(snapshot(1, quotas=(Quota(team="ghosts", rpm=5),)), it.observe())
    assert [each.subject for each in it.validate(plan)] == ["team/ghosts"]
    with pytest.raises(Refused, match="ghosts"):
        it.apply(plan, now=NOW)


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_push_that_died_half_way_is_finished_and_the_model_never_lacks_a_target(opened: Opened, writes: int):
    it, proxy = opened
    push(it, snapshot(1, aws=1_000_000))
    plan = it.plan(snapshot(2, aws=0, blocks=(STOP,)), it.observe())
    proxy.fail_after = writes
    with pytest.raises(Overloaded):
        it.apply(plan, now=NOW)
    assert sum(proxy.shares("llama-70b")["1"].values()) > 0
    proxy.fail_after = None
    it.apply(plan, now=NOW)
    assert it.observe().state == snapshot(2, aws=0, blocks=(STOP,))
    assert it.apply(plan, now=NOW).repeated


def test_it_is_live_only_after_the_time_that_pods_need(opened: Opened):
    it, proxy = opened
    receipt = push(it, snapshot(1))
    assert it.verify(receipt, snapshot(1), now=NOW + PROPAGATION / 2).level is Level.ACCEPTED
    after = NOW + PROPAGATION + timedelta(seconds=5)
    proof = it.verify(receipt, snapshot(1), now=after)
    assert (proof.level, proof.effect_unproven) == (Level.LIVE, True)
    log(proxy, after, aws=700, azure=300)
    proof = it.verify(receipt, snapshot(1), now=after + timedelta(minutes=5))
    assert proof.level is Level.EFFECTIVE


def test_configuration_that_reads_right_is_no_proof_when_the_traffic_differs(opened: Opened):
    """Measured: weights read back 10/90 while all of the traffic went to one."""
    it, proxy = opened
    receipt = push(it, snapshot(1, aws=100_000))
    after = NOW + PROPAGATION + timedelta(seconds=5)
    log(proxy, after, azure=400)
    proof = it.verify(receipt, snapshot(1, aws=100_000), now=after + timedelta(minutes=5))
    assert proof.level is Level.DRIFT
    assert "azure 100 % of 400, wanted 90 %" in proof.words


def log(proxy: Proxy, start: datetime, **requests: int) -> None:
    """Spend log rows, one a second over again; every fifth twice, as LiteLLM's batches do."""
    for target, number in requests.items():
        key = next(each for each in proxy.models if target in each)
        for index in range(number):
            row = spend_row(f"{target}-{len(proxy.logs)}", key, start + timedelta(seconds=index % 60))
            proxy.logs.extend([row] * (2 if index % 5 == 0 else 1))


def spend_row(call: str, model_id: str, began: datetime) -> dict[str, Any]:
    ended = began + timedelta(milliseconds=1250)
    return {
        "request_id": f"chatcmpl-{call}",
        "startTime": began.isoformat(timespec="milliseconds"),
        "completionStartTime": (began + timedelta(milliseconds=400)).isoformat(timespec="milliseconds"),
        "endTime": ended.isoformat(timespec="milliseconds"),
        "model": "openai/llama-70b",
        "model_id": model_id,
        "model_group": "llama-70b",
        "custom_llm_provider": "openai",
        "team_id": "search",
        "spend": 0.0036021,
        "prompt_tokens": 3,
        "completion_tokens": 4000,
        "status": "success",
        "metadata": {
            "litellm_call_id": call,
            "usage_object": {"prompt_tokens_details": {"cached_tokens": 2}},
        },
    }


def test_usage_is_read_window_by_window_and_an_event_says_what_the_log_says(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    now = datetime.now(UTC)
    log(proxy, now - timedelta(hours=30), aws=1)
    log(proxy, now - timedelta(hours=2), azure=1)
    events, cursor, more = [], "", True
    while more:
        usage = it.read_usage(cursor)
        events += usage.events
        cursor, more = usage.cursor, usage.more
    assert [(each.request_id, each.target, each.provider, each.region) for each in events] == [
        ("aws-0", "aws", "aws", "us-east-1"),
        ("azure-2", "azure", "azure", "westeurope"),
    ]
    first = events[0]
    assert (first.input_tokens, first.cache_read_input_tokens, first.output_tokens) == (3, 2, 4000)
    assert (first.latency_ms, first.ttft_ms, first.cost) == (1250, 400, Decimal("0.0036021"))


def test_a_call_that_was_logged_late_is_read_too_and_no_other_again(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    log(proxy, datetime.now(UTC) - timedelta(minutes=2), aws=3)
    usage = it.read_usage("")
    assert len(usage.events) == 3
    log(proxy, datetime.now(UTC) - timedelta(minutes=3), azure=1)
    late = it.read_usage(usage.cursor)
    assert [each.target for each in late.events] == ["azure"]
    assert it.read_usage(late.cursor).events == ()
    with pytest.raises(Refused, match="cursor"):
        it.read_usage("yesterday")


def test_an_edit_by_someone_is_drift_and_is_not_written_over(opened: Opened):
    it, proxy = opened
    receipt = push(it, snapshot(1))
    next(iter(proxy.models.values()))["litellm_params"]["weight"] = 5
    proof = it.verify(receipt, snapshot(1), now=NOW)
    assert proof.level is Level.DRIFT
    with pytest.raises(Conflict):
        it.plan(snapshot(2), it.observe())
    it.apply(it.plan(snapshot(2), it.observe(), force=True), now=NOW)
    assert it.observe().state == snapshot(2)


def test_a_deployment_of_someone_else_in_our_model_is_drift(opened: Opened):
    it, proxy = opened
    receipt = push(it, snapshot(1))
    proxy.models["shadow"] = {
        "model_name": "llama-70b",
        "litellm_params": {"model": "openai/llama-70b", "weight": 1},
        "model_info": {"id": "shadow", "blocked": False},
    }
    proof = it.verify(receipt, snapshot(1), now=NOW)
    assert proof.level is Level.DRIFT
    assert "shadow" in proof.words


def test_an_edit_between_plan_and_push_is_a_conflict(opened: Opened):
    it, proxy = opened
    push(it, snapshot(1))
    plan = it.plan(snapshot(2, aws=100_000), it.observe())
    for each in proxy.models.values():
        each["litellm_params"]["weight"] = 5
    with pytest.raises(Conflict):
        it.apply(plan, now=NOW)


def test_a_rollback_is_a_new_generation(opened: Opened):
    it, _ = opened
    push(it, snapshot(1))
    receipt = push(it, snapshot(2, aws=0))
    assert it.rollback(receipt, snapshot(3), now=NOW).generation == 3
    assert it.observe().state == snapshot(3)
    with pytest.raises(Stale):
        it.rollback(receipt, snapshot(4), now=NOW)


def test_an_older_generation_is_stale(opened: Opened):
    it, _ = opened
    push(it, snapshot(5))
    for other in (snapshot(4), snapshot(5, aws=1)):
        with pytest.raises(Stale):
            it.plan(other, it.observe())


@pytest.mark.parametrize(
    "more",
    [
        {"routes": (replace(snapshot(1).routes[0], team="search"),)},
        {"blocks": (replace(STOP, model="llama-70b"),)},
        {"blocks": (replace(STOP, team=None),)},
        {"quotas": (Quota(model="llama-70b", rpm=5),)},
    ],
    ids=["team route", "team's model", "everybody", "model quota"],
)
def test_what_litellm_has_not_is_refused_and_declared(opened: Opened, more: dict[str, Any]):
    it, proxy = opened
    with pytest.raises(Unsupported):
        it.plan(snapshot(1, **more), it.observe())
    assert proxy.calls == []
    assert it.capabilities().absent


def test_a_credential_that_is_not_there_refuses_the_push_in_litellms_words(opened: Opened):
    it, proxy = opened
    proxy.credentials.clear()
    with pytest.raises(Refused, match="azure-prod"):
        it.apply(it.plan(snapshot(1), it.observe()), now=NOW)


def test_a_wrong_master_key_is_never_shown(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    it, _ = opened
    monkeypatch.setenv("MASTER", "sk-wrong")
    other = open_litellm("proxy", {"url": it.wire.base_url, "token_env": "MASTER"})
    with pytest.raises(Unauthorized) as caught:
        other.observe()
    assert "sk-wrong" not in str(caught.value) + repr(other.wire)
