"""Meters: what a bill line's service, meter and unit say about inference. Rules are data (meters.toml); never a guess.

A line that looks like inference and isn't understood stays inference with `understood` False, so that its money is seen
as unattributed instead of disappearing. Called on distinct meters only.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any

import pyarrow as pa

from attribution.lake.schemas import RECOGNIZED
from attribution.recognition.models import normalize_model
from attribution.vocabulary import ChargeScope, TokenType


@dataclass(frozen=True)
class Meter:
    """The columns of a charge that recognition reads; None where the bill has nothing."""

    provider: str | None
    service_name: str | None = None
    service_code: str | None = None
    operation: str | None = None
    sku_meter: str | None = None
    description: str | None = None
    pricing_unit: str | None = None
    charge_category: str | None = None
    billing_entity: str | None = None
    resource_type: str | None = None
    native_type: str | None = None


@dataclass(frozen=True)
class Recognition:
    """What a meter means; the fields of lake.schemas.RECOGNIZED."""

    sku_key: str
    charge_scope: str
    understood: bool
    model: str | None = None
    publisher: str | None = None
    token_type: str | None = None
    tier: str | None = None
    context_band: str | None = None
    routing: str | None = None
    hardware: str | None = None
    tokens_per_unit: Decimal | None = None


_Pattern = re.Pattern[str]
_Words = tuple[tuple[_Pattern, str | None], ...]
_Sizes = tuple[tuple[_Pattern, Decimal], ...]


@dataclass(frozen=True)
class _Prefix:
    where: _Pattern
    prefix: str
    version: _Pattern


@dataclass(frozen=True)
class _Bare:
    words: _Pattern
    splits: tuple[tuple[_Pattern, str], ...]
    prefixes: tuple[_Prefix, ...]


@dataclass(frozen=True)
class _Rule:
    name: str
    providers: frozenset[str]
    where: tuple[tuple[str, _Pattern], ...]
    unless: tuple[tuple[str, _Pattern], ...]
    scope: ChargeScope
    kind: str
    models: tuple[tuple[str, _Pattern], ...]
    hardware: tuple[str, _Pattern] | None
    words: str
    routing: str | None
    units: Decimal | None


@dataclass(frozen=True)
class _Rules:
    rules: tuple[_Rule, ...]
    token_types: _Words
    tiers: _Words
    routings: _Words
    bands: _Words
    units: _Sizes
    described: _Sizes
    bare: _Bare


def sku_key(meter: Meter) -> str:
    """A stable name of the meter: equal columns give equal keys, on every machine."""
    text = "\x1f".join("\x1e" if value is None else value for value in astuple(meter))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def recognize(meter: Meter) -> Recognition:
    """What `meter` means. A line of no known service is `other`; nothing is assumed of a word that no rule knows."""
    read = _Reading(meter)
    rule = _rule_for(read)
    if rule is None:
        return Recognition(sku_key(meter), ChargeScope.OTHER, understood=True)
    found = _apply(rule, read)
    if meter.charge_category in _NOT_USED and not found.understood:
        # Tax and fees on a service say whose scope they are in, and nothing about tokens: that is all there is to know.
        return replace(found, understood=True)
    if meter.charge_category == "Tax":
        return replace(found, token_type=None, tokens_per_unit=None)
    return found


def rule_name(meter: Meter) -> str | None:
    """The rule of meters.toml that decides about `meter`; None if none does."""
    rule = _rule_for(_Reading(meter))
    return rule.name if rule else None


def rule_names() -> list[str]:
    """All rules, in the order in which they are asked."""
    return [rule.name for rule in _rules().rules]


def recognize_table(distinct: pa.Table) -> pa.Table:
    """`recognize` for each row, in order.

    distinct: rows with the fields of Meter (a missing one is unknown; others are ignored). Returns RECOGNIZED.
    """
    names = [field.name for field in fields(Meter)]
    columns = [
        distinct.column(name).to_pylist() if name in distinct.column_names else [None] * distinct.num_rows
        for name in names
    ]
    found = [recognize(Meter(*values)) for values in zip(*columns, strict=True)]
    return pa.table(
        {field.name: pa.array([getattr(row, field.name) for row in found], field.type) for field in RECOGNIZED},
        schema=RECOGNIZED,
    )


# Categories whose lines carry no usage, so that an unread meter hides nothing.
_NOT_USED = frozenset({"Tax", "Credit", "Adjustment", "Purchase"})
# InputTokenCount -> Input Token Count, Write1hInput -> Write 1h Input; 1M, 120B and 16E stay whole.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=\d)(?=[A-Z][a-z])|(?<=[a-z])(?=\d+h\b|\d+h[A-Z])")
_NOT_A_WORD = re.compile(r"[^a-z0-9.]+")


# Longer texts are no names; patterns are not tried on more than this.
_LONGEST = 500


class _Reading:
    """A meter with the fields that rules make of it, each made once."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        named = (meter.sku_meter or meter.description or "")[:_LONGEST]
        self._fields: dict[str, str] = {
            "service": "\n".join(part[:_LONGEST] for part in (meter.service_name, meter.service_code) if part),
            "meter": named,
        }
        self.words = _words(named)

    def field(self, name: str) -> str:
        if name == "bare" and name not in self._fields:
            self._fields[name] = self._bare()
        if name in self._fields:
            return self._fields[name]
        value: str | None = getattr(self.meter, name)
        return (value or "")[:_LONGEST]

    def _bare(self) -> str:
        bare = _rules().bare
        text = self.words
        for pattern, into in bare.splits:
            text = pattern.sub(into, text)
        text = " ".join(bare.words.sub(" ", text).split())
        kind = " ".join(part for part in (self.meter.operation, self.meter.service_name) if part)
        for prefix in bare.prefixes:
            if prefix.where.search(kind) and prefix.version.search(text):
                return f"{prefix.prefix} {text}"
        return text


