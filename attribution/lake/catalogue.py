"""The catalogue of the lake: which file is current for which partition, and the only way to change that.

    stage(key, table)    write a new immutable Parquet file and sync it; nobody sees it yet
    publish(staged)      one database transaction: swap the current rows, and run what must happen with them (`also`)
    current() / files()  what is current, or was at an instant; a reader never lists a folder
    sweep(grace)         see attribution.lake.sweeper

A writer killed before the commit leaves an orphan file and nothing else; after it, everything is there. Writers of
different partitions never disturb each other; two writers of one partition: the second gets `Stale` and reads again.

    expected = seen(keys)                    # before reading what the new content is made from
    old = read_table(revision) ...
    publish(stage_many(...), expected=expected, also=record_import)

This module knows nothing of what rows mean. SQL runs in attribution.lake.engine.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from attribution.lake.content import canonical, content_hash
from attribution.lake.engine import DuckDBEngine, Files
from attribution.lake.partitions import PartitionKey
from attribution.lake.schemas import SCHEMAS
from attribution.lake.sweeper import SweepReport, pin, sweep
from attribution.models import CommitSequence, Revision
from attribution.vocabulary import Dataset

__all__ = [
    "Files",
    "LakeError",
    "LostFile",
    "NoLongerKept",
    "PartitionKey",
    "Published",
    "Staged",
    "Stale",
    "SweepReport",
    "current",
    "discard",
    "files",
    "key_of",
    "lake_hash",
    "open_engine",
    "path_of",
    "pin",
    "publish",
    "read_table",
    "seen",
    "stage",
    "stage_many",
    "sweep",
]

_NOTHING: Mapping[str, object] = MappingProxyType({})
# Partitions staged at a time: bounds the memory of a long delivery, and the number of values in one query.
_BATCH = 32
_WRITERS = 4
# Rows a row group: DuckDB reads row groups in parallel.
_ROW_GROUP = 122_880


class LakeError(Exception):
    """The lake refused; `retryable` says whether reading again and staging again can help."""

    retryable = False


class Stale(LakeError):
    """Somebody else published one of the partitions since it was read. Nothing was changed; read again and retry."""

    retryable = True


class NoLongerKept(LakeError):
    """The revision of that instant is past its retention, so its rows cannot be shown; never shown as empty."""


class LostFile(LakeError):
    """A staged file is gone: it was swept before it was published. Stage again; the sweeper's grace is too short."""

    retryable = True


@dataclass(frozen=True)
class Staged:
    """A partition's new content, written and synced, not yet visible.

    path: below the lake's root; '' when there are no rows, or when the content is that of revision `seen_rev`.
    seen_rev: the current revision when it was staged; None when there was none.
    """

    key: PartitionKey
    path: str
    rows: int
    content_hash: str
    seen_rev: int | None
    inputs: Mapping[str, object] = field(default_factory=dict, hash=False)
    reason: str = ""


@dataclass(frozen=True)
class Published:
    """What a publish did. commit_seq is None when no partition changed."""

    commit_seq: int | None
    changed: tuple[Revision, ...]
    unchanged: tuple[PartitionKey, ...]


def open_engine() -> DuckDBEngine:
    """The configured engine (WEIR_ENGINE_MEMORY, WEIR_ENGINE_THREADS), spilling below the lake; a context manager."""
    return DuckDBEngine(
        memory_limit=settings.WEIR_ENGINE_MEMORY,
        threads=settings.WEIR_ENGINE_THREADS,
        temp_directory=_root() / "tmp",
    )


def stage(key: PartitionKey, table: pa.Table, *, inputs: Mapping[str, object] = _NOTHING, reason: str = "") -> Staged:
    """Write `table` as a possible next revision of `key`.

    The columns must be those of SCHEMAS[key.dataset]; the order of rows means nothing. inputs: JSON-able, the revisions
    and versions it was made from. Raises WrongSchema.
    """
    return stage_many([(key, table)], inputs=inputs, reason=reason)[0]


