"""The fast way from events to rows: whole columns at once, for batches without a bucket and without a bad record.

It must give exactly what normalize.py gives record by record (a property test compares them), and gives up (None) on
whatever needs a closer look, so that there is one place where a record is judged: the slow one.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from attribution.sources.telemetry.base import Event
from attribution.sources.telemetry.rows import EARLIEST, INCOMING, LATEST, MAX_COUNT, MAX_KEY

_FIELDS = (
    "request_id",
    "completed_at",
    "bucket_start",
    "input_tokens",
    "input_includes_cache",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "output_tokens",
    "output_includes_reasoning",
    "reasoning_output_tokens",
    "latency_ms",
    "ttft_ms",
    "error",
)
_values: Any = attrgetter(*_FIELDS)
_zone: Any = attrgetter("tzinfo")
_INT = pa.int64()
_EARLIEST = pa.scalar(EARLIEST, INCOMING.field("completed_at").type)
_LATEST = pa.scalar(LATEST, INCOMING.field("completed_at").type)


class _CloserLook(Exception):
    """Something in the batch is unusual."""


def dense_rows(events: Sequence[Event], series: Sequence[int]) -> pa.Table | None:
    """The events as INCOMING rows, or None. series: the index of each event's series."""
    columns = dict(zip(_FIELDS, zip(*map(_values, events), strict=True), strict=True))
    try:
        return _rows(columns, series)
    except (_CloserLook, pa.ArrowException, OverflowError, AttributeError, TypeError):
        # AttributeError: a time that is absent; the others: a number that int64 or double can't hold.
        return None


def _rows(columns: dict[str, tuple[Any, ...]], series: Sequence[int]) -> pa.Table:
    if _is_any_given(columns["bucket_start"]):
        raise _CloserLook
    if None in set(map(_zone, columns["completed_at"])):
        raise _CloserLook
    completed = pa.array(columns["completed_at"], INCOMING.field("completed_at").type)
    _require(pc.all(pc.and_(pc.greater_equal(completed, _EARLIEST), pc.less(completed, _LATEST))))
    keys = pa.array(columns["request_id"], pa.string())
    lengths = pc.utf8_length(keys)
    _require(keys.null_count == 0, pc.all(pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, MAX_KEY))))
    uncached, read, short, long = _input(columns)
    output, reasoning = _output(columns)
    nothing = pa.nulls(len(keys), pa.string())
    ones = pa.repeat(pa.scalar(1, _INT), len(keys))
    return pa.Table.from_arrays(
        [
            pc.cast(completed, pa.date32()),
            keys,
            completed,
            pa.array(series, pa.int32()),
            ones,
            uncached,
            read,
            short,
            long,
            output,
            reasoning,
            _milliseconds(columns["latency_ms"]),
            _milliseconds(columns["ttft_ms"]),
            _failed(columns["error"]),
            nothing,
        ],
        schema=INCOMING,
    )


def _input(columns: dict[str, tuple[Any, ...]]) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """(input_uncached, cache_read, cache_write_5m, cache_write_1h)."""
    total = _counts(columns["input_tokens"])
    read = _counts(columns["cache_read_input_tokens"])
    short = _counts(columns["cache_creation_5m_input_tokens"])
    long = _counts(columns["cache_creation_1h_input_tokens"])
    written = _counts(columns["cache_creation_input_tokens"])
    if written.null_count < len(written):
        if short.null_count < len(short) or long.null_count < len(long):
            raise _CloserLook
        short = written
    cached = pc.add(pc.add(pc.fill_null(read, 0), pc.fill_null(short, 0)), pc.fill_null(long, 0))
    flags = columns["input_includes_cache"]
    if False in flags:
        cached = pc.if_else(pa.array(flags, pa.bool_()), cached, pa.scalar(0, _INT))
    uncached = pc.subtract(total, cached)
    _require(pc.min(uncached).as_py() is None or pc.min(uncached).as_py() >= 0)
    return uncached, read, short, long


def _output(columns: dict[str, tuple[Any, ...]]) -> tuple[pa.Array, pa.Array]:
    """(output, reasoning)."""
    output = _counts(columns["output_tokens"])
    reasoning = _counts(columns["reasoning_output_tokens"])
    flags = columns["output_includes_reasoning"]
    if False in flags:
        beside = pc.if_else(pa.array(flags, pa.bool_()), pa.scalar(0, _INT), pc.fill_null(reasoning, 0))
        output = pc.add(output, beside)
    rest = pc.min(pc.subtract(output, reasoning)).as_py()
    _require(rest is None or rest >= 0)
    return output, reasoning


def _counts(values: tuple[int | None, ...]) -> pa.Array:
    counts = pa.array(values, _INT)
    ends = pc.min_max(counts)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    _require(low is None or (low >= 0 and high <= MAX_COUNT))
    return counts


def _milliseconds(values: tuple[float | int | None, ...]) -> pa.Array:
    if not _is_any_given(values):
        return pa.nulls(len(values), _INT)
    numbers = pa.array(values, pa.float64())
    usable = pc.and_(pc.greater_equal(numbers, 0.0), pc.less_equal(numbers, float(MAX_COUNT)))
    whole = pc.round(pc.if_else(usable, numbers, pa.scalar(None, pa.float64())), round_mode="half_to_even")
    return pc.cast(whole, _INT)


def _failed(values: tuple[bool | str | None, ...]) -> pa.Array:
    if any(value.__class__ is str for value in set(values)):
        return pa.array([value != "" if isinstance(value, str) else value for value in values], pa.bool_())
    return pa.array(values, pa.bool_())


def _is_any_given(values: tuple[Any, ...]) -> bool:
    return values.count(None) != len(values)


def _require(*facts: Any) -> None:
    for fact in facts:
        if not (fact if isinstance(fact, bool) else fact.as_py()):
            raise _CloserLook
