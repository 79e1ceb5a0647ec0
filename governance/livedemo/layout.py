"""Where the live demo's files and ports are; chosen once, kept, and chosen again where something else took a port."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from governance.livedemo.world import POOLS, STREAMS

HOST = "127.0.0.1"
_FILE = "live.json"


@dataclass(frozen=True)
class LiveLayout:
    """ports: of pools by name. keys: client ("team|key name") -> secret."""

    gateway_port: int
    control_port: int
    ports: dict[str, int]
    keys: dict[str, str]


class PortTaken(Exception):
    """A port that was asked for by number is in use."""


def folder_of(home: Path) -> Path:
    return home / "live"


def read(home: Path) -> LiveLayout | None:
    """What was chosen; None before the first start, or when the file is broken: then all is chosen anew."""
    try:
        return LiveLayout(**json.loads((folder_of(home) / _FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def choose(home: Path, *, gateway_port: int = 0) -> LiveLayout:
    """Keep earlier choices as far as their ports are free. The file holds secrets: mode 600.

    gateway_port: 0 is any. Raises PortTaken when a given one is not free.
    """
    earlier = read(home)
    keys = {f"{each.team}|{each.key}": "" for each in STREAMS}
    kept = earlier.keys if earlier else {}
    if gateway_port and _port(gateway_port) != gateway_port:
        raise PortTaken(f"port {gateway_port} on {HOST} is taken: set WEIR_GATEWAY_PORT to another, or to 0 for any")
    chosen = LiveLayout(
        gateway_port=gateway_port or _port(earlier.gateway_port if earlier else 0),
        control_port=_port(earlier.control_port if earlier else 0),
        ports={pool.name: _port(earlier.ports.get(pool.name, 0) if earlier else 0) for pool in POOLS},
        keys={client: kept.get(client) or f"live-{secrets.token_urlsafe(24)}" for client in keys},
    )
    _write(home, chosen)
    return chosen


def _port(wanted: int) -> int:
    """`wanted` if nobody listens there, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port is free on {HOST}")


def _write(home: Path, chosen: LiveLayout) -> None:
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_FILE}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(chosen), file, indent=1)
    partial.replace(folder / _FILE)
