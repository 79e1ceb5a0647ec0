"""Envoy, the real binary, before three stub providers."""

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from governance.livedemo.providers import Provider
from routing.desired import DesiredState, Quota, Route, Tier
from routing.drift import drift
from routing.orchestrators.base import Conflict, Level, Unsupported
from routing.orchestrators.envoy import admin, folder, render
from tests.routing.orchestrators.conformance import Conformance, Rig, stop, until
from tests.routing.orchestrators.envoy_rig import Edge, envoy, stub_providers, targets_of


@pytest.fixture(scope="module")
def providers() -> Iterator[list[Provider]]:
    with stub_providers() as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(providers: list[Provider]) -> Iterator[None]:
    yield
    for each in providers:
        each.fail, each.rate, each.latency_ms = 0, 1.0, 0.0


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with envoy(tmp_path) as running:
        yield running


@pytest.fixture
def rig(edge: Edge, providers: list[Provider]) -> Rig:
    return Rig(edge.orchestrator, targets_of(providers), edge.serve, edge.edit, edge.restart)


class TestEnvoy(Conformance):
    """The suite of all modules."""


def test_a_blocked_caller_reads_budget_spend_limit_and_reset(rig: Rig, edge: Edge) -> None:
    rig.push(rig.snapshot(1, blocks=(stop("search", "gpt-large"),)))
    assert until(lambda: edge.ask("search", "gpt-large")[0] == 429)
    _status, headers, body = edge.ask("search", "gpt-large")
    error = json.loads(body)["error"]
    assert headers["content-type"] == "application/json"
    assert error == {
        "type": "budget_exceeded",
        "code": "budget_exceeded",
        "message": "the budget is spent",
        "budget": "Search 2026-11",
        "spend": "40000.25",
        "limit": "40000",
        "currency": "USD",
        "resets_at": "2026-12-01T00:00:00+00:00",
    }


def test_a_reason_may_hold_percent_signs_and_quotes(rig: Rig, edge: Edge) -> None:
    block = stop("search")
    words = 'spent 100% of "Q4" %REQ(authorization)% $(id)'
    body = type(block.body)(**{**vars(block.body), "message": words})
    rig.push(rig.snapshot(1, blocks=(type(block)(body, "search"),)))
    assert until(lambda: edge.ask("search", "gpt-large")[0] == 429)
    assert json.loads(edge.ask("search", "gpt-large")[2])["error"]["message"] == words


def test_a_smaller_model_answers_and_the_rest_of_the_request_stays(rig: Rig, edge: Edge) -> None:
    one, two, three = (each.name for each in rig.targets)
    own = Route("gpt-large", (Tier.of({two: 1_000_000}),), team="search", served_model="gpt-small")
    shared = Route("gpt-large", (Tier.of({one: 1_000_000}),))
    desired = rig.snapshot(1, routes=(shared, own))
    rig.proof(rig.push(desired), desired, Level.LIVE)
    _status, _headers, body = edge.ask("search", "gpt-large", max_tokens=33, temperature=0.25)
    answer = json.loads(body)
    assert answer["model"] == "gpt-small"
    assert answer["usage"]["completion_tokens"] == 33
    assert json.loads(edge.ask("fraud", "gpt-large")[2])["model"] == "gpt-large"
    assert until(lambda: len(edge.orchestrator.read_usage("").events) == 2)
    events = {each.team: each for each in edge.orchestrator.read_usage("").events}
    assert (events["search"].request_model, events["search"].response_model) == ("gpt-large", "gpt-small")
    assert three not in {each.target for each in events.values()}


