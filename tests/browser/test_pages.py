"""What every page must be, whatever it shows: reachable by everybody, quiet, inside its width, within its policy."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

OWNER = "owner@example.org"
STRICT = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PAGES = {
    "overview": "/",
    "overview-team": "/?group_by=team&period=90d",
    "overview-13-months": "/?period=13m&compare=none&group_by=method",
    "overview-nothing": "/?filter[provider]=nobody",
    "anomalies": "/anomalies",
    "anomaly": "/anomalies/1",
    "what-changed": "/what-changed?group_by=team&driver=volume",
    "data": "/data",
    "filters": "/filters",
    "notifications": "/settings/notifications",
}


def settled(page: Page) -> None:
    """Waits until the figure, if there is one, is drawn."""
    if page.locator(".plot").count():
        page.wait_for_selector(".plot[data-ready]")


def checked(page: Page, name: str) -> None:
    settled(page)
    if os.environ.get("WEIR_SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["WEIR_SCREENSHOTS"]) / f"{name}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.messages == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_quiet_and_inside_its_width(
    company, open_as: Callable[..., Page], name: str, width: int, scheme: str
) -> None:
    page = open_as(company, OWNER, width=width, scheme=scheme, path=PAGES[name])
    expect(page.locator("main")).to_be_visible()
    checked(page, f"{name}-{width}-{scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_sign_in_is_accessible_quiet_and_inside_its_width(
    company, open_as: Callable[..., Page], width: int, scheme: str
) -> None:
    checked(open_as(company, width=width, scheme=scheme, path="/sign-in"), f"sign-in-{width}-{scheme}")


@pytest.mark.parametrize("path", ["/", "/data", "/anomalies", "/anomalies/1"])
def test_four_hundred_percent_zoom_needs_no_sideways_scroll(company, open_as: Callable[..., Page], path: str) -> None:
    page = open_as(company, OWNER, width=320, path=path)
    checked(page, f"zoom-{path.strip('/') or 'overview'}")


@pytest.mark.parametrize("path", ["/", "/data"])
def test_the_policy_allows_nothing_inline_and_holds(company, open_as: Callable[..., Page], path: str) -> None:
    page = open_as(company, OWNER)
    response = page.goto(path)
    settled(page)

    assert response.headers["content-security-policy"] == STRICT
    assert page.locator("style, [onclick], script:not([src]):not([type='application/json'])").count() == 0
    assert page.messages == []


def test_wrong_passwords_are_refused_in_words(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, path="/sign-in")
    page.get_by_label("Email").fill(OWNER)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_have_text("This address and password don't match an account. ")


def test_signing_in_leads_to_the_page_that_was_asked_for_and_out_again(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, path="/data")
    page.get_by_label("Email").fill(OWNER)
    page.get_by_label("Password").fill("a long password for tests")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()

    page.locator(".person summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_chosen_theme_is_rendered_by_the_server(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator(".person summary").click()
    page.get_by_role("button", name="Dark").click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert 'data-theme="dark"' in page.request.get("/").text()
    checked(page, "theme-dark")

    page.locator(".person summary").click()
    page.get_by_role("button", name="System").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")


def test_a_lead_sees_their_team_and_no_entry_for_what_is_not_theirs(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, "lead@example.org", path="/?group_by=team")
    settled(page)

    assert page.locator("tbody th").filter(has_text="Claims").count() >= 1
    assert {text.strip() for text in page.locator("#table tbody th").all_inner_texts()} == {"Claims"}
    entries = page.get_by_role("navigation", name="Main").get_by_role("link").all_inner_texts()
    assert "Budgets" in entries
    assert "Data" not in entries
    checked(page, "lead")

    response = page.goto("/data")
    assert response.status == 403
    expect(page.locator("main")).to_contain_text("Olga Owner can grant access.")
    assert Axe().run(page).violations_count == 0


def test_a_missing_page_gives_a_request_number(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER)
    response = page.goto("/nowhere")

    assert response.status == 404
    expect(page.locator(".mono")).to_have_text(response.headers["x-request-id"])


def test_a_fresh_install_leads_from_the_link_to_the_first_steps(fresh, open_as: Callable[..., Page]) -> None:
    page = open_as(fresh, path=f"/first-run/{fresh.facts['secret']}", width=390)
    checked(page, "first-run")
    page.get_by_label("Your name").fill("Ada Owner")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password", exact=True).fill("a very long first password")
    page.get_by_label("Password again").fill("a very long first password")
    page.get_by_role("button", name="Make the account").click()

    expect(page.get_by_text("Three steps lead to the first figures.")).to_be_visible()
    expect(page.get_by_text("manage.py ingest billing PATH...")).to_be_visible()
    checked(page, "empty-overview")
    page.get_by_role("link", name="Data", exact=True).click()
    expect(page.get_by_text("Nothing has come in yet").last).to_be_visible()
    checked(page, "empty-data")

    page.goto(f"/first-run/{fresh.facts['secret']}")
    expect(page.get_by_role("heading", name="This link is closed")).to_be_visible()
