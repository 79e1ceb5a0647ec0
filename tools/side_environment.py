"""An environment of its own, from a hashed lock: for a peer that is measured or a server that is tried, never for Weir.

Usage: tools/side_environment.py NAME LOCK; prints the environment's python. A second call with the same lock is free.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from bootstrap import ROOT, BootstrapError, find_uv, pip_command, run


def install(name: str, lock: Path) -> Path:
    """The python of the environment `name`, made anew when `lock` is another one than it holds."""
    folder = ROOT / ".venv-side" / name
    stamp, python = folder / ".lock", folder / "bin" / "python"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest and python.exists():
        return python
    print(f"installing {name} into {folder.relative_to(ROOT)} (once; needs the network)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], quiet=True)
    uv = find_uv()
    if uv is not None:
        run([str(uv), "pip", "sync", "-q", "--require-hashes", "--python", str(python), str(lock)])
    else:
        run([*pip_command(str(python)), "install", "-q", "--require-hashes", "-r", str(lock)])
    stamp.write_text(digest)
    return python


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(install(sys.argv[1], Path(sys.argv[2])))
    except (BootstrapError, OSError) as error:
        print(f"Weir: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
