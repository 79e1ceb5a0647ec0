"""LiteLLM's payloads and OpenTelemetry's spans as canonical events."""

from datetime import UTC, datetime

from attribution.sources.telemetry.normalize import Normalizer
from attribution.sources.telemetry.reading import TelemetryFile

BUCKETS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


def ingested(path):
    """(rows with their series, problems, records read, records that are no inference)."""
    file = TelemetryFile(path)
    normalizer = Normalizer()
    batches = list(file.batches())
    problems = [problem for batch in batches for problem in (*batch.problems, *normalizer.add(batch))]
    rows = normalizer.take().to_pylist()
    for row in rows:
        row["series"] = normalizer.series[row["series"]]
    return file.format_name, rows, problems, sum(b.read for b in batches), sum(b.dropped for b in batches)


def tokens(row) -> tuple:
    return tuple(row[name] for name in BUCKETS)


def test_litellm(samples):
    name, rows, problems, read, dropped = ingested(samples / "telemetry" / "litellm.jsonl")
    assert (name, problems, read, dropped) == ("litellm", [], 4, 1)
    first = rows[0]
    assert first["request_key"] == "call-1:acompletion"
    assert first["completed_at"] == datetime(2025, 11, 23, 20, 33, 22, 100000, tzinfo=UTC)
    # 1,200 input tokens hold 1,024 read from the cache and 76 written to it.
    assert tokens(first) == (100, 1024, 76, None, 210, 64)
    assert (first["latency_ms"], first["ttft_ms"], first["error"]) == (2000, 500, False)
    series = first["series"]
    assert (series.provider, series.model, series.routing) == ("aws", "claude-sonnet-4.5", "regional")
    assert (series.team, series.project, series.api_key) == ("claims", "p1", "claims-prod")


def test_litellms_own_cache_hit_was_billed_by_nobody(samples):
    _, rows, _, _, _ = ingested(samples / "telemetry" / "litellm.jsonl")
    assert tokens(rows[1]) == (0, None, None, None, 0, None)
    assert rows[1]["series"].team == "t2"


def test_a_failed_call_without_tokens_has_unknown_usage(samples):
    _, rows, _, _, _ = ingested(samples / "telemetry" / "litellm.jsonl")
    assert tokens(rows[2]) == (None,) * 6
    assert rows[2]["error"] is True


def test_otlp(samples):
    name, rows, problems, read, dropped = ingested(samples / "telemetry" / "otlp.json")
    assert (name, read, dropped) == ("otlp", 4, 1)
    assert [(one.line, one.field) for one in problems] == [(1, "endTimeUnixNano")]
    first = rows[0]
    assert tokens(first) == (176, 1024, None, None, 210, 64)
    assert (first["latency_ms"], first["error"]) == (2000, False)
    series = first["series"]
    assert (series.provider, series.model) == ("azure", "gpt-4.1")
    assert (series.team, series.environment, series.service) == ("claims", "prod", "claims-bot")


def test_the_spans_of_sdk_and_gateway_for_one_call_have_one_key(samples):
    _, rows, _, _, _ = ingested(samples / "telemetry" / "otlp.json")
    assert [row["request_key"] for row in rows] == ["azure.ai.openai:chatcmpl-123"] * 2


def test_nothing_of_a_prompt_gets_into_a_row(samples):
    for name in ("weir.ndjson", "litellm.jsonl", "otlp.json"):
        _, rows, problems, _, _ = ingested(samples / "telemetry" / name)
        assert "secret plan" not in repr((rows, problems))
        assert "person-1" not in repr(rows)
