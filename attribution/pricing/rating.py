"""Prices many requests at once: the book's `rate`, as the SQL model staging/rate_requests."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.engine import Engine
from attribution.lake.schemas import TEXT
from attribution.pricing.book import PriceBook, Quote
from attribution.vocabulary import TOKEN_BUCKETS, TokenType

# provider, model, routing, tier
Offer = tuple[str, str | None, str | None, str | None]

_QUOTES = pa.schema([("day", pa.date32()), ("series", pa.int32()), ("quote", pa.int32())])
_RATE = pa.decimal128(19, 18)  # below 10 USD a token: see the model
_RATES = pa.schema(
    [
        ("quote", pa.int32()),
        ("band_number", pa.int32()),
        ("bands", pa.int32()),
        ("context_from", pa.int64()),
        ("context_to", pa.int64()),
        ("context_band", TEXT),
        ("price_version", TEXT),
        *[(bucket.value, _RATE) for bucket in TOKEN_BUCKETS],
    ]
)


def rate_requests(
    engine: Engine, requests: pa.Table, offer_of: Callable[[int], Offer | None], book: PriceBook
) -> pa.Table:
    """`requests` with estimated_cost (USD), context_band, price_version and price_status.

    requests: rows of staging/dedupe_requests; those with file < 0 are held by the lake and keep what they have.
    offer_of: what the series with this number buys, None where it isn't sold by the token. Prices are looked up once a
    series and day.
    """
    arrived = requests.filter(pc.greater_equal(requests["file"], 0))
    pairs = arrived.group_by(["day", "series"]).aggregate([]).to_pylist()
    known: dict[tuple[Offer, date], tuple[int, Quote | None]] = {}
    rows = []
    for pair in pairs:
        offer = offer_of(pair["series"])
        if offer is None:
            continue
        wanted = (offer, pair["day"])
        if wanted not in known:
            known[wanted] = (len(known), book.quote(*wanted[0], wanted[1]))
        number, quote = known[wanted]
        if quote is not None:
            rows.append({**pair, "quote": number})
    rates = [row for number, quote in known.values() if quote for row in _rates(quote, number)]
    return engine.run(
        "staging/rate_requests",
        inputs={
            "requests": requests,
            "quotes": pa.Table.from_pylist(rows, schema=_QUOTES),
            "rates": pa.Table.from_pylist(rates, schema=_RATES),
        },
    )


def _rates(quote: Quote, number: int) -> Iterable[dict[str, Any]]:
    for position, band in enumerate(quote.bands):
        yield {
            "quote": number,
            "band_number": position,
            "bands": len(quote.bands),
            "context_from": band.context_from,
            "context_to": band.context_to,
            "context_band": str(band.name),
            "price_version": quote.version,
            **{bucket.value: band.rates.get(TokenType(bucket)) for bucket in TOKEN_BUCKETS},
        }
