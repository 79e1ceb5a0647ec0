"""The simulator's own books: what every request cost and whose it was, kept request by request. The oracle.

The rules that the ledger follows are written here a second time, from their meaning, in plain integers of 1e-18
dollars ("atto"); nothing of Weir's allocation, ownership, pricing or recognition is used, so that an error there cannot
hide here. Where the company is fully metered, truth needs no rule at all: tokens x price of each request, summed by
owner. Rules are needed only for what no request proves: pools of capacity, lost telemetry, lines without tokens.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from attribution.simulator.company import BUCKETS, Band

Owner = tuple[str, str] | None  # (team, project); None: no rule says whose
Amounts = tuple[int, int]  # billed, effective, in atto dollars

# A cell whose telemetry is short by more than this share of its tokens shows the gap instead of spreading it.
TOLERANCE = Fraction(1, 100)
# Weights of a token on shared capacity: generated 4, read from cache a tenth, other input 1; in tenths.
CAPACITY_WEIGHTS = (10, 1, 10, 10, 40)


@dataclass(frozen=True, slots=True)
class Key:
    """What the truth is kept by. `reason` is empty where an owner is known."""

    provider: str
    period: str
    team: str
    project: str
    model: str
    token_type: str
    reason: str


@dataclass
class Entry:
    billed: int = 0
    effective: int = 0
    tokens: int = 0


class Books:
    """Sums by key. `totals` is what the bill of a provider and period must add up to."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = defaultdict(Entry)

    def post(self, key: Key, billed: int, effective: int, tokens: int = 0) -> None:
        entry = self.entries[key]
        entry.billed += billed
        entry.effective += effective
        entry.tokens += tokens

    def totals(self) -> dict[tuple[str, str], Amounts]:
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for key, entry in self.entries.items():
            sums[key.provider, key.period][0] += entry.billed
            sums[key.provider, key.period][1] += entry.effective
        return {place: (billed, effective) for place, (billed, effective) in sums.items()}


def owned(provider: str, period: str, owner: Owner, model: str, token_type: str) -> Key:
    """The key of something used: by its owner, or by nobody's key."""
    if owner is None:
        return Key(provider, period, "", "", model, token_type, "unowned")
    return Key(provider, period, owner[0], owner[1], model, token_type, "")


def unattributed(provider: str, period: str, model: str, token_type: str, reason: str) -> Key:
    return Key(provider, period, "", "", model, token_type, reason)


def _counts() -> list[int]:
    return [0] * len(BUCKETS)


@dataclass
class Cell:
    """One day of one model at one price: what was used, what was metered, what the bill line itself proves.

    billed: tokens by billing period and bucket. metered and direct: tokens by owner and bucket; direct is also metered.
    """

    provider: str
    model: str
    band: Band
    billed: dict[str, list[int]] = field(default_factory=dict)
    direct: dict[tuple[str, str], dict[str, list[int]]] = field(default_factory=dict)
    metered: dict[Owner, list[int]] = field(default_factory=dict)
    # Amounts without tokens on this cell's meters (refunds, corrections): (bucket, period, billed, effective).
    adjustments: list[tuple[int, str, int, int]] = field(default_factory=list)

    def use(self, period: str, owner: Owner, tokens: tuple[int, ...], *, proven: bool, metered: bool) -> None:
        _add(self.billed.setdefault(period, _counts()), tokens)
        if proven and owner is not None:
            _add(self.direct.setdefault(owner, {}).setdefault(period, _counts()), tokens)
        if metered:
            _add(self.metered.setdefault(owner, _counts()), tokens)

    def weights(self, bucket: int) -> dict[Owner, int]:
        """Metered tokens by owner that no bill line has proven."""
        left = {}
        for owner, counts in self.metered.items():
            proven = self.direct.get(owner, {}) if owner is not None else {}
            left[owner] = counts[bucket] - sum(tokens[bucket] for tokens in proven.values())
        return {owner: weight for owner, weight in left.items() if weight > 0}

    def pooled(self, bucket: int) -> int:
        """Billed tokens that no bill line has proven, over all billing periods."""
        proven = sum(tokens[bucket] for periods in self.direct.values() for tokens in periods.values())
        return sum(tokens[bucket] for tokens in self.billed.values()) - proven

    def gap(self, bucket: int) -> Fraction:
        """The share of the pool's tokens that telemetry doesn't know."""
        pooled = self.pooled(bucket)
        return Fraction(pooled - sum(self.weights(bucket).values()), pooled) if pooled else Fraction(0)


