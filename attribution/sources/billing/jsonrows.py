"""JSON rows into chunks: one object a line, an array of objects, or the answer of BigQuery's REST API.

Nested objects become dotted columns ({"service": {"id": 1}} -> service.id), lists stay JSON text. Numbers keep the
literal that stands in the file; no double is made on the way.
"""

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from .base import Head
from .reading import RECORD_BYTES, SAMPLE_ROWS, RawChunk, Refused, Selection, Source

CHUNK_ROWS = 20_000
DOCUMENT_BYTES = 256 << 20  # one JSON value that has to be read whole
_DECODER = msgspec.json.Decoder(float_hook=str)
_DAMAGED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UNPRINTABLE = "(not readable)"
_SPACE = b" \t\r\n"
_MAX_DEPTH = 6

Flat = dict[str, Any]


class JsonReader:
    """Rows of one JSON file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        sample = source.sample()
        self._shape = self._shape_of(sample)
        rows: list[dict[str, str | None]] = []
        for _, item in itertools.islice(self._items(watch=False), SAMPLE_ROWS):
            if isinstance(item, dict):
                rows.append({name: _text(value) for name, value in flatten(item).items()})
        if not rows:
            raise source.unreadable("has no JSON object that can be read", "A bill in JSON has one object a row")
        columns = dict.fromkeys(name for row in rows for name in row)
        self.head = Head("json", tuple(columns), tuple(rows))

    def _shape_of(self, sample: bytes) -> str:
        text = sample.lstrip(_SPACE)
        if text.startswith(b"["):
            return "array"
        # A damaged first line doesn't make a file of rows one document.
        whole = [line for line in text.split(b"\n", SAMPLE_ROWS)[:SAMPLE_ROWS] if _is_object(line)]
        if not whole or (b'"rows"' in whole[0] and b'"schema"' in whole[0]):
            return "document"
        return "lines"

    def _items(self, *, watch: bool) -> Iterator[tuple[int, Any]]:
        """(line, object or Refused) of each row."""
        blocks = self._source.blocks(watch=watch)
        if self._shape == "lines":
            return self._lines(blocks)
        if self._shape == "array":
            return self._array(blocks)
        return self._document(blocks)

    def _endless(self, line: int, what: str) -> Exception:
        return self._source.unreadable(f"line {line}: {what}", "Check that it is a bill in JSON rows")

    def _lines(self, blocks: Iterator[bytes]) -> Iterator[tuple[int, Any]]:
        buffer, line = b"", 1
        for block in itertools.chain(blocks, (b"\n",)):
            buffer += block
            *whole, buffer = buffer.split(b"\n")
            for text in whole:
                if text.strip():
                    yield line, self._object(line, text)
                line += 1
            if len(buffer) > RECORD_BYTES:
                raise self._endless(line, f"the line is longer than {RECORD_BYTES >> 20} MiB")

    def _object(self, line: int, text: bytes) -> Any:
        try:
            item = _DECODER.decode(text)
        except _DAMAGED as error:
            return Refused(line, "(row)", text[:80].decode(errors="replace"), f"not JSON: {error}")
        if isinstance(item, dict):
            return item
        return Refused(line, "(row)", text[:80].decode(errors="replace"), "not a JSON object")

    def _array(self, blocks: Iterator[bytes]) -> Iterator[tuple[int, Any]]:
        """Objects of a top-level array, one at a time."""
        decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
        text, line, opened, closed = "", 1, False, False
        pending = b""
        for block in itertools.chain(blocks, (None,)):
            pending += block or b""
            chunk, pending = _decodable(pending)
            text += chunk
            position = 0
            while True:
                start = position
                while position < len(text) and text[position] in " \t\r\n,":
                    position += 1
                if not opened and position < len(text):
                    opened, position = True, position + 1
                    continue
                line += text.count("\n", start, position)
                if position >= len(text) or closed:
                    break
                if text[position] == "]":
                    closed, position = True, position + 1
                    continue
                try:
                    item, end = decoder.raw_decode(text, position)
                except (ValueError, RecursionError) as error:
                    if block is None:
                        raise self._endless(line, f"not well-formed JSON ({error})") from error
                    break
                yield line, item if isinstance(item, dict) else Refused(line, "(row)", str(item)[:80], "not an object")
                line += text.count("\n", position, end)
                position = end
            text = text[position:]
            if len(text) > RECORD_BYTES:
                raise self._endless(line, f"a row is longer than {RECORD_BYTES >> 20} MiB")
        if not closed or text.strip():
            raise self._endless(line, "the array has no proper end")

    def _document(self, blocks: Iterator[bytes]) -> Iterator[tuple[int, Any]]:
        content = bytearray()
        for block in blocks:
            content += block
            if len(content) > DOCUMENT_BYTES:
                fix = "Export one JSON object a line"
                raise self._source.unreadable(f"is one JSON value of more than {DOCUMENT_BYTES >> 20} MiB", fix)
        try:
            document = _DECODER.decode(bytes(content))
        except _DAMAGED as error:
            fix = "Fetch it again, or export one JSON object a line"
            raise self._source.unreadable(f"is not well-formed JSON ({error})", fix) from error
        if not isinstance(document, dict):
            raise self._source.unreadable("is not a table of JSON objects", "Check that it is a bill")
        rows, fields = document.get("rows"), (document.get("schema") or {})
        if not isinstance(rows, list) or not isinstance(fields, dict):
            return iter([(1, document)])
        names = fields.get("fields")
        return iter((index, row) for index, row in enumerate((_bigquery(item, names) for item in rows), start=1))

    def chunks(self, selection: Selection) -> Iterator[RawChunk]:
        items = self._items(watch=True)
        nulls = frozenset(("", *selection.null_words))
        while batch := list(itertools.islice(items, CHUNK_ROWS)):
            yield _chunk(batch, selection, nulls)


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(_DECODER.decode(text), dict)
    except _DAMAGED:
        return False


def _decodable(content: bytes) -> tuple[str, bytes]:
    """The text of whole characters, and the at most 3 bytes of a cut one. A wrong byte becomes U+FFFD."""
    for tail in range(1, min(4, len(content)) + 1):
        byte = content[-tail]
        if byte >= 0xC0:
            need = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            if tail < need:
                return content[:-tail].decode(errors="replace"), content[-tail:]
            break
        if byte < 0x80:
            break
    return content.decode(errors="replace"), b""


def _bigquery(item: Any, fields: Any) -> Any:
    """One row of BigQuery's REST form ({"f": [{"v": ..}]}) as an object. TIMESTAMP is microseconds there."""
    if not (isinstance(item, dict) and isinstance(item.get("f"), list) and isinstance(fields, list)):
        return item
    row: dict[str, Any] = {}
    for column, cell in zip(fields, item["f"], strict=False):
        value = cell.get("v") if isinstance(cell, dict) else cell
        row[str(column.get("name"))] = _bigquery_value(value, column)
    return row


