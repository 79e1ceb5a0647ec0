"""Events become rows: disjoint token buckets, and a series for everything that repeats. No files, no database.

One tuple of raw texts looks a request's series up, so only a new one is normalised. Batches in which nothing is unusual
go through columns.py at once; the others are judged here, record by record, for what msgspec can't know: negative
counts, more cached than input tokens, words outside the vocabulary.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from attribution.recognition.models import normalize_model
from attribution.sources.telemetry.base import BadRecord, Batch, Event, Problem
from attribution.sources.telemetry.columns import dense_rows
from attribution.sources.telemetry.rows import EARLIEST, INCOMING, LATEST, MAX_COUNT, MAX_KEY
from attribution.vocabulary import ContextBand, Routing, Tier

_MAX_TEXT = 300
_MAX_SERIES_KNOWN = 200_000

# OpenTelemetry's and LiteLLM's names of providers -> the slug that bills carry.
PROVIDERS = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "sagemaker": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure_ai": "azure",
    "azure_text": "azure",
    "gcp.vertex_ai": "gcp",
    "gcp.gemini": "gcp",
    "gcp.gen_ai": "gcp",
    "vertex_ai": "gcp",
    "vertex_ai_beta": "gcp",
    "gemini": "gcp",
    "google": "gcp",
    "x_ai": "xai",
    "x-ai": "xai",
    "mistral_ai": "mistral",
    "moonshotai": "moonshot",
    "text-completion-openai": "openai",
}
TIERS = {
    "default": Tier.STANDARD,
    "on_demand": Tier.STANDARD,
    "on-demand": Tier.STANDARD,
    "auto": Tier.STANDARD,
    "fast": Tier.PRIORITY,
    **{tier.value: tier for tier in Tier},
}
ROUTINGS = {routing.value: routing for routing in Routing}
BANDS = {band.value: band for band in ContextBand}

# Bedrock ids say how they route; its bill tells global from everything else.
_BEDROCK_ROUTING = re.compile(r"(?:^|/)(global|us|eu|apac|au|jp|ca|sa|us-gov)\.[a-z]")
# What a secret looks like: it is never stored, its digest stands for it.
_SECRET = re.compile(r"^(?:Bearer\s|sk[-_]|AIza|AKIA|ASIA|gh[pousr]_|eyJ)", re.ASCII)


@dataclass(frozen=True)
class SeriesFacts:
    """What repeats from request to request: SERIES columns but context band and price, which are a request's own."""

    provider: str
    endpoint: str | None
    billing_account_id: str | None
    sub_account_id: str | None
    region: str | None
    routing: str | None
    tier: str | None
    model: str | None
    publisher: str | None
    pool: str | None
    team: str | None
    project: str | None
    environment: str | None
    api_key: str | None
    principal: str | None
    service: str | None


FACTS = tuple(field.name for field in fields(SeriesFacts))

_RAW = (
    "provider",
    "endpoint",
    "billing_account_id",
    "sub_account_id",
    "region",
    "routing",
    "tier",
    "pool",
    "team",
    "project",
    "environment",
    "api_key",
    "principal",
    "service",
    "request_model",
    "response_model",
)
_raw_key: Any = attrgetter(*_RAW)


