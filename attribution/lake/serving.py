"""The serving file: a read-only DuckDB database that pages and the API read, built from the roll-ups.

    build_serving_file()   after an attribution: a new file at a new path, its row last; old files age out
    newest()               the file that is served now
    fetch(file, statement) rows of it: cached, each question computed once at a time

A new path per build, because renaming a new file over an open one silently serves the old data. Readers hold one
connection per file and process and a cursor per query: a shared connection is busy with another call. Results are
cached by (file, SQL, values); a file never changes, so nothing is ever invalidated.
"""

import hashlib
import json
import os
import threading
import uuid
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from attribution.lake import catalogue
from attribution.lake.engine import Files, model_sql
from attribution.lake.schemas import SCHEMAS, USAGE_OWNED
from attribution.lake.serving_sql import EVERY, TABLES, ServingTable, Statement
from attribution.models import BillingAccount, CommitSequence, Revision, ServingFile
from attribution.queries import Dimension
from attribution.vocabulary import ChargeScope, Dataset, Method, Reason, State

# Part of every fingerprint: raise it when the file's shape or the SQL that makes it changes.
SHAPE = 2
# A reader may just have looked its path up.
KEPT = timedelta(minutes=10)
ORPHANS_KEPT = timedelta(hours=6)
# About a kilobyte each.
CACHED_ROWS = 50_000
# What attribution/sql/serving/costs.sql writes into the columns that usage doesn't have.
_ESTIMATE_WORDS = {
    Dimension.CURRENCY: ("USD",),
    Dimension.CHARGE_SCOPE: (ChargeScope.INFERENCE,),
    Dimension.CHARGE_CATEGORY: ("Usage",),
    Dimension.METHOD: (Method.UNATTRIBUTED,),
    Dimension.REASON: (Reason.UNOWNED,),
    Dimension.STATE: (State.ESTIMATED,),
}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class _Plan:
    """What a file is to be built from, seen at one moment."""

    commit_seq: int
    rollups: list[Revision]
    usage: list[Revision]
    accounts: pa.Table
    fingerprint: str


def build_serving_file() -> ServingFile | None:
    """Build the file of what is current, unless it is there already; None while the lake has nothing to serve."""
    plan = _plan()
    if not plan.rollups and not plan.usage:
        return None
    known = ServingFile.objects.filter(fingerprint=plan.fingerprint).first()
    if known is not None:
        if (folder() / known.path).is_file():
            return known
        known.delete()
    name = f"{plan.commit_seq:012d}-{uuid.uuid4().hex}.duckdb"
    folder().mkdir(parents=True, exist_ok=True)
    try:
        _write(folder() / name, plan)
        with transaction.atomic():
            built = ServingFile.objects.create(
                path=name, fingerprint=plan.fingerprint, commit_seq=plan.commit_seq, built_at=timezone.now()
            )
    except IntegrityError:
        # Another process built the same meanwhile; its file is as good.
        _remove(folder() / name)
        return ServingFile.objects.filter(fingerprint=plan.fingerprint).first()
    except BaseException:
        _remove(folder() / name)
        raise
    age_out(timezone.now())
    return built


def newest() -> ServingFile | None:
    """The file that is served now; None before the first."""
    return ServingFile.objects.order_by("-commit_seq", "-id").first()


def age_out(now: datetime) -> None:
    """Remove files that are served no more, and those of builders that died."""
    served = newest()
    for old in ServingFile.objects.filter(built_at__lt=now - KEPT):
        if old == served:
            continue
        old.delete()
        _remove(folder() / old.path)
    known = set(ServingFile.objects.values_list("path", flat=True))
    for path in folder().glob("*.duckdb"):
        age = now.timestamp() - path.stat().st_mtime
        if path.name not in known and age > ORPHANS_KEPT.total_seconds():
            _remove(path)


def folder() -> Path:
    """Where serving files are: beside the lake, because no revision names them."""
    return Path(settings.WEIR_HOME) / "serving"


def _plan() -> _Plan:
    with transaction.atomic():
        # Under the publishers' lock, so that roll-ups, usage and watermarks are of one moment.
        sequence, _ = CommitSequence.objects.select_for_update().get_or_create(pk=1)
        rollups = [one for one in catalogue.current(Dataset.ROLLUP_DAILY) if one.path]
        usage = [one for one in catalogue.current(Dataset.USAGE_OWNED) if one.path]
        accounts = list(
            BillingAccount.objects.order_by("provider", "billing_account_id").values_list(
                "provider", "billing_account_id", "billed_through"
            )
        )
    made_from = [
        SHAPE,
        [(one.dataset, one.key, one.content_hash) for one in (*rollups, *usage)],
        [(provider, account, str(through)) for provider, account, through in accounts],
    ]
    return _Plan(
        commit_seq=sequence.value,
        rollups=rollups,
        usage=usage,
        accounts=pa.Table.from_pylist(
            [dict(zip(_ACCOUNTS.names, one, strict=True)) for one in accounts], schema=_ACCOUNTS
        ),
        fingerprint=hashlib.sha256(json.dumps(made_from).encode()).hexdigest(),
    )


