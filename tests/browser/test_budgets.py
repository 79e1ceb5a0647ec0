"""Budgets in a real browser: made by keyboard in a minute, replayed while typing, never lost to a second person."""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import checked

OWNER, LEAD = "owner@example.org", "lead@example.org"


def focus_is(page: Page, name: str) -> None:
    expect(page.locator(f"[name={name}]")).to_be_focused()


def tab_to(page: Page, name: str, *, most: int = 40) -> None:
    """Tab until the field has the focus, as a person would."""
    for _ in range(most):
        if page.evaluate("document.activeElement.name") == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} can't be reached by {most} tabs")


def make(page: Page, amount: str, name: str) -> int:
    """A budget of the lead's team, by the form; its id."""
    page.goto("/budgets/new")
    page.get_by_role("textbox", name="Limit", exact=True).fill(amount)
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    return int(page.url.split("/budgets/")[1].split("?")[0])


def test_a_lead_makes_a_budget_with_its_ladder_by_keyboard_in_under_a_minute(
    company, open_as: Callable[..., Page]
) -> None:
    page = open_as(company, LEAD, path="/budgets")
    expect(page.get_by_role("heading", name="Budgets", exact=True)).to_be_visible()
    started = time.monotonic()

    page.keyboard.press("n")
    page.wait_for_url("**/budgets/new")
    # The lead's own team is chosen; the limit has the focus.
    focus_is(page, "amount")
    assert page.locator("[name=team]").input_value() == "claims"
    page.keyboard.type("1000")
    expect(page.locator("#what-if")).to_contain_text("It would have")

    tab_to(page, "notify_at")
    page.keyboard.press("ArrowUp")  # 80 to 81 %
    tab_to(page, "prefer_cheaper_at")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("90")
    tab_to(page, "throttle_on")
    page.keyboard.press("Space")
    tab_to(page, "throttle_ask")
    page.keyboard.press("t")  # two persons
    page.keyboard.press("ControlOrMeta+Enter")

    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    taken = time.monotonic() - started
    assert taken < 60, f"{taken:.0f} s"
    ladder = page.locator(".ladder.read li")
    expect(ladder.nth(0)).to_contain_text("81 %")
    expect(ladder.nth(1)).to_contain_text("90 %")
    expect(ladder.nth(3)).to_contain_text("two persons approve")
    expect(ladder.nth(4)).to_contain_text("off")
    assert page.messages == []


def test_the_what_if_follows_what_is_typed(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, LEAD, path="/budgets/new")
    panel = page.locator("#what-if")
    expect(panel).to_contain_text("Type a limit")
    limit = page.get_by_role("textbox", name="Limit", exact=True)
    limit.fill("1000000")
    expect(panel).to_contain_text("It would have moved and refused nothing")
    limit.fill("10")
    expect(panel).to_contain_text("would have passed the limit all the same")
    expect(panel.locator("svg.drawing:visible")).to_have_count(1)
    with page.expect_response("**/budgets/what-if") as answered:
        limit.press_sequentially("0")
    assert answered.value.status == 200
    # What the server says it took; a history that is read already is only replayed.
    took = answered.value.request.timing
    assert took["responseEnd"] - took["requestStart"] < 1500
    page.get_by_label("Hard limit").check()
    expect(panel).to_contain_text("stop")
    table = panel.locator(".scroll")
    assert table.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
    assert page.messages == []


def test_a_wrong_field_is_said_beside_it_and_keeps_what_was_typed(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, LEAD, path="/budgets/new")
    page.get_by_role("textbox", name="Limit", exact=True).fill("500")
    page.get_by_role("textbox", name="Name", exact=True).fill("Kept")
    page.get_by_label("Smaller model: at % of the limit").fill("50")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Smaller model at 50 % starts before prefer cheaper: use at least 95 %."
    )
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Kept")
    # The browser itself says that a page was answered with 400.
    page.messages = [each for each in page.messages if "400" not in each]
    checked(page, "budget-mistake-1440-light")


def test_the_second_of_two_people_is_told_and_loses_nothing(company, open_as: Callable[..., Page]) -> None:
    first = open_as(company, LEAD)
    budget = make(first, "700", "Two people")
    second = open_as(company, OWNER, path=f"/budgets/{budget}/edit")
    first.goto(f"/budgets/{budget}/edit")
    first.get_by_role("textbox", name="Limit", exact=True).fill("800")
    first.get_by_role("button", name="Save").click()
    expect(first.get_by_role("status").filter(has_text="Saved.")).to_be_visible()

    second.get_by_role("textbox", name="Limit", exact=True).fill("900")
    second.get_by_label("Notify: at % of the limit").fill("70")
    second.get_by_role("button", name="Save").click()
    alert = second.get_by_role("alert")
    expect(alert).to_contain_text("Liam Lead saved this budget meanwhile")
    expect(alert.get_by_role("row").filter(has_text="Limit").first).to_contain_text("800")
    expect(second.get_by_role("textbox", name="Limit", exact=True)).to_have_value("900")
    # The browser itself says that a page was answered with 409.
    second.messages = [each for each in second.messages if "409" not in each]
    checked(second, "budget-conflict-1440-light")

    second.get_by_role("button", name="Save").click()
    expect(second.locator(".ladder.read li").first).to_contain_text("70 %")
    log = second.locator("section").filter(has_text="Who changed it")
    expect(log).to_contain_text("set its steps: notify 80 % actual to 70 % actual")
    expect(log).to_contain_text("was second, so this was not saved: amount 800.00 to 900.00")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_budget_pages_are_accessible_quiet_and_inside_their_width(
    company, open_as: Callable[..., Page], width: int, scheme: str
) -> None:
    page = open_as(company, LEAD, width=width, scheme=scheme)
    budget = make(page, "650", f"Looked at {width} {scheme}")
    for name, path in {
        "budgets": "/budgets",
        "budget": f"/budgets/{budget}",
        "budget-edit": f"/budgets/{budget}/edit",
        "budget-import": "/budgets/import",
        "quotas": "/quotas",
        "quota-new": "/quotas/new",
    }.items():
        page.goto(path)
        page.wait_for_load_state("networkidle")
        checked(page, f"{name}-{width}-{scheme}")


def test_four_hundred_percent_zoom_needs_no_sideways_scroll(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, LEAD, width=320)
    budget = make(page, "650", "Zoomed")
    for path in ("/budgets", f"/budgets/{budget}", f"/budgets/{budget}/edit", "/quotas"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        checked(page, f"zoom-{path.replace('/', '-')}")
