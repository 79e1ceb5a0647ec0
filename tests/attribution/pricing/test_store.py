"""The price book in the database: rows are added and retired, never changed."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from attribution.models import Price
from attribution.pricing.azure_retail import read_rows
from attribution.pricing.book import PriceBook, PriceRow
from attribution.pricing.store import load_book, replace_source

pytestmark = pytest.mark.django_db

ROW = PriceRow("openai", "gpt-5", "", "standard", 0, "output", Decimal("0.00001"), None, None, "list", "1")


def test_the_same_prices_again_change_nothing():
    assert replace_source("list", "1", [ROW]) == (1, 0)
    assert replace_source("list", "2", [replace(ROW, version="2", usd_per_token=Decimal("0.000010"))]) == (0, 0)
    assert Price.objects.get().version == "1"


def test_a_price_that_its_source_takes_back_is_retired_and_kept():
    replace_source("list", "1", [ROW])
    assert replace_source("list", "2", [replace(ROW, version="2", usd_per_token=Decimal("0.00002"))]) == (1, 1)
    assert [(p.usd_per_token, p.version, p.retired_by) for p in Price.objects.order_by("id")] == [
        (Decimal("0.00001"), "1", "2"),
        (Decimal("0.00002"), "2", ""),
    ]
    quote = load_book().quote("openai", "gpt-5", None, None, date(2026, 11, 20))
    assert quote.bands[0].rates["output"] == Decimal("0.00002")


def test_another_source_is_left_alone():
    replace_source("list", "1", [ROW])
    replace_source("contract", "1", [replace(ROW, source="contract")])
    assert replace_source("contract", "2", []) == (0, 1)
    assert Price.objects.get(retired_by="").source == "list"


def test_a_price_of_ten_dollars_a_token_is_refused():
    with pytest.raises(ValueError, match="10 USD a token; expected 0 to below 10"):
        replace_source("list", "1", [replace(ROW, usd_per_token=Decimal(10))])


def test_azure_sells_a_data_zone_a_tenth_dearer():
    book = PriceBook(read_rows())
    day = date(2026, 11, 20)
    world = book.quote("azure", "gpt-5-mini", "global", None, day)
    zone = book.quote("azure", "gpt-5-mini", "zone", None, day)
    assert world.bands[0].rates["output"] == Decimal("0.000002")
    assert zone.bands[0].rates["output"] == Decimal("0.0000022")
    assert book.quote("azure", "gpt-5-mini", "global", "batch", day).bands[0].rates["output"] == Decimal("0.000001")
