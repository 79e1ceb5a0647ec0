"""Envoy's access log: usage events from a cursor on, and how requests were shared since an instant.

The log is a file of JSON lines, in order of completion. It is rotated by whoever reads it: renamed, reopened, and kept
until it is old. A cursor names the file by its inode and its first line (an inode is used again), and the next byte, so
that a rotation loses nothing.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from routing.orchestrators.base import ObservedSplit, RouteSplit, Usage, UsageEvent

# A request that is answered here has no target: by a block, by a quota, for a model that nobody serves, or by failing.
_REFUSED = frozenset({429})
# A line may be written some seconds after others that ended later: workers buffer.
_DISORDER = timedelta(seconds=30)
_BLOCK_BYTES = 1 << 20

Line = dict[str, Any]


@dataclass(frozen=True)
class LogFiles:
    """The current file and those rotated away, oldest first."""

    current: Path

    def all(self) -> list[Path]:
        rotated = sorted(self.current.parent.glob(f"{self.current.name}.*"))
        return [*rotated, self.current] if self.current.exists() else rotated

    def rotated_name(self, now: datetime) -> Path:
        return self.current.with_name(f"{self.current.name}.{now.astimezone(UTC):%Y%m%dT%H%M%S%f}")


def read_usage(files: LogFiles, cursor: str, *, limit: int) -> Usage:
    """Whole lines after `cursor`, at most about `limit`. A line that is no JSON is skipped and counted as lost."""
    paths = files.all()
    name, offset = _parse(cursor)
    start = next((i for i, path in enumerate(paths) if name and _name_of(path) == name), None)
    lost = 0
    if start is None:
        # The file of the cursor is gone: what stood after it in that file can't be counted, only noticed.
        lost, start, offset = (1 if cursor else 0), 0, 0
    events: list[UsageEvent] = []
    ended = cursor
    for number, path in enumerate(paths[start:]):
        if number:
            offset = 0
        name = _name_of(path)
        if not name:
            continue  # without a whole line it has no name yet: the next look begins where this one ended
        with path.open("rb") as file:
            file.seek(offset)
            for raw in file:
                if len(events) >= limit:
                    return Usage(tuple(events), f"{name}:{offset}", more=True, lost=lost)
                if not raw.endswith(b"\n"):
                    break  # still being written
                offset += len(raw)
                line = _decode(raw)
                event = None if line is None else _event(line)
                lost += line is None
                if event is not None:
                    events.append(event)
        ended = f"{name}:{offset}"
    return Usage(tuple(events), ended, lost=lost)


def observed_split(
    files: LogFiles, since: datetime, *, now: datetime, newest_bytes: int | None = None
) -> ObservedSplit:
    """First attempts that began in [since, now), by team, model and target.

    newest_bytes: of a log with more since then only so much is read; shares need no more.
    """
    begin, end = since.timestamp(), now.timestamp()
    counted: dict[tuple[str, str], dict[str, int]] = {}
    refused: dict[tuple[str, str], int] = {}
    failed: dict[tuple[str, str], int] = {}
    retried: dict[tuple[str, str], int] = {}
    for line in _lines_since(files, since, newest_bytes):
        started = _started(line)
        team, model = line.get("team"), line.get("model")
        if started is None or not begin <= started < end or not team or not model:
            continue
        where = (str(model), str(team))
        if line.get("target") is None:
            bucket = refused if line.get("code") in _REFUSED else failed
            bucket[where] = bucket.get(where, 0) + 1
        elif (line.get("attempts") or 1) == 1:
            shares = counted.setdefault(where, {})
            shares[str(line["target"])] = shares.get(str(line["target"]), 0) + 1
        else:
            retried[where] = retried.get(where, 0) + 1
    routes = tuple(
        RouteSplit(
            *where,
            requests=dict(sorted(counted.get(where, {}).items())),
            refused=refused.get(where, 0),
            failed=failed.get(where, 0),
            retried=retried.get(where, 0),
        )
        for where in sorted(counted.keys() | refused.keys() | failed.keys() | retried.keys())
    )
    return ObservedSplit(since, now, routes, complete=_reaches(files, since))


def _parse(cursor: str) -> tuple[str, int]:
    name, _, offset = cursor.rpartition(":")
    return (name, int(offset)) if offset.isdigit() else ("", 0)


def _name_of(path: Path) -> str:
    """ "<inode>.<checksum of its first line>"; "" as long as it has none."""
    with path.open("rb") as file:
        first = file.readline()
        return f"{os.fstat(file.fileno()).st_ino}.{zlib.crc32(first):08x}" if first.endswith(b"\n") else ""


def _decode(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _started(line: Line) -> float | None:
    try:
        return float(line["ts"])
    except (KeyError, TypeError, ValueError):
        return None


def _event(line: Line) -> UsageEvent | None:
    """A request that a target served, or tried to. What was refused here costs nothing and is no usage."""
    started, request_id = _started(line), line.get("rid")
    if started is None or not request_id or line.get("target") is None:
        return None
    latency = _whole(line.get("ms"))
    completed = datetime.fromtimestamp(started, tz=UTC) + timedelta(milliseconds=latency or 0)
    return UsageEvent(
        request_id=str(request_id),
        completed_at=completed,
        provider=str(line.get("provider") or "unknown"),
        region=_text(line.get("region")),
        target=_text(line.get("target")),
        request_model=_text(line.get("model")),
        response_model=_text(line.get("resp_model")),
        team=_text(line.get("team")),
        key=_text(line.get("key")),
        status=_whole(line.get("code")) or 0,
        input_tokens=_whole(line.get("in")),
        cache_read_input_tokens=_whole(line.get("cached")),
        output_tokens=_whole(line.get("out")),
        latency_ms=latency,
        ttft_ms=_whole(line.get("ttfb_ms")),
        attempts=_whole(line.get("attempts")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    try:
        return None if value is None else int(float(value))
    except (TypeError, ValueError):
        return None


def _lines_since(files: LogFiles, since: datetime, newest_bytes: int | None) -> Iterator[Line]:
    """Lines that may have begun at `since` or later: the files are searched, not read, up to there."""
    earliest = (since - _DISORDER).timestamp()
    left = newest_bytes
    parts: list[tuple[Path, int]] = []
    for path in reversed(files.all()):
        status = path.stat()
        # A file that was last written before then has nothing of it.
        if status.st_mtime < earliest or left == 0:
            break
        start = _first_offset(path, earliest)
        if left is not None:
            start = max(start, status.st_size - left)
            left -= status.st_size - start
        parts.append((path, start))
    for path, start in reversed(parts):
        with path.open("rb") as file:
            if start:
                file.seek(start - 1)
                file.readline()  # the rest of a line that was cut
            for raw in file:
                line = _decode(raw) if raw.endswith(b"\n") else None
                if line is not None:
                    yield line


def _first_offset(path: Path, earliest: float) -> int:
    """A byte offset of a line's start before which every line ended before `earliest`; by bisection."""
    low, high = 0, path.stat().st_size
    with path.open("rb") as file:
        while high - low > _BLOCK_BYTES:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()  # the rest of a line that begins earlier
            start = file.tell()
            line = _decode(file.readline())
            ended = None if line is None else _ended(line)
            if ended is None or ended >= earliest:
                high = middle
            else:
                low = start
    return low


