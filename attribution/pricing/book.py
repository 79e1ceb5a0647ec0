"""The price book as a value: which price applies to a request, and what the request then costs. Pure.

Prices step with the context length of the *request*: crossing a threshold changes the rate of all its tokens. So a
request is priced by itself, and a bucket of requests only at its base band.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from enum import StrEnum

from attribution.money import EXACT
from attribution.tokens import TokenUsage
from attribution.vocabulary import TOKEN_BUCKETS, ContextBand, Routing, Tier, TokenType

ZERO = Decimal(0)

# Who is believed first; a source that is not listed (a contract, a correction by hand) comes before all of these.
PUBLIC_SOURCES = ("azure-retail", "genai-prices")


class PriceStatus(StrEnum):
    """What an estimate rests on."""

    PRICED = "priced"
    UNPRICED = "unpriced"  # the book has no price for the model, its tier, or a token type that was used
    NO_USAGE = "no_usage"  # the source gave no tokens
    AGGREGATE = "aggregate"  # a bucket: priced at the base band, whatever its requests' lengths


@dataclass(frozen=True)
class PriceRow:
    """One price: US dollars a token of `token_type`, for inputs of at least `context_from` tokens.

    routing '' stands for every routing without a row of its own. Valid on the UTC days [valid_from, valid_to).
    """

    provider: str
    model: str
    routing: str
    tier: str
    context_from: int
    token_type: str
    usd_per_token: Decimal
    valid_from: date | None
    valid_to: date | None
    source: str
    version: str

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class Band:
    """Rates for inputs of [context_from, context_to) tokens; context_to None = no limit. USD a token."""

    context_from: int
    context_to: int | None
    rates: Mapping[TokenType, Decimal]

    @property
    def name(self) -> ContextBand:
        return ContextBand.BASE if self.context_from == 0 else ContextBand.LONG


@dataclass(frozen=True)
class Quote:
    """All bands of one price on one day, ascending, the first from 0; `version` names the price."""

    version: str
    bands: tuple[Band, ...]

    def band_for(self, context: int) -> Band:
        return next(band for band in reversed(self.bands) if context >= band.context_from)


@dataclass(frozen=True)
class Estimate:
    """usd is None unless the status is priced or aggregate."""

    usd: Decimal | None
    status: PriceStatus
    band: ContextBand | None
    version: str | None


class PriceBook:
    """Finds quotes. A quote comes from one source: rows of two are never mixed."""

    def __init__(self, rows: Iterable[PriceRow]) -> None:
        found: dict[tuple[str, str], list[PriceRow]] = defaultdict(list)
        for row in rows:
            found[(row.provider, row.model)].append(row)
        self._rows = dict(found)

    def quote(self, provider: str, model: str | None, routing: str | None, tier: str | None, day: date) -> Quote | None:
        """The price of a model on a UTC day, or None. An unknown tier is the standard one."""
        if model is None:
            return None
        wanted_tier = tier or Tier.STANDARD
        rows = [
            row for row in self._rows.get((provider, model), ()) if row.tier == wanted_tier and row.is_valid_on(day)
        ]
        for source in sorted({row.source for row in rows}, key=_precedence):
            for wanted_routing in _routings(routing):
                fitting = [row for row in rows if row.source == source and row.routing == wanted_routing]
                quote = _quote(fitting)
                if quote is not None:
                    return quote
        return None


def _precedence(source: str) -> tuple[int, str]:
    return (PUBLIC_SOURCES.index(source) + 1 if source in PUBLIC_SOURCES else 0, source)


def _routings(routing: str | None) -> tuple[str, ...]:
    """The rows to try. Where the source doesn't say how a call was routed, the price list's usual routing stands."""
    if routing is None:
        return ("", Routing.GLOBAL)
    return (routing, "")


def _quote(rows: list[PriceRow]) -> Quote | None:
    rates: dict[int, dict[TokenType, Decimal]] = defaultdict(dict)
    for row in rows:
        rates[row.context_from][TokenType(row.token_type)] = row.usd_per_token
    if 0 not in rates:
        return None
    starts = sorted(rates)
    # A band names only what differs: a bucket without a price of its own in a band keeps that of the band below.
    merged: dict[TokenType, Decimal] = {}
    bands = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        merged = merged | rates[start]
        bands.append(Band(start, end, merged))
    newest = max(rows, key=lambda row: (row.valid_from or date.min, row.version))
    since = newest.valid_from.isoformat() if newest.valid_from else "always"
    return Quote(f"{newest.source}/{newest.version}/{since}", tuple(bands))


def rate(
    quote: Quote | None, usage: TokenUsage, *, aggregate: bool = False, stated_band: ContextBand | None = None
) -> Estimate:
    """What `usage` (one request, or with `aggregate` a bucket of them) costs in US dollars, exactly.

    stated_band: for a bucket whose source splits usage by context length; without it a bucket takes the base band.

    Unknown cache buckets cost nothing: such a source puts its whole input into `input_uncached`. Unknown input is
    no_usage; so is unknown output, unless the price has none (embeddings). Tokens that were used and have no rate make
    the whole request unpriced: a part is no estimate. `staging/rate_requests.sql` does the same for many requests.
    """
    version = quote.version if quote else None
    if usage.input_uncached is None and usage.output is None:
        return Estimate(None, PriceStatus.NO_USAGE, stated_band, version)
    if quote is None:
        return Estimate(None, PriceStatus.UNPRICED, stated_band, None)
    band = quote.band_for(usage.context_tokens or 0)
    if aggregate:
        band = quote.bands[1 if stated_band == ContextBand.LONG and len(quote.bands) > 1 else 0]
    name = stated_band if aggregate else band.name
    if usage.input_uncached is None or (usage.output is None and TokenType.OUTPUT in band.rates):
        return Estimate(None, PriceStatus.NO_USAGE, name, version)
    counts = {bucket: getattr(usage, bucket) for bucket in TOKEN_BUCKETS}
    used = {bucket: count for bucket, count in counts.items() if count}
    if any(bucket not in band.rates for bucket in used):
        return Estimate(None, PriceStatus.UNPRICED, name, version)
    with localcontext(EXACT):
        usd = sum((count * band.rates[bucket] for bucket, count in used.items()), ZERO)
    is_guess = aggregate and stated_band is None
    return Estimate(usd, PriceStatus.AGGREGATE if is_guess else PriceStatus.PRICED, name, version)