def test_usage_comes_from_answers_and_from_the_end_of_streams(rig: Rig, edge: Edge) -> None:
    desired = rig.snapshot(1)
    rig.proof(rig.push(desired), desired, Level.LIVE)
    edge.ask("search", "gpt-large", max_tokens=7)
    edge.ask("search", "gpt-large", max_tokens=9, stream=True, stream_options={"include_usage": True})
    assert until(lambda: len(edge.orchestrator.read_usage("").events) == 2)
    events = edge.orchestrator.read_usage("").events
    assert sorted(each.output_tokens or 0 for each in events) == [7, 9]
    assert {(each.team, each.key, each.status) for each in events} == {("search", "search-prod", 200)}
    assert all(each.input_tokens and each.target in ("aws", "azure") for each in events)


def test_nobody_is_somebody_else(rig: Rig, edge: Edge) -> None:
    """A header that names another team does not win, and no secret or team reaches a provider."""
    desired = rig.snapshot(1, blocks=(stop("frozen"),))
    rig.proof(rig.push(desired), desired, Level.LIVE)
    connection_headers = {"x-weir-client": "fraud|x", "x-team": "fraud"}
    connection = http.client.HTTPConnection("127.0.0.1", edge.layout.listen_port, timeout=10)
    for key, status in (("sk-frozen", 429), ("sk-unknown", 401), ("", 401)):
        headers = {**connection_headers, "authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-large"}), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_secrets_stand_in_one_file_that_only_we_read(rig: Rig, edge: Edge) -> None:
    rig.push(rig.snapshot(1))
    assert (edge.layout.xds / "keys.json").stat().st_mode & 0o777 == 0o600
    others = [path for path in edge.layout.folder.rglob("*") if path.is_file() and path.name != "keys.json"]
    assert not [path.name for path in others if b"sk-search" in path.read_bytes()]


def test_a_quota_of_requests_refuses_what_is_above_it_and_survives_a_push_of_weights(rig: Rig, edge: Edge) -> None:
    limited = rig.snapshot(1, quotas=(Quota(team="search", rpm=5), Quota(key="fraud-prod", tpm=100)))
    rig.proof(rig.push(limited), limited, Level.LIVE)
    assert edge.serve("search", "gpt-large", 8) == 3
    assert edge.serve("fraud", "gpt-large", 7) == 2  # 20 tokens each
    moved = rig.snapshot(2, 100_000, quotas=limited.quotas)
    rig.proof(rig.push(moved), moved, Level.LIVE)
    assert edge.serve("search", "gpt-large", 4) == 4  # the bucket was not filled again


def test_a_quota_for_a_team_and_model_counts_only_those(rig: Rig, edge: Edge) -> None:
    small = Route("gpt-small", (Tier.of({"aws": 1_000_000}),))
    limited = rig.snapshot(1, quotas=(Quota(team="search", model="gpt-small", rpm=2),))
    limited = DesiredState("edge", 1, limited.targets, (*limited.routes, small), (), limited.quotas)
    rig.proof(rig.push(limited), limited, Level.LIVE)
    assert edge.serve("search", "gpt-small", 4) == 2
    assert edge.serve("search", "gpt-large", 4) == 0
    assert edge.serve("fraud", "gpt-small", 4) == 0


def test_a_failing_provider_costs_no_caller_and_proves_nothing(rig: Rig, edge: Edge, providers: list[Provider]) -> None:
    desired = rig.snapshot(1)
    receipt = rig.push(desired, ago=rig.settled)
    rig.proof(receipt, desired, Level.LIVE)
    providers[0].fail = 503
    assert {edge.ask("search", "gpt-large")[0] for _each in range(60)} == {200}
    assert until(lambda: "aws" in edge.orchestrator.observe().ejected)
    proof = edge.orchestrator.verify(receipt, desired, now=datetime.now(UTC))
    assert (proof.level, proof.effect_unproven) == (Level.LIVE, True)
    assert "aws is unhealthy" in proof.words


def test_all_of_a_tier_failing_uses_the_next_one(rig: Rig, edge: Edge, providers: list[Provider]) -> None:
    desired = rig.snapshot(1)
    rig.proof(rig.push(desired), desired, Level.LIVE)
    providers[0].fail = providers[1].fail = 503
    answers = [edge.ask("search", "gpt-large") for _each in range(40)]
    assert {status for status, _headers, _body in answers} == {200}
    assert {headers["x-provider"] for _status, headers, _body in answers} == {"gcp"}


