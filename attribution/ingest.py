"""Bills in: the files of one command become one delivery, published in one transaction, or nothing at all.

    plan (deliveries) -> read and stage each file (sources.billing) -> rows by partition (spool) -> authority and
    completeness -> stage, merge sides -> publish charges with the delivery, its counts, control totals and quarantine

A delivery replaces each (scope, account, period) that it holds; a day that it no longer has gets an empty revision. The
same files again change nothing. Files only; what a row means is said by the formats under sources.billing.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings

from attribution import imports
from attribution.imports import SecondAuthority
from attribution.lake import catalogue
from attribution.lake.catalogue import PartitionKey, Staged, Stale
from attribution.lake.engine import Engine
from attribution.lake.partitions import MAX_NAME
from attribution.lake.schemas import CHARGES
from attribution.models import Delivery, Revision
from attribution.sources.billing.base import BillingFormat, UnreadableFile
from attribution.sources.billing.charges import Account, FileStager, FileTally, count_billed, count_settled
from attribution.sources.billing.deliveries import PlannedFile, plan
from attribution.sources.billing.reading import RawChunk, select
from attribution.sources.billing.registry import find_format, format_named, open_reader
from attribution.sources.billing.sides import with_sides
from attribution.sources.billing.spool import Slot, Spool
from attribution.vocabulary import Dataset

__all__ = ["DeliveryRefused", "FileReport", "IngestSummary", "UnreadableDelivery", "ingest_billing"]

_ATTEMPTS = 6
_GROUP_BYTES = 96 << 20
_STALE_FOLDER_SECONDS = 24 * 3600
_SIDES = (Dataset.CHARGES_ACTUAL, Dataset.CHARGES_AMORTIZED)
Progress = Callable[[int, int], None]


class DeliveryRefused(Exception):
    """The files are readable, but publishing them would be wrong. Nothing was changed; the message says the fix."""

    retryable = False


class UnreadableDelivery(Exception):
    """One or more files cannot be read. Nothing was changed."""

    retryable = False

    def __init__(self, errors: Sequence[UnreadableFile]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    planned: PlannedFile
    form: BillingFormat
    digest: str
    tally: FileTally
    duplicate_of: str = ""

    def as_json(self) -> dict[str, object]:
        return imports.file_summary(self.planned.shown, self.form.name, self.tally, self.duplicate_of)


@dataclass
class IngestSummary:
    """What a command did. changes: partitions with a new revision. passed_over: files that a manifest made obsolete."""

    changes: int
    files: list[FileReport]
    passed_over: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        result: dict[str, object] = {"changes": self.changes, "files": [one.as_json() for one in self.files]}
        if self.passed_over:
            result["passed_over"] = list(self.passed_over)
        return result


@dataclass(frozen=True)
class _Target:
    """A period that the delivery replaces."""

    scope: str
    account: Account
    dataset: Dataset


@dataclass
class _Content:
    """The delivery's rows by key, still in the spool."""

    slots: dict[PartitionKey, Slot]
    targets: dict[_Target, int] = field(default_factory=dict)  # -> rows delivered


def ingest_billing(
    paths: Iterable[str], *, scope: str = "", replace: bool = False, progress: Progress | None = None
) -> IngestSummary:
    """Read bills and publish them as one delivery.

    scope: the delivery's name for all rows (--scope), else made from manifest or row. replace: allow that most of a
    period vanishes. progress: called with (bytes done, bytes in all).
    Raises UnreadableDelivery, DeliveryRefused, SecondAuthority, and the lake's and engine's errors; then nothing is
    changed.
    """
    paths = list(paths)
    try:
        return _ingest(paths, scope, replace, progress)
    except (UnreadableDelivery, DeliveryRefused, SecondAuthority) as error:
        imports.record_failure(_source(paths, scope), str(error))
        raise


def _ingest(paths: Sequence[str], scope: str, replace: bool, progress: Progress | None) -> IngestSummary:
    try:
        planned = plan(paths, scope)
        files = with_sides(planned.files)
        _refuse_odd_scopes(files)
    except UnreadableFile as error:
        raise UnreadableDelivery([error]) from error
    with _folder() as folder, catalogue.open_engine() as engine:
        spool = Spool(folder)
        reports = _read_all(files, spool, engine, progress)
        content = _content(spool, reports)
        changes = _publish(_Run(spool, engine, reports, content), replace=replace, source=_source(paths, scope))
    return IngestSummary(changes, reports, planned.passed_over)


