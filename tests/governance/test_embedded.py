"""A first command on an empty data folder works, and lands where it should."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LINES = ROOT / "tests" / "samples" / "focus" / "focus-1.2.csv"


def _manage(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_DEMO": "0"}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_first_ingest_prepares_an_empty_folder(tmp_path: Path) -> None:
    done = _manage(tmp_path / "home", "ingest", "billing", str(LINES), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["files"][0]["billed_cost"] == {"USD": "11"}


def test_two_first_commands_at_once_prepare_it_once(tmp_path: Path) -> None:
    environment = {**os.environ, "WEIR_HOME": str(tmp_path), "WEIR_DEMO": "0"}
    command = [sys.executable, "manage.py", "reconcile", "--json"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [(child.communicate(), child.returncode) for child in running] == [(("[]\n", ""), 0)] * 2


def test_a_database_that_cannot_be_opened_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "weir.sqlite3").mkdir()
    done = _manage(tmp_path, "reconcile")
    assert done.returncode == 1
    assert done.stderr.startswith("Weir: the database can't be used (")
    assert "Traceback" not in done.stderr


def test_make_works_on_var_below_the_clone_where_nothing_else_is_said() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WEIR_HOME"}
    command = ["make", "-pn", "lint"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout
    assert "WEIR_HOME = $(CURDIR)/var" in printed
