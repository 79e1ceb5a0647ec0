"""The numbers on the pages, and the ways into them."""

from collections.abc import Callable
from decimal import Decimal

from playwright.sync_api import Page, expect

OWNER = "owner@example.org"


def whole_month(company, **more: str) -> str:
    """The address of the whole month's Overview; days as people write them, the last one inclusive."""
    last = f"{company.facts['start'][:8]}{last_day(company)}"
    query = f"period=custom&from={company.facts['start']}&to={last}"
    return "/?" + "&".join([query, *(f"{key}={value}" for key, value in more.items())])


def last_day(company) -> str:
    from datetime import date, timedelta

    return f"{(date.fromisoformat(company.facts['end']) - timedelta(days=1)).day:02}"


def exact(cell) -> Decimal:
    return Decimal(cell.get_attribute("title").split()[0])


def ready(page: Page) -> None:
    page.wait_for_selector(".plot[data-ready]")


def test_page_api_and_ledger_say_one_number(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    ready(page)
    ledger = Decimal(company.facts["ledger"])
    total = exact(page.locator("#table tfoot td").first)
    tile = exact(page.locator(".tile .figure").first)
    rows = sum((exact(row.locator("td").first) for row in page.locator("#table tbody tr").all()), Decimal(0))
    answer = page.request.get(f"/api/v1/costs?start={company.facts['start']}&end={company.facts['end']}").json()

    assert ledger > 0
    assert total == tile == rows == Decimal(answer["totals"][0]["total"]) == ledger


def test_the_daily_numbers_add_up_to_the_total(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company, group_by="team"))
    ready(page)
    page.get_by_text("Daily numbers").click()
    heads = page.locator(".numbers thead th").all_inner_texts()
    assert heads[-2:] == ["Total", "Estimated"]
    days = page.locator(".numbers tbody tr").all()
    totals = [exact(row.locator("td").nth(len(heads) - 3)) for row in days]

    assert sum(totals, Decimal(0)) == Decimal(company.facts["ledger"])


def test_attributed_and_unattributed_add_up_to_the_bill(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    ready(page)
    amounts = [exact(one) for one in page.locator("aside .list .amount > span").all()]

    assert sum(amounts[:-1], Decimal(0)) == amounts[-1]


def test_a_row_opens_one_level_down_and_the_address_reproduces_it(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company, group_by="provider"))
    ready(page)
    provider = page.locator("#table tbody tr").first
    amount = exact(provider.locator("td").first)
    provider.get_by_role("link").click()
    expect(page.locator("#table h2")).to_have_text("Models")
    ready(page)
    assert exact(page.locator("#table tfoot td").first) == amount

    model = page.locator("#table tbody tr").first
    amount = exact(model.locator("td").first)
    model.get_by_role("link").click()
    expect(page.locator("#table h2")).to_have_text("Token types")
    ready(page)
    assert exact(page.locator("#table tfoot td").first) == amount

    shown = page.locator("#main").inner_text()
    page.reload()
    ready(page)
    assert page.locator("#main").inner_text() == shown

    page.go_back()
    expect(page.locator("#table h2")).to_have_text("Models")
    ready(page)
    assert page.messages == []


def test_team_opens_projects_and_project_opens_models(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company, group_by="team"))
    page.locator("#table").get_by_role("link", name="Claims").click()
    expect(page.locator("#table h2")).to_have_text("Projects")
    page.locator("#table tbody").get_by_role("link").first.click()
    expect(page.locator("#table h2")).to_have_text("Models")


def test_heads_sort_by_link(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    for order in ("descending", "ascending"):
        page.locator("#table thead").get_by_role("link", name="Tokens, M").click()
        expect(page.locator("#table th[aria-sort]").filter(has_text="Tokens")).to_have_attribute("aria-sort", order)
    page.locator("#table thead").get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("#table th[aria-sort]")).to_have_text("Model")
    names = page.locator("#table tbody th").all_inner_texts()
    assert names == sorted(names, key=str.lower)


def test_the_keyboard_alone_reaches_filter_row_and_way_back(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    ready(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("f")
    expect(page.locator("#filter")).to_have_attribute("open", "")
    expect(page.locator("#filter-values")).to_be_visible()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "Provider"
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".chip.chosen")).to_have_count(1)
    ready(page)

    page.keyboard.press("f")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).not_to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.matches('#filter summary')")
    page.locator(".chip.chosen").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chip.chosen")).to_have_count(0)
    assert page.messages == []


def test_the_export_has_every_digit_of_the_table(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    with page.expect_download() as started:
        page.get_by_role("link", name="Export CSV").click()
    lines = started.value.path().read_text().splitlines()
    column = lines[0].split(",").index("total")

    assert sum((Decimal(line.split(",")[column]) for line in lines[1:]), Decimal(0)) == Decimal(company.facts["ledger"])


def test_estimated_days_are_hatched_and_told_apart(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path="/?period=30d")
    ready(page)

    assert page.locator(".plot pattern").count() > 0
    expect(page.locator("figure .sub").first).to_contain_text("hatched = estimated, not yet billed")
    estimated = exact(page.locator(".tile .figure").nth(1))
    assert estimated > 0
    assert exact(page.locator("#table tfoot td").nth(1)) == estimated


def test_an_entity_keeps_its_colour_when_the_ranks_change(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))

    def colours() -> dict[str, str]:
        rows = page.locator("#table tbody tr").all()
        shown = {row.locator("th").inner_text(): row.locator(".swatch").get_attribute("class") for row in rows}
        return {name: css for name, css in shown.items() if "slot0" not in css}

    whole = colours()
    assert len(set(whole.values())) == len(whole) <= 8
    for provider in ("aws", "azure", "gcp"):
        page.goto(whole_month(company, **{"filter[provider]": provider}))
        part = colours()
        assert {name: css for name, css in part.items() if name in whole} == {
            name: css for name, css in whole.items() if name in part
        }


def test_narrow_screens_get_their_own_drawing(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path=whole_month(company))
    ready(page)
    expect(page.locator(".plot")).to_have_attribute("data-layout", "wide")
    expect(page.locator(".legend")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".plot")).to_have_attribute("data-layout", "narrow")
    expect(page.locator(".legend")).to_be_visible()


def test_every_cell_of_the_matrix_proves_that_it_adds_up(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path="/data")
    cells = page.locator(".matrix tbody a")
    assert cells.count() >= 6
    assert {text.strip() for text in page.locator(".matrix tbody small.zero").all_inner_texts()} == {"0.00"}
    assert page.locator(".off").count() == 0

    cells.first.click()
    expect(page.locator("#proof .tag")).to_contain_text("adds up")
    parts = [exact(one) for one in page.locator("#proof .equation b[title]").all()]
    assert parts[0] == sum(parts[1:], Decimal(0))
    assert page.locator(".matrix a[aria-current]").count() == 1


def test_a_row_that_was_kept_out_says_where_why_and_what_to_do(company, open_as: Callable[..., Page]) -> None:
    page = open_as(company, OWNER, path="/data")
    row = page.locator("#quarantine tbody tr").filter(has_text="broken.ndjson")

    expect(row).to_contain_text("line 1")
    assert all(row.locator("td").nth(index).inner_text().strip() not in ("", "–") for index in range(5))
