"""The whole loop over a real Envoy with real requests: proof, a stop and its end, and a hand in its files."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from attribution.models import Team
from routing import selectors, services
from routing.desired import Block, BlockReason, DesiredState, Route, Tier
from routing.models import ChangeSet, Orchestrator
from routing.services import Why
from tests.routing.orchestrators.conformance import until
from tests.routing.orchestrators.envoy_rig import Edge, envoy, stub_providers, targets_of

from .conftest import LEAD, OWNER, fresh, status

pytestmark = pytest.mark.slow


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def gateway(db: None, tmp_path: Path) -> Iterator[Edge]:
    """Envoy with a first snapshot that went through the loop."""
    Team.objects.create(slug="search", name="Search")
    with stub_providers() as providers, envoy(tmp_path / "envoy") as edge:
        layout = edge.layout
        settings = {
            "folder": f"{layout.folder}",
            "listen": f"127.0.0.1:{layout.listen_port}",
            "admin": f"{layout.admin}",
        }
        services.register_orchestrator("edge", "envoy", settings, actor=OWNER, now=now())
        targets = targets_of(providers)
        tier = Tier.of({"aws": 600_000, "azure": 400_000})
        first = DesiredState("edge", 0, targets, (Route("gpt-large", (tier,)),))
        services.propose_change("edge", first, why=Why("person", "", "the start"), actor=OWNER, now=now())
        services.push_pending(now=now())
        assert until(lambda: edge.ask("search", "gpt-large")[0] == 200, 10)
        yield edge


def loop() -> None:
    services.turn_periods(now=now())
    services.push_pending(now=now())
    services.verify_pending(now=now())


def proved(edge: Edge, change: ChangeSet) -> bool:
    edge.serve("search", "gpt-large", 40)
    loop()
    return status(change) == "effective"


def test_a_change_is_proved_by_the_requests_that_follow_it(gateway: Edge):
    state = selectors.standing_state("edge")
    moved = replace(
        state, routes=(*state.routes, Route("gpt-large", (Tier.of({"aws": 450_000, "azure": 550_000}),), "search"))
    )
    change = services.propose_change(
        "edge", moved, why=Why("person", "", "move"), actor=OWNER, team="search", now=now()
    )
    assert until(lambda: proved(gateway, change), 40)
    services.record_traffic()
    assert fresh(change).generation == 2
    assert [each.after for each in change.transitions.order_by("id")][-3:] == ["accepted", "live", "effective"]
    shown = selectors.change(LEAD.scope, change.pk, now())
    assert [(each.target, each.wanted_ppm) for each in shown.routes[0].weights] == [
        ("aws", 450_000),
        ("azure", 550_000),
    ]


def test_a_stopped_team_hears_why_and_is_served_again_at_the_turn_of_its_period(gateway: Edge):
    resets_at = now() + timedelta(seconds=6)
    reason = BlockReason("Search, November", Decimal("40001.20"), Decimal(40000), resets_at, "Search is spent")
    stop = replace(selectors.standing_state("edge"), blocks=(Block(reason, "search"),))
    made = services.propose_change(
        "edge",
        stop,
        why=Why("decision", "budget:1", "spent"),
        actor=OWNER,
        approval="standing",
        team="search",
        now=now(),
    )
    assert status(made) == "approved"
    loop()

    def refused() -> bool:
        return gateway.ask("search", "gpt-large")[0] == 429

    assert until(refused, 5)
    body = json.loads(gateway.ask("search", "gpt-large")[2])["error"]
    assert (body["budget"], body["spend"], body["limit"]) == ("Search, November", "40001.20", "40000")
    assert body["resets_at"] == resets_at.isoformat()

    def served() -> bool:
        loop()
        return gateway.ask("search", "gpt-large")[0] == 200

    assert until(served, 20)
    assert now() - resets_at < timedelta(seconds=60)
    assert ChangeSet.objects.get(kind="period_turn").team == "search"


def test_a_hand_in_its_files_is_shown_and_nothing_is_written_over_until_somebody_decides(gateway: Edge):
    assert until(lambda: proved(gateway, ChangeSet.objects.get()), 40)
    gateway.edit("gpt-large", {"aws": 100_000, "azure": 900_000})
    assert services.watch_drift(now=now()) == ["edge"]
    row = Orchestrator.objects.get()
    assert row.state == "drifted"
    assert "gpt-large" in json.dumps(row.drift)
    before = {path.name: path.read_bytes() for path in gateway.layout.xds.glob("*.json")}
    state = selectors.standing_state("edge")
    moved = replace(
        state, routes=(*state.routes, Route("gpt-large", (Tier.of({"aws": 500_000, "azure": 500_000}),), "search"))
    )
    waits = services.propose_change("edge", moved, why=Why("person"), actor=OWNER, team="search", now=now())
    for _again in range(3):
        loop()
        services.watch_drift(now=now())
    assert status(waits) == "approved"
    assert {path.name: path.read_bytes() for path in gateway.layout.xds.glob("*.json")} == before
    made = services.settle_drift("edge", "overwrite", actor=OWNER, now=now())
    assert services.push_pending(now=now()) == [made.pk]
    assert until(lambda: services.watch_drift(now=now()) == [] and Orchestrator.objects.get().state == "ok", 10)
    assert services.push_pending(now=now()) == [waits.pk]


def test_a_killed_envoy_comes_back_as_it_was_and_is_no_drift(gateway: Edge):
    gateway.restart()
    assert until(lambda: gateway.ask("search", "gpt-large")[0] == 200, 10)
    assert services.watch_drift(now=now()) == []
    assert Orchestrator.objects.get().state == "ok"