def stage_many(
    keys_and_tables: Iterable[tuple[PartitionKey, pa.Table]],
    *,
    inputs: Mapping[str, object] = _NOTHING,
    reason: str = "",
) -> list[Staged]:
    """`stage` for many partitions: written by several threads, folders synced once.

    Takes the iterable in small batches. When it fails, the files written so far are removed.
    """
    staged: list[Staged] = []
    pairs = iter(keys_and_tables)
    try:
        with ThreadPoolExecutor(_WRITERS) as pool:
            while batch := list(islice(pairs, _BATCH)):
                staged += _stage_batch(pool, batch, inputs, reason)
            list(pool.map(_sync_folders, {str(Path(one.path).parent) for one in staged if one.path}))
    except BaseException:
        discard(staged)
        raise
    return staged


def discard(staged: Iterable[Staged]) -> None:
    """Remove the files of content that will not be published; one that was published after all stays."""
    paths = iter([one.path for one in staged if one.path])
    while batch := list(islice(paths, 500)):
        named = set(Revision.objects.filter(path__in=batch).values_list("path", flat=True))
        for path in batch:
            if path not in named:
                (_root() / path).unlink(missing_ok=True)


def seen(keys: Iterable[PartitionKey]) -> dict[str, int | None]:
    """PartitionKey.name -> the current revision number, None where there is none: for `publish(expected=...)`.

    Take it before reading what the new content is made from.
    """
    wanted = list(keys)
    found = _current_by_name(wanted)
    return {key.name: found[key.name].rev if key.name in found else None for key in wanted}


def publish(
    staged: Sequence[Staged],
    *,
    expected: Mapping[str, int | None] | None = None,
    also: Callable[[int], None] | None = None,
) -> Published:
    """Make staged content current, all or nothing, and run `also` in the same transaction.

    expected: PartitionKey.name -> the revision number the content was made from (see `seen`); where it is silent, the
    one that was current when the content was staged. also: called with the commit_seq (the last one given, if nothing
    changed); if it raises, nothing is published and the staged files stay for another try. Keep it short: every other
    publish waits for it.
    A partition whose content is already current gets no new revision: its file is removed, and only its `inputs` are
    brought up to date; so does an empty one where there is none.
    Raises Stale (nothing changed, the staged files are removed).
    """
    names = [one.key.name for one in staged]
    if len(set(names)) != len(names):
        raise ValueError("one partition was staged twice in one publish; join its rows first")
    try:
        with transaction.atomic():
            return _swap(staged, expected or {}, also)
    except Stale:
        discard(staged)
        raise


def current(
    dataset: Dataset,
    *,
    provider: str | None = None,
    scope: str | None = None,
    billing_account_id: str | None = None,
    billing_period: str | None = None,
    days: Collection[date] | None = None,
    as_of: int | datetime | None = None,
) -> list[Revision]:
    """The current revisions, empty ones included, ordered by key; a filter that is None takes everything.

    as_of: a commit_seq, or an aware instant: what was current right after that commit, or at that instant.
    Raises NoLongerKept when a revision of then has been swept.
    """
    found = _revisions_of(dataset, as_of)
    exact = {
        "provider": provider,
        "scope": scope,
        "billing_account_id": billing_account_id,
        "billing_period": billing_period,
    }
    found = found.filter(**{name: value for name, value in exact.items() if value is not None})
    if days is None:
        revisions = list(found.order_by("key"))
    elif not days:
        return []
    else:
        between = found.filter(day__gte=min(days), day__lte=max(days))
        revisions = [revision for revision in between.order_by("key") if revision.day in set(days)]
    for revision in revisions:
        if revision.swept_at is not None:
            raise NoLongerKept(
                f"{dataset} {revision.key} rev {revision.rev} was removed at {revision.swept_at:%Y-%m-%d}, past its "
                "retention; ask for a later instant"
            )
    return revisions


