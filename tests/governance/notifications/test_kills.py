"""kill -9 of a delivering worker, at every point: nothing is lost, and a recipient knows every repeat by its id."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.governance.notifications.helpers import Hook, Inbox

pytestmark = [pytest.mark.crash, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("worker.py")


class Office:
    """A data folder of its own, and workers on it."""

    def __init__(self, home: Path, inbox: Inbox, hook: Hook) -> None:
        self.environment = {
            **os.environ,
            "WEIR_HOME": f"{home}",
            "WEIR_DEMO": "0",
            "PYTHONPATH": f"{ROOT}",
            "WEIR_SMTP_URL": f"smtp://127.0.0.1:{inbox.port}",
            "WEIR_MAIL_FROM": "weir@example.org",
            "WEIR_ALLOW_PRIVATE_ADDRESSES": "1",
        }
        self.run("prepare", hook.url)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, f"{SCRIPT}", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.run("states"))
        return found

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[str]"]:
        """A worker that is delivering; killed with SIGKILL at the end, if not before."""
        process = subprocess.Popen(
            [sys.executable, f"{SCRIPT}", "work"], env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def office(tmp_path: Path, inbox: Inbox, hook: Hook) -> Office:
    return Office(tmp_path, inbox, hook)


def until(claim: Callable[[], Any], seconds: float = 30) -> None:
    """Waits for another process: the only waiting that these tests do."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def message_ids(inbox: Inbox) -> Counter[str]:
    return Counter(f"{mail['Message-ID']}" for mail in inbox.messages)


def hook_ids(hook: Hook) -> Counter[str]:
    return Counter(request.headers["Weir-Message-Id"] for request in hook.requests)


def test_a_worker_killed_between_the_mail_and_the_webhook_leaves_one_of_each(
    office: Office, inbox: Inbox, hook: Hook
) -> None:
    """The mail is taken; the webhook's server holds the connection open and reads nothing when the worker dies."""
    real = hook.url
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        office.run("tell", "0", "1")
        # The channel points at a server that accepts and never reads, then at the real one.
        _point(office, f"http://127.0.0.1:{stuck.getsockname()[1]}")
        with office.worker() as worker:
            connection, _ = stuck.accept()
            until(lambda: inbox.messages)
            worker.kill()
            connection.close()
    _point(office, real)
    with office.worker():
        until(lambda: hook.requests)
        until(lambda: office.states() == {"sent": 2})

    assert (len(inbox.messages), len(hook.requests)) == (1, 1)


def test_a_worker_killed_while_the_mail_server_takes_the_mail_leaves_one(
    office: Office, inbox: Inbox, hook: Hook
) -> None:
    taking, go_on = threading.Event(), threading.Event()
    inbox.on_data = lambda: (taking.set(), go_on.wait(30))
    office.run("tell", "0", "1")
    with office.worker() as worker:
        until(taking.is_set)
        worker.kill()
        worker.wait()
        inbox.on_data = None
        go_on.set()
    with office.worker():
        until(lambda: office.states() == {"sent": 2})

    # The server may have kept what it had when the line broke: then both are one by their Message-ID.
    assert len(message_ids(inbox)) == 1
    assert len(hook.requests) == 1


def test_random_kills_lose_nothing_and_repeat_only_under_the_same_id(office: Office, inbox: Inbox, hook: Hook) -> None:
    draw = random.Random(7)
    kills = 0
    office.run("tell", "0", "40")
    for _ in range(8):
        before = len(inbox.messages) + len(hook.requests)
        with office.worker() as worker:
            wanted = before + draw.randint(1, 6)
            until(lambda wanted=wanted: len(inbox.messages) + len(hook.requests) >= wanted)
            time.sleep(draw.uniform(0, 0.01))
            worker.kill()
            kills += 1
    with office.worker():
        until(lambda: office.states() == {"sent": 80})

    assert kills == 8
    assert len(message_ids(inbox)) == 40
    assert len(hook_ids(hook)) == 40
    assert {f"{mail['Subject']}" for mail in inbox.messages} == {f"number {number}" for number in range(40)}
    # A kill can repeat at most the one message that was under way.
    repeats = sum(message_ids(inbox).values()) + sum(hook_ids(hook).values()) - 80
    assert 0 <= repeats <= kills


def _point(office: Office, url: str) -> None:
    office.run("point", url)
