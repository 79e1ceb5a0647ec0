"""The suite of all modules over LiteLLM, the Gateway API and Envoy AI Gateway, on servers that behave as real ones."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from routing.desired import DesiredState, ResidencyRule, Route, Target, Tier
from routing.orchestrators.ai_gateway import open_ai_gateway
from routing.orchestrators.base import Level, Proof, Receipt, Refused
from routing.orchestrators.gateway_api import open_gateway_api
from routing.orchestrators.litellm import open_litellm
from tests.routing.orchestrators import kube_stub, litellm_stub
from tests.routing.orchestrators.conformance import Conformance, Rig, stop
from tests.routing.orchestrators.kube_stub import Store
from tests.routing.orchestrators.litellm_stub import Proxy

PORT = (("backend_port", "443"),)
TARGETS = (
    Target("aws", "aws", "eu-west-1", "https://aws.example/v1", "eu", attributes=PORT),
    Target("gcp", "gcp", "europe-west4", "https://gcp.example/v1", "eu", attributes=PORT),
    Target("spare", "azure", "eastus", "https://azure.example/v1", "us", attributes=PORT),
)


class Followed(Rig):
    """In Kubernetes a push is live when the controller says that it follows; here it always does at once."""

    store: Store

    def proof(self, receipt: Receipt, desired: DesiredState, wanted: Level, **more: Any) -> Proof:
        self.store.follow()
        return super().proof(receipt, desired, wanted, **more)

    def edit_route(self, model: str, weights: dict[str, int]) -> None:
        plural = self.orchestrator.kinds[0].plural  # type: ignore[attr-defined]

        def change(spec: dict[str, Any]) -> None:
            for backend in spec["rules"][0]["backendRefs"]:
                backend["weight"] = weights.get(backend["name"], backend["weight"])

        for kind, name in list(self.store.objects):
            if kind == plural:
                self.store.edit(kind, name, change)


class OneTier(Followed):
    """An HTTPRoute has no failover order."""

    def snapshot(self, generation: int, first: int = 600_000, **more: Any) -> DesiredState:
        whole = super().snapshot(generation, first)
        (route,) = whole.routes
        return replace(whole, **{"routes": (replace(route, tiers=route.tiers[:1]),), **more})


def followed(kind: type[Followed], open_it: Any, tmp_path: Path) -> Iterator[Followed]:
    token = tmp_path / "token"
    token.write_text(kube_stub.TOKEN)
    with kube_stub.running() as (address, store):
        settings = {"api": address, "namespace": "inference", "gateway": "edge", "token_file": str(token)}
        rig = kind(open_it("edge", settings), TARGETS)
        rig.store, rig.edit = store, rig.edit_route
        yield rig


class TestGatewayApi(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Rig]:
        yield from followed(OneTier, open_gateway_api, tmp_path)

    def test_a_target_that_leaves_its_residency_is_refused_in_every_tier(self, rig: Rig) -> None:
        rules = (ResidencyRule(frozenset({"eu"})),)
        leaves = Route("gpt-large", (Tier.of({"aws": 900_000, "spare": 100_000}),))
        with pytest.raises(Refused, match=r"keeps data in us.*allows eu"):
            rig.orchestrator.plan(rig.snapshot(1, residency_rules=rules, routes=(leaves,)), rig.orchestrator.observe())
        rig.orchestrator.plan(rig.snapshot(1, residency_rules=rules), rig.orchestrator.observe())


class TestAiGateway(Conformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Rig]:
        yield from followed(Followed, open_ai_gateway, tmp_path)


class Waited(Rig):
    """LiteLLM is live everywhere after a minute; the suite does not wait for it."""

    proxy: Proxy

    def proof(self, receipt: Receipt, desired: DesiredState, wanted: Level, **more: Any) -> Proof:
        del wanted  # one look after the time is all that there is to wait for
        now = datetime.now(UTC) + self.settled
        return self.orchestrator.verify(receipt, desired, now=now, **more)

    def edit_weights(self, model: str, weights: dict[str, int]) -> None:
        for key, each in self.proxy.models.items():
            for name, weight in weights.items():
                if each["model_name"] == model and f"-{name}-" in key:
                    each["litellm_params"]["weight"] = weight

    def ask(self, team: str, model: str, number: int) -> int:
        """What the router does with requests: those of the first order, by chance, and a line in the spend log."""
        if self.proxy.teams.get(team, {}).get("blocked"):
            return number
        shares = self.proxy.shares(model)["1"]
        chance = random.Random(7)
        for key in chance.choices(list(shares), list(shares.values()), k=number):
            now = datetime.now(UTC)
            row = {
                "request_id": f"r{len(self.proxy.logs)}",
                "startTime": now.isoformat(timespec="milliseconds"),
                "endTime": now.isoformat(timespec="milliseconds"),
                "model_id": key,
                "model_group": model,
                "team_id": team,
                "status": "success",
                "metadata": {},
            }
            self.proxy.logs.append(row)
        return 0


class TestLiteLLM(Conformance):
    @pytest.fixture
    def rig(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
        monkeypatch.setenv("MASTER", litellm_stub.MASTER)
        with litellm_stub.running() as (address, proxy):
            proxy.add_team("search")
            rig = Waited(open_litellm("edge", {"url": address, "token_env": "MASTER"}), TARGETS)
            rig.proxy, rig.edit, rig.serve = proxy, rig.edit_weights, rig.ask
            yield rig

    def test_a_block_refuses_its_team_only_and_is_proved_by_refusals(self, rig: Rig) -> None:
        """LiteLLM's log does not name who was refused: a stop is live, and its effect stays unproven."""
        assert rig.serve is not None
        before = rig.snapshot(1)
        rig.push(before)
        desired = rig.snapshot(2, blocks=(stop("search"),))
        receipt = rig.push(desired, ago=rig.settled)
        assert rig.serve("search", "gpt-large", 20) == 20
        assert rig.serve("fraud", "gpt-large", 20) == 0
        proof = rig.orchestrator.verify(receipt, desired, before=before, now=datetime.now(UTC))
        assert (proof.level, proof.effect_unproven) == (Level.LIVE, True)
        opened = rig.snapshot(3)
        rig.push(opened)
        assert rig.serve("search", "gpt-large", 20) == 0
