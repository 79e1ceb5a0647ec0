"""Files into chunks of raw text columns, in constant memory, with the file's own line numbers; no format's meaning.

A container (CSV, gzipped CSV, JSON rows, Parquet) is told from the first bytes, never from the name. What can't be read
safely raises `UnreadableFile`; a row that can't be split is a `Refused` row of its chunk. Nothing here guesses: another
delimiter, another encoding or a line without an end is refused with the fix, because half-read money is worse.
"""

import codecs
import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from .base import Column, Head, Kind, UnreadableFile, header_key

BLOCK_BYTES = 8 << 20  # decompressed bytes that become one chunk
RECORD_BYTES = 8 << 20  # no bill has a longer line; a file that does is not a bill
SAMPLE_BYTES = 1 << 20
SAMPLE_ROWS = 20

_FOREIGN = (
    (b"PK\x03\x04", "is a zip archive (an .xlsx is one too)", "Unpack it, or export it as CSV or Parquet"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Decompress it, or use gzip"),
    (b"BZh", "is compressed with bzip2", "Decompress it, or use gzip"),
    (b"\xfd7zXZ", "is compressed with xz", "Decompress it, or use gzip"),
    (b"%PDF", "is a PDF document", "Export the bill as CSV or Parquet"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook", "Export the bill as CSV"),
)


@dataclass(frozen=True)
class Refused:
    """A row that was read and can't be used: it counts as read and quarantined."""

    line: int
    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class RawChunk:
    """Rows as text.

    table:    the resolved columns, named `Column.name`; MAP columns that stand in several source columns are named
              "<name>\\x00<key>" each. Strings; '' and the format's null words are NULL.
    lines:    the file's line of each row (1 = first line; a Parquet file's row number).
    suspects: row index -> why its bytes can't be trusted; the row is parsed (for its control totals), then quarantined.
    refused:  rows that are not in the table.
    """

    table: pa.Table
    lines: pa.Array
    suspects: dict[int, str] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Selection:
    """Which source columns feed which declared column: (source index, source name, name in the chunk).

    width: cells that a row must have; fewer than the header's only where the format allows that.
    """

    picks: tuple[tuple[int, str, str], ...]
    null_words: tuple[str, ...]
    width: int


class Reader(Protocol):
    """An opened file: its head, then its rows for a selection of columns."""

    head: Head

    def chunks(self, selection: Selection) -> Iterator[RawChunk]: ...


class Source:
    """The bytes of one file: opened as often as needed, counted and hashed on the way.

    `digest` (hex sha256 of the decompressed content) is known after `blocks()` has been read to its end.
    """

    def __init__(self, path: Path, shown: str, progress: Callable[[int], None] | None = None) -> None:
        self.path = path
        self.shown = shown
        self.digest = ""
        self._progress = progress
        try:
            with path.open("rb") as handle:
                self.magic = handle.read(8)
            self.size = path.stat().st_size
        except OSError as error:
            raise self.unreadable(f"cannot be opened ({error.strerror})", "Check the path and its rights") from error
        for magic, what, fix in _FOREIGN:
            if self.magic.startswith(magic):
                raise self.unreadable(what, fix)
        if not self.magic:
            raise self.unreadable("is empty", "Fetch it again: a bill has at least a header")

    def unreadable(self, reason: str, fix: str) -> UnreadableFile:
        return UnreadableFile(self.shown, reason, fix)

    @property
    def is_gzip(self) -> bool:
        return self.magic.startswith(b"\x1f\x8b")

    @property
    def is_parquet(self) -> bool:
        return self.magic.startswith(b"PAR1")

    def report(self, read_bytes: int) -> None:
        if self._progress is not None:
            self._progress(read_bytes)

    def hash_file(self) -> None:
        """For containers that are not read front to back."""
        digest = hashlib.sha256()
        with self.path.open("rb") as handle:
            while block := handle.read(BLOCK_BYTES):
                digest.update(block)
        self.digest = digest.hexdigest()

    def sample(self) -> bytes:
        """The first bytes as UTF-8 (or as they are), cut at SAMPLE_BYTES."""
        parts: list[bytes] = []
        size = 0
        for block in self.blocks(SAMPLE_BYTES, watch=False):
            parts.append(block)
            size += len(block)
            if size >= SAMPLE_BYTES:
                break
        return b"".join(parts)[:SAMPLE_BYTES]

    def blocks(self, size: int | None = None, *, watch: bool = True) -> Iterator[bytes]:
        """Decompressed blocks of at most `size` (BLOCK_BYTES) bytes, as UTF-8 without a byte order mark."""
        size = size or BLOCK_BYTES
        digest = hashlib.sha256()
        with self.path.open("rb") as raw:
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if self.is_gzip else raw  # type: ignore[assignment]
            decoder: codecs.IncrementalDecoder | None = None
            first, seen = True, 0
            while block := self._read(stream, size):
                digest.update(block)
                if watch:
                    self.report(raw.tell() - seen)
                    seen = raw.tell()
                if first:
                    decoder, block = self._unmark(block)
                    first = False
                if decoder is not None:
                    block = self._decode(decoder, block)
                yield block
            if decoder is not None:
                self._decode(decoder, b"", final=True)
        if watch:
            self.digest = digest.hexdigest()

    def _read(self, stream: BinaryIO, size: int) -> bytes:
        try:
            return stream.read(size)
        except EOFError as error:
            raise self.unreadable("ends in the middle of its gzip data", "Fetch it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.unreadable(f"has damaged gzip data ({error})", "Fetch it again") from error
        except OSError as error:
            raise self.unreadable(f"cannot be read ({error.strerror or error})", "Check the disk") from error

    def _unmark(self, block: bytes) -> tuple[codecs.IncrementalDecoder | None, bytes]:
        if block.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise self.unreadable("is UTF-32 text", "Save it as UTF-8")
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return codecs.getincrementaldecoder("utf-16")(), block
        block = block.removeprefix(codecs.BOM_UTF8)
        if block[257:262] == b"ustar":
            raise self.unreadable("is a tar archive", "Unpack it and ingest what is in it")
        if b"\x00" in block[:4096]:
            raise self.unreadable("is not text (it has zero bytes)", "A bill is UTF-8 text, gzip or Parquet")
        return None, block

    def _decode(self, decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bytes:
        try:
            return decoder.decode(block, final).encode()
        except UnicodeError as error:
            raise self.unreadable("is damaged UTF-16 text", "Save it as UTF-8") from error


def select(
    shown: str,
    head: Head,
    columns: tuple[Column, ...],
    null_words: tuple[str, ...],
    header_cell: re.Pattern[str] | None = None,
) -> Selection:
    """Find the declared columns in a header. Raises UnreadableFile for a missing or a doubled one.

    header_cell: see BillingFormat.
    """
    width = _width(head, header_cell)
    by_key: dict[str, list[int]] = {}
    for index, name in enumerate(head.columns[:width]):
        by_key.setdefault(header_key(name), []).append(index)
    picks: list[tuple[int, str, str]] = []
    missing: list[str] = []
    for column in columns:
        found = next((by_key[key] for key in column.keys() if key in by_key), None)  # noqa: SIM118
        if found is not None and len(found) > 1:
            names = " and ".join(repr(head.columns[index]) for index in found)
            raise UnreadableFile(shown, f"has two columns for {column.name}: {names}", "Remove one of them")
        if found is not None:
            picks.append((found[0], head.columns[found[0]], column.name))
        elif column.prefixes:
            picks.extend(_prefixed(head, column, width))
        elif column.required:
            missing.append(column.name)
    if missing:
        fix = "Export it again with all columns (the header was read as: " + ", ".join(head.columns[:8]) + ", ...)"
        raise UnreadableFile(shown, "lacks the column " + ", ".join(missing), fix)
    return Selection(tuple(picks), null_words, width)


def _width(head: Head, header_cell: re.Pattern[str] | None) -> int:
    full = len(head.columns)
    if head.width is None or head.width >= full or header_cell is None:
        return full
    return head.width if all(header_cell.fullmatch(name) for name in head.columns) else full


def _prefixed(head: Head, column: Column, width: int) -> Iterator[tuple[int, str, str]]:
    if column.kind is not Kind.MAP:
        raise ValueError(f"{column.name}: only a map column has prefixes")
    for index, name in enumerate(head.columns[:width]):
        prefix = next((prefix for prefix in column.prefixes if name.startswith(prefix)), None)
        if prefix is not None:
            yield index, name, f"{column.name}\x00{column.key(name[len(prefix) :])}"
