"""How far a total may lie from its forecast, learned from what was missed before: conformal intervals. Pure numpy.

A score is a miss divided by the series' own usual miss (shrunk to the pool). Scores of all series are pooled by horizon
and by volatility group; a level's offset is that quantile of the scores of *earlier* origins whose days have passed,
times the series' own scale. Then an adaptive step: where too few actuals fell below a level, a higher quantile is taken
from there on. What is promised is the share over the whole portfolio, not over each series.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from governance.forecasting.hierarchy import Outlook
from governance.forecasting.values import HORIZONS, LEVELS

Floats = NDArray[np.float64]
Groups = NDArray[np.intp]

GROUPS = 3
# How much of a series' scale is the pool's.
SHRINK = 0.25
# How far a level's quantile moves for each unit of coverage that was missing at an origin.
STEP = 0.1
# Scores a cell of (horizon, group) needs before its own quantiles are used; fewer: those of all groups; fewer: a guess.
ENOUGH = 60
# The guess is a normal distribution of the mean miss, this much wider: nothing is known yet.
GUESS_WIDER = 1.5
# So many stretches of the horizon's length, one after the other, must lie behind the scores before misses above and
# below are told apart: a few overlapping ones may all have missed to one side.
ENOUGH_STRETCHES = 3
_MEAN_TO_SIGMA = 1.2533
# Scores past this say that the scale was wrong, not that the world is wide.
_LARGEST_SCORE = 50.0
_VOLATILITY_AT = HORIZONS.index(14)


@dataclass(frozen=True)
class Pool:
    """What is usual among the series of one fit.

    relative: (HORIZONS): the median of scale / level, where level is a forecast day's mean; borders: of the groups.
    """

    relative: Floats
    borders: Floats


@dataclass(frozen=True)
class Quantiles:
    """Standardised offsets: (GROUPS, HORIZONS, LEVELS). `seen`: scores behind each (GROUPS, HORIZONS)."""

    offsets: Floats
    seen: NDArray[np.intp]


def pool_of(outlook: Outlook) -> Pool:
    """The pool that the series of `outlook` make."""
    scale, level = outlook.scale, _level(outlook)
    known = np.isfinite(scale) & (level > 0)[:, None]
    relative = np.where(known, scale / np.where(level > 0, level, 1.0)[:, None], np.nan)
    usual = np.array(
        [np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in relative.T]
    )
    # Nothing is known of anybody: half of a day's level for each day, as days that miss together.
    usual = np.where(np.isfinite(usual), usual, 0.5 * np.array(HORIZONS))
    volatility = relative[:, _VOLATILITY_AT]
    volatility = volatility[np.isfinite(volatility)]
    shares = np.arange(1, GROUPS) / GROUPS
    borders = np.quantile(volatility, shares) if len(volatility) else np.zeros(GROUPS - 1)
    return Pool(usual, borders)


def scale_of(outlook: Outlook, pool: Pool) -> Floats:
    """(series, HORIZONS): each series' usual miss, drawn to the pool's; the pool's alone where none is known."""
    own, level = outlook.scale, _level(outlook)
    usual = pool.relative[None, :] * level[:, None]
    return np.maximum(np.where(np.isfinite(own), (1 - SHRINK) * own + SHRINK * usual, usual), 1e-9)


def groups_of(outlook: Outlook, pool: Pool) -> Groups:
    """The volatility group of each series; one that can't be judged is in the widest."""
    own, level = outlook.scale[:, _VOLATILITY_AT], _level(outlook)
    known = np.isfinite(own) & (level > 0)
    volatility = np.where(known, np.where(known, own, 0) / np.where(level > 0, level, 1.0), np.inf)
    return np.searchsorted(pool.borders, volatility, side="right")


def offsets_of(outlook: Outlook, pool: Pool, quantiles: Quantiles, wider: Floats | float = 1.0) -> Floats:
    """(series, HORIZONS, LEVELS): offsets of totals, in the outlook's unit; rising with the level, 0 between them.

    wider: by series, for those that started cold.
    """
    standard = quantiles.offsets[groups_of(outlook, pool)]
    widened = scale_of(outlook, pool) * np.broadcast_to(np.asarray(wider), len(outlook.path))[:, None]
    offsets = np.sort(standard * widened[:, :, None], axis=2)
    # The middle forecast stays the sum of its parts: lower levels are never above it, upper ones never below.
    levels = np.array(LEVELS)
    return np.where(levels < 0.5, np.minimum(offsets, 0), np.where(levels > 0.5, np.maximum(offsets, 0), 0.0))


def _level(outlook: Outlook) -> Floats:
    """The mean of a forecast day over the next four weeks."""
    return np.asarray(outlook.path[:, :28].mean(1))


