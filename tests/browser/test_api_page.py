"""The API's page in a browser: it draws the document under its policy, with nothing from elsewhere."""

from typing import Any

from playwright.sync_api import Page


def test_it_draws_the_document_without_a_console_message_or_a_request_elsewhere(fresh: Any, page: Page) -> None:
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("request", lambda request: requests.append(request.url))

    page.goto(f"{fresh.address}/api/docs")
    page.locator('.opblock-summary-path[data-path="/api/v1/costs"]').wait_for()
    page.locator('.opblock:has([data-path="/api/v1/costs"]) .opblock-summary-control').first.click()
    page.get_by_text("Settled bills, and estimates of the days").wait_for()

    assert messages == []
    assert [url for url in requests if not url.startswith((fresh.address, "data:"))] == []