def _bigquery_value(value: Any, column: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_bigquery_value(item.get("v") if isinstance(item, dict) else item, column) for item in value]
    if isinstance(value, dict):
        return _bigquery(value, column.get("fields"))
    if column.get("type") == "TIMESTAMP" and isinstance(value, str) and value.lstrip("-").isdigit():
        try:
            moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(value))
        except OverflowError:
            return value
        return moment.isoformat()
    return value


def flatten(item: Mapping[str, Any]) -> Flat:
    """Dotted columns of one row; what is nested deeper than a bill's rows are stays JSON text."""
    row: Flat = {}
    _flatten(item, "", row, 0)
    return row


def _flatten(item: Mapping[str, Any], prefix: str, row: Flat, depth: int) -> None:
    for key, value in item.items():
        row[prefix + key] = value
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            # The object's own column stays too: a map column reads it as one JSON text.
            _flatten(value, f"{prefix}{key}.", row, depth + 1)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return (
            json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            if isinstance(value, dict | list)
            else str(value)
        )
    except (RecursionError, ValueError):
        # Nested a thousand times, or a number of thousands of digits: nothing that a column of a bill holds.
        return _UNPRINTABLE


def _chunk(batch: list[tuple[int, Any]], selection: Selection, nulls: frozenset[str]) -> RawChunk:
    refused = tuple(item for _, item in batch if isinstance(item, Refused))
    kept = [(line, flatten(item)) for line, item in batch if isinstance(item, dict)]
    suspects: dict[int, str] = {}
    columns: dict[str, pa.Array] = {}
    for _, source, name in selection.picks:
        cells = [_text(row.get(source)) for _, row in kept]
        columns[name] = _column(cells, nulls, suspects)
    lines = pa.array([line for line, _ in kept], pa.int64())
    table = pa.table(columns) if columns else pa.table({})
    return RawChunk(table, lines, suspects, refused)


def _column(cells: list[str | None], nulls: frozenset[str], suspects: dict[int, str]) -> pa.Array:
    try:
        return pa.array([None if cell in nulls else cell for cell in cells], pa.string())
    except UnicodeEncodeError:
        for index, cell in enumerate(cells):
            if cell is not None and any("\ud800" <= letter <= "\udfff" for letter in cell):
                suspects[index] = "the row has half a character (a lone surrogate)"
        clean = [None if cell is None else cell.encode("utf-8", "replace").decode() for cell in cells]
        return pa.array([None if cell in nulls else cell for cell in clean], pa.string())