def files(
    dataset: Dataset,
    *,
    provider: str | None = None,
    scope: str | None = None,
    billing_account_id: str | None = None,
    billing_period: str | None = None,
    days: Collection[date] | None = None,
    as_of: int | datetime | None = None,
) -> Files:
    """The files of `current(...)`, as an engine's input."""
    revisions = current(
        dataset,
        provider=provider,
        scope=scope,
        billing_account_id=billing_account_id,
        billing_period=billing_period,
        days=days,
        as_of=as_of,
    )
    return Files([path_of(revision) for revision in revisions if revision.path], SCHEMAS[dataset])


def read_table(revision: Revision) -> pa.Table:
    """All rows of a revision."""
    schema = SCHEMAS[Dataset(revision.dataset)]
    if not revision.path:
        return schema.empty_table()
    # Folder names look like hive partitions; they are no columns.
    return pq.read_table(path_of(revision), schema=schema, partitioning=None)


def path_of(revision: Revision) -> Path:
    """Where a non-empty revision's file is."""
    return _root() / revision.path


def key_of(revision: Revision) -> PartitionKey:
    """The key of a revision's partition."""
    return PartitionKey(
        dataset=Dataset(revision.dataset),
        scope=revision.scope,
        billing_account_id=revision.billing_account_id,
        billing_period=revision.billing_period,
        day=revision.day,
        provider=revision.provider,
    )


def lake_hash(dataset: Dataset) -> str:
    """SHA-256 over what `dataset` holds now: equal for equal content, whatever revisions it took to get there."""
    held = Revision.objects.filter(dataset=dataset, current=True, rows__gt=0).values_list("key", "content_hash")
    # Sorted here: databases collate text each in their own way.
    return hashlib.sha256("".join(f"{key} {content}\n" for key, content in sorted(held)).encode()).hexdigest()


def _root() -> Path:
    return Path(settings.WEIR_LAKE)


def _current_by_name(keys: Sequence[PartitionKey]) -> dict[str, Revision]:
    found: dict[str, Revision] = {}
    for dataset in {key.dataset for key in keys}:
        texts = iter([key.text for key in keys if key.dataset == dataset])
        while batch := list(islice(texts, 500)):
            for revision in Revision.objects.filter(dataset=dataset, current=True, key__in=batch):
                found[f"{revision.dataset}?{revision.key}"] = revision
    return found


def _revisions_of(dataset: Dataset, as_of: int | datetime | None) -> QuerySet[Revision]:
    revisions = Revision.objects.filter(dataset=dataset)
    if as_of is None:
        return revisions.filter(current=True)
    if isinstance(as_of, datetime):
        if as_of.tzinfo is None:
            raise ValueError(f"as_of {as_of} has no time zone")
        # By number from here on: numbers are monotone even where clocks are not.
        newest = Revision.objects.filter(published_at__lte=as_of).aggregate(newest=Max("commit_seq"))["newest"]
        as_of = newest or 0
    return revisions.filter(Q(superseded_seq__isnull=True) | Q(superseded_seq__gt=as_of), commit_seq__lte=as_of)


def _stage_batch(
    pool: ThreadPoolExecutor,
    batch: Sequence[tuple[PartitionKey, pa.Table]],
    inputs: Mapping[str, object],
    reason: str,
) -> Iterator[Staged]:
    # The database is asked here, in the caller's thread and transaction; the pool's threads only write files.
    known = _current_by_name([key for key, _ in batch])
    writing = [pool.submit(_write, key, table, known.get(key.name), inputs, reason) for key, table in batch]
    for written in writing:
        yield written.result()


def _write(
    key: PartitionKey, table: pa.Table, known: Revision | None, inputs: Mapping[str, object], reason: str
) -> Staged:
    ordered = canonical(table, SCHEMAS[key.dataset], key.dataset)
    digest = content_hash(ordered)
    path = ""
    if ordered.num_rows and not (known and known.content_hash == digest):
        path = key.file_path(uuid.uuid4().hex)
        absolute = _root() / path
        absolute.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(ordered, absolute, compression="zstd", row_group_size=_ROW_GROUP)
        _sync(absolute)
    return Staged(key, path, ordered.num_rows, digest, known.rev if known else None, inputs, reason)


