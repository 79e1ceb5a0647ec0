"""The Changes pages in a real browser: what they show, the kill switch, answers; they follow without a reload."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from .conftest import ROOT, Site, served
from .test_pages import checked

OWNER, LEAD, ADS = "owner@example.org", "lead@example.org", "ads@example.org"


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("changes")
    with served(home, "changes", "changes_company.py") as site:
        site.facts["home"] = f"{home}"
        yield site


def command(site: Site, *words: str) -> str:
    """`manage.py` beside the running server."""
    environment = {**os.environ, "WEIR_HOME": site.facts["home"], "WEIR_DEMO": "0"}
    done = subprocess.run(
        [sys.executable, "manage.py", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", ["list", "moved", "waits"])
def test_pages_of_changes_are_accessible_quiet_and_inside_their_width(
    loop: Site, open_as: Callable[..., Page], name: str, width: int, scheme: str
) -> None:
    path = "/changes" if name == "list" else f"/changes/{loop.facts[name]}"
    page = open_as(loop, OWNER, width=width, scheme=scheme, path=path)
    expect(page.locator("main h1")).to_be_visible()
    checked(page, f"changes-{name}-{width}-{scheme}")


def test_a_lead_sees_and_answers_the_own_changes_alone(loop: Site, open_as: Callable[..., Page]) -> None:
    page = open_as(loop, LEAD, path="/changes")
    expect(page.get_by_text("to 42 %")).to_be_visible()
    assert "ads" not in page.locator("main").inner_text().lower()
    assert page.get_by_role("button", name="Stop").count() == 0
    assert page.get_by_text("Enforcement is on.").is_visible()
    assert page.goto(f"/changes/{loop.facts['ads']}").status == 404
    page.goto(f"/changes/{loop.facts['moved']}")
    expect(page.get_by_role("row", name="azure-sweden")).to_contain_text("60.0")
    page.close()
    other = open_as(loop, ADS, path="/changes")
    assert "search" not in other.locator("main").inner_text().lower()
    assert other.goto(f"/changes/{loop.facts['waits']}").status == 404


def test_the_kill_switch_shows_on_every_open_page_without_a_reload(loop: Site, open_as: Callable[..., Page]) -> None:
    owner = open_as(loop, OWNER, path="/changes")
    lead = open_as(loop, LEAD, path=f"/changes/{loop.facts['moved']}")
    lead.evaluate("window.sameDocument = true")
    owner.get_by_text("Stop all enforcement").click()
    owner.get_by_label("Why, for the log").fill("incident 7")
    owner.get_by_role("button", name="Stop now").click()
    expect(owner.get_by_text("Enforcement is stopped.")).to_be_visible()
    expect(lead.get_by_text("Enforcement is stopped.")).to_be_visible(timeout=10_000)
    expect(lead.get_by_text("incident 7")).to_be_visible()
    command(loop, "loop", "resume")
    expect(lead.get_by_text("Enforcement is on.")).to_be_visible(timeout=10_000)
    assert lead.evaluate("window.sameDocument") is True
    assert lead.messages == []


def test_what_somebody_types_survives_the_refresh_and_a_no_needs_its_reason(
    loop: Site, open_as: Callable[..., Page]
) -> None:
    page = open_as(loop, LEAD, path=f"/changes/{loop.facts['waits']}")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("alert")).to_contain_text("say why")
    page.get_by_label("Note for the log").fill("wait for finance")
    # The next refresh is due, and held back.
    page.evaluate(
        """() => new Promise((seen) => document.addEventListener("htmx:before:request", (event) => {
             if (event.defaultPrevented) seen(true);
           }))"""
    )
    expect(page.get_by_label("Note for the log")).to_have_value("wait for finance")
    page.get_by_role("button", name="Approve").press("Enter")
    expect(page.locator(".tag").first).to_have_text("Approved")
    expect(page.get_by_text("by Lea Lead: wait for finance").first).to_be_visible()
