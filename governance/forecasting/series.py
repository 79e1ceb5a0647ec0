"""From daily rows of spend to series: one a leaf, aligned, with unknown days as NaN. Pure numpy.

A day is unknown, not nothing, where no settled bill reaches it and nothing estimates the leaf: capacity that is paid by
the hour has no cost until its bill comes, and taking that for 0 would teach the forecast that it went away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from governance.forecasting.hierarchy import Leaf

Floats = NDArray[np.float64]
# Enough for 13 months of back-tests; a fit looks at the last bets.HISTORY_DAYS of them.
KEPT_DAYS = 425


@dataclass(frozen=True)
class HistoryRow:
    """A day of one leaf: settled cost, the (corrected) estimate of what no bill covers, tokens. None: unknown."""

    day: date
    leaf: Leaf
    cost: float | None
    estimated: float | None
    tokens: float | None


@dataclass(frozen=True)
class History:
    """costs and tokens: (leaves, days) from first_day on, NaN before a leaf began and where a day is unknown."""

    leaves: tuple[Leaf, ...]
    first_day: date
    costs: Floats
    tokens: Floats

    @property
    def days(self) -> int:
        return int(self.costs.shape[1])

    @property
    def end(self) -> date:
        """The first day that is not in it."""
        return self.first_day + timedelta(days=self.days)


def history(rows: Iterable[HistoryRow], until: date, settled: Mapping[str, date], days: int = KEPT_DAYS) -> History:
    """The `days` before `until`. settled: provider -> days before it are billed.

    Leaves that cost nothing in all that time are left out.
    """
    kept = named_as_billed([row for row in rows if until - timedelta(days=days) <= row.day < until], settled)
    leaves = tuple(sorted({row.leaf for row in kept}, key=_order))
    first_day = min((row.day for row in kept), default=until - timedelta(days=7))
    # Whole weeks of at least one, so that every method has a week.
    first_day = min(first_day, until - timedelta(days=7))
    number = {leaf: index for index, leaf in enumerate(leaves)}
    length = (until - first_day).days
    costs, tokens = np.full((len(leaves), length), np.nan), np.full((len(leaves), length), np.nan)
    estimated_days: dict[str, set[date]] = {}
    for row in kept:
        at = number[row.leaf], (row.day - first_day).days
        amounts = [amount for amount in (row.cost, row.estimated) if amount is not None]
        if amounts:
            costs[at] = np.nansum([costs[at], *amounts])
        if row.tokens is not None:
            tokens[at] = np.nansum([tokens[at], row.tokens])
        if row.estimated is not None:
            estimated_days.setdefault(row.leaf.provider or "", set()).add(row.day)
    metered = np.isfinite(tokens).any(1)
    for index, leaf in enumerate(leaves):
        known = _known(leaf, first_day, length, settled, estimated_days, bool(metered[index]))
        _fill(costs[index], known)
        _fill(tokens[index], known)
    spending = np.nansum(np.abs(costs), axis=1) > 0
    chosen = np.flatnonzero(spending)
    return History(tuple(leaves[index] for index in chosen), first_day, costs[chosen], tokens[chosen])


def named_as_billed(rows: Sequence[HistoryRow], settled: Mapping[str, date]) -> list[HistoryRow]:
    """The rows, with no environment where most of what was billed names none.

    A bill's tags may leave out what telemetry knows. Then the days that only telemetry tells of would begin a second
    series while the billed one seems to end, and both would be foretold.
    """
    billed: dict[Leaf, dict[str | None, float]] = {}
    for row in rows:
        if row.cost is not None and row.day < settled.get(row.leaf.provider or "", date.max):
            of = billed.setdefault(replace(row.leaf, environment=None), {})
            of[row.leaf.environment] = of.get(row.leaf.environment, 0.0) + abs(row.cost)
    unnamed = {leaf for leaf, of in billed.items() if of.get(None, 0.0) > sum(of.values()) / 2}
    folded = []
    for row in rows:
        bare = replace(row.leaf, environment=None)
        folded.append(replace(row, leaf=bare) if bare in unnamed else row)
    return folded


def _order(leaf: Leaf) -> tuple[str, ...]:
    return tuple(value or "" for value in leaf.values.values())


def _known(
    leaf: Leaf,
    first_day: date,
    length: int,
    settled: Mapping[str, date],
    estimated: Mapping[str, set[date]],
    metered: bool,
) -> NDArray[np.bool_]:
    """(days): whether a day without a row means nothing was spent."""
    provider = leaf.provider or ""
    billed = (settled[provider] - first_day).days if provider in settled else length
    known = np.arange(length) < billed
    if metered:
        for day in estimated.get(provider, ()):
            known[(day - first_day).days] = True
    return known


def _fill(series: Floats, known: NDArray[np.bool_]) -> None:
    """Nothing on known days without a row, from the first with one on."""
    present = np.isfinite(series)
    if not present.any():
        return
    first = int(present.argmax())
    empty = ~present & known
    empty[:first] = False
    series[empty] = 0.0
