"""One Envoy's folder of files: written whole, fsynced, renamed into place; and a journal of what we wrote.

The journal (weir.json) is written before the files with what they will be, and after them with what they are. So a
crash anywhere leaves files that are each of the old snapshot or of the new one, both known; anything else is somebody
else's.
One writer at a time holds the folder's lock. Not here: what the files say, what Envoy runs.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routing.orchestrators.base import Malformed

JOURNAL = "weir.json"
# Files of the folder that no snapshot holds.
_OWN = frozenset({JOURNAL, "weir.lock", "keys.json"})


@dataclass(frozen=True)
class Written:
    """A resource's file as we wrote it: its version and the SHA-256 of its bytes."""

    file: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Journal:
    """What we wrote. state: the snapshot's JSON values. pending: the files of a push that has not ended."""

    generation: int = 0
    key: str = ""
    state: Mapping[str, Any] | None = None
    files: Mapping[str, Written] = field(default_factory=dict)
    pending: Mapping[str, Written] | None = None


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """No reader ever sees a part of `content`; if `durable`, `path` holds it also after a power cut."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The right to write `folder`; waits for another writer, whose death frees it."""
    with (folder / "weir.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_journal(folder: Path) -> Journal:
    """An absent journal is an empty one. Raises Malformed for a broken one."""
    try:
        text = (folder / JOURNAL).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Journal()
    try:
        plain = json.loads(text)
        pending = plain["pending"]
        return Journal(
            generation=int(plain["generation"]),
            key=str(plain["key"]),
            state=plain["state"],
            files={name: Written(**each) for name, each in plain["files"].items()},
            pending=None if pending is None else {name: Written(**each) for name, each in pending.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"{folder / JOURNAL} is broken ({error}): put it back, or delete it and push anew") from error


def write_journal(folder: Path, journal: Journal) -> None:
    """What is pending is not synced: it tells a killed writer's files from others', and a power cut that loses it
    makes them look foreign, which a person decides about. The push waits for one disk less."""
    plain = {
        "generation": journal.generation,
        "key": journal.key,
        "state": journal.state,
        "files": {name: vars(each) for name, each in journal.files.items()},
        "pending": None if journal.pending is None else {name: vars(each) for name, each in journal.pending.items()},
    }
    content = (json.dumps(plain, sort_keys=True, indent=1) + "\n").encode()
    write_atomically(folder / JOURNAL, content, durable=journal.pending is None)


def remove_partials(folder: Path) -> None:
    """What a killed writer left. Call it under the lock."""
    for path in folder.glob(".partial-*"):
        path.unlink(missing_ok=True)


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file of snapshots that stands in `folder`, ours or not, by its name."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name in _OWN:
            continue
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.read_bytes()
    return found
