"""CSV text into chunks: records are cut with numpy, parsed with Arrow, and given the file's line numbers.

Two readers that must agree. The fast one holds while every quote stands where RFC 4180 puts it and lines end in LF;
from the first block where one doesn't, the strict `csv` module reads the rest: exact, slower, and it refuses what is
ambiguous.
"""

import contextlib
import csv
import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from .base import Head
from .reading import RECORD_BYTES, SAMPLE_ROWS, RawChunk, Refused, Selection, Source

SLOW_CHUNK_ROWS = 20_000
_QUOTE, _LF, _CR, _COMMA = 34, 10, 13, 44
_NO_DELIMITER = {";": "semicolons", "\t": "tabs", "|": "bars"}
csv.field_size_limit(RECORD_BYTES)


def _bytes_in(*wanted: int) -> np.ndarray:
    table = np.zeros(256, dtype=bool)
    table[list(wanted)] = True
    return table


_OPENS_AFTER = _bytes_in(_COMMA, _LF, _QUOTE)
_CLOSES_BEFORE = _bytes_in(_COMMA, _LF, _CR, _QUOTE)


class CsvReader:
    """Rows of one CSV file. The header is its first line."""

    def __init__(self, source: Source) -> None:
        self._source = source
        sample = source.sample()
        self._header_lines, self.head = self._sniff(sample)

    def _sniff(self, sample: bytes) -> tuple[int, Head]:
        source = self._source
        if not sample.strip():
            raise source.unreadable("is empty", "Fetch it again: a bill has at least a header")
        if b"\n" not in sample and b"\r" in sample:
            raise source.unreadable("ends its lines with CR alone", "Save it with LF or CRLF line ends")
        # Without its last line, which the sample may cut.
        whole = sample if b"\n" not in sample else sample[: sample.rindex(b"\n") + 1]
        if b"\n" not in sample and len(sample) >= RECORD_BYTES:
            raise self._endless(1)
        try:
            text = whole.decode("utf-8-sig", errors="replace")
            reader = csv.reader(io.StringIO(text, newline=""), strict=True)
            header = next(reader)
            lines = reader.line_num
        except (csv.Error, StopIteration) as error:
            raise source.unreadable(
                f"has no header that can be read ({error})", "Export it as comma-separated UTF-8"
            ) from error
        self._check_header(header, whole)
        rows: list[list[str]] = []
        with contextlib.suppress(csv.Error):  # the reading proper says what is wrong, with its line
            rows.extend(cells for _, cells in zip(range(SAMPLE_ROWS), filter(None, reader), strict=False))
        widths = {len(cells) for cells in rows}
        return lines, Head(
            container="csv",
            columns=tuple(name.strip() for name in header),
            rows=tuple({name: cell or None for name, cell in zip(header, cells, strict=False)} for cells in rows),
            width=widths.pop() if len(widths) == 1 and len(rows) > 1 else None,
        )

    def _check_header(self, header: list[str], whole: bytes) -> None:
        source = self._source
        first_line = whole.split(b"\n", 1)[0].decode("utf-8", errors="replace")
        if "\ufffd" in first_line:
            raise source.unreadable("is not UTF-8 text", "Save it as UTF-8")
        commas = first_line.count(",")
        for delimiter, name in _NO_DELIMITER.items():
            if first_line.count(delimiter) > max(commas, 2):
                reason = f"separates its columns with {name}"
                raise source.unreadable(reason, "Export it with commas and decimal points")
        if len(header) < 2:
            raise source.unreadable("is not a table: its first line has one column", "Check that it is a bill's CSV")

    def _endless(self, line: int) -> Exception:
        reason = f"line {line} is longer than {RECORD_BYTES >> 20} MiB"
        return self._source.unreadable(reason, "Check that it is a bill's CSV, and that every quote is closed")

    def chunks(self, selection: Selection) -> Iterator[RawChunk]:
        parser = _Parser(self._source, len(self.head.columns), selection)
        buffer, line, skip = b"", 1, self._header_lines
        blocks = self._source.blocks()
        for block in blocks:
            buffer += block
            while skip and b"\n" in buffer:
                _, buffer = buffer.split(b"\n", 1)
                skip, line = skip - 1, line + 1
            if skip:
                self._limit(buffer, line)
                continue
            cut = _cut(buffer)
            if cut is None:
                yield from self._slowly(parser, buffer, blocks, line)
                return
            if cut.end:
                chunk = parser.parse(buffer[: cut.end], cut, line)
                if chunk is None:
                    yield from self._slowly(parser, buffer, blocks, line)
                    return
                yield chunk
                line += cut.newlines
                buffer = buffer[cut.end :]
            self._limit(buffer, line)
        if not skip and buffer:
            # The last line has no newline: give it one.
            yield from self._last(parser, buffer, line)

    def _limit(self, buffer: bytes, line: int) -> None:
        if len(buffer) > RECORD_BYTES:
            raise self._endless(line)

    def _last(self, parser: "_Parser", buffer: bytes, line: int) -> Iterator[RawChunk]:
        cut = _cut(buffer + b"\n")
        chunk = parser.parse(buffer + b"\n", cut, line) if cut is not None and cut.end == len(buffer) + 1 else None
        if chunk is None:
            yield from self._slowly(parser, buffer, iter(()), line)
        else:
            yield chunk

    def _slowly(self, parser: "_Parser", buffer: bytes, blocks: Iterator[bytes], line: int) -> Iterator[RawChunk]:
        """The strict reader, from here to the end of the file."""
        before = line - 1
        feed = self._lines(buffer, blocks, line)
        reader = csv.reader(feed, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        started = 0
        try:
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(before + started + 1)
                started = reader.line_num
                if len(rows) >= SLOW_CHUNK_ROWS:
                    yield parser.build(rows, lines)
                    rows, lines = [], []
        except csv.Error as error:
            place = f"line {before + started + 1}"
            fix = 'A quote inside a cell is written twice (""); export the file again'
            raise self._source.unreadable(f"{place} is not well-formed CSV ({error})", fix) from error
        if rows:
            yield parser.build(rows, lines)

    def _lines(self, buffer: bytes, blocks: Iterator[bytes], line: int) -> Iterator[str]:
        while True:
            start = 0
            while (end := buffer.find(b"\n", start)) >= 0:
                # Bytes that aren't UTF-8 become lone surrogates, and `build` makes their row a suspect.
                yield buffer[start : end + 1].decode("utf-8", errors="surrogateescape")
                start, line = end + 1, line + 1
            buffer = buffer[start:]
            self._limit(buffer, line)
            block = next(blocks, None)
            if block is None:
                break
            buffer += block
        if buffer:
            yield buffer.decode("utf-8", errors="surrogateescape")


class _Cut:
    """Where records end in a buffer that starts at a record."""

    def __init__(self, ends: np.ndarray, newlines_at: np.ndarray) -> None:
        self.end = int(ends[-1]) + 1 if len(ends) else 0
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else np.zeros(0, dtype=np.int64)
        self.starts, self.ends = starts, ends
        self.newlines_at = newlines_at[newlines_at < self.end]
        self.newlines = len(self.newlines_at)


def _cut(buffer: bytes) -> _Cut | None:
    """Cut at newlines outside quotes. None where a quote stands in an unexpected place (the strict reader decides)."""
    content = np.frombuffer(buffer, dtype=np.uint8)
    newlines = np.flatnonzero(content == _LF)
    if _QUOTE not in buffer:
        return _Cut(newlines, newlines)
    quotes = np.flatnonzero(content == _QUOTE)
    before = content[np.maximum(quotes[0::2] - 1, 0)]
    opens_well = (quotes[0::2] == 0) | _OPENS_AFTER[before]
    after = content[np.minimum(quotes[1::2] + 1, len(content) - 1)]
    # At the buffer's end the next byte isn't known yet; the record is not cut there, so it is looked at again.
    closes_well = (quotes[1::2] == len(content) - 1) | _CLOSES_BEFORE[after]
    if not (opens_well.all() and closes_well.all()):
        return None
    outside = np.searchsorted(quotes, newlines) % 2 == 0
    return _Cut(newlines[outside], newlines)


class _Parser:
    """Records of one file into chunks of the selected columns."""

    def __init__(self, source: Source, header_width: int, selection: Selection) -> None:
        self._source = source
        self._header_width = header_width
        self._width = width = selection.width
        self._picks = selection.picks
        self._nulls = frozenset(("", *selection.null_words))
        names = [str(index) for index in range(width)]
        self._read = arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 30)
        self._convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=sorted({str(index) for index, _, _ in selection.picks}),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=sorted(self._nulls),
        )

    def parse(self, content: bytes, cut: _Cut, first_line: int) -> RawChunk | None:
        """None where Arrow saw other records than the cut did (a bare CR): the strict reader decides."""
        lengths = cut.ends - cut.starts
        first = np.frombuffer(content, dtype=np.uint8)[cut.starts]
        filled = (lengths > 1) | ((lengths == 1) & (first != _CR))
        starts, ends = cut.starts[filled], cut.ends[filled]
        lines = first_line + np.searchsorted(cut.newlines_at, starts)
        if not len(starts):
            return RawChunk(self._empty(), pa.array([], pa.int64()))
        suspects = _suspects(content, starts, ends)
        if suspects:
            content = _cleaned(content)
        wrong: list[tuple[int, int]] = []

        def refuse(row: arrow_csv.InvalidRow) -> str:
            wrong.append((row.number - 1, row.actual_columns))
            return "skip"

        options = arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse)
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(content), read_options=self._read, parse_options=options, convert_options=self._convert
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows + len(wrong) != len(starts):
            return None
        refused = [self._refuse(int(lines[index]), count) for index, count in wrong]
        if wrong:
            keep = np.ones(len(starts), dtype=bool)
            keep[[index for index, _ in wrong]] = False
            position = np.cumsum(keep) - 1
            suspects = {int(position[row]): why for row, why in suspects.items() if keep[row]}
            lines = lines[keep]
        table = pa.table({name: table.column(str(index)) for index, _, name in self._picks})
        return RawChunk(table, pa.array(lines, pa.int64()), suspects, tuple(refused))

    def build(self, rows: list[list[str]], lines: list[int]) -> RawChunk:
        """The same from the strict reader's rows."""
        refused = [
            self._refuse(line, len(row)) for row, line in zip(rows, lines, strict=True) if len(row) != self._width
        ]
        kept = [(row, line) for row, line in zip(rows, lines, strict=True) if len(row) == self._width]
        suspects = {}
        for index, (row, line) in enumerate(kept):
            joined = "".join(row)
            if "\x00" in joined or (
                not joined.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in joined)
            ):
                suspects[index] = _ZERO_BYTE if "\x00" in joined else _NOT_UTF8
                kept[index] = ([cell.encode("utf-8", "replace").decode().replace("\x00", "?") for cell in row], line)
        columns = {}
        for source, _, name in self._picks:
            cells = [None if row[source] in self._nulls else row[source] for row, _ in kept]
            columns[name] = pa.array(cells, pa.string())
        table = pa.table(columns)
        return RawChunk(table, pa.array([line for _, line in kept], pa.int64()), suspects, tuple(refused))

    def _empty(self) -> pa.Table:
        return pa.table({name: pa.array([], pa.string()) for _, _, name in self._picks})

    def _refuse(self, line: int, count: int) -> Refused:
        return Refused(line, "(row)", f"{count} columns", f"the header has {self._header_width} columns")


_NOT_UTF8 = "the line is not UTF-8 text"
_ZERO_BYTE = "the line has a zero byte"


def _suspects(content: bytes, starts: np.ndarray, ends: np.ndarray) -> dict[int, str]:
    found: dict[int, str] = {}
    if b"\x00" in content:
        at = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 0)
        for row in np.unique(np.searchsorted(ends, at)):
            found[int(row)] = _ZERO_BYTE
    try:
        content.decode()
    except UnicodeDecodeError:
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            try:
                content[start:end].decode()
            except UnicodeDecodeError:
                found[row] = _NOT_UTF8
    return found


def _cleaned(content: bytes) -> bytes:
    return content.decode("utf-8", errors="replace").replace("\x00", "\ufffd").encode()
