"""What a billing format is: declared columns, a SQL staging model, and small hooks. No I/O here.

A format module (focus.py, aws_cur.py, ...) ends in one or more `BillingFormat` values, listed in registry.py. A file
goes through them like this, in chunks of constant size:

    reading.py     file -> raw text columns; header spellings resolved to `Column.name`
    typing         decimal, time and json columns parsed; a bad cell becomes NULL and its row is quarantined
    prepare        optional Python hook on the typed chunk (for what SQL can't say, e.g. python-repr lists)
    `model`        SQL: one input view `raw` (the typed chunk) -> rows of STAGED
    partitions     (scope, account, period, day); `settle` may change a whole partition (pairing across rows)
    `merge_model`  only for sides: CHARGES_ACTUAL and CHARGES_AMORTIZED of a partition -> CHARGES

The typed chunk `raw` has every declared column (all NULL where the file lacks it) and `row` (int64, 0..n-1).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from attribution.lake.engine import Engine
from attribution.lake.schemas import CHARGES, MONEY, TEXT, TIME
from attribution.vocabulary import Basis, Dataset


class UnreadableFile(Exception):
    """A file that cannot be read as a bill: which, why, and what to do. Nothing of its delivery is published."""

    retryable = False

    def __init__(self, path: str, reason: str, fix: str) -> None:
        super().__init__(f"{path}: {reason}. {fix}")
        self.path = path
        self.reason = reason
        self.fix = fix


class Kind(StrEnum):
    """How a cell's text is parsed, and the Arrow type that the staging model sees."""

    TEXT = "text"  # string; surrounding spaces off; '' and the null words are NULL
    DECIMAL = "decimal"  # decimal128(38,18), rounded half-even once, residue reported; NaN, inf, garbage -> quarantine
    TIME = "time"  # timestamp[us, UTC]; ISO forms and `Column.formats`; before 1990 -> quarantine
    JSON = "json"  # canonical JSON text (sorted keys, no spaces); garbage -> quarantine
    MAP = "map"  # canonical JSON object text -> text, from one JSON cell or from columns with one of `prefixes`