def _refuse_odd_scopes(files: Sequence[PlannedFile]) -> None:
    for scope in {one.scope for one in files}:
        if len(scope) > MAX_NAME or not scope.isprintable():
            raise DeliveryRefused(
                f"the delivery's name {scope[:60]!r} has {len(scope)} characters; a name is printable and has at most "
                f"{MAX_NAME}. Give a short one with --scope"
            )


def _publish(run: "_Run", *, replace: bool, source: str) -> int:
    for _ in range(_ATTEMPTS - 1):
        try:
            return run.publish(replace=replace, source=source)
        except Stale:
            continue
    return run.publish(replace=replace, source=source)


def _source(paths: Sequence[str], scope: str) -> str:
    return (scope or ", ".join(Path(path).name for path in paths))[:300]


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder for spilled rows; those that killed runs left are removed."""
    root = Path(settings.WEIR_LAKE) / "tmp"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob("ingest-*"):
        # A run that lasts a day is dead; the clock decides about garbage only.
        if left.is_dir() and time.time() - left.stat().st_mtime > _STALE_FOLDER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_all(
    files: Sequence[PlannedFile], spool: Spool, engine: Engine, progress: Progress | None
) -> list[FileReport]:
    reports: list[FileReport] = []
    errors: list[UnreadableFile] = []
    seen: dict[str, str] = {}
    total = sum(one.path.stat().st_size for one in files)
    done = 0

    def advance(read: int) -> None:
        nonlocal done
        done += read
        if progress is not None:
            progress(min(done, total), total)

    for index, planned in enumerate(files):
        try:
            report = _read(planned, index, spool, engine, advance)
        except UnreadableFile as error:
            errors.append(error)
            spool.forget(index)
            continue
        if report.digest in seen:
            spool.forget(index)
            report = _duplicate(report, seen[report.digest])
        else:
            seen[report.digest] = planned.shown
        reports.append(report)
    if errors:
        raise UnreadableDelivery(errors)
    return reports


def _read(planned: PlannedFile, index: int, spool: Spool, engine: Engine, advance: Callable[[int], None]) -> FileReport:
    source, reader = open_reader(planned.path, planned.shown, advance, planned.hint)
    form = find_format(planned.shown, reader.head)
    selection = select(planned.shown, reader.head, form.columns, form.null_words, form.header_cell)
    stager = FileStager(form, engine, index)
    for chunk in _ahead(reader.chunks(selection)):
        spool.add(planned.scope, form.name, index, stager.stage(chunk))
    read = stager.tally.rows_read
    if planned.rows_listed is not None and planned.rows_listed != read:
        why = f"has {read} rows, but its manifest says {planned.rows_listed}"
        raise UnreadableFile(planned.shown, why, "Fetch the export again")
    return FileReport(planned, form, source.digest, stager.tally)


def _ahead(chunks: Iterator[RawChunk]) -> Iterator[RawChunk]:
    """The next chunk is read and parsed while this one is staged."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(next, chunks, None)
            yield chunk


def _duplicate(report: FileReport, first: str) -> FileReport:
    """The same content twice in one command counts once; its rows are dropped, and reported."""
    tally = FileTally(rows_read=report.tally.rows_read, providers=report.tally.providers)
    tally.dropped[f"the same content as {first}"] = report.tally.rows_read
    return FileReport(report.planned, report.form, report.digest, tally, first)


def _content(spool: Spool, reports: Sequence[FileReport]) -> _Content:
    """Partitions and periods of the delivery. A period with nothing but quarantined rows is delivered, with no rows."""
    content = _Content({})
    for slot in spool.slots():
        form = format_named(slot.format)
        key = PartitionKey(
            dataset=form.dataset,
            scope=slot.scope or default_scope(slot.provider, form.family, slot.billing_account_id),
            billing_account_id=slot.billing_account_id,
            billing_period=slot.billing_period,
            day=slot.day,
            provider=slot.provider,
        )
        if key in content.slots:
            raise DeliveryRefused(
                f"{slot.provider} account {slot.billing_account_id}, {slot.billing_period} is in files of the formats "
                f"{content.slots[key].format} and {slot.format}: that is one bill twice. Ingest one of them"
            )
        content.slots[key] = slot
        target = _Target(key.scope, slot.account, form.dataset)
        content.targets[target] = content.targets.get(target, 0) + spool.count(slot)
    for report in reports:
        for account, _, _ in report.tally.controls:
            content.targets.setdefault(_Target(_scope_of(report, account), account, report.form.dataset), 0)
    _refuse_doubles(content)
    return content


