"""Split an amount exactly. Pure. The SQL models do the same arithmetic; this is its definition and its oracle.

What belongs here: the telescoping split (inside the lake, 18 decimals) and largest remainder (where people see the unit).
What does not: who the owners are (`ownership`), what the weights mean (`capacity`, the SQL models).
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from attribution.vocabulary import Method, Reason

SCALE = 18
_EXACT = Context(prec=76, rounding=ROUND_HALF_EVEN)


class NothingToSplitBy(ValueError):
    """Every weight is zero, or there is none."""


def split_units(units: int, weights: Sequence[int]) -> list[int]:
    """Split an integer by integer weights >= 0; parts sum to `units`, each within one unit of its exact share.

    Telescoping: part = f(S) - f(S - t), S the running sum of weights, f(x) = floor(|units| * x / W); a negative amount is split by
    its absolute value and negated. The order of `weights` decides where the odd units fall, so callers order owners by key.
    Raises NothingToSplitBy if the weights sum to zero.
    Source: facts measured in DECISIONS.md#exact-split.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError(f"weights must be >= 0, got {min(weights)}")
    total = sum(weights)
    if total == 0:
        raise NothingToSplitBy(f"{len(weights)} weights, all zero")
    sign, magnitude = (-1, -units) if units < 0 else (1, units)
    parts, running, before = [], 0, 0
    for weight in weights:
        running += weight
        upto = magnitude * running // total
        parts.append(sign * (upto - before))
        before = upto
    return parts


def split_exactly(amount: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """Split money of at most 18 decimals by integer weights; the parts sum exactly to `amount`. See `split_units`."""
    return [_EXACT.scaleb(Decimal(part), -SCALE) for part in split_units(to_units(amount), weights)]


def to_units(amount: Decimal) -> int:
    """The amount in units of 1e-18; raises ValueError if it has more decimals than that."""
    scaled = _EXACT.scaleb(amount, SCALE)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} has more than {SCALE} decimals; round it once, at the import")
    return int(scaled)


def split_by_largest_remainder(amount: Decimal, weights: Sequence[int], *, unit: Decimal = Decimal("0.01")) -> list[Decimal]:
    """Split a multiple of `unit` where people see that unit; ties go to the earlier weight. Parts sum to `amount`.

    Raises NothingToSplitBy if the weights sum to zero, ValueError if `amount` isn't a multiple of `unit`.
    """
    with localcontext(_EXACT):
        count = amount / unit
        if count != count.to_integral_value():
            raise ValueError(f"{amount} is not a multiple of {unit}")
        magnitude, total = abs(int(count)), sum(weights)
        if total <= 0 or any(weight < 0 for weight in weights):
            raise NothingToSplitBy(f"weights {list(weights)[:5]} sum to {total}")
        floors = [magnitude * weight // total for weight in weights]
        remainders = [magnitude * weight % total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
        for i in by_remainder[: magnitude - sum(floors)]:
            floors[i] += 1
        return [(-part if count < 0 else part) * unit for part in floors]


def take_off(weights: Sequence[int], proven: int) -> list[int]:
    """What is left of a team's weights after `proven` units that the bill already gave it; never below zero.

    Exact: the sum taken off is min(proven, sum(weights)).
    """
    total = sum(weights)
    if total == 0 or proven <= 0:
        return list(weights)
    return [weight - part for weight, part in zip(weights, split_units(min(proven, total), weights), strict=True)]


def judge_volume(billed: int | None, metered: int, *, tolerance_ppm: int) -> tuple[Method, int]:
    """How a pool of billed tokens meets the telemetry that is left for it: the owners' method, and the tokens that nobody metered.

    billed: tokens on the bill (None: the bill says no quantity); metered: telemetry's tokens, > 0; tolerance: parts per million of
    the billed tokens. Returns (TOKEN_SHARE, 0) inside the tolerance, (TOKEN_SHARE, billed - metered) where the bill is above it,
    (OVER_METERED, 0) where telemetry is.
    """
    if billed is None or abs(billed - metered) * 1_000_000 <= tolerance_ppm * max(billed, 0):
        return Method.TOKEN_SHARE, 0
    if billed > metered:
        return Method.TOKEN_SHARE, billed - metered
    return Method.OVER_METERED, 0


UNMETERED = (Method.UNATTRIBUTED, Reason.UNMETERED)
