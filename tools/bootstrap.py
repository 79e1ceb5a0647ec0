"""Make .venv what the lock files say; standard library only, since it runs before anything is installed.

Usage: python3 tools/bootstrap.py [runtime|dev]

The work is done by uv, which the vendored pip fetches under its hash; where uv has no build for the machine, by pip.
A stamp in .venv, written last, names the lock it holds; so a second call costs a few milliseconds, and an
installation that was interrupted is taken up again.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".weir-lock"
STARTED = VENV / ".weir-installing"
PIP_WHEEL = next((ROOT / "tools" / "vendor").glob("pip-*.whl"), None)
PIP_WHEEL_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
LOCKS = {"runtime": ROOT / "requirements.txt", "dev": ROOT / "requirements-dev.txt"}


class BootstrapError(Exception):
    """What is wrong and what to do about it, in one sentence."""


def lock_digest(kind: str) -> str:
    return hashlib.sha256(LOCKS[kind].read_bytes()).hexdigest()


def installed() -> dict[str, str]:
    """kind -> digest of the lock that .venv holds."""
    if not STAMP.is_file():
        return {}
    return dict(line.split() for line in STAMP.read_text().splitlines() if line.strip())


def is_current(kind: str) -> bool:
    held = installed()
    if held.get(kind) == lock_digest(kind):
        return True
    # The development lock is a superset of the runtime one, compiled under it as a constraint.
    return kind == "runtime" and held.get("runtime_in_dev") == lock_digest("runtime")


def check_existing() -> None:
    """Refuse a .venv that somebody else made, or that has lost its interpreter."""
    if not VENV.exists() and not VENV.is_symlink():
        return
    if STARTED.exists():
        return
    if not STAMP.is_file() or not (VENV / "bin" / "python").exists():
        raise BootstrapError(
            f"the environment in {VENV.name} is half-made or not Weir's own:"
            f" remove it with 'rm -rf {VENV.name}' and run again"
        )


def run(command: list[str], *, quiet: bool = False) -> None:
    environment = {
        **os.environ,
        "UV_SYSTEM_CERTS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_CONFIG": "1",
        "UV_LINK_MODE": "copy",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(command, env=environment, check=False, capture_output=quiet, text=True)
    if done.returncode != 0:
        detail = (done.stderr or "").strip().splitlines()[-1:] if quiet else []
        raise BootstrapError(
            f"'{Path(command[0]).name} ...' failed (exit {done.returncode}){': ' + detail[0] if detail else ''};"
            " check the network and the free disk space, then run again"
        )


def pip_command(python: str) -> list[str]:
    if PIP_WHEEL is None or hashlib.sha256(PIP_WHEEL.read_bytes()).hexdigest() != PIP_WHEEL_SHA256:
        raise BootstrapError(
            "tools/vendor holds no pip wheel with the expected hash: restore it with 'git checkout tools/vendor'"
        )
    return [python, str(PIP_WHEEL / "pip")]


def find_uv() -> Path | None:
    """uv below .venv, installed by hash; None where it has no build for this machine."""
    target = VENV / ".uv"
    uv = target / "bin" / "uv"
    if uv.exists():
        return uv
    lock = ROOT / "requirements-bootstrap.txt"
    command = [*pip_command(sys.executable), "install", "-q", "--require-hashes", "--only-binary=:all:"]
    try:
        run([*command, "--target", str(target), "-r", str(lock)], quiet=True)
    except BootstrapError:
        return None
    return uv if uv.exists() else None


def install(kind: str) -> None:
    check_existing()
    if is_current(kind):
        return
    print(f"Weir: installing the {kind} environment into {VENV.name} (once; needs the network)", flush=True)
    VENV.mkdir(exist_ok=True)
    STARTED.touch()
    STAMP.unlink(missing_ok=True)
    if not (VENV / "bin" / "python").exists():
        run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], quiet=True)
    python = str(VENV / "bin" / "python")
    uv = find_uv()
    if uv is not None:
        run([str(uv), "pip", "sync", "-q", "--require-hashes", "--python", python, str(LOCKS[kind])])
    else:
        run([*pip_command(python), "install", "-q", "--require-hashes", "-r", str(LOCKS[kind])])
    lines = [f"{kind} {lock_digest(kind)}"]
    if kind == "dev":
        lines.append(f"runtime_in_dev {lock_digest('runtime')}")
    STAMP.write_text("\n".join(lines) + "\n")
    STARTED.unlink()


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "runtime"
    if kind not in LOCKS:
        print(f"Weir: unknown environment '{kind}': use runtime or dev", file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what tells an older python so
        print(f"Weir needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    try:
        install(kind)
    except BootstrapError as error:
        print(f"Weir: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Weir: can't write {error.filename or VENV}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nWeir: interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
