"""A team's traffic jumps: its lead sees why and what comes, and is told once, also when a worker dies in between.

Real parts only: the supervisor's broker, web server and workers, a mail server and a webhook's server, a browser. Only
the clock is this test's own: it sends the clock's tasks through the broker, so that nobody waits for a minute.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from playwright.sync_api import Page, expect

from governance.supervisor import Supervisor, broker_socket, programs
from tests.browser.conftest import ROOT, Site
from tests.browser.test_budgets import focus_is, tab_to
from tests.governance.notifications.conftest import hook, inbox  # noqa: F401 (fixtures)
from tests.governance.notifications.helpers import Hook, Inbox

pytestmark = [pytest.mark.crash, pytest.mark.slow]
SCRIPT = ROOT / "tests" / "browser" / "jump_company.py"
LEAD = "lead@example.org"


class Product:
    """A Weir that runs on data of its own, without the clock."""

    def __init__(self, home: Path, webhook: str) -> None:
        self.home = home
        self.jump_costs = Decimal(json.loads(self.run("make", webhook).splitlines()[-1])["jump"])
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        todo = [one for one in programs(home, host="127.0.0.1", port=port) if one.name != "clock"]
        self.supervisor = Supervisor(home, todo)
        self.site = Site(f"http://127.0.0.1:{port}", {})
        self._port = port
        self._celery = Celery(broker=os.environ["CELERY_BROKER_URL"])
        self._watching = threading.Thread(target=self.supervisor.watch)

    def run(self, *arguments: str) -> str:
        command = [sys.executable, f"{SCRIPT}", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        self.supervisor.start_all()
        self.supervisor.wait_until_up("127.0.0.1", self._port)
        self._watching.start()

    def stop(self) -> None:
        self.supervisor.request_stop()
        if self._watching.is_alive():
            self._watching.join()
        self.supervisor.stop_all()
        self._celery.close()

    def ask(self, task: str, queue: str = "celery") -> None:
        """What the clock does."""
        self._celery.send_task(task, queue=queue)

    def deliver(self) -> None:
        self.ask("governance.deliver_notifications", queue="loop")

    def kill(self, name: str) -> int:
        """kill -9 of a program with all that it started; the pid that died."""
        died = self.supervisor.children[name].pid
        os.killpg(died, signal.SIGKILL)
        return died


@pytest.fixture
def product(
    tmp_path: Path,
    inbox: Inbox,  # noqa: F811
    hook: Hook,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Product]:
    for name, value in {
        "WEIR_HOME": f"{tmp_path}",
        "WEIR_DEMO": "0",
        "PYTHONPATH": f"{ROOT}",
        "WEIR_SMTP_URL": f"smtp://127.0.0.1:{inbox.port}",
        "WEIR_MAIL_FROM": "weir@example.org",
        "WEIR_ALLOW_PRIVATE_ADDRESSES": "1",
        "CELERY_BROKER_URL": f"redis+socket://{broker_socket(tmp_path)}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    found = Product(tmp_path, hook.url)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def until(claim: Callable[[], Any], *, every_second: Callable[[], Any] = lambda: None, seconds: float = 60) -> None:
    """Waits for another process: the only waiting that this test does."""
    started = time.monotonic()
    asked = 0
    while not claim():
        passed = time.monotonic() - started
        assert passed < seconds, "it did not happen"
        if passed >= asked:
            every_second()
            asked += 1
        time.sleep(0.05)


def api(page: Page, path: str) -> Any:
    answer = page.request.get(f"/api/v1/{path}")
    assert answer.ok, answer.text()
    return answer.json()


def period() -> tuple[date, date]:
    """First and last day: around today, so that a month's turn changes nothing."""
    today = datetime.now(UTC).date()
    return today - timedelta(days=10), today + timedelta(days=20)