def default_scope(provider: str, family: str, billing_account_id: str) -> str:
    """The delivery scope of a loose file's row."""
    return f"{provider}/{family}/{billing_account_id}"


def _refuse_doubles(content: _Content) -> None:
    scopes: dict[Account, str] = {}
    for target in content.targets:
        first = scopes.setdefault(target.account, target.scope)
        if first != target.scope:
            account = target.account
            raise DeliveryRefused(
                f"{account.provider} account {account.billing_account_id}, {account.billing_period} is in this command "
                f"twice, as {first} and as {target.scope}: that is one bill twice. Ingest one of them"
            )


class _Run:
    """One delivery on its way into the lake: may be staged several times, is counted once."""

    def __init__(self, spool: Spool, engine: Engine, reports: Sequence[FileReport], content: _Content) -> None:
        self._spool = spool
        self._engine = engine
        self._reports = reports
        self._content = content
        self._counted: set[PartitionKey] = set()

    def publish(self, *, replace: bool, source: str) -> int:
        """One attempt: the number of partitions with a new revision. Raises Stale, DeliveryRefused."""
        targets = self._content.targets
        imports.refuse_second_authority({target.account: target.scope for target in targets})
        held = {target: _held(target) for target in targets}
        if not replace:
            self._refuse_losses(held)
        merges = self._merges()
        keys = [*self._keys(held), *merges]
        expected = catalogue.seen(keys)
        staged = _staged(self._tables(held, merges))

        recorded: list[Delivery] = []

        def record(_: int) -> None:
            self._refuse_foreign(set(keys))
            recorded.append(imports.record(source, _files(self._reports), self._scoped()))

        try:
            published = catalogue.publish(staged, expected=expected, also=record)
        except BaseException:
            catalogue.discard(staged)
            raise
        imports.note_changes(recorded[-1], len(published.changed))
        return len(published.changed)

    def rows(self, key: PartitionKey) -> pa.Table:
        """The CHARGES rows that the delivery has for a partition; none where it has none."""
        slot = self._content.slots.get(key)
        if slot is None:
            return CHARGES.empty_table()
        rows = self._spool.rows(slot)
        settle = format_named(slot.format).settle
        after = rows if settle is None else settle(rows, self._engine).select(rows.column_names).cast(rows.schema)
        staying = after.filter(pc.is_in(after.column("fate"), value_set=_STAYING))
        if key not in self._counted:
            self._count(rows, after, staying)
            self._counted.add(key)
        scope = pa.array([key.scope], pa.string()).take(pa.array([0] * staying.num_rows, pa.int32()))
        day = pc.cast(staying.column("charge_period_start"), pa.date32())
        return staying.append_column("scope", scope).append_column("day", day).select(CHARGES.names).cast(CHARGES)

    def _count(self, before: pa.Table, after: pa.Table, staying: pa.Table) -> None:
        for file in pc.unique(before.column("file")).to_pylist():
            tally = self._reports[file].tally
            count_settled(tally, _of(before, file), _of(after, file))
            count_billed(tally, _of(staying, file))

    def _keys(self, held: Mapping[_Target, dict[PartitionKey, int]]) -> list[PartitionKey]:
        """Delivered partitions, and those that the delivery no longer has."""
        keys = dict.fromkeys(self._content.slots)
        for before in held.values():
            keys.update(dict.fromkeys(before))
        return sorted(keys, key=lambda key: key.name)

    def _tables(
        self,
        held: Mapping[_Target, dict[PartitionKey, int]],
        merges: Mapping[PartitionKey, BillingFormat],
    ) -> Iterator[tuple[PartitionKey, pa.Table]]:
        for key in self._keys(held):
            yield key, self.rows(key)
        for key, form in merges.items():
            yield key, self._merged(key, form)

    def _merges(self) -> dict[PartitionKey, BillingFormat]:
        """The CHARGES partitions to make anew from two sides, with the format that says how."""
        merges: dict[PartitionKey, BillingFormat] = {}
        sided = {key: format_named(slot.format) for key, slot in self._content.slots.items() if key.dataset in _SIDES}
        forms = {(key.scope, slot.account): sided[key] for key, slot in self._content.slots.items() if key in sided}
        for (scope, account), form in forms.items():
            days = {key.day for key in sided if key.scope == scope and _account(key) == account}
            for dataset in (*_SIDES, Dataset.CHARGES):
                days |= {key.day for key in _held(_Target(scope, account, dataset))}
            for day in sorted(day for day in days if day is not None):
                merges[_key(Dataset.CHARGES, scope, account, day)] = form
        return merges

    def _merged(self, key: PartitionKey, form: BillingFormat) -> pa.Table:
        if form.merge_model is None:
            raise ValueError(f"{form.name} writes a side but names no merge_model")
        sides = {side: self._side(key, side) for side in _SIDES}
        return self._engine.run(
            form.merge_model,
            params={
                "has_actual": sides[Dataset.CHARGES_ACTUAL] is not None,
                "has_amortized": sides[Dataset.CHARGES_AMORTIZED] is not None,
            },
            inputs={
                "actual": _or_empty(sides[Dataset.CHARGES_ACTUAL]),
                "amortized": _or_empty(sides[Dataset.CHARGES_AMORTIZED]),
            },
        ).cast(CHARGES)

    def _side(self, key: PartitionKey, side: Dataset) -> pa.Table | None:
        """One side of a day: this delivery's, else the lake's. None when the side's period was never delivered."""
        target = _Target(key.scope, _account(key), side)
        assert key.day is not None  # noqa: S101  (charges are kept by day)
        if target in self._content.targets:
            return self.rows(_key(side, key.scope, target.account, key.day))
        held = _revisions(target)
        if not held:
            return None
        tables = [catalogue.read_table(revision) for revision in held if revision.day == key.day]
        return tables[0] if tables else CHARGES.empty_table()

    def _refuse_losses(self, held: Mapping[_Target, dict[PartitionKey, int]]) -> None:
        for target, before in held.items():
            rows = sum(before.values())
            now = self._content.targets[target]
            if now * 2 < rows:
                account = target.account
                raise DeliveryRefused(
                    f"{account.provider} account {account.billing_account_id}, {account.billing_period}: this delivery "
                    f"has {now} rows where the last one had {rows}, and a delivery replaces the whole period. Give all "
                    "files of the period in one command, or --replace if the rest is really gone"
                )

    def _refuse_foreign(self, ours: set[PartitionKey]) -> None:
        """Inside the transaction: another delivery added days of these periods since we looked."""
        for target in self._content.targets:
            foreign = [key for key in _held(target) if key not in ours]
            if foreign:
                raise Stale(f"{foreign[0].name} appeared meanwhile; read again and retry")

    def _scoped(self) -> list[imports.Target]:
        return [
            imports.Target(target.scope, target.account, sided=target.dataset in _SIDES)
            for target in self._content.targets
        ]


