"""Weir's own telemetry: one event a line, as docs/telemetry.md has it."""

from collections.abc import Callable

import msgspec

from attribution.sources.telemetry.base import BadRecord, Event


class NDJSON:
    """The records are the events."""

    name = "ndjson"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Event)

    @property
    def decode_block(self) -> Callable[[bytes], list[Event]]:
        return self._decoder.decode_lines

    def decode_record(self, record: bytes) -> list[Event | BadRecord | None]:
        return [self._decoder.decode(record)]
