"""The canonical form of a partition's rows: right schema, one order, one hash. Pure Arrow, no Django.

Rows have no identity of their own (exports give no reliable line id), so a partition is a *multiset*: two identical
rows are two rows, and the order of delivery means nothing. Rows are therefore sorted by every column; equal multisets
become equal tables. The hash is taken over the sorted values, not over the file, whose bytes depend on its writer.
"""

import hashlib
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

EMPTY = hashlib.sha256(b"").hexdigest()


class WrongSchema(ValueError):
    """The table's columns are not those of the dataset. The message names the first difference and the fix."""

    retryable = False


def canonical(table: pa.Table, schema: pa.Schema, dataset: str) -> pa.Table:
    """`table` with exactly the schema's columns, in their order, sorted by all of them (NULL last).

    Column order is free, dictionary columns are decoded; a missing, unknown or differently typed column raises
    WrongSchema.
    """
    return _sorted(conformed(table, schema, dataset))


def conformed(table: pa.Table, schema: pa.Schema, dataset: str) -> pa.Table:
    """`table` with the schema's columns in their order; nothing is converted that could lose a digit."""
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown or table.num_columns != len(schema):
        raise WrongSchema(
            f"{dataset}: missing columns {missing or 'none'}, unknown columns {unknown or 'none'}; "
            "see attribution/lake/schemas.py"
        )
    columns = [_plain(table.column(field.name), field, dataset) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(column: pa.ChunkedArray, field: pa.Field, dataset: str) -> pa.ChunkedArray:
    kind = column.type
    if kind == field.type:
        return column
    if pa.types.is_dictionary(kind) and kind.value_type == field.type:
        return column.cast(field.type)
    if pa.types.is_null(kind) or (pa.types.is_large_string(kind) and pa.types.is_string(field.type)):
        return column.cast(field.type)
    raise WrongSchema(f"{dataset}.{field.name} is {kind}, expected {field.type}; cast it where it is made")


def _sorted(table: pa.Table) -> pa.Table:
    keys = [name for name, column in zip(table.column_names, table.columns, strict=True) if not _is_constant(column)]
    if table.num_rows < 2 or not keys:
        return table
    table = table.combine_chunks()
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys])
    return table.take(order)


def _is_constant(column: pa.ChunkedArray) -> bool:
    """Whether every row has the same value: such a column cannot change the order, and sorting by it is not free."""
    if column.null_count == len(column):
        return True
    if column.null_count:
        return False
    ends = pc.min_max(column)
    return bool(ends["min"].equals(ends["max"]))


def content_hash(table: pa.Table) -> str:
    """SHA-256 of a canonical table's names, types and values; EMPTY when it has no rows."""
    if table.num_rows == 0:
        return EMPTY
    digest = hashlib.sha256(str(table.num_rows).encode())
    for field, column in zip(table.schema, table.columns, strict=True):
        digest.update(f"\n{field.name}:{field.type}\n".encode())
        _feed(digest, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    return digest.hexdigest()


def _feed(digest: Any, array: pa.Array) -> None:
    """Validity, lengths and values; what lies under a NULL or before an offset is no content."""
    digest.update(_bytes(array.is_valid().cast(pa.uint8())))
    if pa.types.is_string(array.type):
        # Dense again: a slice keeps the bytes of its neighbours, a NULL may have some of its own.
        text = pc.fill_null(array, "")
        digest.update(_bytes(pc.binary_length(text)))
        for value in _text_buffers(text):
            digest.update(value)
        return
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    digest.update(_bytes(pc.fill_null(array, pa.scalar(_zero(array.type), array.type))))


def _zero(kind: pa.DataType) -> object:
    return date(1970, 1, 1) if pa.types.is_date(kind) else 0


def _bytes(array: pa.Array) -> memoryview:
    """The values of a fixed-width array without NULLs."""
    width = array.type.byte_width if hasattr(array.type, "byte_width") else array.type.bit_width // 8
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]


def _text_buffers(array: pa.Array) -> list[memoryview]:
    _, offsets, values = array.buffers()
    if values is None:
        return []
    ends = memoryview(offsets).cast("i")
    return [memoryview(values)[ends[array.offset] : ends[array.offset + len(array)]]]
