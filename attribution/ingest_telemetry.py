"""Telemetry in: files -> events -> days of the lake, deduplicated and priced, with a record of what came.

All files are read before anything is published: an unreadable one changes nothing. Then days are merged some at a time,
each in one transaction, so a killed import leaves whole days, and the same command again does the rest.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from attribution.imports import plain
from attribution.lake import catalogue
from attribution.models import Delivery, ImportedFile, QuarantinedRow
from attribution.money import exact_sum
from attribution.pricing.store import load_book
from attribution.quarantine import Quarantine
from attribution.sources.billing.base import UnreadableFile
from attribution.sources.telemetry.normalize import Normalizer
from attribution.sources.telemetry.reading import TelemetryFile, find_files
from attribution.sources.telemetry.spool import Spool
from attribution.usage_days import FileSums, UsageDays
from attribution.vocabulary import TOKEN_BUCKETS, Dataset

__all__ = ["UnreadableFile", "ingest_telemetry", "reprice_usage"]

_FLUSH_ROWS = 50_000
TOKEN_COUNTS = (*(bucket.value for bucket in TOKEN_BUCKETS), "reasoning")
# (bytes done, bytes in all)
Progress = Callable[[int, int], None]


@dataclass
class _FileTally:
    """What became of one file's records. read = kept + duplicates + dropped + quarantined."""

    shown: str
    format: str = ""
    digest: str = ""
    read: int = 0
    arrived: int = 0
    dropped: int = 0
    kept: int = 0
    requests: int = 0
    unpriced: int = 0
    providers: set[str] = field(default_factory=set)
    tokens: dict[str, int] = field(default_factory=dict)
    usd: Decimal | None = None
    quarantine: Quarantine = field(default_factory=Quarantine)

    def add(self, sums: FileSums) -> None:
        self.kept += sums.kept
        self.requests += sums.requests
        self.unpriced += sums.unpriced_requests
        for name in TOKEN_COUNTS:
            count = getattr(sums, name)
            if count is not None:
                self.tokens[name] = self.tokens.get(name, 0) + count
        if sums.estimated_cost is not None:
            self.usd = exact_sum([self.usd or Decimal(0), sums.estimated_cost])

    @property
    def duplicates(self) -> int:
        return self.arrived - self.kept

    def as_json(self) -> dict[str, Any]:
        """The file as `ingest telemetry --json` prints it. A token count that no record states is null."""
        return {
            "path": self.shown,
            "format": self.format,
            "provider": ",".join(sorted(self.providers)),
            "rows_read": self.read,
            "rows_created": 0,
            "rows_kept": self.kept,
            "rows_quarantined": self.quarantine.rows,
            "rows_dropped": self.duplicates + self.dropped,
            "requests": self.requests,
            "duplicates": self.duplicates,
            "unpriced_requests": self.unpriced,
            "tokens": {name: self.tokens.get(name) for name in TOKEN_COUNTS},
            "estimated_cost": {} if self.usd is None else {"USD": plain(self.usd)},
            "dropped": [
                {"reason": reason, "count": count}
                for reason, count in (("duplicate", self.duplicates), ("not inference", self.dropped))
                if count
            ],
            "quarantine": [complaint.as_json() for complaint in self.quarantine],
        }


@dataclass
class _Source:
    """The rows of one telemetry source on their way into the lake."""

    normalizer: Normalizer
    spool: Spool