def _sync_folders(folder: str) -> None:
    """Make new names durable: of the files in `folder`, and of the folders above them up to the lake's root."""
    root = _root()
    for inside in [Path(folder), *Path(folder).parents]:
        _sync(root / inside)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(
    staged: Sequence[Staged], expected: Mapping[str, int | None], also: Callable[[int], None] | None
) -> Published:
    # The lock comes first: from here on no other publish can change what is current, and commit numbers are monotone in
    # the order of commits. SQLite locks at BEGIN IMMEDIATE, PostgreSQL at this row.
    sequence, _ = CommitSequence.objects.select_for_update().get_or_create(pk=1)
    known = _current_by_name([one.key for one in staged])
    changed: list[Staged] = []
    unchanged: list[Staged] = []
    for one in sorted(staged, key=lambda one: one.key.name):
        old = known.get(one.key.name)
        if old and old.path and old.path == one.path:
            # Published before, by a caller who lost the connection and never heard of it.
            unchanged.append(one)
            continue
        _refuse_stale(one, expected.get(one.key.name, one.seen_rev), old)
        same = old.content_hash == one.content_hash if old else one.rows == 0
        (unchanged if same else changed).append(one)
    revisions: list[Revision] = []
    if changed:
        sequence.value += 1
        sequence.save()
        revisions = _insert(changed, known, sequence.value)
    _refresh_inputs(unchanged, known)
    if also is not None:
        also(sequence.value)
    transaction.on_commit(partial(discard, unchanged))
    return Published(
        commit_seq=sequence.value if changed else None,
        changed=tuple(revisions),
        unchanged=tuple(one.key for one in unchanged),
    )


def _refuse_stale(one: Staged, expected: int | None, old: Revision | None) -> None:
    actual = old.rev if old else None
    if actual != expected:
        raise Stale(
            f"{one.key.name} stands at revision {actual}, but the new content was made from {expected}; "
            "read it again and retry"
        )


def _insert(changed: Sequence[Staged], known: Mapping[str, Revision], commit_seq: int) -> list[Revision]:
    now = timezone.now()
    for one in changed:
        if one.rows and not (one.path and (_root() / one.path).is_file()):
            raise LostFile(f"the staged file of {one.key.name} is gone: {one.path or '(none)'}; stage it again")
    replaced = [known[one.key.name].pk for one in changed if one.key.name in known]
    for start in range(0, len(replaced), 500):
        batch = replaced[start : start + 500]
        swapped = Revision.objects.filter(pk__in=batch, current=True).update(
            current=False, superseded_seq=commit_seq, superseded_at=now
        )
        if swapped != len(batch):
            raise Stale("a partition was replaced by another writer meanwhile; read it again and retry")
    return Revision.objects.bulk_create(
        [_revision(one, known.get(one.key.name), commit_seq, now) for one in changed], batch_size=500
    )


def _revision(one: Staged, old: Revision | None, commit_seq: int, now: datetime) -> Revision:
    return Revision(
        dataset=one.key.dataset,
        key=one.key.text,
        scope=one.key.scope,
        billing_account_id=one.key.billing_account_id,
        billing_period=one.key.billing_period,
        day=one.key.day,
        provider=one.key.provider,
        rev=old.rev + 1 if old else 1,
        path=one.path,
        rows=one.rows,
        content_hash=one.content_hash,
        current=True,
        commit_seq=commit_seq,
        published_at=now,
        inputs=dict(one.inputs),
        reason=one.reason,
    )


def _refresh_inputs(unchanged: Sequence[Staged], known: Mapping[str, Revision]) -> None:
    """The same content from newer inputs: the revision says so, so that nobody computes it again."""
    for one in unchanged:
        old = known.get(one.key.name)
        if old is not None and one.inputs and old.inputs != dict(one.inputs):
            Revision.objects.filter(pk=old.pk).update(inputs=dict(one.inputs))
