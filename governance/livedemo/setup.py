"""Make the live demo ready: its folder, its prices, its orchestrator, the first snapshot. Safe to repeat at each start.

What was changed since the first start stays: only the addresses of the pools follow their ports.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from attribution.actors import SYSTEM
from attribution.pricing.book import PriceRow
from attribution.pricing.store import replace_source
from attribution.vocabulary import Tier, TokenType
from governance.demo import PEOPLE
from governance.identity.permissions import actor_of_person
from governance.livedemo import layout
from governance.livedemo.budgets import make_budgets
from governance.livedemo.layout import HOST, LiveLayout
from governance.livedemo.world import ORCHESTRATOR, PRICES, first_snapshot, targets
from governance.models import User
from governance.supervisor import broker_socket
from routing import selectors, services
from routing.desired import DesiredState, to_plain
from routing.orchestrators.envoy.bootstrap import Layout
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator

_PRICE_SOURCE = "halden-contract"
_MILLION = Decimal(1_000_000)


def prepare(home: Path, *, now: datetime, gateway_port: int = 0) -> LiveLayout:
    """Everything that must stand before the programs start. Raises Refused when there is no Envoy here."""
    chosen = layout.choose(home, gateway_port=gateway_port)
    envoy = open_edge(home, chosen)
    envoy.command()  # raises where there is no binary
    envoy.prepare(chosen.keys)
    admin_socket(home).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_source(_PRICE_SOURCE, "demo-1", _price_rows())
    services.register_orchestrator(ORCHESTRATOR, "envoy", settings_of(home, chosen), actor=SYSTEM, now=now)
    _propose(chosen, now)
    owner = User.objects.filter(email=PEOPLE[0].email).first()
    if owner is not None:
        make_budgets(actor_of_person(owner, now), now=now)
    return chosen


def settings_of(home: Path, chosen: LiveLayout) -> dict[str, str]:
    return {
        "folder": str(layout.folder_of(home) / "envoy"),
        "listen": f"{HOST}:{chosen.gateway_port}",
        "admin": str(admin_socket(home)),
    }


def open_edge(home: Path, chosen: LiveLayout) -> EnvoyOrchestrator:
    place = layout.folder_of(home) / "envoy"
    admin = str(admin_socket(home))
    return EnvoyOrchestrator(ORCHESTRATOR, Layout(place, HOST, chosen.gateway_port, admin, node="weir-demo"))


def admin_socket(home: Path) -> Path:
    """Beside the broker's: Envoy's admin interface knows no password, so only this user may reach it."""
    return broker_socket(home).with_name("gateway.sock")


def commands(home: Path, chosen: LiveLayout, python: str) -> Sequence[tuple[str, list[str]]]:
    """The programs to supervise, in starting order: name and command."""
    return (
        ("gateway", open_edge(home, chosen).command()),
        ("traffic", [python, "-m", "governance.livedemo", str(home)]),
    )


def _propose(chosen: LiveLayout, now: datetime) -> None:
    standing = selectors.standing_state(ORCHESTRATOR)
    wanted = _moved(standing, chosen) if standing is not None else first_snapshot(chosen.ports)
    if standing is not None and to_plain(wanted) == to_plain(standing):
        return
    title = "Start the live demo's gateway" if standing is None else "Follow the live demo's ports"
    why = services.Why("demo", "demo:start", "The demo's stub providers listen at these addresses.", {}, title)
    services.propose_change(ORCHESTRATOR, wanted, why=why, actor=SYSTEM, now=now)
    # Before Envoy starts: its first request already finds a route.
    services.push_pending(now=now)


def _moved(standing: DesiredState, chosen: LiveLayout) -> DesiredState:
    addresses = {each.name: each.endpoint for each in targets(chosen.ports)}
    moved = (replace(each, endpoint=addresses.get(each.name, each.endpoint)) for each in standing.targets)
    return replace(standing, targets=tuple(moved))


def _price_rows() -> list[PriceRow]:
    """Of pools that the simulated months don't use, so those keep their estimates; AWS is at the public price."""
    rows = []
    for each in (one for one in PRICES if one.provider != "aws"):
        for token_type, usd in (
            (TokenType.INPUT_UNCACHED, each.input_usd_per_mtok),
            (TokenType.CACHE_READ, each.input_usd_per_mtok / 10),
            (TokenType.OUTPUT, each.output_usd_per_mtok),
        ):
            rows.append(
                PriceRow(
                    provider=each.provider,
                    model=each.model,
                    routing="",
                    tier=Tier.STANDARD,
                    context_from=0,
                    token_type=token_type,
                    usd_per_token=usd / _MILLION,
                    valid_from=None,
                    valid_to=None,
                    source=_PRICE_SOURCE,
                    version="demo-1",
                )
            )
    return rows