def _words(text: str) -> str:
    return " ".join(_NOT_A_WORD.sub(" ", _CAMEL.sub(" ", text).lower()).split())


def _rule_for(read: _Reading) -> _Rule | None:
    return next((rule for rule in _rules().rules if _fits(rule, read)), None)


def _fits(rule: _Rule, read: _Reading) -> bool:
    return (
        read.meter.provider in rule.providers
        and all(pattern.search(read.field(name)) for name, pattern in rule.where)
        and not any(pattern.search(read.field(name)) for name, pattern in rule.unless)
    )


def _apply(rule: _Rule, read: _Reading) -> Recognition:
    base = Recognition(sku_key(read.meter), rule.scope, understood=rule.kind != "unknown")
    if rule.kind == "tokens":
        return _tokens(rule, read, base)
    if rule.kind == "capacity":
        model, publisher = _model(rule, read)
        return replace(
            base,
            token_type=TokenType.CAPACITY,
            model=model,
            publisher=publisher,
            routing=_first(_rules().routings, read.words) or rule.routing,
            hardware=_hardware(rule, read),
        )
    if rule.kind == "other":
        model, publisher = _model(rule, read)
        return replace(base, token_type=TokenType.OTHER, model=model, publisher=publisher)
    return base


def _tokens(rule: _Rule, read: _Reading, base: Recognition) -> Recognition:
    rules = _rules()
    model, publisher = _model(rule, read)
    words = _words(read.field(rule.words))
    token_type = _first(rules.token_types, words)
    size = _tokens_per_unit(rule, read.meter)
    return replace(
        base,
        understood=model is not None and token_type is not None and size is not None,
        model=model,
        publisher=publisher,
        token_type=token_type,
        tier=_first(rules.tiers, words),
        context_band=_first(rules.bands, words),
        routing=_first(rules.routings, words) or rule.routing,
        tokens_per_unit=size,
    )


def _model(rule: _Rule, read: _Reading) -> tuple[str | None, str | None]:
    for name, pattern in rule.models:
        match = pattern.search(read.field(name))
        if match is None:
            continue
        found = normalize_model(match["model"].replace("_", " "), read.meter.provider)
        if found is not None:
            return found.slug, found.publisher
    return None, None


def _hardware(rule: _Rule, read: _Reading) -> str | None:
    if rule.hardware is None:
        return None
    name, pattern = rule.hardware
    match = pattern.search(read.field(name))
    return match["hardware"] if match else None


def _tokens_per_unit(rule: _Rule, meter: Meter) -> Decimal | None:
    unit = meter.pricing_unit or ""
    size = _size(_rules().units, unit)
    if size is not None or unit.casefold() not in ("unit", "units"):
        return size
    described = _size(_rules().described, meter.description or "")
    return described if described is not None else rule.units


def _first(words: _Words, text: str) -> str | None:
    return next((value for pattern, value in words if pattern.search(text)), None)


def _size(sizes: _Sizes, text: str) -> Decimal | None:
    return next((tokens for pattern, tokens in sizes if pattern.search(text)), None)


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    raw = tomllib.loads(files(__package__).joinpath("meters.toml").read_text(encoding="utf-8"))
    return _Rules(
        rules=tuple(_rule(entry) for entry in raw["rule"]),
        token_types=_word_table(raw["token_type"]),
        tiers=_word_table(raw["tier"]),
        routings=_word_table(raw["routing"]),
        bands=_word_table(raw["context_band"]),
        units=_size_table(raw["unit"]),
        described=_size_table(raw["unit_in_description"]),
        bare=_Bare(
            words=re.compile(raw["bare"]["words"]),
            splits=tuple((re.compile(entry["match"]), entry["into"]) for entry in raw["bare"]["split"]),
            prefixes=tuple(
                _Prefix(_pattern(entry["where"]), entry["prefix"], re.compile(entry["version"]))
                for entry in raw["bare"]["prefix"]
            ),
        ),
    )


def _rule(entry: Mapping[str, Any]) -> _Rule:
    hardware = entry.get("hardware")
    units = entry.get("units")
    return _Rule(
        name=entry["name"],
        providers=frozenset(entry["provider"]),
        where=tuple((name, _pattern(text)) for name, text in entry["where"].items()),
        unless=tuple((name, _pattern(text)) for name, text in entry.get("unless", {}).items()),
        scope=ChargeScope(entry["scope"]),
        kind=entry.get("kind", ""),
        models=tuple((name, _pattern(text)) for name, text in entry.get("model", ())),
        hardware=(hardware[0], _pattern(hardware[1])) if hardware else None,
        words=entry.get("words", "meter"),
        routing=entry.get("routing"),
        units=Decimal(units) if units else None,
    )


def _word_table(entries: list[dict[str, str]]) -> _Words:
    return tuple((re.compile(entry["match"]), entry["value"] or None) for entry in entries)


def _size_table(entries: list[dict[str, Any]]) -> _Sizes:
    return tuple((_pattern(entry["match"]), Decimal(entry["tokens"])) for entry in entries)


def _pattern(text: str) -> _Pattern:
    return re.compile(text, re.IGNORECASE)