def _ended(line: Line) -> float | None:
    started = _started(line)
    return None if started is None else started + (_whole(line.get("ms")) or 0) / 1000


def _reaches(files: LogFiles, since: datetime) -> bool:
    """Does the oldest file that is kept begin before `since`? An Envoy that never rotated has kept everything."""
    paths = files.all()
    if not paths:
        return True
    if paths[0] == files.current and not (files.current.parent / "rotated").exists():
        return True
    with paths[0].open("rb") as file:
        line = _decode(file.readline())
    started = None if line is None else _started(line)
    return started is not None and started <= since.timestamp()


def rotate(files: LogFiles, *, now: datetime, largest_bytes: int, keep: int, reopen: Callable[[], None]) -> bool:
    """Rename a large current file and have a new one begun; True when that happened. `reopen` may raise: then the next
    call tries again, and what is written meanwhile goes on into the renamed file."""
    if not files.current.exists() or files.current.stat().st_size < largest_bytes:
        return False
    files.current.rename(files.rotated_name(now))
    reopen()
    rotated = sorted(files.current.parent.glob(f"{files.current.name}.*"))
    for old in rotated[: max(len(rotated) - keep, 0)]:
        (files.current.parent / "rotated").touch()
        old.unlink(missing_ok=True)
    return True
