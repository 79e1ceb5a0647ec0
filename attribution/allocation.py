"""Split an amount exactly. Pure. The SQL models do the same arithmetic; this is its definition and its oracle.

What belongs here: the telescoping split (inside the lake, 18 decimals) and largest remainder (where people see the
unit). What does not: who the owners are (`ownership`), what the weights mean (`capacity`, the SQL models).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from attribution.money import from_units, to_units
from attribution.vocabulary import Method, Reason


class NothingToSplitBy(ValueError):
    """Every weight is zero, or there is none."""


def split_units(units: int, weights: Sequence[int]) -> list[int]:
    """Split an integer by integer weights >= 0; parts sum to `units`, each within one unit of its exact share.

    Telescoping: part = f(S) - f(S - t), S the running sum of weights, f(x) = floor(|units| * x / W); a negative amount
    is split by its absolute value and negated. The order of `weights` decides where the odd units fall, so callers
    order owners by key. Raises NothingToSplitBy if the weights sum to zero.
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
    return [from_units(part) for part in split_units(to_units(amount), weights)]


def split_by_largest_remainder(
    amount: Decimal, weights: Sequence[int], *, unit: Decimal = Decimal("0.01")
) -> list[Decimal]:
    """Split a multiple of `unit` where people see that unit; ties go to the earlier weight. Parts sum to `amount`.

    Raises NothingToSplitBy if the weights sum to zero, ValueError if `amount` isn't a multiple of `unit`.
    """
    count, rest = divmod(to_units(amount), to_units(unit))
    if rest:
        raise ValueError(f"{amount} is not a multiple of {unit}")
    magnitude, total = abs(count), sum(weights)
    if total <= 0 or any(weight < 0 for weight in weights):
        raise NothingToSplitBy(f"weights {list(weights)[:5]} sum to {total}")
    counts = [magnitude * weight // total for weight in weights]
    remainders = [magnitude * weight % total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: (-remainders[place], place))
    for place in by_remainder[: magnitude - sum(counts)]:
        counts[place] += 1
    return [from_units((-part if count < 0 else part) * to_units(unit)) for part in counts]


def take_off(weights: Sequence[int], proven: int) -> list[int]:
    """What is left of a team's weights after `proven` units that the bill already gave it; never below zero.

    Exact: the sum taken off is min(proven, sum(weights)).
    """
    total = sum(weights)
    if total == 0 or proven <= 0:
        return list(weights)
    return [weight - part for weight, part in zip(weights, split_units(min(proven, total), weights), strict=True)]


def judge_volume(billed: int | None, metered: int, *, tolerance_ppm: int) -> tuple[Method, int]:
    """How a pool of billed tokens meets the telemetry that is left for it: the owners' method, and the tokens that
    nobody metered.

    billed: tokens on the bill (None: the bill says no quantity); metered: telemetry's tokens, > 0; tolerance: parts per
    million of the billed tokens. Returns (TOKEN_SHARE, 0) inside the tolerance, (TOKEN_SHARE, billed - metered) where
    the bill is above it, (OVER_METERED, 0) where telemetry is.
    """
    if billed is None or abs(billed - metered) * 1_000_000 <= tolerance_ppm * max(billed, 0):
        return Method.TOKEN_SHARE, 0
    if billed > metered:
        return Method.TOKEN_SHARE, billed - metered
    return Method.OVER_METERED, 0


@dataclass(frozen=True)
class Metered:
    """Telemetry's tokens of one owner in one pool; not `owned`: used, but no rule names an owner."""

    team: str | None
    project: str | None
    environment: str | None
    api_key: str | None
    tokens: int
    owned: bool = True

    @property
    def key(self) -> str:
        """What owners are ordered by: their parts as one text, as the SQL makes it (`owner_key`)."""
        parts = (self.team, self.project, self.environment, self.api_key)
        return "\x1f".join("\x1e" if part is None else part for part in parts)


@dataclass(frozen=True)
class Share:
    """One weight of a pool: whose, by which method, and how much."""

    owner: Metered | None
    method: Method
    reason: Reason | None
    weight: int


def pool_shares(
    billed: int | None,
    metered: Sequence[Metered],
    proven: Mapping[tuple[str | None, str | None], int],
    *,
    tolerance_ppm: int,
) -> list[Share]:
    """How a pool of token-priced lines is shared: the definition that `sql/marts/token_weights` follows.

    billed: tokens of the lines that prove no owner (None: unknown). metered: telemetry, one entry an owner. proven:
    (team, project) -> tokens of the lines that prove their owner. Those are taken off the same team and project first,
    what is left of them off the team. Returns no share where telemetry counted nothing: the pool is then `bypass`.
    """
    owners = sorted((owner for owner in metered if owner.tokens > 0), key=lambda owner: owner.key)
    if not owners:
        return []
    left = _take_off_proven(owners, proven)
    total = sum(owner.tokens for owner in left)
    if total == 0:
        return [Share(None, Method.UNATTRIBUTED, Reason.UNMETERED, max(billed if billed is not None else 1, 1))]
    method, unmetered = judge_volume(billed, total, tolerance_ppm=tolerance_ppm)
    shares = [
        Share(owner, method, None, owner.tokens)
        if owner.owned
        else Share(owner, Method.UNATTRIBUTED, Reason.UNOWNED, owner.tokens)
        for owner in left
        if owner.tokens > 0
    ]
    if unmetered:
        shares.append(Share(None, Method.UNATTRIBUTED, Reason.UNMETERED, unmetered))
    return sorted(shares, key=_share_key)


def _take_off_proven(owners: list[Metered], proven: Mapping[tuple[str | None, str | None], int]) -> list[Metered]:
    positive = {owner: tokens for owner, tokens in proven.items() if tokens > 0}
    taken: dict[str | None, int] = {}
    left = {owner.key: owner for owner in owners}
    for (team, project), tokens in positive.items():
        mine = [owner for owner in owners if owner.team == team and owner.project == project and project is not None]
        for owner, kept in zip(mine, take_off([owner.tokens for owner in mine], tokens), strict=True):
            taken[team] = taken.get(team, 0) + owner.tokens - kept
            left[owner.key] = replace(owner, tokens=kept)
    for team in {team for team, _ in positive if team is not None}:
        rest = sum(tokens for (named, _), tokens in positive.items() if named == team) - taken.get(team, 0)
        mine = [owner for owner in left.values() if owner.team == team]
        for owner, kept in zip(mine, take_off([owner.tokens for owner in mine], rest), strict=True):
            left[owner.key] = replace(owner, tokens=kept)
    return list(left.values())


def _share_key(share: Share) -> str:
    owner = share.owner or Metered(None, None, None, None, 0)
    word = "unmetered" if share.owner is None else "owned" if owner.owned else "unowned"
    return f"{owner.key}\x1f{word}"