def ingest_telemetry(
    paths: Sequence[str | Path], source: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Read telemetry files, or folders of them, and publish their days. Returns what `--json` prints.

    source: whose records these are; duplicates are looked for within it. By default the name of each file's format.
    Raises UnreadableFile (nothing is published), and the lake's and engine's errors.
    """
    delivery = Delivery.objects.create(
        kind=Delivery.Kind.TELEMETRY, source=source or "telemetry", started_at=timezone.now()
    )
    try:
        tallies, changes = _ingest([Path(path) for path in paths], source, progress, delivery)
    except Exception as error:
        _finish(delivery, Delivery.Status.FAILED, error=str(error)[:10_000])
        raise
    with transaction.atomic():
        _record_files(delivery, tallies)
        _finish(delivery, Delivery.Status.DONE, changes=changes)
    return {"changes": changes, "files": [tally.as_json() for tally in tallies]}


def reprice_usage(*, reason: str, days: Sequence[date] | None = None) -> int:
    """Price the requests of all sources again by the book of now; returns how many partitions changed."""
    book = load_book()
    by_source: dict[str, list[date]] = {}
    for revision in catalogue.current(Dataset.REQUESTS, days=days):
        if revision.day is not None and revision.rows:
            by_source.setdefault(revision.scope, []).append(revision.day)
    changes = 0
    with catalogue.open_engine() as engine:
        for source, held in sorted(by_source.items()):
            for day in held:
                changes += UsageDays(source, Normalizer(), engine, book).reprice([day], reason=reason).changes
    return changes


def _ingest(
    paths: list[Path], source: str | None, progress: Progress | None, delivery: Delivery
) -> tuple[list[_FileTally], int]:
    folder = Path(settings.WEIR_LAKE) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ingest-telemetry-", dir=folder) as work:
        sources: dict[str, _Source] = {}
        tallies = _read_all(find_files(paths), source, sources, Path(work), progress)
        return tallies, _merge_all(sources, tallies, delivery)


def _merge_all(sources: dict[str, _Source], tallies: list[_FileTally], delivery: Delivery) -> int:
    book = load_book({provider for tally in tallies for provider in tally.providers})
    changes = 0
    with catalogue.open_engine() as engine:
        for name, source in sorted(sources.items()):
            days = UsageDays(name, source.normalizer, engine, book)
            for batch in source.spool.batches():
                merged = days.merge(batch, source.spool.rows_of(batch), inputs={"delivery": delivery.pk})
                changes += merged.changes
                for sums in merged.sums:
                    tallies[sums.file].add(sums)
                source.spool.forget(batch)
    return changes


def _read_all(
    files: list[Path], source: str | None, sources: dict[str, _Source], work: Path, progress: Progress | None
) -> list[_FileTally]:
    total = sum(path.stat().st_size for path in files)
    done = 0
    tallies: list[_FileTally] = []
    for number, path in enumerate(files):

        def advance(read: int) -> None:
            nonlocal done
            done += read
            if progress is not None:
                progress(min(done, total), total)

        tallies.append(_read_file(number, path, source, sources, work, advance))
    return tallies


def _read_file(
    number: int,
    path: Path,
    name: str | None,
    sources: dict[str, _Source],
    work: Path,
    advance: Callable[[int], None],
) -> _FileTally:
    digest = hashlib.sha256()
    file = TelemetryFile(path, digest=digest.update, advance=advance)
    tally = _FileTally(str(path), file.format_name)
    name = name or file.format_name
    if name not in sources:
        sources[name] = _Source(Normalizer(), Spool(work / str(len(sources))))
    source = sources[name]
    for batch in file.batches():
        tally.read += batch.read
        tally.dropped += batch.dropped
        for problem in (*batch.problems, *source.normalizer.add(batch)):
            tally.quarantine.add(problem.line, problem.field, problem.value, problem.reason)
        if len(source.normalizer) >= _FLUSH_ROWS:
            _flush(source, number, tally)
    _flush(source, number, tally)
    tally.digest = digest.hexdigest()
    return tally


def _flush(source: _Source, number: int, tally: _FileTally) -> None:
    rows = source.normalizer.take()
    tally.arrived += rows.num_rows
    for series in rows["series"].unique().to_pylist():
        tally.providers.add(source.normalizer.series[series].provider)
    source.spool.add(rows, number)


def _record_files(delivery: Delivery, tallies: Sequence[_FileTally]) -> None:
    for tally in tallies:
        summary = tally.as_json() | {"path": _stored_path(tally.shown)}
        row = ImportedFile.objects.create(
            delivery=delivery,
            path=summary["path"],
            sha256=tally.digest,
            format=tally.format,
            provider=summary["provider"][:64],
            rows_read=tally.read,
            rows_kept=tally.kept,
            rows_quarantined=tally.quarantine.rows,
            rows_dropped=summary["rows_dropped"],
            duplicates=tally.duplicates,
            summary=summary,
        )
        QuarantinedRow.objects.bulk_create(
            [
                QuarantinedRow(
                    file=row,
                    line=complaint.line,
                    field=complaint.field[:200],
                    value=complaint.value,
                    reason=complaint.reason[:500],
                    count=complaint.count,
                )
                for complaint in tally.quarantine
            ],
            batch_size=500,
        )


def _finish(delivery: Delivery, status: Delivery.Status, *, changes: int = 0, error: str = "") -> None:
    delivery.status = status
    delivery.changes = changes
    delivery.error = error
    delivery.finished_at = timezone.now()
    delivery.save()


def _stored_path(shown: str) -> str:
    """As the operator named it; of an absolute path only the file's name: where it lay is nobody's business."""
    path = Path(shown)
    return (path.name if path.is_absolute() else shown).encode("utf-8", "replace").decode()[-1000:]
