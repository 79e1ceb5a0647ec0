"""Compares attributed dollars with a known truth, cell by cell. Pure: the rows come from the caller.

Totals of a provider and billing period must be equal to the last digit. Below them an owner's share may differ by at
most `TOLERANCE`, since a ledger splits what is billed and a truth adds up what was used.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

TOLERANCE = Decimal("1e-9")
BASES = ("billed", "effective")
# Levels from coarse to fine: name -> (fields, whether equal to the last digit).
LEVELS: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "totals": (("provider", "billing_period"), True),
    "reasons": (("provider", "billing_period", "reason"), False),
    "owners": (("provider", "team", "model", "reason"), False),
    "cells": (("provider", "billing_period", "team", "project", "model", "token_type", "reason"), False),
}

Row = Mapping[str, object]


@dataclass(frozen=True)
class Departure:
    """A cell where ledger and truth differ; dollars."""

    level: str
    cell: tuple[tuple[str, str], ...]
    basis: str
    truth: Decimal
    ledger: Decimal

    @property
    def difference(self) -> Decimal:
        return self.ledger - self.truth


@dataclass(frozen=True)
class Comparison:
    """How many cells were compared at each level, and where the two departed, the largest difference first."""

    compared: Mapping[str, int]
    departures: tuple[Departure, ...]

    @property
    def is_equal(self) -> bool:
        return not self.departures


def compare(truth: Iterable[Row], ledger: Iterable[Row]) -> Comparison:
    """truth, ledger: rows with the fields of LEVELS as text ('' = none), `billed_cost` and `effective_cost` as Decimal.

    A cost that is None is unknown and adds nothing: it shows as a departure.
    """
    truth, ledger = list(truth), list(ledger)
    compared, departures = {}, []
    for level, (fields, exact) in LEVELS.items():
        known, found = _sums(truth, fields), _sums(ledger, fields)
        places = sorted({*known, *found})
        compared[level] = len(places)
        for place in places:
            for number, basis in enumerate(BASES):
                departure = Departure(
                    level, tuple(zip(fields, place, strict=True)), basis, known[place][number], found[place][number]
                )
                limit = Decimal(0) if exact else TOLERANCE
                if abs(departure.difference) > limit:
                    departures.append(departure)
    order = {level: place for place, level in enumerate(LEVELS)}
    departures.sort(key=lambda item: (order[item.level], -abs(item.difference), item.cell))
    return Comparison(compared, tuple(departures))


def _sums(rows: Iterable[Row], fields: tuple[str, ...]) -> dict[tuple[str, ...], list[Decimal]]:
    sums: dict[tuple[str, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        sum_of = sums[tuple(str(row[field]) for field in fields)]
        for number, basis in enumerate(BASES):
            amount = row[f"{basis}_cost"]
            if isinstance(amount, Decimal):
                sum_of[number] += amount
    return sums
