"""The Gateway API and Envoy AI Gateway against a Kubernetes API with their real schemas."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from routing.desired import (
    Block,
    BlockReason,
    DesiredState,
    Quota,
    Route,
    Target,
    Tier,
)
from routing.orchestrators.ai_gateway import open_ai_gateway
from routing.orchestrators.base import (
    Conflict,
    Level,
    Overloaded,
    Refused,
    Stale,
    Unauthorized,
    Unreachable,
    Unsupported,
)
from routing.orchestrators.gateway_api import open_gateway_api
from routing.orchestrators.kubernetes import PROPAGATION, KubernetesOrchestrator
from tests.routing.orchestrators import kube_stub
from tests.routing.orchestrators.kube_stub import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AWS = Target("aws", "aws", "us-east-1", "https://bedrock.example", attributes=(("backend_port", "443"),))
GCP = Target("gcp", "gcp", "europe-west4", "https://vertex.example", "eu", attributes=(("backend_port", "443"),))


def snapshot(generation: int, aws: int = 700_000, **more: Any) -> DesiredState:
    routes = (
        Route("llama-70b", (Tier.of({"aws": aws, "gcp": 1_000_000 - aws}),)),
        Route("llama-70b", (Tier.of({"gcp": 1_000_000}),), team="search"),
    )
    return replace(DesiredState("k8s", generation, (AWS, GCP), routes), **more)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[dict[str, str], Store]]:
    token = tmp_path / "token"
    token.write_text(kube_stub.TOKEN + "\n")
    with kube_stub.running() as (address, store):
        yield {"api": address, "namespace": "inference", "gateway": "edge", "token_file": str(token)}, store


Opened = tuple[KubernetesOrchestrator, Store]


@pytest.fixture(params=[open_gateway_api, open_ai_gateway], ids=["gateway_api", "ai_gateway"])
def either(request: pytest.FixtureRequest, cluster: tuple[dict[str, str], Store]) -> Opened:
    return request.param("k8s", cluster[0]), cluster[1]


@pytest.fixture
def ai(cluster: tuple[dict[str, str], Store]) -> Opened:
    return open_ai_gateway("k8s", cluster[0]), cluster[1]


def push(it: KubernetesOrchestrator, desired: DesiredState, now: datetime = NOW):
    plan = it.plan(desired, it.observe())
    assert it.validate(plan) == []
    return it.apply(plan, now=now)


def specs(store: Store, kind: str) -> list[dict[str, Any]]:
    return [each["spec"] for (plural, _), each in sorted(store.objects.items()) if plural == kind]


def test_it_writes_weights_in_parts_per_million_and_reads_them_back(either: Opened):
    it, store = either
    push(it, snapshot(1))
    plural = it.kinds[0].plural
    backends = [spec["rules"][0]["backendRefs"] for spec in specs(store, plural)]
    assert sorted([(one["name"], one["weight"]) for one in each] for each in backends) == [
        [("aws", 700_000), ("gcp", 300_000)],
        [("gcp", 1_000_000)],
    ]
    observed = it.observe()
    assert observed.state == snapshot(1)
    assert observed.generation == 1
    assert observed.foreign == ()


def test_a_teams_own_route_is_matched_by_its_header_too(cluster: tuple[dict[str, str], Store]):
    it, store = open_gateway_api("k8s", cluster[0]), cluster[1]
    push(it, snapshot(1))
    matches = sorted(
        [(one["name"], one["value"]) for one in spec["rules"][0]["matches"][0]["headers"]]
        for spec in specs(store, "httproutes")
    )
    assert matches == [[("x-model", "llama-70b")], [("x-model", "llama-70b"), ("x-team", "search")]]


def test_it_is_accepted_until_the_controller_follows_and_then_live_but_unproven(either: Opened):
    it, store = either
    receipt = push(it, snapshot(1))
    assert it.verify(receipt, snapshot(1), now=NOW).level is Level.ACCEPTED
    late = it.verify(receipt, snapshot(1), now=NOW + PROPAGATION + timedelta(seconds=1))
    assert (late.level, late.overdue) == (Level.ACCEPTED, True)
    store.follow()
    proof = it.verify(receipt, snapshot(1), now=NOW)
    assert (proof.level, proof.effect_unproven) == (Level.LIVE, True)


def test_a_controller_that_refuses_is_rejected_with_its_words(either: Opened):
    it, store = either
    receipt = push(it, snapshot(1))
    store.follow("False", "BackendNotFound")
    proof = it.verify(receipt, snapshot(1), now=NOW)
    assert proof.level is Level.REJECTED
    assert "BackendNotFound" in proof.words


def test_a_controllers_report_is_no_edit_of_someone(either: Opened):
    """A status moves the resourceVersion of an object, and a plan made before must still be good."""
    it, store = either
    push(it, snapshot(1))
    plan = it.plan(snapshot(2, aws=500_000), it.observe())
    store.follow()
    assert it.apply(plan, now=NOW).generation == 2


def test_the_same_push_again_writes_nothing(either: Opened):
    it, store = either
    push(it, snapshot(1))
    plan = it.plan(snapshot(2, aws=100_000), it.observe())
    it.apply(plan, now=NOW)
    calls = len(store.calls)
    again = it.apply(plan, now=NOW)
    assert again.repeated
    assert len(store.calls) == calls


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_push_that_died_half_way_is_finished_under_its_key(either: Opened, before: int):
    it, store = either
    push(it, snapshot(1))
    plan = it.plan(snapshot(2, aws=100_000), it.observe())
    store.fail_after, earlier = before, len(store.calls)
    with pytest.raises(Overloaded):
        it.apply(plan, now=NOW)
    store.fail_after = None
    it.apply(plan, now=NOW)
    assert it.observe().state == snapshot(2, aws=100_000)
    # Two objects and the record, each written once.
    assert len(store.calls[earlier:]) == len(set(store.calls[earlier:])) == 3


def test_an_edit_by_someone_is_drift_and_is_not_written_over(either: Opened):
    it, store = either
    receipt = push(it, snapshot(1))
    store.follow()
    plural = it.kinds[0].plural
    name = next(
        n for (p, n), each in store.objects.items() if p == plural and len(each["spec"]["rules"][0]["backendRefs"]) > 1
    )

    def edit(spec: dict[str, Any]) -> None:
        spec["rules"][0]["backendRefs"][0]["weight"] = 999_999

    store.edit(plural, name, edit)
    proof = it.verify(receipt, snapshot(1), now=NOW)
    assert proof.level is Level.DRIFT
    assert any(each.kind == "weight" for each in it.observe().foreign)
    with pytest.raises(Conflict):
        it.plan(snapshot(2), it.observe())
    forced = it.plan(snapshot(2), it.observe(), force=True)
    assert forced.overwrites
    it.apply(forced, now=NOW)
    assert it.observe().foreign == ()


def test_an_edit_between_plan_and_push_is_a_conflict(either: Opened):
    it, store = either
    push(it, snapshot(1))
    plan = it.plan(snapshot(2, aws=100_000), it.observe())
    plural = it.kinds[0].plural
    for kind, name in list(store.objects):
        if kind == plural:
            store.edit(kind, name, lambda spec: spec["rules"][0].update(timeouts={"request": "1s"}))
    with pytest.raises(Conflict):
        it.apply(plan, now=NOW)


def test_a_route_that_goes_is_deleted_and_one_that_someone_deleted_is_drift(either: Opened):
    it, store = either
    push(it, snapshot(1))
    only = replace(snapshot(2), routes=snapshot(2).routes[:1])
    push(it, only)
    assert len(specs(store, it.kinds[0].plural)) == 1
    key = next(each for each in store.objects if each[0] == it.kinds[0].plural)
    del store.objects[key]
    assert any(each.after is None for each in it.observe().foreign)


def test_a_rollback_is_a_new_generation(either: Opened):
    it, _ = either
    push(it, snapshot(1))
    receipt = push(it, snapshot(2, aws=0))
    back = it.rollback(receipt, snapshot(3), now=NOW)
    assert back.generation == 3
    assert it.observe().state == snapshot(3)
    with pytest.raises(Stale):
        it.rollback(receipt, snapshot(4), now=NOW)


def test_an_older_generation_or_other_content_under_the_same_one_is_stale(either: Opened):
    it, _ = either
    push(it, snapshot(5))
    for other in (snapshot(4), snapshot(5, aws=1)):
        with pytest.raises(Stale):
            it.plan(other, it.observe())
    assert it.plan(snapshot(5), it.observe()).steps == ()


def test_all_zero_weights_are_refused_before_any_call(either: Opened):
    it, store = either
    empty = replace(snapshot(1), routes=(Route("llama-70b", (Tier(()),)),))
    with pytest.raises(Refused, match="empty"):
        it.plan(empty, it.observe())
    assert store.calls == []


def test_many_objects_are_read_over_several_pages(either: Opened):
    it, _ = either
    routes = tuple(Route(f"m{number}", (Tier.of({"aws": 1_000_000}),)) for number in range(600))
    many = replace(snapshot(1), routes=routes)
    plan = it.plan(many, it.observe())
    it.apply(plan, now=NOW)
    assert it.observe().state.digest() == many.digest()


def test_a_wrong_token_says_what_to_do_and_never_the_token(cluster: tuple[dict[str, str], Store], monkeypatch):
    monkeypatch.setenv("KUBE", "stolen-secret")
    settings = {**cluster[0], "token_file": "", "token_env": "KUBE"}
    it = open_gateway_api("k8s", settings)
    with pytest.raises(Unauthorized) as caught:
        it.observe()
    assert "stolen-secret" not in str(caught.value) + repr(it.cluster)


def test_nobody_there_is_unreachable_and_may_be_tried_again(cluster: tuple[dict[str, str], Store]):
    it = open_gateway_api("k8s", {**cluster[0], "api": "http://127.0.0.1:1"})
    with pytest.raises(Unreachable) as caught:
        it.observe()
    assert caught.value.retryable


@pytest.mark.parametrize("missing", ["api", "namespace", "gateway", "token_file"])
def test_settings_that_lack_something_name_it(cluster: tuple[dict[str, str], Store], missing: str):
    with pytest.raises(Refused, match=missing):
        open_gateway_api("k8s", {**cluster[0], missing: ""})


def test_what_the_gateway_api_has_not_is_refused(cluster: tuple[dict[str, str], Store]):
    it = open_gateway_api("k8s", cluster[0])
    observed = it.observe()
    tiers = (Tier.of({"aws": 1_000_000}), Tier.of({"gcp": 1_000_000}))
    for wanted in (
        snapshot(1, blocks=(Block(BlockReason("b", Decimal(1), Decimal(1), None, "full"), "search"),)),
        snapshot(1, quotas=(Quota(team="search", rpm=10),)),
        snapshot(1, routes=(Route("llama-70b", tiers),)),
        snapshot(1, routes=(Route("llama-70b", tiers[:1], served_model="llama-8b"),)),
    ):
        with pytest.raises(Unsupported):
            it.plan(wanted, observed)
    assert not it.capabilities().blocks


def test_envoy_ai_gateway_orders_tiers_and_names_the_served_model(ai: Opened):
    it, store = ai
    tiers = (Tier.of({"aws": 1_000_000}), Tier.of({"gcp": 1_000_000}))
    gcp = replace(GCP, attributes=(("upstream_model:llama-8b", "meta/llama-8b-maas"),))
    wanted = snapshot(1, targets=(AWS, gcp), routes=(Route("llama-70b", tiers, served_model="llama-8b"),))
    push(it, wanted)
    (spec,) = specs(store, "aigatewayroutes")
    assert [
        (each["name"], each["priority"], each["modelNameOverride"]) for each in spec["rules"][0]["backendRefs"]
    ] == [
        ("aws", 0, "llama-8b"),
        ("gcp", 1, "meta/llama-8b-maas"),
    ]
    assert it.observe().state == wanted


def test_quotas_and_stops_are_shared_rules_of_one_policy(ai: Opened):
    it, store = ai
    stop = Block(BlockReason("Search March", Decimal("40000"), Decimal("40000"), None, "over"), "search", "llama-70b")
    push(it, snapshot(1, blocks=(stop,), quotas=(Quota(team="ads", rpm=600, tpm=200_000),)))
    (spec,) = specs(store, "backendtrafficpolicies")
    rules = spec["rateLimit"]["global"]["rules"]
    assert [(each["limit"]["requests"], each["shared"], "cost" in each) for each in rules] == [
        (0, True, False),
        (600, True, False),
        (200_000, True, True),
    ]
    assert [(one["name"], one["value"]) for one in rules[0]["clientSelectors"][0]["headers"]] == [
        ("x-team", "search"),
        ("x-ai-eg-model", "llama-70b"),
    ]
    push(it, snapshot(2))
    assert specs(store, "backendtrafficpolicies") == []
    with pytest.raises(Unsupported, match="key"):
        it.plan(snapshot(3, quotas=(Quota(key="k1", rpm=5),)), it.observe())
