"""The price book in the database: seed it, read it, list what it doesn't know."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal

from django.db import transaction

from attribution.lake import catalogue
from attribution.models import Price
from attribution.pricing import azure_retail, genai
from attribution.pricing.book import PriceBook, PriceRow
from attribution.vocabulary import Dataset

_FIELDS = tuple(field.name for field in fields(PriceRow))
# A rate must leave room for the largest count in an exact product; see sql/staging/rate_requests.sql.
MAX_USD_PER_TOKEN = Decimal(10)


@dataclass(frozen=True)
class SeedReport:
    """What seeding one source did. left_out: provider/model -> why the public list's price can't be used."""

    source: str
    version: str
    added: int
    retired: int
    standing: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class Unpriced:
    """Usage without a price. tokens: all known ones; days are UTC, both inclusive.

    pool: capacity that is paid by the hour; its tokens have no price, only the share of a bill.
    """

    provider: str
    model: str | None
    routing: str | None
    tier: str | None
    pool: str | None
    requests: int
    tokens: int
    first_day: date
    last_day: date


def seed_prices() -> list[SeedReport]:
    """Bring the public prices up to the installed lists; rows that still stand are left alone. Idempotent."""
    seed = genai.read_seed()
    azure = genai.Seed(azure_retail.VERSION, azure_retail.read_rows())
    reports = []
    for source, found in ((genai.SOURCE, seed), (azure_retail.SOURCE, azure)):
        added, retired = replace_source(source, found.version, found.rows)
        reports.append(SeedReport(source, found.version, added, retired, len(found.rows), found.left_out))
    return reports


def replace_source(source: str, version: str, rows: Iterable[PriceRow]) -> tuple[int, int]:
    """Make `rows` all that a source says; returns how many were added and retired.

    A row that says the same as before stands, with the version that first said it; a row that is no longer said is
    retired by `version`, never changed or deleted. Raises ValueError for a price of 10 USD a token or more, or below 0.
    """
    wanted = {_content(row): row for row in rows}
    for row in wanted.values():
        if not 0 <= row.usd_per_token < MAX_USD_PER_TOKEN:
            raise ValueError(f"{row.provider} {row.model}: {row.usd_per_token} USD a token; expected 0 to below 10")
    with transaction.atomic():
        standing = Price.objects.select_for_update().filter(source=source, retired_by="")
        known = {_content(_row(price)): price.pk for price in standing}
        gone = [key for content, key in known.items() if content not in wanted]
        for start in range(0, len(gone), 500):
            Price.objects.filter(pk__in=gone[start : start + 500]).update(retired_by=version)
        new = [Price(**vars(row)) for content, row in wanted.items() if content not in known]
        Price.objects.bulk_create(new, batch_size=500)
    return len(new), len(gone)


def load_book(providers: Collection[str] | None = None) -> PriceBook:
    """The standing prices, of some providers or all. Seeds an empty table, so that the first import has estimates."""
    if not Price.objects.exists():
        seed_prices()
    standing = Price.objects.filter(retired_by="")
    if providers is not None:
        standing = standing.filter(provider__in=providers)
    return PriceBook(PriceRow(*values) for values in standing.values_list(*_FIELDS).iterator(2000))


def unpriced_usage() -> list[Unpriced]:
    """What `manage.py prices --unpriced` lists: usage in the lake whose model, tier or token type has no price."""
    with catalogue.open_engine() as engine:
        found = engine.run("marts/unpriced_usage", inputs={"usage": catalogue.files(Dataset.USAGE_HOURLY)})
    return [Unpriced(**(row | {"tokens": int(row["tokens"])})) for row in found.to_pylist()]


def _row(price: Price) -> PriceRow:
    return PriceRow(**{name: getattr(price, name) for name in _FIELDS})


def _content(row: PriceRow) -> PriceRow:
    """A row as it compares: who first said it doesn't matter, nor trailing zeros."""
    return replace(row, version="", usd_per_token=row.usd_per_token.normalize(), tier=str(row.tier))