def _add(counts: list[int], tokens: tuple[int, ...]) -> None:
    for bucket, count in enumerate(tokens):
        counts[bucket] += count


def settle_cell(books: Books, cell: Cell) -> None:
    """Posts a day of one model: proven lines to their owner, the rest by what each owner's requests used."""
    for bucket, token_type in enumerate(BUCKETS):
        price = cell.band.prices[bucket]
        if price is None:
            continue
        for owner, periods in cell.direct.items():
            for period, counts in periods.items():
                if counts[bucket]:
                    key = owned(cell.provider, period, owner, cell.model, token_type)
                    books.post(key, counts[bucket] * price, counts[bucket] * price, counts[bucket])
        for period, billed, effective, tokens in _pool_amounts(cell, bucket, price):
            shares = _shares(cell, bucket, period, token_type)
            parts = [split(amount, list(shares.values())) for amount in (billed, effective, tokens)]
            for key, *amounts in zip(shares, *parts, strict=True):
                books.post(key, *amounts)


def _pool_amounts(cell: Cell, bucket: int, price: int) -> Iterator[tuple[str, int, int, int]]:
    for period, counts in cell.billed.items():
        proven = sum(periods[period][bucket] for periods in cell.direct.values() if period in periods)
        tokens = counts[bucket] - proven
        if tokens:
            yield period, tokens * price, tokens * price, tokens
    for adjusted, period, billed, effective in cell.adjustments:
        if adjusted == bucket:
            yield period, billed, effective, 0


def _shares(cell: Cell, bucket: int, period: str, token_type: str) -> dict[Key, int]:
    """The weights by which the pool's amounts of one bucket are carried."""
    weights = cell.weights(bucket)
    if not weights:
        return {unattributed(cell.provider, period, cell.model, token_type, "bypass"): 1}
    shares = {owned(cell.provider, period, owner, cell.model, token_type): weight for owner, weight in weights.items()}
    if cell.gap(bucket) > TOLERANCE:
        missing = cell.pooled(bucket) - sum(weights.values())
        shares[unattributed(cell.provider, period, cell.model, token_type, "unmetered")] = missing
    return shares


def split(amount: int, weights: list[int]) -> list[int]:
    """Parts of `amount` by weight. Rounded where the running sum stands, so that the parts sum to the whole."""
    whole, running, taken, parts = sum(weights), 0, 0, []
    for weight in weights:
        running += weight
        reached = amount * running // whole
        parts.append(reached - taken)
        taken = reached
    return parts


@dataclass
class Pool:
    """One day of shared capacity: who used it for which model, by tokens."""

    provider: str
    used: dict[tuple[str, Owner], list[int]] = field(default_factory=dict)

    def use(self, owner: Owner, model: str, tokens: tuple[int, ...]) -> None:
        _add(self.used.setdefault((model, owner), _counts()), tokens)

    def weights(self) -> dict[tuple[str, Owner], int]:
        """By model and owner."""
        sums = {
            served: sum(weight * count for weight, count in zip(CAPACITY_WEIGHTS, counts, strict=True))
            for served, counts in self.used.items()
        }
        return {served: weight for served, weight in sums.items() if weight}


def settle_capacity(books: Books, pool: Pool, period: str, amounts: Amounts) -> None:
    """Posts a day's capacity by the weighted tokens of who used which model on it; without any use it is idle."""
    billed, effective = amounts
    weights = pool.weights()
    if not weights:
        books.post(unattributed(pool.provider, period, "", "capacity", "idle"), billed, effective)
        return
    parts_of = sorted(weights, key=lambda served: (served[0], served[1] or ("", "")))
    ordered = [weights[served] for served in parts_of]
    for (model, owner), *parts in zip(parts_of, split(billed, ordered), split(effective, ordered), strict=True):
        books.post(owned(pool.provider, period, owner, model, "capacity"), *parts)
