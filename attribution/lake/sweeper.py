"""Removes from the lake what nobody can read any more: files no revision names, and old revisions past their retention.

Current revisions are never touched, pinned ones neither. A row outlives its file (`swept_at`), so that a question about
that instant is refused instead of answered with nothing. Killed half way, the next sweep finishes.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from attribution.models import CommitSequence, Pin, Revision
from attribution.vocabulary import Dataset

_REQUESTS = timedelta(days=90)
_MONTHS_25 = timedelta(days=762)
_YEARS_7 = timedelta(days=2557)

# How long a revision can be asked for after a newer one has replaced it.
RETENTION: dict[Dataset, timedelta] = {
    Dataset.REQUESTS: _REQUESTS,
    Dataset.SERIES: _REQUESTS,
    Dataset.CHARGES: _MONTHS_25,
    Dataset.CHARGES_ACTUAL: _MONTHS_25,
    Dataset.CHARGES_AMORTIZED: _MONTHS_25,
    Dataset.USAGE_HOURLY: _MONTHS_25,
    Dataset.USAGE_OWNED: _MONTHS_25,
    Dataset.LEDGER: _YEARS_7,
    Dataset.ROLLUP_DAILY: _YEARS_7,
}

_BATCH = 500


@dataclass(frozen=True)
class SweepReport:
    """What a sweep removed."""

    orphans: int  # files that no revision named
    expired: int  # superseded revisions past their retention
    leftovers: int  # spill folders and files in `tmp` of processes that died
    bytes_freed: int


def sweep(grace: timedelta) -> SweepReport:
    """Remove expired revisions, orphan files and leftovers that are older than `grace`.

    grace: longer than the longest query and the longest import: a reader may still hold the path of what was just
    replaced, and a writer stages long before it publishes.
    """
    now = timezone.now()
    expired, expired_bytes = _sweep_expired(now, grace)
    orphans, orphan_bytes = _sweep_orphans(now - grace)
    leftovers, leftover_bytes = _sweep_leftovers(now - grace)
    return SweepReport(orphans, expired, leftovers, expired_bytes + orphan_bytes + leftover_bytes)


def pin(revision: Revision, reason: str) -> Pin:
    """Keep a revision's file for ever. Raises ValueError when it has been swept already."""
    with transaction.atomic():
        _lock()
        if Revision.objects.get(pk=revision.pk).swept_at is not None:
            raise ValueError(f"{revision.dataset} {revision.key} rev {revision.rev} was swept; it cannot be pinned")
        return Pin.objects.get_or_create(revision=revision, reason=reason)[0]


def _lock() -> None:
    """The lock of `publish`: while it is held, no file becomes named and no revision pinned."""
    CommitSequence.objects.select_for_update().get_or_create(pk=1)


def _sweep_expired(now: datetime, grace: timedelta) -> tuple[int, int]:
    count, freed = 0, 0
    for dataset, kept in RETENTION.items():
        past = Revision.objects.filter(
            dataset=dataset, superseded_at__lt=now - max(kept, grace), swept_at__isnull=True, pins__isnull=True
        ).exclude(path="")
        while True:
            with transaction.atomic():
                _lock()
                batch = dict(past.values_list("pk", "path")[:_BATCH])
                Revision.objects.filter(pk__in=batch).update(swept_at=now)
            # After the commit: killed here, the files are orphans for the next sweep.
            freed += sum(_remove(_root() / path) for path in batch.values())
            count += len(batch)
            if len(batch) < _BATCH:
                break
    return count, freed


def _sweep_orphans(before: datetime) -> tuple[int, int]:
    count, freed = 0, 0
    old = _old_files(before)
    while batch := list(islice(old, _BATCH)):
        with transaction.atomic():
            # Under the lock: a writer that publishes one of these at this moment finds it gone, and publishes nothing.
            _lock()
            named = set(Revision.objects.filter(path__in=batch, swept_at__isnull=True).values_list("path", flat=True))
            orphans = [path for path in batch if path not in named]
            freed += sum(_remove(_root() / path) for path in orphans)
            count += len(orphans)
    return count, freed


def _old_files(before: datetime) -> Iterator[str]:
    """Data files last written before that instant, below the lake's root."""
    for dataset in Dataset:
        for path in (_root() / dataset).rglob("*.parquet"):
            if _written(path) < before.timestamp():
                yield path.relative_to(_root()).as_posix()


def _sweep_leftovers(before: datetime) -> tuple[int, int]:
    """What killed processes left in `tmp`; an entry in which anything is younger stays."""
    count, freed = 0, 0
    folder = _root() / "tmp"
    for entry in folder.iterdir() if folder.is_dir() else ():
        inside = [entry, *entry.rglob("*")]
        if max(_written(path) for path in inside) >= before.timestamp():
            continue
        freed += sum(_remove(path) for path in inside if not path.is_dir())
        shutil.rmtree(entry, ignore_errors=True)
        count += 1
    return count, freed


def _written(path: Path) -> float:
    """When it was last written; never, for one that vanished while we looked (infinitely young)."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _remove(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def _root() -> Path:
    return Path(settings.WEIR_LAKE)
