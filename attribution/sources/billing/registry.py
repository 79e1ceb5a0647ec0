"""The formats that Weir reads, in the order they are asked; and how a file's format and container are found."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from .aws_cur import AWS_CUR
from .azure import AZURE_ACTUAL, AZURE_AMORTIZED
from .base import BillingFormat, Head, UnreadableFile, header_key
from .csvrows import CsvReader
from .focus import FOCUS
from .gcp import GCP
from .jsonrows import JsonReader
from .parquetrows import ParquetReader
from .reading import Reader, Source, select

# Native formats first: a provider's file may carry FOCUS columns beside its own.
FORMATS: tuple[BillingFormat, ...] = (AWS_CUR, AZURE_AMORTIZED, AZURE_ACTUAL, GCP, FOCUS)


def open_reader(
    path: Path, shown: str, progress: Callable[[int], None] | None = None, hint: str = ""
) -> tuple[Source, Reader]:
    """The file's reader by its first bytes. hint: what a manifest calls the file. Raises UnreadableFile."""
    source = Source(path, shown, progress)
    reader = _reader(source)
    reader.head = replace(reader.head, hint=hint, more=partial(_scan, path, shown))
    return source, reader


def _reader(source: Source) -> Reader:
    if source.is_parquet:
        return ParquetReader(source)
    if source.sample()[:64].lstrip().startswith((b"{", b"[")):
        return JsonReader(source)
    return CsvReader(source)


def _scan(path: Path, shown: str, form: BillingFormat) -> Iterator[pa.Table]:
    """The rows of a file as text, with the columns of `form`, read on the side."""
    reader = _reader(Source(path, shown))
    names = [column.name for column in form.columns]
    for chunk in reader.chunks(select(shown, reader.head, form.columns, form.null_words, form.header_cell)):
        missing = pa.nulls(len(chunk.lines), pa.string())
        had = chunk.table.column_names
        yield pa.table([chunk.table.column(name) if name in had else missing for name in names], names=names)


def find_format(shown: str, head: Head) -> BillingFormat:
    """The format that the content is. Raises UnreadableFile, naming the nearest format and what is missing for it."""
    for form in FORMATS:
        if form.detect(head):
            return form
    nearest = max(FORMATS, key=lambda form: _share(form, head))
    if _share(nearest, head) < 0.5:
        names = ", ".join(form.name for form in FORMATS)
        header = ", ".join(head.columns[:6])
        raise UnreadableFile(shown, f"is no bill that Weir knows (its columns: {header}, ...)", f"Weir reads {names}")
    missing = [column.name for column in nearest.columns if column.required and not _found(column.keys(), head)]
    what = ", ".join(missing) or "a column that tells it apart"
    raise UnreadableFile(shown, f"looks like {nearest.name} but lacks {what}", "Export it again with all columns")


def _found(keys: tuple[str, ...], head: Head) -> bool:
    return any(key in head.keys for key in keys)


def _share(form: BillingFormat, head: Head) -> float:
    required = [column for column in form.columns if column.required]
    return sum(_found(column.keys(), head) for column in required) / max(len(required), 1)


def format_named(name: str) -> BillingFormat:
    return next(form for form in FORMATS if form.name == name)


__all__ = ["FORMATS", "find_format", "format_named", "header_key", "open_reader"]
