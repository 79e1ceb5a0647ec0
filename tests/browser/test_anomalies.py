"""An anomaly from the Overview to what became of it, as a lead, by keyboard."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

LEAD = "lead@example.org"


def test_a_lead_says_by_keyboard_that_an_anomaly_was_expected(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, LEAD, path="/anomalies")
    page.get_by_role("row").nth(1).get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/anomalies/*")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()

    page.get_by_role("radio", name="It was to be expected").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("the monthly re-index")
    page.keyboard.press("Enter")

    expect(page.locator(".lead .tag")).to_have_text("Expected")
    expect(page.get_by_text("Expected").first).to_be_visible()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.locator("aside .list")).to_contain_text("Explained: the monthly re-index")
    assert page.messages == []


def test_the_overview_runs_on_into_the_forecast_and_says_what_needs_somebody(
    company, open_as: Callable[..., Page]
) -> None:
    page = open_as(company, "owner@example.org", path="/")
    page.wait_for_selector(".plot[data-ready]")

    expect(page.get_by_text("Forecast for ")).to_be_visible()
    expect(page.get_by_role("heading", name="Budgets at risk")).to_be_visible()
    expect(page.get_by_role("heading", name="Anomalies")).to_be_visible()
    expect(page.locator(".plot")).to_contain_text("Forecast, 80 % band")
    page.locator("#changed").get_by_role("link", name="Volume").click()
    page.wait_for_url("**/what-changed?*driver=volume*")
    expect(page.get_by_role("heading", name="What changed")).to_be_visible()
    assert page.messages == []
