"""Text cells into exact decimals, UTC times and canonical JSON. A cell that can't be read is an issue of its row.

Columns are converted whole where Arrow's own parser is exact (it refuses what it would have to round), and value by
value, each distinct text once, where it isn't.
"""

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.schemas import MONEY, TIME
from attribution.money import NotAnAmount, parse_exact

from .base import BillingFormat, Column, Kind
from .reading import RawChunk

# No line of a bill is dearer; larger ones would let a sum overflow DECIMAL(38,18).
LARGEST = Decimal(10) ** 15
# Residues of literals with four-digit exponents add up in this.
_WIDE = Context(prec=12_000)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?", re.ASCII | re.DOTALL)
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True)
class Issue:
    """Why a row can't be kept: the first reason found."""

    row: int
    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class Typed:
    """A chunk with its columns typed as the format declares them, and what was wrong.

    residues: decimal column -> the sum that rounding to 18 places took off (value read = value kept + residue).
    """

    table: pa.Table
    issues: dict[int, Issue]
    residues: dict[str, Decimal]


def add_wide(first: Decimal, second: Decimal) -> Decimal:
    """A sum of residues, to the last digit."""
    return _WIDE.add(first, second)


class BadCell(ValueError):
    """A text that is not what its column holds; the message says why."""


def parse_decimal(text: str) -> tuple[Decimal, Decimal]:
    """(value at 18 places half-even, residue). Raises BadCell for NaN, inf, garbage and what no bill has."""
    try:
        value, residue = parse_exact(text)
    except NotAnAmount as error:
        raise BadCell("not a decimal number") from error
    if abs(value) >= LARGEST:
        raise BadCell("10^15 or more, which no line of a bill is")
    return value, residue


def parse_time(text: str, formats: tuple[str, ...] = ()) -> dt.datetime:
    """A UTC instant; without an offset the text is UTC. Digits past microseconds are cut. Raises BadCell."""
    text = text.strip()
    moment: dt.datetime | None = None
    if _ISO_DAY.fullmatch(text):
        iso = _LONG_FRACTION.sub(r"\1", text.removesuffix(" UTC"))
        try:
            moment = dt.datetime.fromisoformat(iso)
        except ValueError:
            moment = None
    for pattern in formats if moment is None else ():
        try:
            moment = dt.datetime.strptime(text, pattern)  # noqa: DTZ007
            break
        except ValueError:
            continue
    if moment is None:
        raise BadCell("not a time (expected YYYY-MM-DDTHH:MM:SSZ)")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    # Years first: converting year 1 to UTC overflows.
    if not 1990 <= moment.year <= 2199:
        raise BadCell("outside the years 1990 to 2199")
    return moment.astimezone(dt.UTC)


def _no_constant(name: str) -> Any:
    raise BadCell(f"{name} is not JSON")


def canonical_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)


