"""The gateway's access log into the product: minutes of requests as telemetry buckets, again and again while they fill.

A minute is a bucket for each team, key, model and pool; a bucket that is read again replaces itself, so a feed that was
killed anywhere is repeated without counting twice. The state file holds the log's cursor and the minutes that may still
grow. Requests that a block or a quota refused cost nothing and are not in it.
"""

import fcntl
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from attribution.ingest_telemetry import ingest_telemetry
from governance.livedemo import layout
from governance.livedemo.world import POOLS, SOURCE, STREAMS
from routing.orchestrators.base import Unreachable, UsageEvent
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator

PAGE = 20_000
# A request is written to the log when it ends; its minute can't grow any more after the longest request.
GROWS = timedelta(minutes=7)
_MINUTE = timedelta(minutes=1)

Bucket = dict[str, Any]


@dataclass(frozen=True)
class Fed:
    """What one feed did. behind: the log has more than it read."""

    events: int
    buckets: int
    behind: bool


def is_first(home: Path) -> bool:
    """Has nothing been fed yet?"""
    return not _state_path(home).exists()


def feed(orchestrator: EnvoyOrchestrator, home: Path, *, now: datetime) -> Fed | None:
    """Read what is new and publish its minutes; None when another worker is at it."""
    path = _state_path(home)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        state = _read(path)
        usage = orchestrator.read_usage(state["cursor"], limit=PAGE)
        buckets: dict[str, Bucket] = state["open"]
        touched = add(buckets, usage.events)
        if touched:
            _publish([buckets[key] for key in sorted(touched)])
        kept = {key: each for key, each in buckets.items() if _end(each) > now - GROWS}
        _write(path, {"cursor": usage.cursor, "open": kept})
        if not usage.more:
            _rotate(orchestrator, now)
        return Fed(len(usage.events), len(touched), usage.more)


def add(buckets: dict[str, Bucket], events: Iterable[UsageEvent]) -> set[str]:
    """Count `events` into their minutes; the keys of the buckets that grew."""
    touched = set()
    for event in events:
        bucket = _bucket(event)
        key = json.dumps(bucket, sort_keys=True)
        held = buckets.setdefault(key, {**bucket, "requests": 0})
        held["requests"] += 1
        for name in ("input_tokens", "cache_read_input_tokens", "output_tokens"):
            count = getattr(event, name)
            if count is not None:
                held[name] = held.get(name, 0) + count
        touched.add(key)
    return touched


_ACCOUNTS: Mapping[str, str] = {pool.name: pool.billing_account_id for pool in POOLS}
_PROJECTS: Mapping[str, str] = {stream.key: stream.project for stream in STREAMS}


def _bucket(event: UsageEvent) -> Bucket:
    """The fields that make one bucket, as docs/telemetry.md names them; without counts."""
    start = event.completed_at.replace(second=0, microsecond=0)
    fields: Bucket = {
        "bucket_start": start.isoformat(),
        "bucket_end": (start + _MINUTE).isoformat(),
        "provider": event.provider,
        "endpoint": event.target,
        "billing_account_id": _ACCOUNTS.get(event.target or ""),
        "region": event.region,
        "routing": "regional",
        "tier": "standard",
        "request_model": event.request_model,
        "response_model": event.response_model,
        "team": event.team,
        "project": _PROJECTS.get(event.key or ""),
        "environment": "production",
        "api_key": event.key,
    }
    if event.status >= 400:
        fields["error"] = True
    return {name: value for name, value in fields.items() if value is not None}


def _end(bucket: Bucket) -> datetime:
    return datetime.fromisoformat(str(bucket["bucket_end"]))


def _publish(buckets: Iterable[Bucket]) -> None:
    with tempfile.TemporaryDirectory(prefix="weir-feed-") as folder:
        path = Path(folder) / f"{SOURCE}.ndjson"
        path.write_text("".join(json.dumps(each) + "\n" for each in buckets), encoding="utf-8")
        ingest_telemetry([path], SOURCE)


def _state_path(home: Path) -> Path:
    return layout.folder_of(home) / "feed.json"


def _read(path: Path) -> dict[str, Any]:
    """A broken state is an empty one: the log is read again from its beginning, and nothing is counted twice."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return {"cursor": str(state["cursor"]), "open": dict(state["open"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {"cursor": "", "open": {}}


def _write(path: Path, state: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(path)


def _rotate(orchestrator: EnvoyOrchestrator, now: datetime) -> None:
    try:
        orchestrator.rotate_log(now=now)
    except Unreachable:
        return  # the renamed file goes on being written to, and read; a later feed asks again
