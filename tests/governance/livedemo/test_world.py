"""The demo as data: what it starts with is sound, and its ports are kept."""

import socket
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from attribution.simulator.company import company
from governance.livedemo import layout, world
from governance.livedemo.budgets import round_up
from routing.desired import problems

PORTS = {pool.name: 9000 + number for number, pool in enumerate(world.POOLS)}


def test_the_first_snapshot_is_sound_and_keeps_chats_in_the_eu() -> None:
    snapshot = world.first_snapshot(PORTS)
    assert problems(replace(snapshot, generation=1)) == []
    route = snapshot.route("claude-haiku-4.5", "policy-service")
    assert route is not None
    homes = {target.name: target.residency for target in snapshot.targets}
    assert {homes[name] for tier in route.tiers for name in tier.weights} == {"eu"}


def test_every_stream_has_a_route_and_belongs_to_the_demo_company() -> None:
    snapshot = world.first_snapshot(PORTS)
    projects = {project.slug: project.team for project in company().projects}
    accounts = {account.billing for account in company().accounts.values()}
    for stream in world.STREAMS:
        assert snapshot.route(stream.model, stream.team) is not None
        assert projects[stream.project] == stream.team
    assert {pool.billing_account_id for pool in world.POOLS} == accounts


def test_the_cheapest_pool_is_the_slowest() -> None:
    prices = {each.provider: each.usual_usd_per_mtok for each in world.PRICES if each.model == "claude-sonnet-4.5"}
    # 3.3 x 0.85 + 16.5 x 0.15; 2.7 x 0.85 + 13.5 x 0.15; 2.1 x 0.85 + 10.5 x 0.15
    assert {name: str(usd) for name, usd in prices.items()} == {"aws": "5.28", "azure": "4.32", "gcp": "3.36"}
    assert [pool.provider for pool in sorted(world.POOLS, key=lambda pool: pool.latency_ms)] == ["aws", "azure", "gcp"]


def test_ports_and_keys_are_kept_and_a_taken_port_is_chosen_again(tmp_path: Path) -> None:
    first = layout.choose(tmp_path)
    assert layout.choose(tmp_path) == first
    with socket.socket() as holder:
        holder.bind((layout.HOST, first.gateway_port))
        holder.listen()
        second = layout.choose(tmp_path)
        with pytest.raises(layout.PortTaken, match="WEIR_GATEWAY_PORT"):
            layout.choose(tmp_path, gateway_port=first.gateway_port)
    assert second.gateway_port != first.gateway_port
    assert (second.ports, second.keys) == (first.ports, first.keys)
    assert (layout.folder_of(tmp_path) / "live.json").stat().st_mode & 0o777 == 0o600
    assert layout.choose(tmp_path, gateway_port=first.gateway_port).gateway_port == first.gateway_port


def test_a_broken_choice_is_made_anew(tmp_path: Path) -> None:
    layout.choose(tmp_path)
    (layout.folder_of(tmp_path) / "live.json").write_text('{"ports": 3')
    assert layout.read(tmp_path) is None
    assert set(layout.choose(tmp_path).keys) == {f"{each.team}|{each.key}" for each in world.STREAMS}


@pytest.mark.parametrize(("amount", "limit"), [("0", "0"), ("1", "100"), ("23100", "23100"), ("23100.01", "23200")])
def test_a_limit_is_round(amount: str, limit: str) -> None:
    assert round_up(Decimal(amount)) == Decimal(limit)
