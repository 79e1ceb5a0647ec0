"""Seed of the price book: the public price list of the genai-prices package, as rows of our own. No database here.

What its prices say and ours can't (a price by hour of the day, by request, by citation, a separate price of reasoning)
is left out and named: such a model is unpriced, never half priced. Source: github.com/pydantic/genai-prices (MIT).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from importlib.metadata import version

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from attribution.money import parse_exact
from attribution.pricing.book import PriceRow
from attribution.recognition.models import normalize_model
from attribution.vocabulary import Routing, Tier, TokenType

SOURCE = "genai-prices"

# Its provider ids where they differ from ours. Gemini's own API and Vertex are one provider there as here.
PROVIDERS = {"google": "gcp", "x-ai": "xai", "moonshotai": "moonshot"}
# Resellers and assistants that sell no inference to bill by token, and hubs whose model names would collide.
_NOT_PROVIDERS = ("cursor", "github-copilot", "typesafe")

# How it spells our tiers. {"service_tier": "batch"} is no context of it: it would silently give the standard price.
CONTEXTS: Mapping[Tier, Mapping[str, str]] = {
    Tier.STANDARD: {},
    Tier.BATCH: {"processing": "batch"},
    Tier.FLEX: {"service_tier": "flex"},
    Tier.PRIORITY: {"service_tier": "priority"},
}

# Our bucket -> its price keys, the most specific first. A bucket without a price of its own is priced as the wider one
# that contains it, as the package itself does.
_KEYS: Mapping[TokenType, tuple[str, ...]] = {
    TokenType.INPUT_UNCACHED: ("input_mtok",),
    TokenType.CACHE_READ: ("cache_read_mtok", "input_mtok"),
    TokenType.CACHE_WRITE_5M: ("cache_write_mtok", "input_mtok"),
    TokenType.CACHE_WRITE_1H: ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    TokenType.OUTPUT: ("output_mtok",),
}
_UNMETERED = ("output_reasoning_mtok", "output_citation_mtok", "requests_kcount")

# Bedrock lists a model twice: a global inference profile, and everything else.
_ROUTED = {"global.": Routing.GLOBAL, "regional.": ""}

Prices = Mapping[str, Decimal | types.TieredPrices]


@dataclass
class Seed:
    """rows: standing prices. left_out: provider/model -> why it has none."""

    version: str
    rows: list[PriceRow] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def read_seed() -> Seed:
    """All prices of the installed package. Takes about a second; nothing is downloaded."""
    snapshot = get_snapshot()
    seed = Seed(version(SOURCE))
    by_id = {provider.id: provider for provider in snapshot.providers}
    for provider in snapshot.providers:
        if provider.id in _NOT_PROVIDERS:
            continue
        slug = PROVIDERS.get(provider.id, provider.id)
        own = _read_provider(seed, slug, provider.models, taken=frozenset())
        if provider.id == "azure":
            # Azure sells OpenAI's and others' models at their list price. Only the standard tier: tiers are its own.
            for other in provider.fallback_model_providers or ():
                own |= _read_provider(seed, slug, by_id[other].models, taken=frozenset(own), tiers=(Tier.STANDARD,))
    return seed


def _read_provider(
    seed: Seed,
    provider: str,
    models: list[types.ModelInfo],
    *,
    taken: frozenset[str],
    tiers: tuple[Tier, ...] = tuple(CONTEXTS),
) -> set[str]:
    """Adds the models' rows to `seed`; returns their slugs. One model a slug and routing: see `_rank`."""
    chosen: dict[tuple[str, str], types.ModelInfo] = {}
    for model in models:
        name = normalize_model(model.id, provider)
        if name is None or name.slug in taken:
            continue
        key = (name.slug, _routing(model.id))
        if key not in chosen or _rank(model, name.slug) > _rank(chosen[key], name.slug):
            chosen[key] = model
    for (slug, routing), model in sorted(chosen.items()):
        reason = _unsupported(model)
        if reason:
            seed.left_out[f"{provider}/{slug}"] = reason
            continue
        for tier in tiers:
            seed.rows.extend(_rows(model, tier, provider=provider, slug=slug, routing=routing, version=seed.version))
    return {slug for slug, _ in chosen}


def _routing(model_id: str) -> str:
    return next((routing for prefix, routing in _ROUTED.items() if model_id.startswith(prefix)), "")


def _rank(model: types.ModelInfo, slug: str) -> tuple[bool, bool, str]:
    """Several snapshots share a slug: the undated name stands for them, else one that still runs, else the newest."""
    return (model.id == slug, not model.deprecated, model.id)


