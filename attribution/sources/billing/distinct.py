"""Python functions on columns, called once per distinct value: for what neither Arrow nor SQL can say."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR, _NULL = "\x1f", "\x1e"


def map_distinct(columns: Sequence[pa.ChunkedArray], make: Callable[..., Any], kind: pa.DataType) -> pa.ChunkedArray:
    """`make` of the cells of one row, as one column of `kind`.

    columns: equally long text columns without the control characters U+001E and U+001F. NULL cells come as None.
    """
    texts = [pc.fill_null(column, _NULL) for column in columns]
    joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, _SEPARATOR)
    coded = pc.dictionary_encode(pa.chunked_array([joined]) if isinstance(joined, pa.Array) else joined)
    coded = coded.unify_dictionaries().combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0) if coded.num_chunks else pa.array([], coded.type)
    values = pa.array([make(*_cells(text, len(columns))) for text in coded.dictionary.to_pylist()], kind)
    return pa.chunked_array([values.take(coded.indices)])


def _cells(text: str, count: int) -> list[str | None]:
    cells = text.split(_SEPARATOR) if count > 1 else [text]
    if len(cells) != count:
        # A cell holds the separator: nobody's tag does; told apart from no value by being unreadable.
        cells = [text] * count
    return [None if cell == _NULL else cell for cell in cells]
