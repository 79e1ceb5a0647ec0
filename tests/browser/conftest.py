"""A real server on real data, in a real browser. A missing browser fails these tests; it never skips them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tools.browser import find

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long password for tests"
_ran: list[str] = []


@dataclass(frozen=True)
class Site:
    """A running Weir; `facts` is what tests/browser/company.py printed."""

    address: str
    facts: dict[str, str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and "tests/browser/" in report.nodeid:
        _ran.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"browser tests: {len(_ran)} ran in {find() or 'no browser'}")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = find()
    if path is None:
        pytest.fail("no Chromium for the browser tests: install one (Debian: chromium) or set CHROME_PATH")
    flags = ["--no-sandbox", "--disable-dev-shm-usage"]
    return browser_type_launch_args | {"executable_path": path, "args": flags}


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A company's two months, attributed, with an owner and a team lead."""
    with served(tmp_path_factory.mktemp("company"), "company") as site:
        yield site


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A fresh install with an open first-run link."""
    with served(tmp_path_factory.mktemp("fresh"), "fresh") as site:
        yield site


@contextmanager
def served(home: Path, kind: str, script: str = "company.py") -> Iterator[Site]:
    """A server on data that `script` makes."""
    environment = {**os.environ, "WEIR_HOME": f"{home}", "WEIR_DEMO": "0", "PYTHONPATH": f"{ROOT}"}
    made = subprocess.run(
        [sys.executable, f"{ROOT / 'tests' / 'browser' / script}", kind],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout.splitlines()[-1])
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "governance.config.wsgi", "--bind", "127.0.0.1:0", "--threads", "4"],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        # The line names the port; reading it waits exactly until the server listens.
        line = next(line for line in server.stderr if "Listening at: " in line)
        yield Site(line.split("Listening at: ")[1].split()[0], facts)
    finally:
        server.terminate()
        server.communicate()


def sign_in(page: Page, email: str) -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/sign-in" not in address)


@pytest.fixture(scope="session")
def signed_in() -> dict[tuple[str, str], Any]:
    """The cookies of people who have signed in: doing so once a person spares a slow hash a test."""
    return {}


@pytest.fixture
def open_as(browser: Browser, signed_in: dict[tuple[str, str], Any]) -> Iterator[Callable[..., Page]]:
    """Opens a page in a context of its own, signed in as somebody; `messages` collects what the console says."""
    contexts: list[BrowserContext] = []

    def opened(site: Site, email: str = "", *, width: int = 1440, scheme: str = "light", path: str = "/") -> Page:
        context = browser.new_context(
            base_url=site.address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=width < 500,
            storage_state=signed_in.get((site.address, email)),
        )
        contexts.append(context)
        page = context.new_page()
        page.messages = []
        page.on("console", lambda message: page.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.messages.append(f"error: {error}"))
        page.goto(path)
        if email and (site.address, email) not in signed_in:
            sign_in(page, email)
            signed_in[site.address, email] = context.storage_state()
        return page

    yield opened
    for context in contexts:
        context.close()
