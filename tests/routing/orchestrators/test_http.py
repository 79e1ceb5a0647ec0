"""The documented contract: over a real socket, in-process, and with a server that misbehaves on purpose."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import routing.orchestrators
from routing.desired import Quota, Route, Target, Tier
from routing.drift import drift
from routing.orchestrators.base import (
    Conflict,
    Level,
    Malformed,
    OrchestratorError,
    Overloaded,
    Refused,
    Unauthorized,
    Unreachable,
    Unsupported,
)
from routing.orchestrators.fake import PROPAGATION, ContractServer, FakeOrchestrator, Misbehaviour
from routing.orchestrators.http import HttpOrchestrator, open_http, read_capabilities
from routing.orchestrators.registry import open_orchestrator
from tests.routing.orchestrators.conformance import Conformance, Rig, stop
from tests.routing.orchestrators.contract_server import contract_server

OPENAPI = Path(routing.orchestrators.__file__).parent / "openapi" / "orchestrator.yaml"
LATER = PROPAGATION + timedelta(seconds=1)
TARGETS = (
    Target("aws", "aws", "eu-west-1", "https://aws.example", "eu"),
    Target("azure", "azure", "westeurope", "https://azure.example", "eu"),
    Target("gcp", "gcp", "us-east1", "https://gcp.example", "us"),
)
DECLARED = {
    "atomic": "all",
    "propagation_seconds": 5,
    "quotas": ["team_rpm", "team_tpm"],
    "renames_model": True,
    "exact_split": True,
}


def rig_of(orchestrator: HttpOrchestrator, server: ContractServer) -> Rig:
    def serve(team: str, model: str, number: int) -> int:
        before = server.refused.get((model, team), 0)
        server.serve(team, model, number)
        return server.refused.get((model, team), 0) - before

    return Rig(orchestrator, TARGETS, serve, server.edit)


@pytest.fixture
def over_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("EDGE_TOKEN", "secret-of-the-edge")
    server = ContractServer("edge", token="secret-of-the-edge")
    with contract_server(server) as address:
        settings = {"url": address, "token_env": "EDGE_TOKEN", "timeout_seconds": 2, "capabilities": DECLARED}
        rig = rig_of(open_http("edge", settings), server)
        rig.server = server  # type: ignore[attr-defined]
        yield rig


class TestHttp(Conformance):
    """The suite of all modules, over a real socket."""

    @pytest.fixture
    def rig(self, over_socket: Rig) -> Rig:
        return over_socket


class TestFake(Conformance):
    """The suite of all modules, in-process."""

    @pytest.fixture
    def rig(self) -> Rig:
        fake = FakeOrchestrator("edge")
        return rig_of(fake, fake.server)


def fake(misbehaves: Misbehaviour | None = None) -> tuple[Rig, ContractServer]:
    """With generation 1 pushed while it behaved."""
    orchestrator = FakeOrchestrator("edge")
    rig = rig_of(orchestrator, orchestrator.server)
    rig.push(rig.snapshot(1))
    orchestrator.server.misbehaves = misbehaves
    return rig, orchestrator.server


@pytest.mark.parametrize(
    ("misbehaves", "error", "retryable"),
    [
        (Misbehaviour.LOSES_REQUEST, Unreachable, True),
        (Misbehaviour.LOSES_ANSWER, Unreachable, True),
        (Misbehaviour.HANGS, Unreachable, True),
        (Misbehaviour.OVERLOADED, Overloaded, True),
        (Misbehaviour.BROKEN, Overloaded, True),
        (Misbehaviour.CONFLICTS, Conflict, False),
        (Misbehaviour.GARBLED, Malformed, False),
    ],
)
def test_a_call_that_fails_says_whether_to_try_again(
    misbehaves: Misbehaviour, error: type[OrchestratorError], retryable: bool
) -> None:
    rig, server = fake(misbehaves)
    plan = rig.orchestrator.plan(rig.snapshot(2, 100_000), rig.orchestrator.observe())
    with pytest.raises(error) as raised:
        rig.orchestrator.apply(plan, now=datetime.now(UTC))
    assert raised.value.retryable is retryable
    server.misbehaves = None
    if retryable:
        receipt = rig.orchestrator.apply(plan, now=datetime.now(UTC))
        assert receipt.repeated is (misbehaves is Misbehaviour.LOSES_ANSWER)
        assert drift(plan.desired, rig.orchestrator.observe()) == []


def test_the_wait_that_is_asked_for_is_kept() -> None:
    rig, _server = fake(Misbehaviour.OVERLOADED)
    with pytest.raises(Overloaded) as raised:
        rig.push(rig.snapshot(2))
    assert raised.value.retry_after == timedelta(seconds=7)


def test_yes_without_doing_it_is_drift_once_its_time_is_over() -> None:
    rig, _server = fake(Misbehaviour.IGNORES)
    desired = rig.snapshot(2, 100_000)
    receipt = rig.push(desired)
    at_once = rig.orchestrator.verify(receipt, desired, now=receipt.applied_at)
    later = rig.orchestrator.verify(receipt, desired, now=receipt.applied_at + LATER)
    assert (at_once.level, later.level, later.overdue) == (Level.ACCEPTED, Level.DRIFT, True)
    assert "reads back generation 1" in later.words


def test_half_a_push_is_drift_at_once() -> None:
    rig, _server = fake(Misbehaviour.HALF_APPLIES)
    desired = rig.snapshot(2, blocks=(stop("search"),))
    receipt = rig.push(desired)
    proof = rig.orchestrator.verify(receipt, desired, now=receipt.applied_at)
    assert proof.level is Level.DRIFT
    assert any(each.kind == "block" for each in proof.differences)


def test_a_late_data_plane_is_accepted_then_overdue_then_live() -> None:
    rig, server = fake(Misbehaviour.LATE)
    desired = rig.snapshot(2, 100_000)
    receipt = rig.push(desired)
    verify = rig.orchestrator.verify
    assert verify(receipt, desired, now=receipt.applied_at).level is Level.ACCEPTED
    late = verify(receipt, desired, now=receipt.applied_at + LATER)
    assert (late.level, late.overdue) == (Level.ACCEPTED, True)
    server.follow()
    assert verify(receipt, desired, now=receipt.applied_at + LATER).level is Level.LIVE


def test_traffic_that_does_not_follow_is_drift_though_all_reads_back() -> None:
    rig, server = fake(Misbehaviour.MISROUTES)
    before, desired = rig.snapshot(1), rig.snapshot(2, 100_000)
    receipt = rig.push(desired)
    server.serve("search", "gpt-large", 400)
    proof = rig.orchestrator.verify(receipt, desired, before=before, now=receipt.applied_at + LATER)
    assert proof.level is Level.DRIFT
    assert [each.kind for each in proof.differences] == ["split"]
    assert "azure 40 % of 400, wanted 90 %" in proof.words


def test_what_the_data_plane_refuses_is_rejected() -> None:
    rig, _server = fake(Misbehaviour.REJECTS)
    desired = rig.snapshot(2, 100_000)
    receipt = rig.push(desired)
    proof = rig.orchestrator.verify(receipt, desired, now=receipt.applied_at)
    assert (proof.level, proof.words) == (Level.REJECTED, "route 1: unknown cluster")


def test_forgetting_on_a_restart_is_seen() -> None:
    rig, server = fake()
    desired = rig.snapshot(2)
    receipt = rig.push(desired)
    server.restart()
    assert [each.words for each in drift(desired, rig.orchestrator.observe())] == ["it holds nothing of ours"]
    assert rig.orchestrator.verify(receipt, desired, now=receipt.applied_at + LATER).level is Level.DRIFT
    rig.push(rig.snapshot(3))
    assert drift(rig.snapshot(3), rig.orchestrator.observe()) == []


@pytest.mark.parametrize("misbehaves", [Misbehaviour.LOSES_REQUEST, Misbehaviour.LOSES_ANSWER, Misbehaviour.HANGS])
def test_silence_over_a_socket_ends_with_the_timeout(monkeypatch: pytest.MonkeyPatch, misbehaves: Misbehaviour) -> None:
    monkeypatch.setenv("EDGE_TOKEN", "t")
    server = ContractServer("edge", misbehaves)
    with contract_server(server) as address:
        edge = open_orchestrator("http", "edge", {"url": address, "token_env": "EDGE_TOKEN", "timeout_seconds": 0.3})
        rig = Rig(edge, TARGETS)
        plan = edge.plan(rig.snapshot(1), edge.observe())
        with pytest.raises(Unreachable):
            edge.apply(plan, now=datetime.now(UTC))
        server.misbehaves = None
        server.release.set()
        assert edge.apply(plan, now=datetime.now(UTC)).repeated is (misbehaves is Misbehaviour.LOSES_ANSWER)


def test_a_wrong_token_and_a_missing_one_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_TOKEN", "wrong")
    with contract_server(ContractServer("edge", token="right")) as address:
        edge = open_http("edge", {"url": address, "token_env": "EDGE_TOKEN"})
        with pytest.raises(Unauthorized, match="bearer token"):
            edge.observe()
    with pytest.raises(Refused, match="no credential"):
        open_http("edge", {"url": "http://127.0.0.1:1"})
    with pytest.raises(Refused, match="lack url"):
        open_http("edge", {})


def test_what_it_says_it_cannot_do_is_refused_before_a_push() -> None:
    edge = HttpOrchestrator("edge", FakeOrchestrator("edge")._ask, read_capabilities({"tiers": False}))
    rig = Rig(edge, TARGETS)
    flat = Route("gpt-large", (Tier.of({"aws": 1_000_000}),), team="search", served_model="gpt-small")
    wanted = rig.snapshot(1, routes=(flat,), quotas=(Quota(team="search", rpm=5),))
    with pytest.raises(Unsupported, match="answer with another model, nor hold a quota of kind team_rpm"):
        edge.plan(wanted, edge.observe())
    with pytest.raises(Unsupported, match="second tier"):
        edge.plan(rig.snapshot(1), edge.observe())


def test_a_capability_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Refused, match="teleports"):
        read_capabilities({"teleports": True})
    with pytest.raises(Refused, match="atomic"):
        read_capabilities({"atomic": "sometimes"})


def test_the_stand_in_keeps_to_the_published_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every body that Weir sends, and every answer of the server, is valid under the OpenAPI file."""
    document = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
    seen: list[tuple[str, str, Any, Any]] = []
    edge = FakeOrchestrator("edge")
    ask = edge._ask

    def recorded(method: str, path: str, body: Any, headers: Any) -> Any:
        answer = ask(method, path, body, headers)
        seen.append((method, path.partition("?")[0], body, (answer.status, answer.json())))
        return answer

    spy = HttpOrchestrator("edge", recorded, edge.capabilities())
    rig = rig_of(spy, edge.server)
    rig.push(rig.snapshot(1, blocks=(stop("fraud"),), quotas=(Quota(team="search", rpm=5),)))
    edge.server.serve("search", "gpt-large", 3)
    spy.read_usage("")
    spy.observed_split(datetime(2026, 1, 1, tzinfo=UTC), now=datetime.now(UTC))
    edge.server.misbehaves = Misbehaviour.CONFLICTS
    with pytest.raises(Conflict):
        rig.push(rig.snapshot(2))
    assert {(method, path) for method, path, _body, _answer in seen} == {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    for method, path, body, (status, answer) in seen:
        operation = document["paths"][path][method.lower()]
        if body is not None:
            _check(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        (content,) = operation["responses"][str(status)]["content"].values()
        _check(document, content["schema"], answer)


def _check(document: dict[str, Any], schema: dict[str, Any], body: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(body)