class Normalizer:
    """Collects rows over the batches of a run. `take` hands them out; `series` lasts as long as the run."""

    def __init__(self) -> None:
        self.series: list[SeriesFacts] = []
        self._by_raw: dict[tuple[Any, ...], int | BadRecord] = {}
        self._by_facts: dict[SeriesFacts, int] = {}
        self._tables: list[pa.Table] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, batch: Batch) -> list[Problem]:
        """Take a batch in; returns the records that could not be counted."""
        if not batch.events:
            return []
        problems: list[Problem] = []
        rows = self._add_columns(batch.events)
        if rows is None:
            rows, problems = self.judge(batch)
        self._tables.append(rows)
        self._rows += rows.num_rows
        return problems

    def take(self) -> pa.Table:
        """The rows since the last call, as INCOMING."""
        tables, self._tables, self._rows = self._tables, [], 0
        return pa.concat_tables(tables) if tables else INCOMING.empty_table()

    def judge(self, batch: Batch) -> tuple[pa.Table, list[Problem]]:
        """Record by record: the rows, and what could not be counted."""
        rows: list[tuple[Any, ...]] = []
        problems: list[Problem] = []
        for event, line in zip(batch.events, batch.lines, strict=True):
            try:
                is_bucket = event.bucket_start is not None or event.request_id is None
                rows.append(self._bucket_row(event) if is_bucket else self._request_row(event))
            except BadRecord as bad:
                problems.append(Problem(line, bad.field, bad.value, bad.reason))
        columns = list(zip(*rows, strict=True)) or [()] * (len(INCOMING) - 1)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, list(INCOMING)[1:], strict=True)]
        return pa.Table.from_arrays([pc.cast(arrays[1], pa.date32()), *arrays], schema=INCOMING), problems

    def _add_columns(self, events: Sequence[Event]) -> pa.Table | None:
        """All at once, where nothing in the batch needs a closer look."""
        raws = list(map(_raw_key, events))
        series = list(map(self._by_raw.get, raws))
        for position, known in enumerate(series):
            if known.__class__ is not int:
                try:
                    series[position] = self._intern(raws[position])
                except BadRecord:
                    return None
        return dense_rows(events, cast(list[int], series))

    def _request_row(self, event: Event) -> tuple[Any, ...]:
        series = self._intern(_raw_key(event))
        completed = event.completed_at
        if completed is None or not _is_time(completed):
            raise _bad_time("completed_at", completed)
        key = event.request_id
        if not key or len(key) > MAX_KEY:
            raise BadRecord("request_id", (key or "")[:40], f"must have 1 to {MAX_KEY} characters")
        return (key, completed, series, 1, *_buckets(event), *_measures(event), None)

    def index_of(self, facts: SeriesFacts) -> int:
        """The index of a series that is already normal (the lake's own)."""
        index = self._by_facts.setdefault(facts, len(self.series))
        if index == len(self.series):
            self.series.append(facts)
        return index

    def _intern(self, raw: tuple[Any, ...]) -> int:
        found = self._by_raw.get(raw)
        if found is None:
            try:
                found = self.index_of(_facts(dict(zip(_RAW, raw, strict=True))))
            except BadRecord as bad:
                found = bad
            if len(self._by_raw) >= _MAX_SERIES_KNOWN:
                self._by_raw.clear()
            self._by_raw[raw] = found
        if isinstance(found, BadRecord):
            raise found
        return found

    def _bucket_row(self, event: Event) -> tuple[Any, ...]:
        start, end = event.bucket_start, event.bucket_end
        if start is None:
            raise BadRecord("request_id", None, "a request needs a request_id, a bucket needs a bucket_start")
        if not _is_time(start):
            raise _bad_time("bucket_start", start)
        if end is None or not _is_time(end):
            raise _bad_time("bucket_end", end)
        midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if not start < end <= midnight + timedelta(days=1):
            raise BadRecord("bucket_end", end.isoformat(), "a bucket ends after its start and within its UTC day")
        count = event.requests
        if count is not None and not 0 <= count <= MAX_COUNT:
            raise BadRecord("requests", count, "must be 0 or more")
        band = _word("context_band", event.context_band, BANDS)
        raw = _raw_key(event)
        series = self._intern(raw)
        key = event.request_id or _bucket_key(start, end, (*raw, band))
        if len(key) > MAX_KEY:
            raise BadRecord("request_id", key[:40], f"must have at most {MAX_KEY} characters")
        return (key, start, series, count, *_buckets(event), *_measures(event), band)


def _is_time(moment: datetime) -> bool:
    return moment.tzinfo is not None and EARLIEST <= moment < LATEST


def _bad_time(field: str, moment: datetime | None) -> BadRecord:
    if moment is None:
        return BadRecord(field, None, "missing")
    if moment.tzinfo is None:
        return BadRecord(field, moment.isoformat(), "has no time zone; write it with Z or an offset")
    return BadRecord(field, moment.isoformat(), f"must lie between {EARLIEST.year} and {LATEST.year}")


def _bucket_key(start: datetime, end: datetime, raw: tuple[Any, ...]) -> str:
    parts = (start.astimezone(UTC).isoformat(), end.astimezone(UTC).isoformat(), *raw)
    digest = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
    return f"bucket:{digest}"


