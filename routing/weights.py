"""From wanted shares to weights in parts per million: exact sums, floors, bounded steps. Pure.

Every function gives weights that sum to PPM, whatever it is given; ties fall by name, so the same input gives the same
weights everywhere.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from routing.desired import PPM

Share = int | Decimal | Fraction


class NoShare(ValueError):
    """Nothing has a share: all are zero, or none is given. To refuse requests use a block."""


def to_ppm(shares: Mapping[str, Share]) -> dict[str, int]:
    """Weights in proportion to `shares` (>= 0, any scale), by largest remainder; zeros stay zero.

    Raises NoShare when all are zero, ValueError for a negative one.
    """
    exact = {name: Fraction(share) for name, share in shares.items()}
    negative = sorted(name for name, share in exact.items() if share < 0)
    if negative:
        raise ValueError(f"the share of {negative[0]} is {shares[negative[0]]}: a share is 0 or more")
    total = sum(exact.values())
    if not total:
        raise NoShare("no target has a share")
    return _rounded({name: share * PPM / total for name, share in exact.items()})


def with_floor(weights: Mapping[str, int], floor_ppm: int, healthy: Iterable[str]) -> dict[str, int]:
    """At least `floor_ppm` for each healthy target, taken from the others in proportion to what they have above it.

    Keeps a target warm and measured. A floor that does not fit (targets x floor > PPM) is lowered to an equal share.
    """
    alive = sorted(set(healthy) & weights.keys())
    if not alive or floor_ppm <= 0:
        return dict(weights)
    floor = min(floor_ppm, PPM // len(alive))
    lifted = {name: max(weight, floor) if name in alive else weight for name, weight in weights.items()}
    excess = sum(lifted.values()) - PPM
    above = {name: weight - (floor if name in alive else 0) for name, weight in lifted.items()}
    room = sum(above.values())
    if not excess or not room:
        return lifted
    return _rounded({name: lifted[name] - Fraction(excess * above[name], room) for name in lifted})


def step_towards(current: Mapping[str, int], wanted: Mapping[str, int], max_step_ppm: int) -> dict[str, int]:
    """As far from `current` to `wanted` as no target's weight moves by more than `max_step_ppm`.

    The whole move is shortened by one factor, so that the way is straight. Both sum to PPM.
    """
    names = current.keys() | wanted.keys()
    moves = {name: wanted.get(name, 0) - current.get(name, 0) for name in names}
    farthest = max((abs(move) for move in moves.values()), default=0)
    if farthest <= max_step_ppm:
        return dict(wanted)
    part = Fraction(max(max_step_ppm, 0), farthest)
    stepped = _rounded({name: current.get(name, 0) + moves[name] * part for name in names})
    return {name: weight for name, weight in stepped.items() if weight or name in wanted}


def largest_step(current: Mapping[str, int], wanted: Mapping[str, int]) -> int:
    """By how many parts per million the weight that moves most moves."""
    return max((abs(wanted.get(n, 0) - current.get(n, 0)) for n in current.keys() | wanted.keys()), default=0)


def raise_before_lower(current: Mapping[str, int], wanted: Mapping[str, int]) -> list[tuple[str, int]]:
    """The order of single calls, where weights are not set as one: what receives more first, so none is without."""
    names = sorted(current.keys() | wanted.keys())
    changed = [(name, wanted.get(name, 0)) for name in names if wanted.get(name, 0) != current.get(name, 0)]
    return sorted(changed, key=lambda each: (each[1] < current.get(each[0], 0), each[0]))


def _rounded(exact: Mapping[str, Fraction]) -> dict[str, int]:
    """Whole parts that sum to PPM: the largest remainders get the units that are left over."""
    floors = {name: int(share) for name, share in exact.items()}
    left = PPM - sum(floors.values())
    order = sorted(exact, key=lambda name: (floors[name] - exact[name], name))
    for name in order[:left]:
        floors[name] += 1
    return floors
