"""The access log is searched, not read: from an instant on, from a cursor on, over rotations, with broken lines."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from routing.orchestrators.envoy import access_log
from routing.orchestrators.envoy.access_log import LogFiles

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def line(second: float, target: str | None = "aws", *, code: int = 200, attempts: int = 1, number: int = 0) -> str:
    fields = {
        "ts": f"{(NOON + timedelta(seconds=second)).timestamp():.6f}",
        "rid": f"r-{second}-{number}",
        "team": "search",
        "key": "k",
        "model": "gpt",
        "target": target,
        "provider": target,
        "code": code,
        "attempts": attempts,
        "ms": 10,
    }
    return json.dumps(fields) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path / "access.jsonl")


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def shares(files: LogFiles, since: float, until: float, **more: int) -> dict[str, int]:
    split = access_log.observed_split(files, at(since), now=at(until), **more)
    return dict(split.routes[0].requests) if split.routes else {}


def test_only_first_attempts_that_began_in_the_span_count(files: LogFiles) -> None:
    text = line(9.9) + line(10) + line(15, "gcp") + line(16, attempts=2) + line(17, None, code=429) + line(20)
    files.current.write_text(text + line(18, None, code=503) + "broken\n" + line(19, "gcp")[:20])
    (route,) = access_log.observed_split(files, at(10), now=at(20)).routes
    assert (dict(route.requests), route.retried, route.refused, route.failed) == ({"aws": 1, "gcp": 1}, 1, 1, 1)


def test_a_long_log_is_searched_by_bisection(files: LogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_BLOCK_BYTES", 2000)
    files.current.write_text("".join(line(second) for second in range(2000)))
    read: list[int] = []
    real = access_log._decode
    monkeypatch.setattr(access_log, "_decode", lambda raw: read.append(1) or real(raw))
    assert shares(files, 1990, 2000) == {"aws": 10}
    assert len(read) < 100


def test_the_newest_part_is_enough_for_shares(files: LogFiles) -> None:
    files.current.write_text("".join(line(second, ("aws", "gcp")[second % 2]) for second in range(1000)))
    size = len(line(500))
    assert shares(files, 0, 1000, newest_bytes=20 * size) == {"aws": 10, "gcp": 10}


def test_rotated_files_are_read_in_order_and_a_lost_one_is_noticed(files: LogFiles) -> None:
    files.current.write_text(line(1) + line(2))
    first = access_log.read_usage(files, "", limit=1)
    access_log.rotate(files, now=NOON, largest_bytes=1, keep=2, reopen=lambda: None)
    files.current.write_text(line(3))
    rest = access_log.read_usage(files, first.cursor, limit=10)
    assert [each.completed_at for each in rest.events] == [at(2.01), at(3.01)]
    assert (rest.lost, rest.more) == (0, False)
    assert shares(files, 0, 10) == {"aws": 3}
    for path in files.all():
        path.unlink()
    files.current.write_text(line(4))
    after = access_log.read_usage(files, first.cursor, limit=10)
    assert (len(after.events), after.lost) == (1, 1)


def test_a_log_that_was_cut_says_that_it_does_not_reach_back(files: LogFiles) -> None:
    for second in (1, 2, 3):
        files.current.write_text(line(second))
        access_log.rotate(files, now=at(second), largest_bytes=1, keep=1, reopen=lambda: None)
    files.current.write_text(line(4))
    assert not access_log.observed_split(files, at(0), now=at(10)).complete
    assert access_log.observed_split(files, at(3.5), now=at(10)).complete


def test_a_new_file_without_a_whole_line_neither_skips_nor_repeats(files: LogFiles) -> None:
    files.current.write_text(line(1) + line(2))
    access_log.rotate(files, now=NOON, largest_bytes=1, keep=2, reopen=lambda: None)
    files.current.write_text(line(3)[:30])
    first = access_log.read_usage(files, "", limit=10)
    assert len(first.events) == 2
    assert access_log.read_usage(files, first.cursor, limit=10).events == ()
    files.current.write_text(line(3))
    assert [each.completed_at for each in access_log.read_usage(files, first.cursor, limit=10).events] == [at(3.01)]
