"""The SQL that prices many requests says what the book says of each."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.lake.engine import DuckDBEngine
from attribution.lake.schemas import MONEY, TEXT, TIME, TOKENS
from attribution.pricing.book import PriceBook, PriceRow, rate
from attribution.pricing.rating import rate_requests
from attribution.tokens import TokenUsage
from attribution.vocabulary import TOKEN_BUCKETS

DAY = date(2026, 11, 20)
BUCKETS = (*(str(bucket) for bucket in TOKEN_BUCKETS), "reasoning")
REQUESTS = pa.schema(
    [
        ("day", pa.date32()),
        ("request_key", TEXT),
        ("completed_at", TIME),
        ("series", pa.int32()),
        ("requests", TOKENS),
        *[(name, TOKENS) for name in BUCKETS],
        ("latency_ms", TOKENS),
        ("ttft_ms", TOKENS),
        ("error", pa.bool_()),
        ("file", pa.int32()),
        ("estimated_cost", MONEY),
        ("context_band", TEXT),
        ("price_version", TEXT),
        ("price_status", TEXT),
    ]
)
OFFERS = {0: ("p", "banded", None, None), 1: ("p", "input-only", None, None), 2: ("p", "unknown", None, None)}


def price(model: str, token_type: str, usd: str, context_from: int = 0) -> PriceRow:
    return PriceRow("p", model, "", "standard", context_from, token_type, Decimal(usd), None, None, "list", "1")


BOOK = PriceBook(
    [
        price("banded", "input_uncached", "0.000001000000000007"),
        price("banded", "cache_read", "0.0000001"),
        price("banded", "output", "9.999999999999999999"),
        price("banded", "input_uncached", "0.000002", 1000),
        price("banded", "output", "0.00002", 1000),
        price("banded", "output", "0.00003", 5000),
        price("input-only", "input_uncached", "0.00000013"),
    ]
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(temp_directory=tmp_path_factory.mktemp("engine"), threads=1) as engine:
        yield engine


counts = st.none() | st.integers(0, 6000) | st.just(10**12)
usages = st.builds(
    lambda uncached, read, short, long, output: TokenUsage(uncached, read, short, long, output),
    counts,
    counts,
    st.sampled_from([None, 0, 3]),
    st.sampled_from([None, 0, 3]),
    counts,
)
requests = st.tuples(
    st.sampled_from([0, 1, 2]), st.sampled_from([None, 0, 1, 5]), st.sampled_from([None, "base", "long"]), usages
)


def row(number: int, series: int, count: int | None, band: str | None, usage: TokenUsage) -> dict:
    tokens = {name: getattr(usage, name) for name in BUCKETS}
    identity = {"day": DAY, "request_key": str(number), "completed_at": datetime(2026, 11, 20, tzinfo=UTC)}
    return identity | tokens | {"series": series, "requests": count, "context_band": band, "file": 0}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=8))
def test_sql_and_book_agree_to_the_last_digit(engine, found):
    table = pa.Table.from_pylist([row(n, *one) for n, one in enumerate(found)], schema=REQUESTS)
    rated = sorted(
        rate_requests(engine, table, OFFERS.__getitem__, BOOK).to_pylist(), key=lambda one: int(one["request_key"])
    )
    for one, (series, count, band, usage) in zip(rated, found, strict=True):
        is_bucket = count != 1
        quote = BOOK.quote(*OFFERS[series], DAY)
        expected = rate(quote, usage, aggregate=is_bucket, stated_band=band if is_bucket else None)
        assert (one["estimated_cost"], one["price_status"]) == (expected.usd, expected.status)
        assert one["price_version"] == (quote.version if quote else None)
        if expected.usd is not None:
            assert one["context_band"] == expected.band


def test_a_held_row_keeps_its_estimate(engine):
    held = row(1, 0, 1, "base", TokenUsage(10, output=1)) | {
        "file": -1,
        "estimated_cost": Decimal(7),
        "price_version": "old",
        "price_status": "priced",
    }
    rated = rate_requests(engine, pa.Table.from_pylist([held], schema=REQUESTS), OFFERS.__getitem__, BOOK).to_pylist()
    assert [(one["estimated_cost"], one["price_version"]) for one in rated] == [(Decimal(7), "old")]