_ACCOUNTS = pa.schema([("provider", pa.string()), ("billing_account_id", pa.string()), ("billed_through", pa.date32())])


def _write(path: Path, plan: _Plan) -> None:
    temporary = Path(settings.WEIR_LAKE) / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        str(path),
        config={
            "memory_limit": settings.WEIR_ENGINE_MEMORY,
            "threads": settings.WEIR_ENGINE_THREADS,
            "temp_directory": str(temporary / path.stem),
            "autoinstall_known_extensions": False,
        },
    )
    try:
        connection.execute("set TimeZone = 'UTC'")
        _input(connection, "rollup_daily", plan.rollups, Dataset.ROLLUP_DAILY)
        _input(connection, "usage_owned", plan.usage, Dataset.USAGE_OWNED)
        connection.register("accounts", plan.accounts)
        for one in EVERY:
            connection.execute(f"create type {one}_words as enum ({_words(one)})")
        narrowed = ", ".join(f"cast({one} as {one}_words) as {one}" for one in EVERY)
        rows = f"select * replace ({narrowed}) from ({model_sql('serving/costs')})"  # noqa: S608
        # Team first: a reader of one team then skips most of the file.
        connection.execute(f"create table costs as {rows} order by team, day")
        for table in TABLES:
            if table.name != "costs":
                connection.execute(f"create table {table.name} as {_rolled_up(table)}")
        connection.execute("checkpoint")
    finally:
        connection.close()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _input(connection: duckdb.DuckDBPyConnection, name: str, revisions: list[Revision], dataset: Dataset) -> None:
    files = Files([catalogue.path_of(one) for one in revisions], SCHEMAS[dataset])
    if files.paths:
        rows = connection.read_parquet([str(path) for path in files.paths], hive_partitioning=False)
        rows.create_view(name)
    else:
        connection.register(name, SCHEMAS[dataset].empty_table())


def _words(dimension: Dimension) -> str:
    """SQL for the words of a dimension, in order: those of the inputs, and those that the model gives to estimates."""
    sources = [f"select {dimension} as word from rollup_daily"]  # noqa: S608
    if dimension.value in USAGE_OWNED.names:
        sources.append(f"select {dimension} from usage_owned")  # noqa: S608
    sources += [f"select '{word}'" for word in _ESTIMATE_WORDS.get(dimension, ())]
    return f"select distinct word from ({' union all '.join(sources)}) where word is not null order by word"  # noqa: S608


def _rolled_up(table: ServingTable) -> str:
    time = "cast(date_trunc('month', day) as date)" if table.monthly else "day"
    columns = ", ".join(table.dimensions)
    return model_sql("serving/rolled_up").format(time=time, columns=columns) + " order by team, day"


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)


class _Reader:
    """One per process: connections by file, results by question."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._results: OrderedDict[tuple[str, str, str], tuple[Row, ...]] = OrderedDict()
        self._rows = 0
        self._running: dict[tuple[str, str, str], Future[tuple[Row, ...]]] = {}

    def fetch(self, path: Path, statement: Statement) -> tuple[Row, ...]:
        key = (str(path), *statement.key)
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
            running = self._running.get(key)
            if running is None:
                mine: Future[tuple[Row, ...]] = Future()
                self._running[key] = mine
        if running is not None:
            return running.result()
        try:
            rows = self._run(path, statement)
        except BaseException as error:
            # The gate opens for the next one, or nobody could ever ask this again.
            with self._lock:
                del self._running[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._running[key]
            self._keep(key, rows)
        mine.set_result(rows)
        return rows

    def _keep(self, key: tuple[str, str, str], rows: tuple[Row, ...]) -> None:
        self._results[key] = rows
        self._rows += len(rows) + 1
        while self._rows > CACHED_ROWS and len(self._results) > 1:
            _, dropped = self._results.popitem(last=False)
            self._rows -= len(dropped) + 1

    def _run(self, path: Path, statement: Statement) -> tuple[Row, ...]:
        with self._lock:
            if self._path != path or self._connection is None:
                # The old connection closes when the last query on it ends.
                self._connection = _open(path)
                self._path = path
            cursor = self._connection.cursor()
        try:
            return tuple(cursor.execute(statement.sql, dict(statement.parameters)).fetchall())
        finally:
            cursor.close()


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    megabytes = max(512, path.stat().st_size // 1_000_000 * 5 // 4)
    return duckdb.connect(
        str(path),
        read_only=True,
        config={"threads": 1, "memory_limit": f"{megabytes}MB", "autoinstall_known_extensions": False},
    )


_reader = _Reader()


def fetch(file: ServingFile, statement: Statement) -> tuple[Row, ...]:
    """The rows of `statement` in `file`. Raises FileNotFoundError when it has aged out: ask for the newest again."""
    return _reader.fetch(folder() / file.path, statement)
