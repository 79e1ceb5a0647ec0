"""Every source's convention becomes the same disjoint buckets; what repeats becomes a series."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.sources.telemetry.base import Batch, Event
from attribution.sources.telemetry.normalize import Normalizer
from attribution.sources.telemetry.rows import MAX_COUNT

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BUCKETS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


def event(**fields) -> Event:
    given_fields = {"request_id": "r", "completed_at": NOON, "provider": "openai", "request_model": "gpt-5"} | fields
    return Event(**given_fields)


def normalized(*events: Event):
    """(rows, problems, series)."""
    normalizer = Normalizer()
    problems = normalizer.add(Batch(events, range(1, len(events) + 1)))
    return normalizer.take().to_pylist(), problems, normalizer.series


def buckets(**fields) -> tuple:
    rows, problems, _ = normalized(event(**fields))
    assert problems == []
    return tuple(rows[0][name] for name in BUCKETS)


def refused(**fields) -> tuple[str, str]:
    rows, problems, _ = normalized(event(**fields))
    assert rows == []
    return problems[0].field, problems[0].reason


def test_openai_counts_the_cache_and_the_reasoning_inside():
    usage = {"input_tokens": 1200, "cache_read_input_tokens": 1024}
    usage |= {"output_tokens": 210, "reasoning_output_tokens": 64}
    assert buckets(**usage) == (176, 1024, None, None, 210, 64)


def test_anthropic_counts_the_cache_beside_the_input():
    usage = {"input_tokens": 176, "input_includes_cache": False, "cache_read_input_tokens": 1024}
    usage |= {"cache_creation_input_tokens": 150, "cache_creation_1h_input_tokens": 50, "output_tokens": 210}
    assert buckets(**usage) == (176, 1024, 100, 50, 210, None)


def test_gemini_counts_thoughts_beside_the_output():
    usage = {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 5, "reasoning_output_tokens": 3}
    assert buckets(**usage, output_includes_reasoning=False) == (8, 2, None, None, 8, 3)


def test_cache_writes_without_a_lifetime_are_the_short_ones():
    assert buckets(input_tokens=500, cache_creation_input_tokens=100, output_tokens=1) == (
        400,
        None,
        100,
        None,
        1,
        None,
    )


def test_missing_usage_is_unknown_and_never_zero():
    assert buckets() == (None,) * 6


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"input_tokens": -1}, "input_tokens", f"must lie between 0 and {MAX_COUNT}"),
        ({"output_tokens": 10**30}, "output_tokens", f"must lie between 0 and {MAX_COUNT}"),
        (
            {"input_tokens": 5, "cache_read_input_tokens": 6},
            "input_tokens",
            "counts less than its 6 cached tokens",
        ),
        ({"output_tokens": 5, "reasoning_output_tokens": 6}, "reasoning_output_tokens", "is more than the output, 5"),
        (
            {
                "cache_creation_input_tokens": 5,
                "cache_creation_5m_input_tokens": 1,
                "cache_creation_1h_input_tokens": 1,
            },
            "cache_creation_input_tokens",
            "is not the sum of its 5m and 1h parts",
        ),
        ({"routing": "anywhere"}, "routing", "must be one of regional, zone, global"),
        ({"provider": " "}, "provider", "missing"),
        ({"request_id": ""}, "request_id", "must have 1 to 512 characters"),
        ({"request_id": None}, "request_id", "a request needs a request_id, a bucket needs a bucket_start"),
        ({"completed_at": None}, "completed_at", "missing"),
        ({"completed_at": datetime(1, 1, 1, tzinfo=UTC)}, "completed_at", "must lie between 2015 and 2100"),
        (
            {"completed_at": datetime(2026, 11, 20)},
            "completed_at",
            "has no time zone; write it with Z or an offset",
        ),
        ({"team": "x\u0000y"}, "team", "must be printable and have at most 300 characters"),
        (
            {"bucket_start": NOON, "bucket_end": NOON + timedelta(hours=13)},
            "bucket_end",
            "a bucket ends after its start and within its UTC day",
        ),
    ],
)
def test_what_cannot_be_true_is_kept_out_with_its_field(fields, field, reason):
    assert refused(**fields) == (field, reason)


def test_a_bad_record_takes_no_other_with_it():
    rows, problems, _ = normalized(event(request_id="a"), event(input_tokens=-1), event(request_id="c"))
    assert [row["request_key"] for row in rows] == ["a", "c"]
    assert [problem.line for problem in problems] == [2]


def test_the_day_is_that_of_completion_in_utc():
    late = datetime(2026, 11, 21, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    rows, _, _ = normalized(event(completed_at=late))
    assert rows[0]["day"].isoformat() == "2026-11-20"
    assert rows[0]["completed_at"] == datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


def test_a_bucket_counts_where_it_starts_and_is_known_by_what_it_says():
    hour = {"request_id": None, "completed_at": None, "bucket_start": NOON, "bucket_end": NOON + timedelta(hours=1)}
    rows, problems, _ = normalized(
        event(**hour, requests=5, input_tokens=10),
        event(**hour, requests=6, input_tokens=12),
        event(**hour, requests=6, project="p"),
        event(**hour, requests=6, context_band="long"),
    )
    assert problems == []
    assert [(row["completed_at"], row["requests"]) for row in rows] == [(NOON, 5), (NOON, 6), (NOON, 6), (NOON, 6)]
    keys = [row["request_key"] for row in rows]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_series_carries_one_name_for_each_thing():
    dialects = event(
        provider="aws.bedrock",
        region="US-East-1 ",
        tier="on_demand",
        request_model="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        team=" claims ",
        project="",
    )
    _, _, series = normalized(dialects)
    facts = {name: value for name, value in asdict(series[0]).items() if value is not None}
    assert facts == {
        "provider": "aws",
        "region": "us-east-1",
        "routing": "global",
        "tier": "standard",
        "model": "claude-sonnet-4.5",
        "publisher": "anthropic",
        "team": "claims",
    }


def test_the_answering_model_goes_before_the_asked_one():
    _, _, series = normalized(event(provider="azure", request_model="claims", response_model="gpt-4.1-2025-04-14"))
    assert series[0].model == "gpt-4.1"


def test_a_secret_is_never_stored():
    _, _, series = normalized(event(api_key="sk-proj-abcdef"), event(api_key="claims-prod"))
    assert series[0].api_key.startswith("digest:")
    assert "abcdef" not in series[0].api_key
    assert series[1].api_key == "claims-prod"


def test_an_impossible_latency_is_unknown_and_its_tokens_still_count():
    rows, problems, _ = normalized(event(latency_ms=-5, ttft_ms=1.5, input_tokens=7))
    assert problems == []
    assert (rows[0]["latency_ms"], rows[0]["ttft_ms"], rows[0]["input_uncached"]) == (None, 2, 7)


counts = st.none() | st.integers(0, 3000) | st.sampled_from([-1, MAX_COUNT, MAX_COUNT + 1, 2**63])
events = st.builds(
    event,
    request_id=st.text(max_size=3),
    completed_at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]))
    | st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    provider=st.sampled_from(["openai", "aws", ""]),
    tier=st.sampled_from([None, "batch", "nonsense"]),
    input_tokens=counts,
    input_includes_cache=st.booleans(),
    cache_read_input_tokens=counts,
    cache_creation_input_tokens=counts,
    cache_creation_5m_input_tokens=st.none() | counts,
    cache_creation_1h_input_tokens=st.none() | counts,
    output_tokens=counts,
    reasoning_output_tokens=counts,
    output_includes_reasoning=st.booleans(),
    latency_ms=st.none() | st.integers(-5, 10**13) | st.floats(allow_nan=False, allow_infinity=False),
    error=st.none() | st.booleans() | st.sampled_from(["", "timeout"]),
)
plain = st.builds(
    event,
    input_tokens=st.none() | st.integers(5000, 9000),
    input_includes_cache=st.booleans(),
    cache_read_input_tokens=st.none() | st.integers(0, 2000),
    cache_creation_input_tokens=st.none() | st.integers(0, 2000),
    output_tokens=st.none() | st.integers(500, 900),
    reasoning_output_tokens=st.none() | st.integers(0, 500),
    output_includes_reasoning=st.booleans(),
    latency_ms=st.none() | st.floats(-10, 1e13) | st.integers(0, 10**6),
    error=st.none() | st.booleans() | st.sampled_from(["", "timeout"]),
)


@given(st.lists(plain, min_size=1, max_size=5) | st.lists(events, min_size=1, max_size=5))
def test_columns_say_what_record_by_record_says(found):
    batch = Batch(found, range(1, len(found) + 1))
    fast, slow = Normalizer(), Normalizer()
    problems = fast.add(batch)
    rows, expected_problems = slow.judge(batch)
    assert fast.take().to_pylist() == rows.to_pylist()
    assert problems == expected_problems
    assert fast.series == slow.series


@given(plain)
def test_buckets_are_disjoint_and_sum_to_the_totals_of_their_source(one):
    rows, problems, _ = normalized(one)
    assert problems == []
    row = rows[0]
    cached = sum(row[name] or 0 for name in BUCKETS[1:4])
    assert cached == (one.cache_read_input_tokens or 0) + (one.cache_creation_input_tokens or 0)
    if one.input_tokens is None:
        assert row["input_uncached"] is None
    elif one.input_includes_cache:
        assert row["input_uncached"] + cached == one.input_tokens
    else:
        assert row["input_uncached"] == one.input_tokens
    if one.output_tokens is None:
        assert row["output"] is None
    elif one.output_includes_reasoning:
        assert row["output"] == one.output_tokens
    else:
        assert row["output"] == one.output_tokens + (one.reasoning_output_tokens or 0)
    assert row["reasoning"] is None or row["output"] is None or row["reasoning"] <= row["output"]


def test_the_documented_fields_are_the_fields_that_are_read(samples):
    text = (samples.parents[1] / "docs" / "telemetry.md").read_text()
    table = text.split("## Disjoint buckets")[0]
    assert [name for name in Event.__struct_fields__ if f"`{name}`" not in table] == []
    assert json.loads(msgspec.json.encode(Event()))["input_includes_cache"] is True
