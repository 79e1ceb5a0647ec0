"""Parquet into chunks of text columns: a double becomes its shortest round-trip text, a map its JSON text."""

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .base import Head
from .reading import SAMPLE_ROWS, RawChunk, Selection, Source

CHUNK_ROWS = 20_000
_BETWEEN, _INSIDE = "\x1e", "\x1f"


class ParquetReader:
    """Rows of one Parquet file; a line is a row number, from 1."""

    def __init__(self, source: Source) -> None:
        self._source = source
        source.hash_file()
        try:
            self._file = pq.ParquetFile(source.path)
            schema = self._file.schema_arrow
            batch = next(self._file.iter_batches(batch_size=SAMPLE_ROWS), None)
            names = tuple(schema.names)
            rows = [] if batch is None else _sample(batch)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        self.head = Head("parquet", names, tuple(rows))

    def _damaged(self, error: Exception) -> Exception:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return self._source.unreadable(f"is damaged Parquet ({reason})", "Fetch it again")

    def chunks(self, selection: Selection) -> Iterator[RawChunk]:
        wanted = list(dict.fromkeys(source for _, source, _ in selection.picks))
        nulls = pa.array(["", *selection.null_words], pa.string())
        line = 1
        share = self._source.size // max(self._file.metadata.num_rows, 1)
        batches = self._file.iter_batches(batch_size=CHUNK_ROWS, columns=wanted)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)
                table = pa.Table.from_batches([batch])
                columns = {name: _text(table.column(source), nulls) for _, source, name in selection.picks}
            except (pa.ArrowException, OSError, ValueError) as error:
                raise self._damaged(error) from error
            lines = pa.array(range(line, line + batch.num_rows), pa.int64())
            line += batch.num_rows
            self._source.report(batch.num_rows * share)
            yield RawChunk(pa.table(columns), lines)


def _sample(batch: pa.RecordBatch) -> list[dict[str, str | None]]:
    nulls = pa.array([""], pa.string())
    columns = {name: _text(pa.chunked_array([batch.column(name)]), nulls).to_pylist() for name in batch.schema.names}
    return [{name: cells[row] for name, cells in columns.items()} for row in range(batch.num_rows)]


def _text(column: pa.ChunkedArray, nulls: pa.Array) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    text = as_text(array)
    return pc.if_else(pc.is_in(text, value_set=nulls), pa.scalar(None, pa.string()), text)


def as_text(array: pa.Array) -> pa.Array:
    """Any Arrow array as strings: shortest round-trip text for doubles, ISO 8601 for times, JSON for maps."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return as_text(array.dictionary_decode())
    if pa.types.is_map(kind) and not pa.types.is_nested(kind.item_type):
        return _maps(array)
    if pa.types.is_nested(kind):
        return pa.array([_json(value) for value in array.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind):
        # Nanoseconds are cut, as everywhere: the lake's times have microseconds. Without a zone it is UTC.
        return pc.cast(pc.cast(array, pa.timestamp("us", tz="UTC"), safe=False), pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        array = pc.cast(array, pa.string())
    return pc.cast(array, pa.string())


def _json(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)


def _maps(array: pa.MapArray) -> pa.Array:
    """Maps of scalars: entries joined to one text a row, and only the distinct texts become JSON in Python."""
    keys, items = as_text(array.keys), as_text(array.items)
    entries = pc.binary_join_element_wise(keys, items, _INSIDE, null_handling="replace", null_replacement="\x1d")
    joined = pc.binary_join(pa.ListArray.from_arrays(array.offsets, entries), _BETWEEN)
    joined = pc.if_else(array.is_valid(), joined, pa.scalar(None, pa.string()))
    coded = pc.dictionary_encode(joined)
    texts = pa.array([_map_json(text) for text in coded.dictionary.to_pylist()], pa.string())
    return texts.take(coded.indices)


def _map_json(text: str) -> str:
    pairs = (entry.split(_INSIDE, 1) for entry in text.split(_BETWEEN) if entry)
    content = {pair[0]: None if pair[1] == "\x1d" else pair[1] for pair in pairs if len(pair) == 2}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
