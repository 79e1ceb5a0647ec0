"""Settings > Notifications in a browser: by keyboard, with the secret once, and a log that moves by itself."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

OWNER = "owner@example.org"
PAGE = "/settings/notifications"


def test_a_webhook_is_added_by_keyboard_and_its_secret_is_shown_once(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=PAGE)
    page.locator(".adder summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Billing")
    page.keyboard.press("Tab")
    page.keyboard.type("Webhook")
    page.get_by_label("Address").focus()
    page.keyboard.type("https://hooks.example.org/weir/a-secret-path")
    page.keyboard.press("Enter")

    expect(page.locator(".secret")).to_have_text(re.compile("weirsig_.{40}"))
    page.goto(PAGE)
    expect(page.locator("#channels")).to_contain_text("https://hooks.example.org/…")
    expect(page.locator(".secret")).to_have_count(0)
    assert "a-secret-path" not in page.content()
    assert page.messages == []

    # No worker runs here: the test message stays on its way, and the log asks again by itself.
    page.get_by_role("button", name="Send a test to Billing").click()
    expect(page.locator("#log")).to_contain_text("Test message from Weir")
    with page.expect_response(lambda answer: "part=log" in answer.url) as asked:
        pass
    assert asked.value.status == 200
    expect(page.locator("#log tbody tr")).to_have_count(1)
    assert page.messages == []


def test_a_lead_chooses_and_is_offered_no_channel(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, "lead@example.org", path=PAGE, width=390)
    expect(page.get_by_text("Add a channel")).to_have_count(0)
    page.get_by_label("In a daily digest").check()
    page.get_by_label("Time zone").fill("Asia/Kolkata")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    expect(page.get_by_label("In a daily digest")).to_be_checked()
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Kolkata")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