def make_budget_by_keyboard(page: Page, limit: Decimal) -> int:
    """Own dates, a limit, told at 94 % of the forecast; the budget's id."""
    page.keyboard.press("n")
    page.wait_for_url("**/budgets/new")
    focus_is(page, "amount")
    page.keyboard.type(f"{limit:.0f}")
    tab_to(page, "kind")
    page.keyboard.type("Own")
    tab_to(page, "notify_at")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("94")
    tab_to(page, "notify_measure")
    page.keyboard.type("f")
    calendar = page.locator("summary", has_text="Calendar")
    while not calendar.evaluate("one => one === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for name, day in zip(("starts_on", "ends_on"), period(), strict=True):
        tab_to(page, name)
        page.keyboard.type(f"{day:%m%d%Y}")
    expect(page.locator("#what-if")).to_contain_text("It would have")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    return int(page.url.split("/budgets/")[1].split("?")[0])


def kinds(page: Page) -> Counter[str]:
    """What was told, by kind, as the lead's log has it."""
    return Counter(one["kind"] for one in api(page, "notifications")["rows"])


def states(page: Page) -> set[str]:
    return {each["state"] for one in api(page, "notifications")["rows"] for each in one["deliveries"]}


def test_a_jump_is_seen_foretold_and_told_once_though_the_workers_are_killed(
    product: Product,
    inbox: Inbox,  # noqa: F811
    hook: Hook,  # noqa: F811
    open_as: Callable[..., Page],
) -> None:
    page = open_as(product.site, LEAD, path="/budgets")
    start, last = period()
    foreseen = api(page, f"forecasts?scope=team=claims&start={start}&end={last + timedelta(days=1)}")
    # A limit between what is foreseen without the jump and with it.
    started = time.monotonic()
    budget = make_budget_by_keyboard(page, Decimal(foreseen["period"]["p50"]) + product.jump_costs / 2)
    assert time.monotonic() - started < 60
    calm = api(page, f"budgets/{budget}")
    assert (calm["state"], calm["crossing"]["date"]) == ("ok", None)

    product.run("jump")
    product.ask("attribution.attribute_pending")
    until(lambda: Decimal(api(page, f"budgets/{budget}")["consumed"]) > Decimal(calm["consumed"]))
    product.ask("governance.judge_anomalies")
    until(lambda: api(page, "anomalies")["rows"])
    product.ask("governance.fit_forecasts")
    until(lambda: api(page, f"budgets/{budget}")["forecast"]["made_at"] != calm["forecast"]["made_at"])
    look_at_what_is_shown(page, budget, product.jump_costs)

    product.ask("governance.watch_budgets")
    until(lambda: kinds(page)["budget.forecast_crossed"])
    told = kinds(page)
    assert told["budget.forecast_crossed"] == 1
    assert told["budget.crossed"] == 0
    # All of it waits: nothing was sent before the workers die.
    assert (states(page), inbox.messages, hook.requests) == ({"waiting"}, [], [])
    killed = {name: product.kill(name) for name in ("loop", "worker")}
    # A wake-up can die with its worker: the rows are the queue, and the clock asks again and again.
    until(lambda: states(page) == {"sent"}, every_second=product.deliver)
    assert all(product.supervisor.children[name].pid != pid for name, pid in killed.items())

    # More rounds of everything; the test mail is the last thing sent, so what came before it is all that comes.
    for task in ("governance.watch_budgets", "governance.judge_anomalies"):
        product.ask(task)
    page.goto("/settings/notifications")
    page.get_by_role("button", name="Send me a test").click()
    until(lambda: any("Test message" in f"{mail['Subject']}" for mail in inbox.messages), every_second=product.deliver)
    check_messages(page, budget, told, inbox, hook)
    assert page.messages == []


def look_at_what_is_shown(page: Page, budget: int, jump_costs: Decimal) -> None:
    """The anomaly on its page and on the Overview, the crossing on the budget's page and beside the Overview."""
    found = max(api(page, "anomalies")["rows"], key=lambda one: Decimal(one["excess"]))
    assert Decimal(found["excess"]) > jump_costs / 3
    page.goto("/anomalies")
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("Claims")
    name = row.get_by_role("link").inner_text()
    page.goto("/")
    expect(page.locator("section, aside").filter(has_text="by dollars").last).to_contain_text(name)
    expect(page.locator("section, aside").filter(has_text="Budgets at risk").last).to_contain_text("Claims")
    page.goto(f"/budgets/{budget}")
    expect(page.get_by_text(re.compile(r"reaches it on \d+ \w+.*, \d+ % likely"))).to_be_visible()
    crossing = api(page, f"budgets/{budget}")["crossing"]
    assert crossing["probability"] > 0.5
    assert date.fromisoformat(crossing["date"]) <= period()[1]


def check_messages(page: Page, budget: int, told: Counter[str], inbox: Inbox, hook: Hook) -> None:  # noqa: F811
    """One mail and one request for each thing told; the budget's names all that a lead needs."""
    # Of what meets more teams than the lead's, the owner is told.
    mine = [mail for mail in inbox.messages if mail["To"] == LEAD]
    mails = [mail for mail in mine if "Test message" not in f"{mail['Subject']}"]
    assert Counter(json.loads(one.body)["kind"] for one in hook.requests) == told
    assert len(mails) == len(hook.requests) == told.total()
    assert len({f"{mail['Message-ID']}" for mail in mails}) == len(mails)
    (mail,) = [one for one in mails if "expected to pass 94 % of its budget" in f"{one['Subject']}"]
    view = api(page, f"budgets/{budget}")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for part in ("Claims", f"{Decimal(view['limit']):,.2f}", f"{Decimal(view['consumed']):,.2f}", f"/budgets/{budget}"):
        assert part in text, text
