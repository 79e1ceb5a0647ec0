"""Minutes of the gateway's log become telemetry once, however often and wherever the feed is cut."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from governance.livedemo import feed, layout
from routing.orchestrators.base import UsageEvent
from routing.orchestrators.envoy.bootstrap import Layout
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator

NOON = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


def event(number: int, *, second: int = 0, status: int = 200, **more: Any) -> UsageEvent:
    values: dict[str, Any] = {
        "request_id": f"r-{number}",
        "completed_at": NOON + timedelta(seconds=second),
        "provider": "aws",
        "region": "eu-central-1",
        "target": "aws-frankfurt",
        "request_model": "claude-sonnet-4.5",
        "response_model": "claude-sonnet-4.5",
        "team": "claims",
        "key": "claims-triage-live",
        "status": status,
        "input_tokens": 1000,
        "output_tokens": 170,
    }
    return UsageEvent(**{**values, **more})


def test_a_minute_of_one_key_and_pool_is_one_bucket() -> None:
    buckets: dict[str, feed.Bucket] = {}
    touched = feed.add(buckets, [event(1), event(2, second=29), event(3, second=30)])
    assert touched == set(buckets)
    first, second = sorted(buckets.values(), key=lambda each: each["bucket_start"])
    assert first == {
        "bucket_start": "2026-11-24T12:00:00+00:00",
        "bucket_end": "2026-11-24T12:01:00+00:00",
        "requests": 2,
        "provider": "aws",
        "endpoint": "aws-frankfurt",
        "billing_account_id": "400000000001",
        "region": "eu-central-1",
        "routing": "regional",
        "tier": "standard",
        "request_model": "claude-sonnet-4.5",
        "response_model": "claude-sonnet-4.5",
        "team": "claims",
        "project": "claims-triage",
        "environment": "production",
        "api_key": "claims-triage-live",
        "input_tokens": 2000,
        "output_tokens": 340,
    }
    assert (second["requests"], second["bucket_start"]) == (1, "2026-11-24T12:01:00+00:00")


def test_a_failed_request_counts_without_tokens() -> None:
    buckets: dict[str, feed.Bucket] = {}
    feed.add(buckets, [event(1, status=503, input_tokens=None, output_tokens=None, response_model=None)])
    (bucket,) = buckets.values()
    assert (bucket["requests"], bucket["error"]) == (1, True)
    assert "input_tokens" not in bucket


def line(number: int, at: datetime) -> str:
    fields = {
        "ts": f"{at.timestamp():.6f}",
        "rid": f"r-{number}",
        "team": "claims",
        "key": "claims-triage-live",
        "model": "claude-sonnet-4.5",
        "resp_model": "claude-sonnet-4.5",
        "in": 1000,
        "out": 170,
        "target": "aws-frankfurt",
        "provider": "aws",
        "region": "eu-central-1",
        "code": 200,
        "attempts": 1,
        "ms": 200,
    }
    return json.dumps(fields) + "\n"


@pytest.fixture
def edge(tmp_path: Path) -> EnvoyOrchestrator:
    place = layout.folder_of(tmp_path) / "envoy"
    edge = EnvoyOrchestrator("edge", Layout(place, "127.0.0.1", 1, str(tmp_path / "none.sock")))
    edge.layout.log.parent.mkdir(parents=True)
    return edge


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was sent on, one bucket after the other."""
    sent: list[dict[str, Any]] = []

    def take(paths: list[Path], source: str) -> None:
        assert source == "edge"
        sent.extend(json.loads(text) for text in paths[0].read_text().splitlines())

    monkeypatch.setattr(feed, "ingest_telemetry", take)
    return sent


def test_a_minute_that_fills_is_sent_again_with_its_whole_count(
    edge: EnvoyOrchestrator, tmp_path: Path, published: list[dict[str, Any]]
) -> None:
    edge.layout.log.write_text(line(1, NOON) + line(2, NOON))
    assert feed.feed(edge, tmp_path, now=NOON) == feed.Fed(2, 1, False)
    with edge.layout.log.open("a") as log:
        log.write(line(3, NOON) + line(4, NOON)[:40])  # the last one is still being written
    assert feed.feed(edge, tmp_path, now=NOON) == feed.Fed(1, 1, False)
    assert [each["requests"] for each in published] == [2, 3]
    assert feed.feed(edge, tmp_path, now=NOON) == feed.Fed(0, 0, False)
    assert len(published) == 2


def test_a_feed_killed_before_its_state_was_kept_sends_the_same_again(
    edge: EnvoyOrchestrator, tmp_path: Path, published: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.layout.log.write_text(line(1, NOON) + line(2, NOON))
    with monkeypatch.context() as patched:
        patched.setattr(feed, "_write", _dies)
        with pytest.raises(KeyboardInterrupt):
            feed.feed(edge, tmp_path, now=NOON)
    feed.feed(edge, tmp_path, now=NOON)
    assert published[0] == published[1]
    (layout.folder_of(tmp_path) / "feed.json").write_text("broken")
    feed.feed(edge, tmp_path, now=NOON)
    assert published[2] == published[0]


def test_minutes_that_can_grow_no_more_are_forgotten(
    edge: EnvoyOrchestrator, tmp_path: Path, published: list[dict[str, Any]]
) -> None:
    edge.layout.log.write_text(line(1, NOON))
    feed.feed(edge, tmp_path, now=NOON + timedelta(hours=1))
    assert json.loads((layout.folder_of(tmp_path) / "feed.json").read_text())["open"] == {}
    assert len(published) == 1


def _dies(*_args: Any) -> None:
    raise KeyboardInterrupt
