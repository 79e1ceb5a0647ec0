"""Make .venv-bench what requirements-bench.txt says: packages whose data a benchmark reads, never Weir's own.

Usage: .venv/bin/python tools/bench_environment.py; the benchmark goes without these series where this fails.
"""

import hashlib
import sys
from pathlib import Path

from bootstrap import ROOT, BootstrapError, find_uv, pip_command, run

VENV = ROOT / ".venv-bench"
LOCK = ROOT / "requirements-bench.txt"


def main() -> int:
    stamp, wanted = VENV / ".weir-lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0
    python = str(VENV / "bin" / "python")
    try:
        if not Path(python).exists():
            run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], quiet=True)
        uv = find_uv()
        if uv is not None:
            run([str(uv), "pip", "sync", "-q", "--require-hashes", "--python", python, str(LOCK)])
        else:
            run([*pip_command(python), "install", "-q", "--require-hashes", "-r", str(LOCK)])
    except BootstrapError as error:
        print(f"Weir: no environment for the series that packages ship: {error}", file=sys.stderr)
        return 0
    stamp.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
