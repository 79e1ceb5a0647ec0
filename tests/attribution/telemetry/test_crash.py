"""Ingests killed at any moment, and several at once, as processes of their own."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

INGESTERS = Path(__file__).with_name("ingesters.py")
MANAGE = Path(__file__).parents[3] / "manage.py"
DAYS = 12


def environment(home: Path) -> dict[str, str]:
    """A migrated database with one price, and an empty lake."""
    variables = {**os.environ, "WEIR_HOME": str(home), "WEIR_DEMO": "0"}
    price = (
        "from decimal import Decimal; from attribution.models import Price; "
        "Price.objects.create(provider='openai', model='gpt-5', tier='standard', token_type='input_uncached', "
        "usd_per_token=Decimal('0.000001'), source='list', version='1')"
    )
    for command in (("migrate", "-v0", "--skip-checks"), ("shell", "-v0", "-c", price)):
        finished = subprocess.run(
            [sys.executable, MANAGE, *command], env=variables, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
    return variables


def run(variables: dict[str, str], *command: object) -> dict:
    finished = subprocess.run(
        [sys.executable, INGESTERS, *map(str, command)], env=variables, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def telemetry(path: Path, numbers: range) -> Path:
    """Requests over some days; ids by number, so that overlapping ranges share requests."""
    lines = [
        json.dumps(
            {
                "request_id": f"r-{number}",
                "completed_at": f"2026-11-{number % DAYS + 1:02}T{number % 24:02}:00:00Z",
                "provider": "openai",
                "request_model": "gpt-5",
                "team": f"team-{number % 5}",
                "input_tokens": number,
                "output_tokens": 0,
            }
        )
        for number in numbers
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.crash
def test_an_ingest_killed_at_any_moment_and_run_again_ends_as_if_nothing_had_happened(tmp_path):
    path = telemetry(tmp_path / "requests.ndjson", range(6000))
    calm, crashed = environment(tmp_path / "calm"), environment(tmp_path / "crashed")
    run(calm, "ingest", path)
    seed, rounds = random.randrange(10**6), 8
    killed = run(crashed, "crash", seed, rounds, path)["killed"]
    between = run(crashed, "report")
    # A day is there with all of its datasets, from one commit, or not at all.
    assert all(len(datasets) == 3 and len(set(datasets.values())) == 1 for datasets in between["days"].values())
    run(crashed, "ingest", path)
    expected, found = run(calm, "report"), run(crashed, "report")
    print(f"seed {seed}: {killed} of {rounds} killed, {len(between['days'])} of {DAYS} days were there")
    assert killed > 0
    assert found["hashes"] == expected["hashes"]
    assert found["revisions"] == expected["revisions"]


@pytest.mark.slow
def test_four_ingests_of_the_same_days_at_once_lose_nothing_and_double_nothing(tmp_path):
    variables = environment(tmp_path / "home")
    paths = [telemetry(tmp_path / f"{n}.ndjson", range(n * 200, n * 200 + 400)) for n in range(4)]
    running = [
        subprocess.Popen(
            [sys.executable, INGESTERS, "ingest", path], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for path in paths
    ]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert [error for error, code in ended if code] == []
    found = run(variables, "report")
    assert found["requests"] == sorted(f"r-{number}" for number in range(1000))
