"""Files of telemetry -> batches of events: gzip, encodings, format by content, whole lines at a time, constant memory.

A bad line costs itself only. A gzip that ends early keeps every whole line before the cut. Only what can't be read at
all raises UnreadableFile.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from attribution.sources.billing.base import UnreadableFile
from attribution.sources.telemetry.base import DECODE_ERRORS, Batch, Event, Problem, TelemetryFormat, read_records
from attribution.sources.telemetry.litellm import LiteLLM
from attribution.sources.telemetry.ndjson import NDJSON
from attribution.sources.telemetry.otlp import OTLP

_CHUNK = 1 << 20
MAX_LINE = 16 << 20
# A JSON array, or one object over several lines, is read whole.
MAX_DOCUMENT = 256 << 20
_HEAD = 1 << 16
_FIX = "Weir reads its own NDJSON, LiteLLM's StandardLoggingPayload and OTLP/JSON traces: see docs/telemetry.md"


@dataclass(frozen=True)
class _Signature:
    """A format by keys that its records have. Inside a text a quote is escaped, so no prompt can look like a key."""

    form: type[NDJSON] | type[LiteLLM] | type[OTLP]
    keys: re.Pattern[bytes]


def _keys(*names: str) -> re.Pattern[bytes]:
    return re.compile(rb'(?<!\\)"(?:' + "|".join(names).encode() + rb')"\s*:')


# Asked in this order.
_SIGNATURES = (
    _Signature(OTLP, _keys("resourceSpans", "resource_spans")),
    _Signature(LiteLLM, _keys("litellm_call_id", "custom_llm_provider", "call_type", "user_api_key_hash")),
    _Signature(NDJSON, _keys("completed_at", "bucket_start", "request_model", "response_model", "request_id")),
)


def _ignore(_: object) -> None:
    return None


class TelemetryFile:
    """One file. `format_name` is known once it is open; `batches` may be walked once.

    digest: gets the file's content, gzip taken off. advance: gets how many bytes of the file were read.
    """

    def __init__(
        self, path: Path, *, digest: Callable[[bytes], object] = _ignore, advance: Callable[[int], object] = _ignore
    ) -> None:
        self.path = path
        self._digest = digest
        self._advance = advance
        self._cut = ""
        self._chunks = self._unpacked()
        self._first = self._open()
        self._form = self._detect()

    @property
    def format_name(self) -> str:
        return self._form.name

    def batches(self) -> Iterator[Batch]:
        """All records of the file, in order, some thousand at a time."""
        if self._is_document():
            yield from self._document()
        else:
            yield from self._lines()

    def _open(self) -> bytes:
        """The first chunk, without a byte order mark. Raises UnreadableFile."""
        try:
            first = b""
            for chunk in self._chunks:
                first += chunk
                if len(first) >= _HEAD:
                    break
        except OSError as error:
            raise UnreadableFile(str(self.path), error.strerror or "can't be read", "Check the path") from error
        if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise UnreadableFile(str(self.path), "it is UTF-16", "Write it as UTF-8")
        first = first.removeprefix(b"\xef\xbb\xbf")
        if not first.strip():
            reason = f"nothing can be read: {self._cut}" if self._cut else "it is empty"
            raise UnreadableFile(str(self.path), reason, "Leave it out, or send it again")
        return first

    def _detect(self) -> TelemetryFormat:
        head = self._first[:_HEAD]
        for signature in _SIGNATURES:
            if signature.keys.search(head):
                return signature.form()
        if re.search(rb'"resource(?:Logs|Metrics)"\s*:', head):
            raise UnreadableFile(str(self.path), "OTLP logs or metrics, not traces", _FIX)
        raise UnreadableFile(str(self.path), "no telemetry format is like this", _FIX)

    def _unpacked(self) -> Iterator[bytes]:
        """The file's content, gzip taken off; sets `_cut` where a gzip is broken or ends early."""
        with self.path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            raw = self._raw(file)
            for chunk in self._gunzip(raw) if is_packed else raw:
                self._digest(chunk)
                yield chunk

    def _raw(self, file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(_CHUNK):
            self._advance(len(chunk))
            yield chunk

    def _gunzip(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        """Several members may follow each other, as rotated logs do. Python's gzip module loses what precedes a cut."""
        unpacker = zlib.decompressobj(wbits=31)
        is_whole = False
        for chunk in packed:
            data = chunk
            while data:
                is_whole = False
                try:
                    yield unpacker.decompress(data, _CHUNK)
                except zlib.error as error:
                    self._cut = f"the gzip is broken ({error})"
                    return
                data = unpacker.unconsumed_tail
                if unpacker.eof:
                    data = unpacker.unused_data.lstrip(b"\0")
                    unpacker = zlib.decompressobj(wbits=31)
                    is_whole = not data
        if not is_whole:
            self._cut = "the gzip ends early"

    def _is_document(self) -> bool:
        """Whether the file is one JSON value: an array, or an object that its first line doesn't end."""
        start = self._first.lstrip()
        if start[:1] == b"[":
            return True
        line, _, following = start.partition(b"\n")
        return line.rstrip().endswith((b"{", b"[", b",")) and following.lstrip()[:1] not in (b"", b"{")

    def _document(self) -> Iterator[Batch]:
        whole = bytearray(self._first)
        for chunk in self._chunks:
            whole += chunk
            if len(whole) > MAX_DOCUMENT:
                fix = "Write one object a line"
                raise UnreadableFile(str(self.path), f"one JSON value of more than {MAX_DOCUMENT >> 20} MB", fix)
        try:
            records = _elements(bytes(whole))
        except DECODE_ERRORS as error:
            reason = self._cut or f"broken JSON: {error}"
            raise UnreadableFile(str(self.path), reason, "Send it again, or write one object a line") from error
        for start in range(0, len(records), 1000):
            yield read_records(self._form, list(enumerate(records[start : start + 1000], start + 1)))

    def _lines(self) -> Iterator[Batch]:
        line = 1
        rest = b""
        skipped = 0  # bytes of an endless line that were let go
        chunk: bytes | None = self._first
        while chunk is not None:
            rest += chunk
            end = rest.rfind(b"\n") + 1
            if end:
                block, rest = rest[:end], rest[end:]
                if skipped:
                    tail, _, block = block.partition(b"\n")
                    yield self._too_long(line, skipped + len(tail))
                    line, skipped = line + 1, 0
                if block:
                    count = block.count(b"\n")
                    yield self._block(line, block, count)
                    line += count
            elif len(rest) > MAX_LINE:
                skipped += len(rest)
                rest = b""
            chunk = next(self._chunks, None)
        yield from self._last(line, rest, skipped)

    def _last(self, line: int, rest: bytes, skipped: int) -> Iterator[Batch]:
        """What follows the last newline."""
        if skipped:
            yield self._too_long(line, skipped + len(rest))
        elif self._cut:
            problem = Problem(line, "", f"{len(rest)} bytes", f"{self._cut}; the lines before this one are kept")
            yield Batch((), (), [problem], 1)
        elif rest.strip():
            yield self._block(line, rest, 1)

    def _too_long(self, line: int, size: int) -> Batch:
        return Batch((), (), [Problem(line, "", f"{size} bytes", f"a line longer than {MAX_LINE >> 20} MB")], 1)

    def _block(self, first: int, block: bytes, count: int) -> Batch:
        """Many lines at once where that is safe: no line is bad and none is blank, so that line numbers are known."""
        if b"\n\n" not in block and b"\n\r\n" not in block and block[:1] not in (b"\n", b"\r"):
            events: list[Event] = []
            if self._form.decode_block is not None:
                with suppress(*DECODE_ERRORS):
                    events = self._form.decode_block(block)
            if events and len(events) == count:
                return Batch(events, range(first, first + len(events)), (), len(events))
        lines = enumerate(block.split(b"\n"), first)
        return read_records(self._form, [(number, record) for number, record in lines if record.strip()])


def _elements(whole: bytes) -> list[bytes]:
    """The elements of an array, or the one object."""
    if whole.lstrip()[:1] != b"[":
        msgspec.json.decode(whole, type=dict[str, msgspec.Raw])
        return [whole]
    return [bytes(element) for element in msgspec.json.decode(whole, type=list[msgspec.Raw])]


def find_files(paths: list[Path]) -> list[Path]:
    """The files below the given paths, in order; hidden ones are left out. Raises UnreadableFile for a missing path."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(child for child in path.rglob("*") if child.is_file())
            found += [child for child in inside if not child.name.startswith(".")]
        elif path.exists():
            found.append(path)
        else:
            raise UnreadableFile(str(path), "there is no such file", "Check the path")
    if not found:
        raise UnreadableFile(", ".join(map(str, paths)), "there are no files in it", "Check the path")
    return found
