"""Why a cost changed: its difference split into volume, price, mix, new and gone, exactly. Pure.

What belongs here: the arithmetic of the split, on cells of one currency. What does not: which cells there are (the
selectors know), how an expected cost comes about (`anomalies`).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from attribution.allocation import NothingToSplitBy, split_exactly
from attribution.money import EXACT, exact_sum, from_units, to_units

Key = TypeVar("Key", bound=Hashable)
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Cell:
    """What one thing cost, and the tokens that it was paid for; None where nothing counted them.

    tokens may be a fraction of one: an expected day has no whole number of them.
    """

    cost: Decimal
    tokens: int | Fraction | None


@dataclass(frozen=True)
class Drivers:
    """The parts of a difference in cost, in its currency. They sum to it to the last digit.

    volume: more or fewer tokens, at the old prices and in the old mixture.
    price: each cell's own new price per token against its old one, on the new tokens.
    mix: the tokens moved between cells that cost differently.
    new, gone: cells that only one side has.
    unmetered: cells that both sides have and whose tokens nobody counted, so that they have no price per token.
    """

    volume: Decimal = _ZERO
    price: Decimal = _ZERO
    mix: Decimal = _ZERO
    new: Decimal = _ZERO
    gone: Decimal = _ZERO
    unmetered: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        return exact_sum(self.parts().values())

    def parts(self) -> dict[str, Decimal]:
        """By name, in the order in which people read them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def largest(self) -> str:
        """The name of the part that moves the cost most; the earlier of two that are alike."""
        parts = self.parts()
        return max(parts, key=lambda name: parts[name].copy_abs())

    def __add__(self, other: "Drivers") -> "Drivers":
        mine, theirs = self.parts(), other.parts()
        return Drivers(**{name: EXACT.add(mine[name], theirs[name]) for name in mine})


DRIVERS = tuple(each.name for each in fields(Drivers))


def split(before: Mapping[Key, Cell], after: Mapping[Key, Cell]) -> dict[Key, Drivers]:
    """Each cell's parts of the difference after - before; over all cells they sum to the whole's split.

    With g the growth of the tokens that both sides counted, c and q a cell's cost and tokens before (0) and after (1):
    volume = c0 (g - 1), price = c1 - c0 q1 / q0, mix = the rest, c0 (q1 / q0 - g). A price per token is no decimal, so
    volume and price are rounded once, half-even, at 18 decimals; mix carries that rounding, and the sum is exact.
    """
    growth = _growth(before, after)
    keys = dict.fromkeys((*before, *after))
    return {key: _split_cell(before.get(key), after.get(key), growth) for key in keys}


def split_total(before: Mapping[Key, Cell], after: Mapping[Key, Cell]) -> Drivers:
    """The whole's split."""
    return sum(split(before, after).values(), Drivers())


def merged(cells: Iterable[tuple[Key, Cell]]) -> dict[Key, Cell]:
    """One cell a key: costs add, tokens add; a cell whose tokens are unknown anywhere has none."""
    found: dict[Key, Cell] = {}
    for key, cell in cells:
        one = found.get(key)
        found[key] = cell if one is None else Cell(EXACT.add(one.cost, cell.cost), _plus(one.tokens, cell.tokens))
    return found


def expected_cells(usual: Mapping[Key, Cell], expected: Decimal) -> dict[Key, Cell]:
    """The usual cells at the usual prices and in the usual mixture, with as many tokens as `expected` pays for.

    Their costs sum to `expected` exactly. Without usual cells there is nothing to expect anything of: {}.
    """
    keys = sorted((key for key, cell in usual.items() if cell.cost > 0), key=repr)
    try:
        costs = split_exactly(expected, [to_units(usual[key].cost) for key in keys])
    except NothingToSplitBy:
        return {}
    return {key: Cell(cost, _scaled(usual[key], cost)) for key, cost in zip(keys, costs, strict=True)}


def _scaled(usual: Cell, cost: Decimal) -> Fraction | None:
    if usual.tokens is None:
        return None
    return Fraction(usual.tokens) * Fraction(cost) / Fraction(usual.cost)


def _plus(one: int | Fraction | None, other: int | Fraction | None) -> int | Fraction | None:
    return None if one is None or other is None else one + other


def _growth(before: Mapping[Key, Cell], after: Mapping[Key, Cell]) -> Fraction:
    """Tokens after / before, over the cells that both sides counted; 1 where there is none."""
    both = [(before[key], after[key]) for key in before if key in after and _counted(before[key], after[key])]
    old = sum((Fraction(one.tokens or 0) for one, _ in both), Fraction(0))
    new = sum((Fraction(other.tokens or 0) for _, other in both), Fraction(0))
    return new / old if old else Fraction(1)


def _counted(before: Cell, after: Cell) -> bool:
    return bool(before.tokens) and bool(after.tokens)


def _split_cell(before: Cell | None, after: Cell | None, growth: Fraction) -> Drivers:
    if before is None or after is None:
        return Drivers(
            new=after.cost if after is not None else _ZERO,
            gone=EXACT.minus(before.cost) if before is not None else _ZERO,
        )
    difference = EXACT.subtract(after.cost, before.cost)
    if not _counted(before, after):
        return Drivers(unmetered=difference)
    at_old_price = Fraction(before.cost) * Fraction(after.tokens or 0) / Fraction(before.tokens or 1)
    volume = _rounded(Fraction(before.cost) * (growth - 1))
    price = EXACT.subtract(after.cost, _rounded(at_old_price))
    return Drivers(volume, price, EXACT.subtract(difference, EXACT.add(volume, price)))


def _rounded(amount: Fraction) -> Decimal:
    """Half-even at 18 decimals."""
    return from_units(round(amount * 10**18))


def ranked(parts: Mapping[Key, Drivers], driver: str) -> Sequence[tuple[Key, Drivers]]:
    """The cells by how much they move one driver, the largest first whatever its sign."""
    return sorted(parts.items(), key=lambda item: (-getattr(item[1], driver).copy_abs(), repr(item[0])))
