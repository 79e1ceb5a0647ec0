"""The public list as rows of ours, against what the package itself computes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise

import pytest
from genai_prices import Usage, calc_price

from attribution.pricing.book import PriceBook, rate
from attribution.pricing.genai import Seed, read_seed
from attribution.tokens import TokenUsage


@cache
def seed() -> Seed:
    return read_seed()


@cache
def book() -> PriceBook:
    return PriceBook(seed().rows)


@pytest.mark.parametrize(
    ("ours", "theirs", "context"),
    [
        (("openai", "gpt-5", None, None), ("gpt-5", "openai"), {}),
        (("openai", "gpt-5", None, "flex"), ("gpt-5", "openai"), {"service_tier": "flex"}),
        (("openai", "gpt-5", None, "batch"), ("gpt-5", "openai"), {"processing": "batch"}),
        (("openai", "gpt-5", None, "priority"), ("gpt-5", "openai"), {"service_tier": "priority"}),
        (("gcp", "gemini-2.5-pro", None, None), ("gemini-2.5-pro", "google"), {}),
        (("gcp", "gemini-2.5-pro", None, "batch"), ("gemini-2.5-pro", "google"), {"processing": "batch"}),
        (("anthropic", "claude-sonnet-4.5", None, None), ("claude-sonnet-4-5", "anthropic"), {}),
        (("aws", "claude-sonnet-4.5", "global", None), ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"), {}),
        (("aws", "claude-sonnet-4.5", "regional", None), ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"), {}),
        (("aws", "nova-pro", "regional", None), ("amazon.nova-pro-v1:0", "aws"), {}),
        (("azure", "gpt-4.1", "global", None), ("gpt-4.1", "azure"), {}),
    ],
)
@pytest.mark.parametrize("length", [1000, 200_000, 200_001, 300_000])
def test_our_rows_give_the_packages_price(ours, theirs, context, length):
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    usage = TokenUsage(input_uncached=length - 500, cache_read=300, cache_write_5m=200, output=700)
    expected = calc_price(
        Usage(input_tokens=length, cache_read_tokens=300, cache_write_tokens=200, output_tokens=700),
        theirs[0],
        provider_id=theirs[1],
        genai_request_timestamp=moment,
        price_context=context or None,
    )
    assert rate(book().quote(*ours, moment.date()), usage).usd == expected.total_price


def test_batch_costs_half_before_the_list_began_to_record_it():
    batch = book().quote("openai", "gpt-5", None, "batch", date(2026, 9, 1))
    assert batch.bands[0].rates["input_uncached"] == Decimal("0.000000625")


def test_what_our_book_cannot_say_is_left_out_and_named():
    left_out = seed().left_out
    assert left_out["perplexity/sonar-pro"] == "priced by requests_kcount too"
    assert left_out["deepseek/deepseek-chat"] == "priced by the hour of the day"
    assert book().quote("perplexity", "sonar-pro", None, None, date(2026, 11, 20)) is None


def test_every_row_is_money_of_at_most_18_decimals():
    assert len(seed().rows) > 10_000
    for row in seed().rows:
        assert 0 <= row.usd_per_token < 10
        assert row.usd_per_token.as_tuple().exponent >= -18


def test_the_rows_of_one_price_follow_each_other_without_overlap():
    standing: dict[tuple[object, ...], list[tuple[date, date]]] = {}
    for row in seed().rows:
        key = (row.provider, row.model, row.routing, row.tier, row.context_from, row.token_type)
        standing.setdefault(key, []).append((row.valid_from or date.min, row.valid_to or date.max))
    for spans in standing.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
