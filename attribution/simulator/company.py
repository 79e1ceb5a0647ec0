"""The company as data: who works on what, what they buy, how large a request is. Read from `data/`, frozen.

Money here is an integer of 1e-18 dollars ("atto"), so that the books never round.
"""

import csv
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

ATTO = 10**18
BUCKETS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")
OUTPUT = 4
PROVIDERS = ("aws", "azure", "gcp")


@dataclass(frozen=True)
class Account:
    """A billing account and its sub accounts by business unit: (id, name)."""

    billing: str
    name: str
    sub_accounts: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Band:
    """One price band of an offer. Prices: atto dollars per token by bucket, None where the bucket isn't offered."""

    name: str
    list_prices: tuple[int | None, ...]
    prices: tuple[int | None, ...]  # after the contract's discount
    meters: tuple[str, ...]
    thinking_meter: str


@dataclass(frozen=True)
class Offer:
    """A model as one provider sells it: one place, one routing, one tier."""

    id: str
    provider: str
    model: str
    request_model: str
    product: str
    region: str
    routing: str
    tier: str
    unit: str
    tokens_per_unit: int
    marketplace: bool
    metered: bool
    pool: str
    unsaid: tuple[str, ...]  # fields that telemetry leaves out
    discount: int
    long_from: int | None
    bands: tuple[Band, ...]

    def has(self, bucket: int) -> bool:
        return self.bands[0].list_prices[bucket] is not None

    def band_of(self, context_tokens: int) -> Band:
        if self.long_from is not None and context_tokens >= self.long_from:
            return self.bands[1]
        return self.bands[0]


@dataclass(frozen=True)
class Kind:
    """Shape of a request, in percent of the size table."""

    context: int
    output: int
    hit: int
    cached: int
    write5: int
    write1h: int
    reasoning: int
    night: bool = False


@dataclass(frozen=True)
class Use:
    """A project's use of an offer; a tagged `resource` (profile, account, label) proves the owner on the bill."""

    offer: Offer
    share: int
    kind: Kind
    resource: str


@dataclass(frozen=True)
class Project:
    slug: str
    team: str
    unit: str
    weight: int
    unowned: bool
    calls: int  # that a line of telemetry stands for, on average; 1: a line a request
    trend: int  # percent that they grow by in 30 days
    uses: tuple[Use, ...]


@dataclass(frozen=True)
class Size:
    """One band of context length and the quantiles of what was generated in it."""

    context_from: int
    context_to: int
    generated: tuple[int, ...]


@dataclass(frozen=True)
class Company:
    accounts: dict[str, Account]
    units: tuple[tuple[str, str], ...]  # slug, name
    teams: tuple[tuple[str, str, str], ...]  # slug, name, unit
    projects: tuple[Project, ...]
    offers: dict[str, Offer]
    sizes: tuple[Size, ...]


def _read(name: str) -> str:
    return files(__package__).joinpath("data", name).read_text(encoding="utf-8")


def columns(name: str) -> list[dict[str, str]]:
    """A column list of `data/`: rows with `name` and, where known, `type`."""
    return list(csv.DictReader(_read(name).splitlines()))


@cache
def company() -> Company:
    """The one company; equal on every machine."""
    raw = tomllib.loads(_read("company.toml"))
    offers = {entry["id"]: _offer(entry) for entry in tomllib.loads(_read("offers.toml"))["offers"]}
    kinds = {name: Kind(**entry) for name, entry in raw["kinds"].items()}
    unit_of = {team["slug"]: team["unit"] for team in raw["teams"]}
    return Company(
        accounts={name: _account(entry) for name, entry in raw["accounts"].items()},
        units=tuple((unit["slug"], unit["name"]) for unit in raw["units"]),
        teams=tuple((team["slug"], team["name"], team["unit"]) for team in raw["teams"]),
        projects=tuple(_project(entry, unit_of, offers, kinds) for entry in raw["projects"]),
        offers=offers,
        sizes=tuple(_size(row) for row in columns("request_sizes.csv")),
    )


def _account(entry: dict[str, Any]) -> Account:
    units = {unit: (ids[0], ids[1]) for unit, ids in entry.items() if isinstance(ids, list)}
    return Account(entry["billing"], entry["name"], units)


def _offer(entry: dict[str, Any]) -> Offer:
    discount = entry.get("discount", 0)
    thinking = entry.get("thinking_meters", ["", ""])
    bands = [_band("base", entry["prices"], entry["meters"], thinking[0], discount)]
    if "long_from" in entry:
        bands.append(_band("long", entry["long_prices"], entry["long_meters"], thinking[1], discount))
    return Offer(
        id=entry["id"],
        provider=entry["provider"],
        model=entry["model"],
        request_model=entry["request_model"],
        product=entry["product"],
        region=entry["region"],
        routing=entry["routing"],
        tier=entry["tier"],
        unit=entry["unit"],
        tokens_per_unit=entry["tokens_per_unit"],
        marketplace=entry.get("marketplace", False),
        metered=entry.get("metered", True),
        pool=entry.get("pool", ""),
        unsaid=tuple(entry.get("unsaid", ())),
        discount=discount,
        long_from=entry.get("long_from"),
        bands=tuple(bands),
    )


def _band(name: str, prices: list[str], meters: list[str], thinking: str, discount: int) -> Band:
    listed = tuple(atto_per_token(price) if price else None for price in prices)
    net = tuple(None if price is None else price * (100 - discount) // 100 for price in listed)
    return Band(name, listed, net, tuple(meters), thinking)


def atto_per_token(usd_per_mtok: str) -> int:
    """1e-18 dollars per token from dollars per million tokens; refuses a price that isn't whole."""
    scaled = Decimal(usd_per_mtok) * ATTO / 1_000_000
    if scaled != scaled.to_integral_value():
        raise ValueError(f"price {usd_per_mtok} is finer than 1e-18 dollars a token")
    return int(scaled)


def _project(
    entry: dict[str, Any], unit_of: dict[str, str], offers: dict[str, Offer], kinds: dict[str, Kind]
) -> Project:
    uses = tuple(Use(offers[offer], share, kinds[kind], resource) for offer, share, kind, resource in entry["uses"])
    return Project(
        entry["slug"],
        entry["team"],
        unit_of[entry["team"]],
        entry["weight"],
        entry.get("unowned", False),
        entry.get("calls", 1),
        entry.get("trend", 0),
        uses,
    )


def _size(row: dict[str, str]) -> Size:
    generated = tuple(int(row[f"generated_q{step}"]) for step in range(9))
    return Size(int(row["context_from"]), int(row["context_to"]), generated)
