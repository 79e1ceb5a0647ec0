"""Money as a value: an exact decimal with its currency, and the one way a text or a double becomes a decimal.

Here: amounts, rounding at the lake's scale, sums. Not here: splitting (`allocation`), exchange rates, formatting for
people. Pure. Python's default decimal context rounds to 28 digits in silence, DECIMAL(38,18) has 38: every operation
here runs in `EXACT`, where a rounding is an error (so `copy_abs`, where `abs` would round).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import (
    ROUND_HALF_EVEN,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
    Underflow,
)
from typing import Self

SCALE = 18
# DECIMAL(38,18): 20 digits before the point.
LIMIT = Decimal(10) ** 20
_UNIT = Decimal(1).scaleb(-SCALE)
_LONGEST_LITERAL = 200
_LITERAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")

# Wide enough for the product of two DECIMAL(38,18); whatever would lose a digit raises.
EXACT = Context(
    prec=80,
    rounding=ROUND_HALF_EVEN,
    traps=[Clamped, DivisionByZero, Inexact, InvalidOperation, Overflow, Subnormal, Underflow],
)
# Wide enough for any accepted literal: 200 digits, exponents of four.
_ROUNDING = Context(prec=12_000, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])


class NotAnAmount(ValueError):
    """The text is no decimal number that DECIMAL(38,18) can hold. The message says the value and why."""


class CurrencyMismatch(ValueError):
    """Two currencies were added or compared; that needs a dated rate."""


def parse_exact(text: str) -> tuple[Decimal, Decimal]:
    """(value, residue) of a decimal literal: the value half-even at 18 places, and what the rounding left off.

    value + residue is exactly the literal. Plain ASCII digits, an optional point and exponent; no blanks or
    separators. Raises NotAnAmount for anything else, for NaN and infinities, beyond 20 digits before the point.
    """
    if len(text) > _LONGEST_LITERAL or not _LITERAL.fullmatch(text):
        raise NotAnAmount(f"{text[:60]!r} is not a plain decimal number")
    raw = Decimal(text)
    if raw and raw.adjusted() >= 20:
        raise NotAnAmount(f"{text[:60]!r} does not fit DECIMAL(38,18): more than 20 digits before the point")
    value = raw.quantize(_UNIT, context=_ROUNDING)
    if value.copy_abs() >= LIMIT:
        raise NotAnAmount(f"{text[:60]!r} does not fit DECIMAL(38,18): it rounds to more than 20 digits")
    # 0 - 0 and -0 are 0: a sign on nothing would make equal amounts different texts.
    return _plain_zero(value), _plain_zero(_ROUNDING.subtract(raw, value))


def parse_double(number: float) -> tuple[Decimal, Decimal]:
    """`parse_exact` of a double's shortest round-trip text: 12345.678901 is that, not ...8900999999193088.

    Raises NotAnAmount for NaN and infinities.
    """
    return parse_exact(repr(float(number)))


def to_units(amount: Decimal) -> int:
    """The amount as an integer count of 10^-18. Raises NotAnAmount when it is not a whole number of them."""
    scaled = EXACT.scaleb(_checked(amount), SCALE)
    return int(scaled)


def from_units(units: int) -> Decimal:
    """The inverse of `to_units`."""
    return _checked(EXACT.scaleb(Decimal(units), -SCALE))


def rounded(amount: Decimal, places: int) -> Decimal:
    """Half-even at `places` decimals: only at a named boundary, where people see the unit."""
    return _plain_zero(amount.quantize(Decimal(1).scaleb(-places), context=_ROUNDING))


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, to the last digit; 0 of nothing."""
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


@dataclass(frozen=True)
class Money:
    """An exact amount in one currency; at most 20 digits before the point and 18 behind.

    The constructor takes a Decimal only: a float has lost the digits before it arrives. Amounts of one currency add and
    compare; two currencies raise CurrencyMismatch. Equal amounts are equal, however many zeros they were written with.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"money is made of a Decimal, not of {type(self.amount).__name__} {self.amount!r}")
        _checked(self.amount)
        if not self.currency or self.currency != self.currency.strip().upper():
            raise ValueError(f"currency {self.currency!r} is not an upper-case code")

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(Decimal(0), currency)

    @classmethod
    def total(cls, amounts: Iterable[Self], currency: str) -> Self:
        """The sum of amounts that must all be in `currency`; zero of nothing."""
        total = cls.zero(currency)
        for amount in amounts:
            total = total + amount
        return total

    def __add__(self, other: Self) -> Self:
        return self._with(EXACT.add(self.amount, self._amount_of(other)))

    def __sub__(self, other: Self) -> Self:
        return self._with(EXACT.subtract(self.amount, self._amount_of(other)))

    def __neg__(self) -> Self:
        return self._with(EXACT.minus(self.amount))

    def __mul__(self, count: int) -> Self:
        """A whole multiple; a rate times a quantity is rounded where it is made, not here."""
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"money is multiplied by a whole number, not by {count!r}")
        return self._with(EXACT.multiply(self.amount, Decimal(count)))

    def __lt__(self, other: Self) -> bool:
        return self.amount < self._amount_of(other)

    def __le__(self, other: Self) -> bool:
        return self.amount <= self._amount_of(other)

    def __gt__(self, other: Self) -> bool:
        return self.amount > self._amount_of(other)

    def __ge__(self, other: Self) -> bool:
        return self.amount >= self._amount_of(other)

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def rounded(self, places: int = 2) -> Self:
        """Half-even at `places` decimals, at the boundary where people see the unit."""
        return self._with(rounded(self.amount, places))

    def _with(self, amount: Decimal) -> Self:
        return type(self)(_plain_zero(amount), self.currency)

    def _amount_of(self, other: Self) -> Decimal:
        if not isinstance(other, Money):
            raise TypeError(f"{self} and {other!r}: only money adds to and compares with money")
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other}: convert one of them with a dated rate first")
        return other.amount


def _checked(amount: Decimal) -> Decimal:
    if not amount.is_finite():
        raise NotAnAmount(f"{amount} is not an amount")
    if amount.copy_abs() >= LIMIT:
        raise NotAnAmount(f"{amount} does not fit DECIMAL(38,18): more than 20 digits before the point")
    if amount and amount.quantize(_UNIT, context=_ROUNDING) != amount:
        raise NotAnAmount(f"{amount} has more than {SCALE} decimals; round it once, where it is read")
    return amount


def _plain_zero(amount: Decimal) -> Decimal:
    return amount if amount else amount.copy_abs()