def test_only_what_changed_is_written(rig: Rig, edge: Edge) -> None:
    rig.push(rig.snapshot(1))
    before = edge.orchestrator.observe().versions
    rig.push(rig.snapshot(2, 300_000))
    after = edge.orchestrator.observe().versions
    assert {name for name in after if after[name] != before[name]} == {"eds/model/gpt-large"}
    assert after["eds/model/gpt-large"].startswith("2-")


def test_the_dry_run_says_what_envoy_says(rig: Rig, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:

    plan = edge.orchestrator.plan(rig.snapshot(1), edge.orchestrator.observe())
    monkeypatch.setattr(render, "_PLENTY", {"max_connections": "many"})
    (problem,) = edge.orchestrator.validate(plan)
    assert problem.subject == "envoy"
    assert "max_connections" in problem.words


def test_a_path_behind_the_host_is_refused_with_the_fix(rig: Rig) -> None:
    target = type(rig.targets[0])(**{**vars(rig.targets[0]), "endpoint": "http://127.0.0.1:1/openai"})
    with pytest.raises(Unsupported, match="give the host alone"):
        rig.orchestrator.plan(rig.snapshot(1, targets=(target, *rig.targets[1:])), rig.orchestrator.observe())


def test_what_envoy_refuses_is_seen_and_the_last_good_version_goes_on(rig: Rig, edge: Edge) -> None:
    desired = rig.snapshot(1)
    rig.proof(rig.push(desired), desired, Level.LIVE)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(render, "ROUTE_CONFIG", "")
        bad = rig.snapshot(2, blocks=(stop("nobody"),))
        plan = edge.orchestrator.plan(bad, edge.orchestrator.observe())
        receipt = edge.orchestrator.apply(plan, now=datetime.now(UTC))
    assert edge.orchestrator.verify(receipt, bad, now=receipt.applied_at).level is Level.ACCEPTED
    late = datetime.now(UTC) + timedelta(seconds=60)
    proof = edge.orchestrator.verify(receipt, bad, now=late)
    assert (proof.level, proof.overdue) == (Level.REJECTED, True)
    assert edge.ask("search", "gpt-large")[0] == 200
    # The next good push is not blamed for it.
    good = rig.snapshot(3, 100_000)
    receipt = rig.push(good)
    assert rig.proof(receipt, good, Level.LIVE).level is Level.LIVE
    assert edge.orchestrator.verify(receipt, good, now=late).level is Level.LIVE


def test_a_push_while_envoy_is_down_is_live_when_it_is_back(rig: Rig, edge: Edge) -> None:
    rig.push(rig.snapshot(1))
    edge.kill()
    one, _two, three = (each.name for each in rig.targets)
    desired = rig.snapshot(2, routes=(Route("gpt-new", (Tier.of({three: 1_000_000}),)),))
    receipt = rig.push(desired)
    proof = edge.orchestrator.verify(receipt, desired, now=datetime.now(UTC))
    assert proof.level is Level.ACCEPTED
    assert "nobody saw it live" in proof.words
    edge.start()
    assert rig.proof(receipt, desired, Level.LIVE).level is Level.LIVE
    assert edge.ask("search", "gpt-new")[1]["x-provider"] == three
    assert one not in {each.target for each in edge.orchestrator.read_usage("").events}


def test_a_push_killed_at_any_write_is_finished_by_the_same_plan(
    rig: Rig, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _three = (each.name for each in rig.targets)
    first = rig.snapshot(1, routes=(Route("old", (Tier.of({one: 1_000_000}),)), *rig.snapshot(1).routes))
    rig.push(first)
    second = rig.snapshot(2, 100_000, routes=(*rig.snapshot(2, 100_000).routes, Route("new", (Tier.of({two: 10**6}),))))
    plan = edge.orchestrator.plan(second, edge.orchestrator.observe())
    real, writes = folder.write_atomically, 0
    for fatal in range(1, len(plan.steps) + 3):
        writes = 0

        def dies(path: Path, content: bytes, *, _fatal: int = fatal, **more: Any) -> None:
            nonlocal writes
            writes += 1
            if writes == _fatal:
                raise KeyboardInterrupt
            real(path, content, **more)

        monkeypatch.setattr(folder, "write_atomically", dies)
        try:
            edge.orchestrator.apply(plan, now=datetime.now(UTC))
        except KeyboardInterrupt:
            monkeypatch.setattr(folder, "write_atomically", real)
            assert not edge.orchestrator.observe().foreign, f"write {fatal}: our own files look foreign"
            continue
        break
    monkeypatch.setattr(folder, "write_atomically", real)
    receipt = edge.orchestrator.apply(plan, now=datetime.now(UTC))
    assert rig.proof(receipt, second, Level.LIVE).level is Level.LIVE
    assert drift(second, edge.orchestrator.observe()) == []
    assert not list(edge.layout.xds.glob(".partial-*"))
    assert not list(edge.layout.xds.glob("eds-model-old-*"))


def test_a_push_of_weights_killed_before_its_journal_is_ours_and_finished(
    rig: Rig, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push(rig.snapshot(1))
    old = next(edge.layout.xds.glob("eds-*.json")).read_bytes()
    desired = rig.snapshot(2, 100_000)
    plan = edge.orchestrator.plan(desired, edge.orchestrator.observe())
    with monkeypatch.context() as patched:
        patched.setattr(folder, "write_journal", _dies)
        with pytest.raises(KeyboardInterrupt):
            edge.orchestrator.apply(plan, now=datetime.now(UTC))
    assert edge.orchestrator.observe().foreign == ()
    receipt = edge.orchestrator.apply(plan, now=datetime.now(UTC))
    assert rig.proof(receipt, desired, Level.LIVE).level is Level.LIVE
    # An earlier file of ours that somebody puts back is not ours any more.
    next(edge.layout.xds.glob("eds-*.json")).write_bytes(old)
    assert edge.orchestrator.observe().foreign != ()


def _dies(*_args: Any) -> None:
    raise KeyboardInterrupt


def test_a_stray_or_deleted_file_is_drift_until_someone_decides(rig: Rig, edge: Edge) -> None:
    desired = rig.snapshot(1)
    rig.push(desired)
    (edge.layout.xds / "extra.json").write_text("{}")
    next(edge.layout.xds.glob("eds-*.json")).unlink()
    words = {each.words for each in drift(desired, edge.orchestrator.observe()) if each.kind == "file"}
    assert any("extra.json is a file that nobody of ours wrote" in each for each in words)
    assert any("was deleted by someone else" in each for each in words)
    with pytest.raises(Conflict):
        edge.orchestrator.plan(rig.snapshot(2), edge.orchestrator.observe())
    decided = rig.snapshot(2)
    rig.proof(rig.push(decided, force=True), decided, Level.LIVE)
    assert drift(decided, edge.orchestrator.observe()) == []
    assert not (edge.layout.xds / "extra.json").exists()


def test_the_log_is_rotated_without_losing_a_request(rig: Rig, edge: Edge) -> None:
    desired = rig.snapshot(1)
    rig.proof(rig.push(desired), desired, Level.LIVE)
    edge.serve("search", "gpt-large", 5)
    assert until(lambda: len(edge.orchestrator.read_usage("").events) == 5)
    first = edge.orchestrator.read_usage("", limit=2)
    assert edge.orchestrator.rotate_log(now=datetime.now(UTC), largest_bytes=10)
    edge.serve("search", "gpt-large", 4)
    assert until(lambda: len(edge.orchestrator.read_usage(first.cursor).events) == 7)
    assert edge.orchestrator.read_usage(first.cursor).lost == 0
    assert admin.is_ready(edge.layout.admin)