def _buckets(event: Event) -> tuple[int | None, int | None, int | None, int | None, int | None, int | None]:
    """(input_uncached, cache_read, cache_write_5m, cache_write_1h, output, reasoning): disjoint."""
    total = event.input_tokens
    read = event.cache_read_input_tokens
    short = event.cache_creation_5m_input_tokens
    long = event.cache_creation_1h_input_tokens
    written = event.cache_creation_input_tokens
    output = event.output_tokens
    reasoning = event.reasoning_output_tokens
    for name, count in (
        ("input_tokens", total),
        ("cache_read_input_tokens", read),
        ("cache_creation_5m_input_tokens", short),
        ("cache_creation_1h_input_tokens", long),
        ("cache_creation_input_tokens", written),
        ("output_tokens", output),
        ("reasoning_output_tokens", reasoning),
    ):
        if count is not None and not 0 <= count <= MAX_COUNT:
            raise BadRecord(name, count, f"must lie between 0 and {MAX_COUNT}")
    if written is not None:
        short, long = _lifetimes(written, short, long)
    if total is not None and event.input_includes_cache:
        cached = (read or 0) + (short or 0) + (long or 0)
        if cached > total:
            raise BadRecord("input_tokens", total, f"counts less than its {cached} cached tokens")
        total -= cached
    if reasoning is not None:
        if not event.output_includes_reasoning:
            output = None if output is None else output + reasoning
        elif output is not None and reasoning > output:
            raise BadRecord("reasoning_output_tokens", reasoning, f"is more than the output, {output}")
    return total, read, short, long, output, reasoning


def _lifetimes(written: int, short: int | None, long: int | None) -> tuple[int, int | None]:
    """The two lifetimes of `written` cache tokens. Unsplit, they are the short ones: every provider's default."""
    if short is None and long is None:
        return written, None
    short = written - (long or 0) if short is None else short
    long = written - short if long is None else long
    if short < 0 or long < 0 or short + long != written:
        raise BadRecord("cache_creation_input_tokens", written, "is not the sum of its 5m and 1h parts")
    return short, long


def _measures(event: Event) -> tuple[int | None, int | None, bool | None]:
    error = event.error
    failed = error if error is None or error.__class__ is bool else error != ""
    return _milliseconds(event.latency_ms), _milliseconds(event.ttft_ms), bool(failed) if failed is not None else None


def _milliseconds(value: float | int | None) -> int | None:
    """Whole milliseconds; what can't be a duration is unknown, since the tokens beside it are still good."""
    if value is None or not 0 <= value <= MAX_COUNT:
        return None
    return round(value)


def _facts(raw: Mapping[str, Any]) -> SeriesFacts:
    """A series from its raw fields. Raises BadRecord for a missing provider or a word outside the vocabulary."""
    text = {name: _text(name, value) for name, value in raw.items()}
    provider = (text["provider"] or "").lower()
    if not provider:
        raise BadRecord("provider", None, "missing")
    provider = PROVIDERS.get(provider, provider)
    written = text["response_model"] or text["request_model"]
    name = normalize_model(written, provider) if written else None
    routing = _word("routing", text["routing"], ROUTINGS)
    if routing is None and provider == "aws":
        routing = _bedrock_routing(text["request_model"], text["response_model"], text["endpoint"])
    region = text["region"]
    return SeriesFacts(
        provider=provider,
        endpoint=text["endpoint"],
        billing_account_id=text["billing_account_id"],
        sub_account_id=text["sub_account_id"],
        region=region.lower() if region else None,
        routing=routing,
        tier=_word("tier", text["tier"], TIERS),
        model=name.slug if name else None,
        publisher=name.publisher if name else None,
        pool=text["pool"],
        team=text["team"],
        project=text["project"],
        environment=text["environment"],
        api_key=_named(text["api_key"]),
        principal=text["principal"],
        service=text["service"],
    )


def _text(name: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    value = value.strip()
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise BadRecord(name, None, f"must be printable and have at most {_MAX_TEXT} characters")
    return value or None


def _word(name: str, value: str | None, words: Mapping[str, str]) -> str | None:
    if value is None:
        return None
    found = words.get(value.lower())
    if found is None:
        raise BadRecord(name, value, f"must be one of {', '.join(words)}")
    return str(found)


def _bedrock_routing(*names: str | None) -> str | None:
    for name in names:
        found = _BEDROCK_ROUTING.search(name or "")
        if found:
            return str(Routing.GLOBAL if found.group(1) == "global" else Routing.REGIONAL)
    return None


def _named(key: str | None) -> str | None:
    if key is None or not _SECRET.match(key):
        return key
    return "digest:" + hashlib.sha256(key.encode()).hexdigest()[:16]
