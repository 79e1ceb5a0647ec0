"""Runs the SQL models of `attribution/sql` on an engine; DuckDB is the one that ships. Knows no Django, no catalogue.

A model is one `.sql` file, one statement, in the portable subset (no HUGEINT, no `/` on decimals; `exact_div` and
`exact_mod` for 128-bit division, `utc_clock` for an instant's UTC time), so that another engine can stand behind the
same protocol. Its inputs are views, its values are `$named` parameters. What the lake holds and which file is current
is the catalogue's business.
"""

import functools
import glob
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

SQL_ROOT = Path(__file__).resolve().parent.parent / "sql"
_MODEL = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)+")
_INPUT = re.compile(r"[a-z][a-z0-9_]*")
_NO_PARAMS: Mapping[str, object] = MappingProxyType({})

# Floor division of 128-bit integers: DuckDB's own `//` truncates towards zero and makes a double of a decimal. A zero
# divisor would become NULL and lose money in silence, so it fails (by a cast that cannot succeed: `error()` counts as a
# side effect and stops the optimiser). NULL in, NULL out. Arguments are whole: DECIMAL(38,0), HUGEINT or BIGINT.
_MACROS = (
    """
    create macro exact_div(a, b) as case
        when cast(b as hugeint) = 0 then cast('exact_div: division by zero' as hugeint)
        else cast(a as hugeint) // cast(b as hugeint)
            - case when cast(a as hugeint) % cast(b as hugeint) <> 0
                and (cast(a as hugeint) < 0) <> (cast(b as hugeint) < 0) then 1 else 0 end
    end
    """,
    """
    create macro exact_mod(a, b) as case
        when cast(b as hugeint) = 0 then cast('exact_mod: division by zero' as hugeint)
        else cast(a as hugeint) % cast(b as hugeint)
            + case when cast(a as hugeint) % cast(b as hugeint) <> 0
                and (cast(a as hugeint) < 0) <> (cast(b as hugeint) < 0) then cast(b as hugeint) else 0 end
    end
    """,
    # The UTC wall clock of an instant, without a zone; a cast asks the session's zone for each row: four times as long.
    "create macro utc_clock(t) as make_timestamp(epoch_us(t))",
)


class EngineError(Exception):
    """A model could not be run. None of these goes away by trying again."""

    retryable = False


class UnknownModel(EngineError):
    """No file of that name below attribution/sql."""


class ModelFailed(EngineError):
    """The engine refused or stopped the model: wrong SQL, an overflow, a missing parameter, no memory."""


class WideInteger(EngineError):
    """A column is a 128-bit integer, which a Parquet file would silently hold as a double."""


@dataclass(frozen=True)
class Files:
    """Parquet files that together are one input. Without paths the schema says what the empty input looks like."""

    paths: Sequence[Path]
    schema: pa.Schema | None = None


Input: TypeAlias = pa.Table | pa.RecordBatchReader | Files


class Engine(Protocol):
    """What runs a model."""

    def run(
        self,
        model: str,
        *,
        params: Mapping[str, object] = _NO_PARAMS,
        inputs: Mapping[str, Input],
        into: Path | None = None,
    ) -> pa.Table:
        """Run `model` (e.g. "marts/usage_hourly"): its rows, or with `into` an empty table of their schema.

        params: exactly the `$names` of the model. inputs: view name -> rows; a RecordBatchReader is read once, so the
        model may name it once. into: a new Parquet file (zstd) that receives the rows; not fsynced, the lake does that;
        gone again when the model fails.
        Raises EngineError.
        """
        ...


@functools.cache
def model_sql(model: str) -> str:
    """The text of a model. Raises UnknownModel."""
    path = SQL_ROOT / f"{model}.sql"
    if not _MODEL.fullmatch(model) or not path.is_file():
        raise UnknownModel(f"no SQL model {model!r}: expected a file {model}.sql below attribution/sql")
    return path.read_text(encoding="utf-8").rstrip().rstrip(";")