@dataclass
class _Pending:
    """An origin whose days have not all passed."""

    day: int
    scale: Floats
    groups: Groups
    cumulated: Floats  # foretold sums at HORIZONS
    used: Floats  # Quantiles.offsets of that moment
    open: set[int] = field(default_factory=lambda: set(range(len(HORIZONS))))


class Conformal:
    """Learns from origins in time order. `foretold` first, `learn` as days pass; quantiles never look ahead."""

    def __init__(self, step: float = STEP) -> None:
        self._scores: list[list[tuple[Groups, Floats]]] = [[] for _ in HORIZONS]
        self._days: list[list[int]] = [[] for _ in HORIZONS]
        self._aim = np.tile(np.array(LEVELS), (len(HORIZONS), 1))
        self._pending: list[_Pending] = []
        self._step = step

    def foretold(self, day: int, outlook: Outlook, pool: Pool) -> Quantiles:
        """Note what was foretold at `day` (index of the first foretold day); the quantiles that hold for it."""
        quantiles = self.quantiles()
        sums = np.cumsum(outlook.path, axis=1)[:, np.array(HORIZONS) - 1]
        self._pending.append(_Pending(day, scale_of(outlook, pool), groups_of(outlook, pool), sums, quantiles.offsets))
        return quantiles

    def learn(self, past: Floats) -> None:
        """Score every horizon that ends within `past` (series, days): the actuals of the days before now."""
        sums = np.concatenate([np.zeros((len(past), 1)), np.cumsum(np.nan_to_num(past), axis=1)], axis=1)
        known = np.asarray(np.isfinite(past))
        for pending in self._pending:
            for number in sorted(pending.open):
                end = pending.day + HORIZONS[number]
                if end > past.shape[1]:
                    continue
                pending.open.discard(number)
                whole = np.asarray(known[:, pending.day : end].all(1))
                actual = sums[:, end] - sums[:, pending.day]
                self._score(number, pending, actual, whole)
        self._pending = [one for one in self._pending if one.open]

    def _score(self, number: int, pending: _Pending, actual: Floats, whole: NDArray[np.bool_]) -> None:
        scores = (actual - pending.cumulated[:, number]) / pending.scale[:, number]
        usable = whole & np.isfinite(scores) & ((actual > 0) | (pending.cumulated[:, number] > 0))
        if not usable.any():
            return
        scores, groups = np.clip(scores[usable], -_LARGEST_SCORE, _LARGEST_SCORE), pending.groups[usable]
        below = (scores[:, None] <= pending.used[groups, number]).mean(0)
        self._aim[number] = np.clip(self._aim[number] + self._step * (np.array(LEVELS) - below), 0.001, 0.999)
        self._scores[number].append((groups, scores))
        self._days[number].append(pending.day)

    def _quantiles_of(self, number: int, scores: Floats) -> Floats:
        """(LEVELS): the scores' quantiles, as far above 0 as below it where too few stretches were seen."""
        days = self._days[number]
        aim = self._aim[number]
        if 1 + (max(days) - min(days)) / HORIZONS[number] >= ENOUGH_STRETCHES:
            return np.asarray(np.quantile(scores, aim))
        return np.asarray(np.sign(aim - 0.5) * np.quantile(np.abs(scores), np.abs(2 * aim - 1)))

    def quantiles(self) -> Quantiles:
        """Of the scores so far."""
        offsets = np.empty((GROUPS, len(HORIZONS), len(LEVELS)))
        seen = np.zeros((GROUPS, len(HORIZONS)), np.intp)
        guess = np.array([NormalDist().inv_cdf(level) for level in LEVELS]) * _MEAN_TO_SIGMA * GUESS_WIDER
        previous: Floats | None = None
        for number, pairs in enumerate(self._scores):
            groups = np.concatenate([one for one, _ in pairs]) if pairs else np.zeros(0, np.intp)
            scores = np.concatenate([one for _, one in pairs]) if pairs else np.zeros(0)
            for group in range(GROUPS):
                mine = scores[groups == group]
                seen[group, number] = len(mine)
                if len(mine) >= ENOUGH or len(scores) >= ENOUGH:
                    used = mine if len(mine) >= ENOUGH else scores
                    offsets[group, number] = self._quantiles_of(number, used)
                else:
                    # A long horizon nobody has lived through yet: what is known of the next shorter one.
                    offsets[group, number] = (
                        guess
                        if previous is None
                        else np.where(np.abs(guess) > np.abs(previous[group]), guess, previous[group])
                    )
            previous = offsets[:, number]
        return Quantiles(offsets, seen)


def coverage(low: Sequence[float], high: Sequence[float], actual: Sequence[float]) -> float:
    """The share of actuals within [low, high]."""
    inside = (np.asarray(low) <= np.asarray(actual)) & (np.asarray(actual) <= np.asarray(high))
    return float(inside.mean()) if len(inside) else float("nan")
