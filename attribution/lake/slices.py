"""Cuts a table into the partitions that it holds. Pure Arrow."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def slices(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    """(values of `columns`, the rows with them), each set of values once, in the order of their first row.

    One sort of integers for all partitions, however many; the columns hold no NULL.
    """
    if table.num_rows == 0:
        return
    code = np.zeros(table.num_rows, dtype=np.int64)
    for name in columns:
        encoded = table[name].combine_chunks().dictionary_encode()
        code = code * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
        # Dense again, so that the product of many columns can't overflow.
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    ends = np.append(starts[1:], table.num_rows)
    for start, end in zip(starts, ends, strict=True):
        rows = table.take(pa.array(order[start:end]))
        yield tuple(rows[name][0].as_py() for name in columns), rows