def _unsupported(model: types.ModelInfo) -> str:
    options = _conditions(model)
    if any(isinstance(option.constraint, types.TimeOfDateConstraint) for option in options):
        return "priced by the hour of the day"
    for option in options:
        prices = _known(option.prices)
        extra = [key for key in _UNMETERED if key in prices and prices[key] != prices.get("output_mtok")]
        if extra:
            return f"priced by {', '.join(extra)} too"
        if "input_mtok" not in prices:
            return "not priced by input tokens"
    return ""


def _conditions(model: types.ModelInfo) -> list[types.ConditionalPrice]:
    if isinstance(model.prices, types.ModelPrice):
        return [types.ConditionalPrice(prices=model.prices)]
    return list(model.prices)


def _known(prices: types.ModelPrice) -> dict[str, Decimal | types.TieredPrices]:
    return {key: value for key, value in vars(prices).items() if value is not None}


def _start(constraint: object) -> date:
    return constraint.start_date if isinstance(constraint, types.StartDateConstraint) else date.min


@dataclass(frozen=True)
class _Segment:
    """Prices that stand from `start` until the next segment."""

    start: date
    prices: Prices


def _rows(
    model: types.ModelInfo, tier: Tier, *, provider: str, slug: str, routing: str, version: str
) -> Iterator[PriceRow]:
    segments = _segments(model, tier)
    ends = [segment.start for segment in segments[1:]] + [date.max]
    for segment, end in zip(segments, ends, strict=True):
        for token_type, context_from, usd in _rates(segment.prices):
            yield PriceRow(
                provider=provider,
                model=slug,
                routing=routing,
                tier=tier,
                context_from=context_from,
                token_type=token_type,
                usd_per_token=usd,
                valid_from=None if segment.start == date.min else segment.start,
                valid_to=None if end == date.max else end,
                source=SOURCE,
                version=version,
            )


def _segments(model: types.ModelInfo, tier: Tier) -> list[_Segment]:
    """The tier's prices over time; empty days are left out.

    The first known standard price also stands for all earlier days, as the package has it. A tier's start date is when
    the package began to record it, so it also stands for earlier days while the standard price was the same.
    """
    conditions = _conditions(model)
    variants = [v for v in model.price_variants or () if v.when == CONTEXTS[tier]]
    starts = {date.min, *(_start(one.constraint) for one in conditions), *(_start(one.constraint) for one in variants)}
    found: list[tuple[date, Prices, Prices | None]] = []
    for start in sorted(starts):
        active = [option for option in conditions if _start(option.constraint) <= start]
        standard = _known((active[-1] if active else conditions[0]).prices)
        found.append((start, standard, _overrides(variants, start)))
    if tier == Tier.STANDARD:
        return _merged([_Segment(start, standard) for start, standard, _ in found])
    later: tuple[Prices, Prices] | None = None
    segments: list[_Segment] = []
    for start, base, changes in reversed(found):
        known = later[1] if changes is None and later and later[0] == base else changes
        later = (base, known) if known is not None else None
        segments.insert(0, _Segment(start, {**base, **known} if known is not None else {}))
    return _merged(segments)


def _overrides(variants: list[types.PriceVariant], day: date) -> Prices | None:
    """What the tier changes on a day; the first variant that names a key wins. None when no variant is known."""
    active = [variant for variant in variants if _start(variant.constraint) <= day]
    if not any(_known(variant.prices) for variant in active):
        return None
    found: dict[str, Decimal | types.TieredPrices] = {}
    for variant in active:
        found = {**_known(variant.prices), **found}
    return found


def _merged(segments: list[_Segment]) -> list[_Segment]:
    """Neighbours with equal prices are one."""
    kept: list[_Segment] = []
    for segment in segments:
        if not kept or kept[-1].prices != segment.prices:
            kept.append(segment)
    return kept


def _rates(prices: Prices) -> Iterator[tuple[TokenType, int, Decimal]]:
    """(bucket, context_from, USD a token). The package's tier starts *above* its `start`; ours is inclusive."""
    for token_type, keys in _KEYS.items():
        price = next((prices[key] for key in keys if key in prices), None)
        if price is None:
            continue
        if not isinstance(price, types.TieredPrices):
            yield token_type, 0, _per_token(price)
            continue
        yield token_type, 0, _per_token(price.base)
        for tier in price.tiers:
            yield token_type, tier.start + 1, _per_token(tier.price)


def _per_token(usd_per_mtok: Decimal) -> Decimal:
    """At 18 places, half-even: a few of its prices carry the dust of a double (0.13999999999999999)."""
    return parse_exact(str(usd_per_mtok.scaleb(-6)))[0]
