"""LiteLLM's StandardLoggingPayload: one object a call, as its callbacks and spend logs write it.

Quirks, each seen in its own issues:
- `id` is the provider's response id and repeats (a cached answer, a retry): the key is `litellm_call_id` + `call_type`
  (github.com/BerriAI/litellm issues 15740, 17814).
- prompt_tokens counts cached tokens for every provider, Anthropic's too; the split stands in the usage object.
- `end_user`, `messages`, `response`, `request_tags` are never decoded; `response_cost` isn't used.
"""

import math
from datetime import UTC, datetime

import msgspec

from attribution.sources.telemetry.base import BadRecord, Event

# Calls that use tokens of a model. Its admin, files, and pass-through calls aren't inference.
_CALLS = frozenset(
    f"{prefix}{call}"
    for prefix in ("", "a")
    for call in (
        "completion",
        "text_completion",
        "embedding",
        "responses",
        "anthropic_messages",
        "generate_content",
        "generate_content_stream",
    )
)


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Metadata(msgspec.Struct, gc=False):
    user_api_key_hash: str | None = None
    user_api_key_alias: str | None = None
    user_api_key_team_id: str | None = None
    user_api_key_team_alias: str | None = None
    user_api_key_project_id: str | None = None
    user_api_key_project_alias: str | None = None
    usage_object: _Usage | None = None


class _Hidden(msgspec.Struct, gc=False):
    usage_object: _Usage | None = None


class _Payload(msgspec.Struct, gc=False):
    litellm_call_id: str | None = None
    id: str | None = None
    trace_id: str | None = None
    call_type: str | None = None
    status: str | None = None
    custom_llm_provider: str | None = None
    model: str | None = None
    model_group: str | None = None
    model_id: str | None = None
    api_base: str | None = None
    cache_hit: bool | str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    startTime: float | None = None
    endTime: float | None = None
    completionStartTime: float | None = None
    metadata: _Metadata | None = None
    hidden_params: _Hidden | None = None


class LiteLLM:
    """One payload is one event, or none where the call is no inference."""

    name = "litellm"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Payload)

    decode_block = None

    def decode_record(self, record: bytes) -> list[Event | BadRecord | None]:
        payload = self._decoder.decode(record)
        if payload.call_type is not None and payload.call_type not in _CALLS:
            return [None]
        try:
            return [_event(payload)]
        except BadRecord as bad:
            return [bad]


def _event(payload: _Payload) -> Event:
    metadata = payload.metadata or _Metadata()
    event = Event(
        request_id=_key(payload),
        completed_at=_instant(payload.endTime),
        provider=payload.custom_llm_provider,
        endpoint=payload.api_base or payload.model_group,
        request_model=payload.model,
        team=metadata.user_api_key_team_alias or metadata.user_api_key_team_id,
        project=metadata.user_api_key_project_id or metadata.user_api_key_project_alias,
        api_key=metadata.user_api_key_alias or metadata.user_api_key_hash,
        latency_ms=_elapsed(payload.startTime, payload.endTime),
        ttft_ms=_elapsed(payload.startTime, payload.completionStartTime),
        error=None if payload.status is None else payload.status == "failure",
    )
    _take_usage(event, payload, metadata)
    return event


def _key(payload: _Payload) -> str | None:
    call = payload.litellm_call_id or payload.id
    return f"{call}:{payload.call_type}" if call and payload.call_type else call


def _take_usage(event: Event, payload: _Payload, metadata: _Metadata) -> None:
    """Tokens as billed by the provider: its own cache hit was billed by nobody, a failure without tokens is unknown."""
    if payload.cache_hit in (True, "True", "true"):
        event.input_tokens = event.output_tokens = 0
        return
    usage = metadata.usage_object or (payload.hidden_params.usage_object if payload.hidden_params else None) or _Usage()
    given = payload.prompt_tokens if payload.prompt_tokens is not None else usage.prompt_tokens
    made = payload.completion_tokens if payload.completion_tokens is not None else usage.completion_tokens
    if not given and not made and payload.status == "failure":
        return
    inside = usage.prompt_tokens_details or _Details()
    made_of = usage.completion_tokens_details or _Details()
    event.input_tokens = given
    event.output_tokens = made
    event.cache_read_input_tokens = _first(usage.cache_read_input_tokens, inside.cached_tokens)
    event.cache_creation_input_tokens = _first(usage.cache_creation_input_tokens, inside.cache_creation_tokens)
    event.reasoning_output_tokens = made_of.reasoning_tokens


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _instant(seconds: float | None) -> datetime | None:
    """Seconds since 1970, as a float: exact to the microsecond for our century."""
    if seconds is None:
        return None
    if not math.isfinite(seconds) or not 0 <= seconds < 4_102_444_800:
        raise BadRecord("endTime", seconds, "is no time of this century")
    return datetime.fromtimestamp(seconds, UTC)


def _elapsed(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1000
