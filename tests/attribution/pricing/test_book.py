"""The price book as a value: which price applies, and what a request costs by it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from attribution.pricing.book import PriceBook, PriceRow, PriceStatus, rate
from attribution.tokens import TokenUsage
from attribution.vocabulary import ContextBand

DAY = date(2026, 11, 20)
ROW = PriceRow(
    provider="gcp",
    model="gemini-2.5-pro",
    routing="",
    tier="standard",
    context_from=0,
    token_type="input_uncached",
    usd_per_token=Decimal("0.00000125"),
    valid_from=None,
    valid_to=None,
    source="genai-prices",
    version="1",
)


def rows(prices: dict[str, str], **common) -> list[PriceRow]:
    return [
        replace(ROW, token_type=token_type, usd_per_token=Decimal(usd).scaleb(-6), **common)
        for token_type, usd in prices.items()
    ]


BASE = rows({"input_uncached": "1.25", "cache_read": "0.125", "output": "10"})
LONG = rows({"input_uncached": "2.5", "cache_read": "0.25", "output": "15"}, context_from=200_001)


def quote(book_rows, routing=None, tier=None, day=DAY):
    return PriceBook(book_rows).quote("gcp", "gemini-2.5-pro", routing, tier, day)


def test_a_request_is_priced_by_its_own_context_length():
    found = quote(BASE + LONG)
    short = rate(found, TokenUsage(input_uncached=200_000, output=1000))
    long = rate(found, TokenUsage(input_uncached=200_001, output=1000))
    assert (short.usd, short.band) == (Decimal("0.25") + Decimal("0.01"), ContextBand.BASE)
    assert (long.usd, long.band) == (Decimal("0.5000025") + Decimal("0.015"), ContextBand.LONG)


def test_cached_tokens_count_for_the_context_length():
    found = quote(BASE + LONG)
    # 1 + 200,000 tokens: the long band, 1 x 2.5 + 200,000 x 0.25 micro-dollars.
    estimate = rate(found, TokenUsage(input_uncached=1, cache_read=200_000, output=0))
    assert estimate.usd == Decimal("0.0500025")


def test_a_bucket_is_priced_at_the_base_band_and_says_so():
    found = quote(BASE + LONG)
    usage = TokenUsage(input_uncached=9_000_000, output=0)
    assert rate(found, usage, aggregate=True).usd == Decimal("11.25")
    assert rate(found, usage, aggregate=True).status == PriceStatus.AGGREGATE
    stated = rate(found, usage, aggregate=True, stated_band=ContextBand.LONG)
    assert (stated.usd, stated.status) == (Decimal("22.5"), PriceStatus.PRICED)


@pytest.mark.parametrize(
    ("usage", "status"),
    [
        (TokenUsage(), PriceStatus.NO_USAGE),
        (TokenUsage(input_uncached=5), PriceStatus.NO_USAGE),
        (TokenUsage(output=5), PriceStatus.NO_USAGE),
        (TokenUsage(input_uncached=5, cache_write_1h=1, output=5), PriceStatus.UNPRICED),
        (TokenUsage(input_uncached=5, cache_write_1h=0, output=5), PriceStatus.PRICED),
    ],
)
def test_a_part_of_a_request_is_no_estimate(usage, status):
    estimate = rate(quote(BASE), usage)
    assert estimate.status == status
    assert (estimate.usd is None) == (status != PriceStatus.PRICED)


def test_an_embedding_has_no_output_and_needs_none():
    found = quote(rows({"input_uncached": "0.13"}))
    assert rate(found, TokenUsage(input_uncached=1_000_000)).usd == Decimal("0.13")
    assert rate(found, TokenUsage(input_uncached=1, output=1)).status == PriceStatus.UNPRICED


def test_an_unknown_model_is_unpriced_and_never_free():
    book = PriceBook(BASE)
    assert book.quote("gcp", "gemini-99", None, None, DAY) is None
    assert book.quote("gcp", None, None, None, DAY) is None
    assert rate(None, TokenUsage(input_uncached=1, output=1)).status == PriceStatus.UNPRICED
    assert rate(None, TokenUsage()).status == PriceStatus.NO_USAGE


def test_prices_change_at_midnight_and_the_version_names_them():
    old = rows({"input_uncached": "2"}, valid_to=DAY)
    new = rows({"input_uncached": "1"}, valid_from=DAY)
    before, after = quote(old + new, day=date(2026, 11, 19)), quote(old + new, day=DAY)
    assert before.bands[0].rates["input_uncached"] == Decimal("0.000002")
    assert after.bands[0].rates["input_uncached"] == Decimal("0.000001")
    assert (before.version, after.version) == ("genai-prices/1/always", "genai-prices/1/2026-11-20")


def test_a_tier_without_a_price_is_not_priced_as_another():
    batch = rows({"input_uncached": "0.6"}, tier="batch")
    assert quote(BASE, tier="batch") is None
    assert quote(BASE + batch, tier="batch").bands[0].rates["input_uncached"] == Decimal("0.0000006")


def test_a_routing_of_its_own_goes_first_and_an_unknown_one_takes_the_usual_price():
    world = rows({"input_uncached": "3"}, routing="global")
    near = rows({"input_uncached": "3.3"})
    assert quote(world + near, routing="global").bands[0].rates["input_uncached"] == Decimal("0.000003")
    assert quote(world + near, routing="zone").bands[0].rates["input_uncached"] == Decimal("0.0000033")
    assert quote(world + near).bands[0].rates["input_uncached"] == Decimal("0.0000033")
    assert quote(world).bands[0].rates["input_uncached"] == Decimal("0.000003")


def test_a_contract_goes_before_every_public_list():
    contract = rows({"input_uncached": "1"}, source="contract-2026", version="7")
    azure = rows({"input_uncached": "1.1"}, source="azure-retail")
    assert quote(BASE + azure + contract).version == "contract-2026/7/always"
    assert quote(BASE + azure).version == "azure-retail/1/always"


def test_an_estimate_loses_no_digit():
    odd = rows({"input_uncached": "0.000000000001", "output": "9.999999999999"})
    estimate = rate(quote(odd), TokenUsage(input_uncached=10**12 - 1, output=10**12 - 1))
    # 9999999.999999 - 0.000009999999999999 for the output, and 0.000000999999999999 for the input.
    assert estimate.usd == Decimal("9999999.999990000000000000")