def _load(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadCell("not JSON") from error


def parse_json(text: str) -> str | None:
    value = _load(text)
    return None if value is None else canonical_json(value)


def parse_map(text: str) -> str | None:
    """A JSON object (with or without braces, as Azure EA writes it) or a list of {key, value} as an object of texts."""
    text = text.strip()
    value = _load(text if text.startswith(("{", "[", "n")) else "{" + text + "}")
    if isinstance(value, list):
        value = _from_pairs(value)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadCell("not a JSON object")
    content = {str(key): _scalar(item) for key, item in value.items() if item is not None}
    return canonical_json(content) if content else None


def _from_pairs(value: list[Any]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for item in value:
        # BigQuery's tables say key and value, Google's FOCUS view Key and Value.
        pair = {str(name).lower(): content for name, content in item.items()} if isinstance(item, dict) else {}
        if "key" not in pair:
            raise BadCell("not a list of keys and values")
        pairs[str(pair["key"])] = pair.get("value")
    return pairs


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else canonical_json(value)


class Typer:
    """Types the chunks of one file as its format declares."""

    def __init__(self, form: BillingFormat) -> None:
        self._columns = form.columns
        self._headers: dict[str, str] = {}

    def type(self, chunk: RawChunk) -> Typed:
        issues = {row: Issue(row, "(row)", "", why) for row, why in chunk.suspects.items()}
        residues: dict[str, Decimal] = {}
        count = len(chunk.lines)
        arrays: list[pa.Array] = [pa.array(range(count), pa.int64())]
        for column in self._columns:
            text = _source(chunk.table, column, count)
            arrays.append(_typed(column, text, issues, residues))
            if column.filled:
                _note_empty(column, text, issues)
        return Typed(pa.table(arrays, names=["row", *(column.name for column in self._columns)]), issues, residues)


def _source(table: pa.Table, column: Column, count: int) -> pa.Array:
    if column.name in table.column_names:
        return _flat(table.column(column.name))
    if column.prefixes:
        keys = [name for name in table.column_names if name.startswith(column.name + "\x00")]
        if keys:
            return _gathered(table, keys)
    return pa.nulls(count, pa.string())


def _flat(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _gathered(table: pa.Table, names: list[str]) -> pa.Array:
    """Columns of one map as one JSON text a row; each distinct combination is written once."""
    joined = pc.binary_join_element_wise(
        *[table.column(name) for name in names], "\x1f", null_handling="replace", null_replacement=""
    )
    coded = pc.dictionary_encode(_flat(joined))
    keys = [name.split("\x00", 1)[1] for name in names]
    texts = []
    for text in coded.dictionary.to_pylist():
        # A cell with the separator in it splits into too many: such a row is not JSON and is quarantined.
        cells = text.split("\x1f")
        content = {key: cell for key, cell in zip(keys, cells, strict=False) if cell}
        texts.append("\x1f" if len(cells) != len(keys) else canonical_json(content) if content else None)
    return pa.array(texts, pa.string()).take(coded.indices)


def _typed(column: Column, text: pa.Array, issues: dict[int, Issue], residues: dict[str, Decimal]) -> pa.Array:
    if column.kind is Kind.TEXT or text.null_count == len(text):
        kinds = {Kind.DECIMAL: MONEY, Kind.TIME: TIME}
        return text if column.kind is Kind.TEXT else pa.nulls(len(text), kinds.get(column.kind, pa.string()))
    if column.kind is Kind.DECIMAL:
        return _decimals(column, text, issues, residues)
    if column.kind is Kind.TIME:
        return _distinct(column, text, lambda cell: parse_time(cell, column.formats), TIME, issues)
    return _distinct(column, text, parse_map if column.kind is Kind.MAP else parse_json, pa.string(), issues)


def _decimals(column: Column, text: pa.Array, issues: dict[int, Issue], residues: dict[str, Decimal]) -> pa.Array:
    try:
        # Arrow refuses more than 18 decimals and everything that is no number; only the size is left to look at.
        values = pc.cast(text, MONEY)
        top = pc.max(pc.abs(values)).as_py()
        if top is None or top < LARGEST:
            return values
    except pa.ArrowInvalid:
        pass
    residue: list[tuple[str, Decimal]] = []

    def parse(cell: str) -> Decimal:
        value, left = parse_decimal(cell.strip())
        if left:
            residue.append((cell, left))
        return value

    values = _distinct(column, text, parse, MONEY, issues)
    if residue:
        counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(text).to_pylist()}
        for cell, left in residue:
            residues[column.name] = add_wide(residues.get(column.name, Decimal(0)), _WIDE.multiply(left, counts[cell]))
    return values


def _distinct(
    column: Column, text: pa.Array, parse: Callable[[str], object], kind: pa.DataType, issues: dict[int, Issue]
) -> pa.Array:
    """Parse each distinct text once; a bad one is NULL and an issue of each of its rows."""
    coded = pc.dictionary_encode(text)
    values: list[object] = []
    bad: dict[int, str] = {}
    for code, cell in enumerate(coded.dictionary.to_pylist()):
        try:
            values.append(parse(cell))
        except BadCell as error:
            values.append(None)
            bad[code] = str(error)
    if bad:
        wrong = pc.is_in(coded.indices, value_set=pa.array(list(bad), coded.indices.type))
        for row in pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist():
            why = bad[coded.indices[row].as_py()]
            issues.setdefault(row, Issue(row, column.name, text[row].as_py()[:200], why))
    return pa.array(values, kind).take(coded.indices)


def _note_empty(column: Column, text: pa.Array, issues: dict[int, Issue]) -> None:
    if text.null_count:
        for row in pc.indices_nonzero(pc.is_null(text)).to_pylist():
            issues.setdefault(row, Issue(row, column.name, "", "empty; every row of a bill has it"))