_STAYING = pa.array(["kept", "created"])


def _staged(pairs: Iterator[tuple[PartitionKey, pa.Table]]) -> list[Staged]:
    """Stage partitions in groups of bounded size: a month of large days would not fit in memory at once."""
    staged: list[Staged] = []
    group: list[tuple[PartitionKey, pa.Table]] = []
    size = 0
    try:
        for pair in pairs:
            group.append(pair)
            size += pair[1].nbytes
            if size >= _GROUP_BYTES:
                staged += catalogue.stage_many(group)
                group, size = [], 0
        return staged + catalogue.stage_many(group)
    except BaseException:
        catalogue.discard(staged)
        raise


def _files(reports: Sequence[FileReport]) -> list[imports.File]:
    return [
        imports.File(
            shown=report.planned.shown,
            digest=report.digest,
            form=report.form.name,
            tally=report.tally,
            summary=report.as_json(),
            scope_of=partial(_scope_of, report),
        )
        for report in reports
    ]


def _scope_of(report: FileReport, account: Account) -> str:
    return report.planned.scope or default_scope(account.provider, report.form.family, account.billing_account_id)


def _of(rows: pa.Table, file: int) -> pa.Table:
    return rows.filter(pc.equal(rows.column("file"), file))


def _or_empty(table: pa.Table | None) -> pa.Table:
    return CHARGES.empty_table() if table is None else table


def _account(key: PartitionKey) -> Account:
    return Account(key.provider, key.billing_account_id, key.billing_period)


def _key(dataset: Dataset, scope: str, account: Account, day: date) -> PartitionKey:
    return PartitionKey(
        dataset=dataset,
        scope=scope,
        billing_account_id=account.billing_account_id,
        billing_period=account.billing_period,
        day=day,
        provider=account.provider,
    )


def _revisions(target: _Target) -> list[Revision]:
    return catalogue.current(
        target.dataset,
        provider=target.account.provider,
        scope=target.scope,
        billing_account_id=target.account.billing_account_id,
        billing_period=target.account.billing_period,
    )


def _held(target: _Target) -> dict[PartitionKey, int]:
    """The partitions that the lake holds rows of -> rows."""
    return {catalogue.key_of(revision): revision.rows for revision in _revisions(target) if revision.rows}