class DuckDBEngine:
    """An in-memory DuckDB with limits. Use it as a context manager; `run` may be called from several threads.

    memory_limit: DuckDB's text, e.g. "2GB". temp_directory: where it may spill; this engine takes a folder of its own
    in it (two engines of one folder would overwrite each other's spill files) and removes that at the end.
    """

    def __init__(self, *, memory_limit: str = "2GB", threads: int = 2, temp_directory: Path) -> None:
        temp_directory.mkdir(parents=True, exist_ok=True)
        self._spill = Path(tempfile.mkdtemp(prefix="engine-", dir=temp_directory))
        self._connection = duckdb.connect(
            config={
                "memory_limit": memory_limit,
                "threads": threads,
                "temp_directory": str(self._spill),
                # Nothing is ever downloaded at run time.
                "autoinstall_known_extensions": False,
            }
        )
        for macro in _MACROS:
            self._connection.execute(macro)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def run(
        self,
        model: str,
        *,
        params: Mapping[str, object] = _NO_PARAMS,
        inputs: Mapping[str, Input],
        into: Path | None = None,
    ) -> pa.Table:
        """See Engine.run."""
        return self._run_sql(model_sql(model), model, params=params, inputs=inputs, into=into)

    def _run_sql(
        self, sql: str, model: str, *, params: Mapping[str, object], inputs: Mapping[str, Input], into: Path | None
    ) -> pa.Table:
        # A cursor is a connection of its own to the same database: views of one run are invisible to another's.
        cursor = self._connection.cursor()
        try:
            cursor.execute("set TimeZone = 'UTC'")
            for name, rows in inputs.items():
                _create_view(cursor, name, rows)
            relation = cursor.sql(sql, params=dict(params))
            if relation is None:
                raise ModelFailed(f"model {model} is no query")
            if into is None:
                return _in_utc(relation.to_arrow_table())
            _refuse_wide_integers(model, relation)
            relation.write_parquet(str(into), compression="zstd")
            return _in_utc(pq.read_schema(into).empty_table())
        except duckdb.Error as error:
            if into is not None:
                into.unlink(missing_ok=True)
            raise ModelFailed(f"model {model}: {error}") from error
        finally:
            cursor.close()


def _create_view(cursor: duckdb.DuckDBPyConnection, name: str, rows: Input) -> None:
    if not _INPUT.fullmatch(name):
        raise ModelFailed(f"input {name!r}: a view's name is lower case letters, digits and underscores")
    if not isinstance(rows, Files):
        cursor.register(name, rows)
    elif rows.paths:
        # A path is a path, also with brackets in it; folders of the lake look like hive partitions, but are no columns.
        paths = ", ".join(_quoted(glob.escape(str(path))) for path in rows.paths)
        # A relation's create_view would make it for all connections: another thread's run, and every later one, saw it.
        source = f"read_parquet([{paths}], hive_partitioning = false)"
        cursor.execute(f"create temp view {name} as select * from {source}")  # noqa: S608
    elif rows.schema is not None:
        cursor.register(name, rows.schema.empty_table())
    else:
        raise ModelFailed(f"input {name!r} has no files and no schema; pass Files([], schema)")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refuse_wide_integers(model: str, relation: duckdb.DuckDBPyRelation) -> None:
    wide = [name for name, kind in zip(relation.columns, relation.types, strict=True) if "HUGEINT" in str(kind)]
    if wide:
        raise WideInteger(
            f"model {model}: {', '.join(wide)} is HUGEINT and Parquet would hold it as a double; "
            "cast it to bigint or decimal(38,0) (sum of a bigint is a HUGEINT)"
        )


def _in_utc(table: pa.Table) -> pa.Table:
    """DuckDB calls the zone Etc/UTC; the lake calls it UTC. The instants are the same."""
    return table.cast(pa.schema([(field.name, _utc_type(field.type)) for field in table.schema]))


def _utc_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, tz="UTC")
    return kind