def header_key(name: str) -> str:
    """How header spellings are compared: letters and digits only, case folded.

    `lineItem/UsageStartDate`, `line_item_usage_start_date` and `Line Item Usage Start Date` are one column.
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _same(text: str) -> str:
    return text


@dataclass(frozen=True)
class Column:
    """One column that the staging model reads, under the name that it reads.

    required: the header must have it, else the file is unreadable ("missing column").
    filled:   every row must have a value, else the row is quarantined.
    aliases:  other spellings (legacy, localised); compared by `header_key`. The first that the file has wins.
    prefixes: for MAP, raw header prefixes (exact case), e.g. ("resourceTags/", "resource_tags_"): each such column
              becomes the key `key(rest of the header)`; empty cells are left out.
    formats:  for TIME, strptime formats tried after ISO 8601, e.g. ("%m/%d/%Y",). One value must fit one of them.
    """

    name: str
    kind: Kind = Kind.TEXT
    required: bool = False
    filled: bool = False
    aliases: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    key: Callable[[str], str] = _same
    formats: tuple[str, ...] = ()

    def keys(self) -> tuple[str, ...]:
        return tuple(header_key(name) for name in (self.name, *self.aliases))


@dataclass(frozen=True)
class Head:
    """What detection sees: the header (raw spellings; JSON keys flattened with dots) and the first rows as text.

    hint: what the delivery's manifest calls the export (Azure: exportConfig.type); '' without one.
    more: reads the whole file for some columns, for the rare format that its first rows can't tell (see `scan`).
    """

    container: str  # csv, parquet, json
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str | None], ...] = ()
    # Cells of the sampled rows, where all of them (two at least) have the same number.
    width: int | None = None
    hint: str = ""
    more: "Callable[[BillingFormat], Iterator[pa.Table]] | None" = field(default=None, compare=False)
    keys: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(header_key(name) for name in self.columns))

    def has(self, *columns: str) -> bool:
        """Whether the header has all of these, in any spelling that `header_key` makes equal."""
        return all(header_key(name) in self.keys for name in columns)

    def first(self, column: str) -> str | None:
        """The first non-empty value of a column in the sample."""
        wanted = header_key(column)
        for row in self.rows:
            for name, value in row.items():
                if header_key(name) == wanted and value:
                    return value
        return None

    def scan(self, form: "BillingFormat") -> "Iterator[pa.Table]":
        """The sample, then the file from its start: the columns of `form` as text, NULL where the file lacks one."""
        spelled = [{header_key(name): value for name, value in row.items()} for row in self.rows]
        cells = [
            [next((row[key] for key in column.keys() if row.get(key)), None) for row in spelled]  # noqa: SIM118
            for column in form.columns
        ]
        yield pa.table([pa.array(values, TEXT) for values in cells], names=[column.name for column in form.columns])
        if self.more is not None:
            yield from self.more(form)


# A row of the staging model's result: the fate of the raw row, then the charge (CHARGES without what the core fills:
# scope, day). Every raw row gives exactly one row whose fate is not `created`, with the same `row`; a format may add
# `created` rows (an Unused row, a promotion's Credit row), which carry the `row` they were made from.
FATES = ("kept", "created", "dropped", "quarantined")
STAGED = pa.schema(
    [
        ("row", pa.int64()),
        ("fate", TEXT),  # one of FATES
        ("fate_field", TEXT),  # quarantined: the column; NULL otherwise
        ("fate_value", TEXT),  # quarantined: the value
        ("fate_reason", TEXT),  # dropped and quarantined: why, as a person reads it
        *[column for column in CHARGES if column.name not in ("scope", "day")],
        # Free for the format's `settle`; never stored.
        ("x_settle_key", TEXT),
        ("x_settle_amount", MONEY),
    ]
)

# What `settle` gets and returns: a partition's rows with the fates that reached the partition (kept, created).
PARTITION = pa.schema([*STAGED, ("file", pa.int32())])


def unchanged(raw: pa.Table) -> pa.Table:
    return raw


@dataclass(frozen=True)
class BillingFormat:
    """One export format.

    name:      what a summary calls it: focus, aws-cur, azure-actual, ...
    family:    the format's part in the default scope "provider/family/account"; two sides of one bill share it.
    columns:   what is read; everything else in the file is ignored.
    detect:    True when the content is this format. Formats are asked in the registry's order; the first yes wins.
    model:     path of the staging model below attribution/sql, e.g. "staging/stg_focus": view `raw` -> rows of STAGED.
    controls:  basis -> decimal columns of `raw`; a row's raw cost is the first that is not NULL. Control totals are
               summed from them before mapping. A format gives only the bases that the file states in one number.
    dataset:   CHARGES, or the side that this file holds (CHARGES_ACTUAL, CHARGES_AMORTIZED).
    prepare:   typed chunk -> typed chunk; may add columns (also ones that `controls` names), never rows.
    settle:    (partition, engine) -> the same rows; may change values and turn `kept` into `dropped` with a reason.
               Called once per (account, period, day) with all files of the delivery together; None = nothing to do.
    merge_model: for sides: SQL with views `actual` and `amortized` (both CHARGES, one partition, either may be empty)
               -> CHARGES rows. Params: $has_actual, $has_amortized (whether that side's period was ever delivered).
    rounded:   columns whose rounding residue is reported; left out: those of the first basis in `controls`.
    null_words: texts that mean NULL besides the empty one (compared exactly).
    header_cell: where every header cell matches this, the header's commas are proven right, and rows that are all
               shorter by the same number of cells are read with their last columns empty. Else they are quarantined.
    """

    name: str
    family: str
    columns: tuple[Column, ...]
    detect: Callable[[Head], bool]
    model: str
    controls: Mapping[Basis, tuple[str, ...]]
    dataset: Dataset = Dataset.CHARGES
    prepare: Callable[[pa.Table], pa.Table] = unchanged
    settle: Callable[[pa.Table, Engine], pa.Table] | None = None
    merge_model: str | None = None
    rounded: tuple[str, ...] = ()
    null_words: tuple[str, ...] = ()
    header_cell: re.Pattern[str] | None = None

    def raw_schema(self) -> pa.Schema:
        """The schema of the typed chunk before `prepare`."""
        types = {Kind.DECIMAL: MONEY, Kind.TIME: TIME}
        return pa.schema(
            [("row", pa.int64()), *[(column.name, types.get(column.kind, TEXT)) for column in self.columns]]
        )
