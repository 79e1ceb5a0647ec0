"""Attribution killed at any moment, as processes of its own: what it leaves is whole, and a rerun completes it."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ATTRIBUTORS = Path(__file__).with_name("attributors.py")
MANAGE = Path(__file__).parents[3] / "manage.py"


def run(home: Path, *command: object) -> str:
    arguments = [sys.executable, *map(str, command)]
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_DEMO": "0"}
    environment.pop("WEIR_LAKE", None)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.crash
@pytest.mark.slow
def test_attribution_killed_at_any_moment_ends_where_the_undisturbed_one_does(tmp_path: Path) -> None:
    seed, rounds = random.randrange(10**6), int(os.environ.get("WEIR_KILLS", "12"))
    print(f"seed {seed}, {rounds} rounds")
    reports = {}
    for kind in ("crash", "once"):
        home = tmp_path / kind
        run(home, MANAGE, "migrate", "-v0", "--skip-checks")
        figures = json.loads(run(home, ATTRIBUTORS, kind, seed, rounds))
        reports[kind] = json.loads(run(home, ATTRIBUTORS, "report"))
        print(kind, figures)
    assert reports["crash"] == reports["once"]
