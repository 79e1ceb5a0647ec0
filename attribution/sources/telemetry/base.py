"""What a telemetry format is, and the one canonical event that all of them become. No files, no database here.

A format turns records into `Event`s (docs/telemetry.md says what its fields mean and include); normalize.py makes
disjoint token buckets and series of them. A new format is one module here and one line in reading.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

MAX_VALUE = 200  # characters of a bad value that are kept

# What decoding a bad record raises: msgspec leaves bad UTF-8 and endless nesting to Python's own errors.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Event(msgspec.Struct, gc=False):
    """One request, or a bucket of requests, as a source states it: Weir's own NDJSON record (docs/telemetry.md).

    None is unknown. Fields of a record that are not here (prompts, completions, end users) are never decoded.
    """

    request_id: str | None = None
    completed_at: datetime | None = None
    provider: str | None = None
    endpoint: str | None = None
    billing_account_id: str | None = None
    sub_account_id: str | None = None
    region: str | None = None
    routing: str | None = None
    tier: str | None = None
    context_band: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    pool: str | None = None
    team: str | None = None
    project: str | None = None
    environment: str | None = None
    api_key: str | None = None
    principal: str | None = None
    service: str | None = None
    input_tokens: int | None = None
    input_includes_cache: bool = True
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_5m_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    output_includes_reasoning: bool = True
    latency_ms: float | int | None = None
    ttft_ms: float | int | None = None
    error: bool | str | None = None
    bucket_start: datetime | None = None
    bucket_end: datetime | None = None
    requests: int | None = None


class BadRecord(Exception):
    """A record that can't be counted: which field, its value (never a prompt) and why. It is quarantined."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.value = "" if value is None else str(value)[:MAX_VALUE]
        self.reason = reason


@dataclass(frozen=True)
class Problem:
    """A quarantined record. line: 1 is the first line of the file (in a JSON array: the first element)."""

    line: int
    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """What some lines of a file became. lines[i] is where events[i] stands.

    read: records (of OTLP: spans), = events + problems + dropped. dropped: those that are no inference.
    """

    events: Sequence[Event]
    lines: Sequence[int]
    problems: Sequence[Problem] = ()
    read: int = 0
    dropped: int = 0


class TelemetryFormat(Protocol):
    """How one format's records become events."""

    name: str

    @property
    def decode_block(self) -> Callable[[bytes], list[Event]] | None:
        """Many whole lines at once: one event a line, in order. None where the format must be read line by line.

        Raises one of DECODE_ERRORS if any line is bad; then the lines are read one by one.
        """
        ...

    def decode_record(self, record: bytes) -> Iterable[Event | BadRecord | None]:
        """What one record (a line, or an array's element) holds: events, bad ones, None for what is no inference.

        Raises one of DECODE_ERRORS where nothing of the record can be used.
        """
        ...


def read_records(form: TelemetryFormat, records: Sequence[tuple[int, bytes]]) -> Batch:
    """The slow and thorough way: each record by itself, so that a bad one takes no other with it."""
    events: list[Event] = []
    lines: list[int] = []
    problems: list[Problem] = []
    dropped = 0
    for line, record in records:
        try:
            found = list(form.decode_record(record))
        except DECODE_ERRORS as error:
            problems.append(_explain(line, record, error))
            continue
        for one in found:
            if one is None:
                dropped += 1
            elif isinstance(one, BadRecord):
                problems.append(Problem(line, one.field, one.value, one.reason))
            else:
                events.append(one)
                lines.append(line)
    return Batch(events, lines, problems, len(events) + len(problems) + dropped, dropped)


def _explain(line: int, record: bytes, error: Exception) -> Problem:
    """Names the field and, for fields of ours, the value. A broken record may hold a prompt, so it is never shown."""
    message, _, path = str(error).partition(" - at `$.")
    field = path.rstrip("`")
    if isinstance(error, UnicodeDecodeError):
        return Problem(line, "", f"{len(record)} bytes", "is not UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return Problem(line, "", f"{len(record)} bytes", f"broken JSON: {message}")
    return Problem(line, field, _shown(field, record), message)


def _shown(field: str, record: bytes) -> str:
    """The value of a field of ours, if it can't be a text of the user's or a secret."""
    if field not in Event.__struct_fields__ or field in ("api_key", "error"):
        return ""
    try:
        value = msgspec.json.decode(record).get(field)
    except DECODE_ERRORS:  # further on in the record
        return ""
    return str(value)[:MAX_VALUE] if isinstance(value, str | int | float) else type(value).__name__
