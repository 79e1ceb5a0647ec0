"""OTLP/JSON traces: ExportTraceServiceRequest objects with OpenTelemetry's GenAI spans.

The GenAI conventions are in development and their constants have moved before, so ours stand here. Read:
opentelemetry.io/docs/specs/semconv/gen-ai. An SDK and a gateway each emit a span for one call, with span ids of their
own: the provider's response id is what they share, so it is the key; trace and span are the key where there is none.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from attribution.sources.telemetry.base import DECODE_ERRORS, BadRecord, Event

# Operations that are billed by the token. `invoke_agent` and `execute_tool` hold such calls, they are none.
INFERENCE = frozenset({"chat", "text_completion", "generate_content", "embeddings"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Event field -> attributes, the first that is present. Later names are older spellings.
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "request_model": ("gen_ai.request.model",),
    "response_model": ("gen_ai.response.model",),
    "endpoint": ("server.address",),
    "region": ("cloud.region",),
    "sub_account_id": ("cloud.account.id",),
    "tier": ("gen_ai.openai.response.service_tier", "openai.response.service_tier"),
}
# These say who called: the span's own word, then the resource's.
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "team": ("team.id", "team"),
    "project": ("project.id", "project"),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "service": ("service.name",),
}
_COUNTS: Mapping[str, tuple[str, ...]] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_input_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
    ),
    "reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens_details.reasoning_tokens",
    ),
}


class _Value(msgspec.Struct, rename="camel", gc=False):
    """The scalar kinds of an OTLP value; lists and maps (they may hold prompts) are never decoded."""

    string_value: str | None = None
    int_value: str | int | None = None
    double_value: float | None = None
    bool_value: bool | None = None

    @property
    def scalar(self) -> str | int | float | bool | None:
        for value in (self.string_value, self.int_value, self.double_value, self.bool_value):
            if value is not None:
                return value
        return None


class _Attribute(msgspec.Struct, gc=False):
    key: str
    value: _Value | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    start_time_unix_nano: str | int | None = None
    end_time_unix_nano: str | int | None = None
    attributes: list[_Attribute] = []
    status: _Status | None = None


class _Scope(msgspec.Struct, rename="camel", gc=False):
    # Each is decoded by itself: a bad span takes no other with it.
    spans: list[msgspec.Raw] = []


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] = []


class _ResourceSpans(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_spans: list[_Scope] = []


class _Export(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[_ResourceSpans] = []


class OTLP:
    """A record is an export request: many spans, of which the inference ones are events."""

    name = "otlp"

    def __init__(self) -> None:
        self._export = msgspec.json.Decoder(_Export)
        self._span = msgspec.json.Decoder(_Span)

    decode_block = None

    def decode_record(self, record: bytes) -> Iterator[Event | BadRecord | None]:
        for group in self._export.decode(record).resource_spans:
            resource = _read(group.resource.attributes if group.resource else [])
            for scope in group.scope_spans:
                for raw in scope.spans:
                    yield self._read_span(raw, resource)

    def _read_span(self, raw: msgspec.Raw, resource: Mapping[str, Any]) -> Event | BadRecord | None:
        try:
            span = self._span.decode(raw)
            attributes = _read(span.attributes)
            if attributes.get("gen_ai.operation.name") not in INFERENCE:
                return None
            return _event(span, attributes, resource)
        except DECODE_ERRORS as error:
            return BadRecord("span", "", str(error) if isinstance(error, msgspec.ValidationError) else "broken JSON")
        except BadRecord as bad:
            return bad


def _read(attributes: list[_Attribute]) -> dict[str, Any]:
    return {one.key: one.value.scalar for one in attributes if one.value is not None}


def _event(span: _Span, attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> Event:
    event = Event(
        completed_at=_instant(span.end_time_unix_nano),
        latency_ms=_elapsed(span),
        error="error.type" in attributes or (span.status is not None and span.status.code in (2, "STATUS_CODE_ERROR")),
    )
    for name, keys in _TEXTS.items():
        setattr(event, name, _text(_first(attributes, keys)))
    for name, keys in _OWNERS.items():
        setattr(event, name, _text(_first(attributes, keys) or _first(resource, keys)))
    for name, keys in _COUNTS.items():
        setattr(event, name, _count(name, _first(attributes, keys)))
    event.request_id = _key(span, attributes, event.provider)
    return event


def _key(span: _Span, attributes: Mapping[str, Any], provider: str | None) -> str | None:
    response = _text(attributes.get("gen_ai.response.id"))
    if response:
        return f"{provider}:{response}"
    if span.trace_id and span.span_id:
        return f"{span.trace_id.lower()}:{span.span_id.lower()}"
    return None


def _first(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _count(field: str, value: Any) -> int | None:
    """OTLP writes 64-bit integers as text."""
    if value is None:
        return None
    try:
        return int(value)
    except (ValueError, OverflowError) as error:
        raise BadRecord(field, value if isinstance(value, int | float) else "", "must be a whole number") from error


def _nanoseconds(field: str, value: str | int | None) -> int | None:
    count = _count(field, value)
    if count is not None and not 0 <= count < 1 << 63:
        raise BadRecord(field, count, "is no time")
    return count or None


def _instant(value: str | int | None) -> datetime | None:
    count = _nanoseconds("endTimeUnixNano", value)
    return None if count is None else _EPOCH + timedelta(microseconds=count // 1000)


def _elapsed(span: _Span) -> float | None:
    start = _nanoseconds("startTimeUnixNano", span.start_time_unix_nano)
    end = _nanoseconds("endTimeUnixNano", span.end_time_unix_nano)
    return None if start is None or end is None else (end - start) / 1_000_000
