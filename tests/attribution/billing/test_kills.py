"""A killed ingest leaves the lake and its records as they were, or as they are after it; a rerun completes it.

WEIR_CRASH_ROUNDS raises the number of kills.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("WEIR_CRASH_ROUNDS", "2"))
SCRIPT = Path(__file__).with_name("killing.py")
ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.crash


def start(home, *paths):
    environment = {**os.environ, "WEIR_HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    environment["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
    command = [sys.executable, str(SCRIPT), *paths]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def states(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "WEIR_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, cwd=ROOT, check=True)
    return home


def test_killed_ingests(empty_home, samples, bills, tmp_path):
    # A month that is restated: the first delivery stands when the second is killed.
    first = tmp_path / "first.csv"
    first.write_text(bills.focus_text(*[{"BilledCost": str(n)} for n in range(9)]))
    second = [str(samples / "focus/focus_sample.csv.gz"), str(tmp_path / "second.csv")]
    rows = [{"ChargePeriodStart": f"2026-05-{day:02d}T00:00:00Z"} for day in range(1, 29)]
    later = {"ChargePeriodEnd": "2026-06-01T00:00:00Z"}
    Path(second[1]).write_text(bills.focus_text(*[{**row, **later} for row in rows]))
    base = tmp_path / "base"
    shutil.copytree(empty_home, base)
    before = states(start(base, str(first)))[-1]
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(base, undisturbed)
    process = start(undisturbed, *second)
    process.stdout.readline()
    began = time.monotonic()
    after = json.loads(process.stdout.readline())
    seconds = time.monotonic() - began
    process.communicate()
    killed = 0
    for round_number in range(ROUNDS):
        home = tmp_path / f"round-{round_number}"
        shutil.copytree(base, home)
        killed += kill_at(start(home, *second), random.uniform(0, seconds))
        found, completed = states(start(home, *second))
        # All or nothing: the lake, its files and its records agree.
        assert found in (before, after)
        assert completed["hash"] == after["hash"]
        assert completed["readable"] == after["readable"]
        shutil.rmtree(home)
    print(f"{killed} of {ROUNDS} ingests were killed within {seconds:.1f} s")


def kill_at(process, delay):
    """SIGKILL `delay` seconds after the ingest began; 1 if it was still running."""
    process.stdout.readline()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=delay)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return int(alive)
