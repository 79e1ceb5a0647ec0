"""The forecasting method "bets": many exponential smoothings at once, and the ones that did best lately are averaged.

Each series is smoothed under every parameter set of GRID: a level, a damped trend, a multiplicative week. Surprises are
clipped (Huber), so that one burst doesn't become a level. Each set is then judged by how well it would have foretold
sums of the next 14 days over the last weeks; the best TOP are averaged by their errors. Everything is arrays: series x
parameter sets. Pure numpy; floats; no clock.

Source: DECISIONS.md#forecasting; the method and its figures against others: docs/BENCHMARKS.md#forecasts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Small = NDArray[np.float32]
Flags = NDArray[np.bool_]

WEEK = 7
# Days of history that a fit looks at, and days ahead that it foretells.
HISTORY_DAYS = 180
DAYS_AHEAD = 90
# Below it a series has no week of its own to learn: see `cold_start`.
COLD_DAYS = 14
# Level, trend, season, damping.
GRID = tuple(
    (level, trend, season, damping)
    for level in (0.05, 0.12, 0.25, 0.45)
    for trend, damping in ((0.0, 0.97), (0.05, 0.97), (0.15, 0.9))
    for season in (0.03, 0.12)
)
TOP = 6
# Days over which the sets are judged, the length of the sums they are judged by, and how fast old errors fade.
JUDGED_DAYS = 70
JUDGED_SUM = 14
FADING = 0.97
# How many judged days weigh as much as what is believed of sets before any is judged.
DOUBT = 8.0
CLIP = 3.0
# The horizons, in days ahead, at which a fit says how far its own sums were off; past 30 days too few are seen.
OWN_HORIZONS = (1, 2, 3, 5, 7, 10, 14, 21, 30)
# Every second of the judged days.
_ORIGIN_STEP = 2
OWN_ORIGINS = JUDGED_DAYS // _ORIGIN_STEP
# Series a batch: their states fit the processor's cache.
_BATCH = 128
# A set needs this many days before it is judged, so that its start is forgotten.
_WARM_UP = 14


@dataclass(frozen=True)
class Fit:
    """path: (series, DAYS_AHEAD), >= 0, in the unit of the history.

    misses: (series, origins, OWN_HORIZONS): actual minus foretold sum over that many days, as these parameter sets
    would have made it from origins within the judged days; NaN where the series was too young or the days are to come.
    Signed, so that the misses of a sum of series are the sums of their misses.
    """

    path: Floats
    misses: Floats


@dataclass(frozen=True)
class OneStep:
    """What each of the last days was expected to be on the day before; (series, days). sigma: in the same unit."""

    expected: Floats
    sigma: Floats


@dataclass(frozen=True)
class _States:
    """After each of the last JUDGED_DAYS + 1 days: level, trend (days, series, sets), season (.., WEEK), the unit."""

    level: Small
    trend: Small
    season: Small
    expected: Small  # of each judged day, one day before: (days, series, sets)
    sigma: Small
    unit: Floats  # of each series: its mean, by which it is divided
    scaled: Small  # the history in units, unknown days 0
    first: NDArray[np.intp]  # index of each series' first known day


def forecast(history: Floats) -> Fit:
    """Foretell each row of `history` (series, days): daily amounts >= 0, oldest first, NaN = not known.

    The last column is the day before the first that is foretold. At least WEEK days.
    """
    paths, misses = [], []
    for batch in _batches(history):
        states = _smooth(batch)
        chosen, weights = _judge(states)
        paths.append(_paths(states, chosen, weights, JUDGED_DAYS, DAYS_AHEAD) * states.unit[:, None])
        misses.append(_own_misses(states, chosen, weights) * states.unit[:, None, None])
    return Fit(path=np.concatenate(paths), misses=np.concatenate(misses))


def one_step(history: Floats, days: int) -> OneStep:
    """What the method expected of each of the last `days` (<= JUDGED_DAYS) on the day before, and its usual miss.

    The parameter sets are those that are best at the end; levels and weeks never look ahead.
    """
    expected, sigmas = [], []
    for batch in _batches(history):
        states = _smooth(batch)
        chosen, weights = _judge(states)
        rows = np.arange(len(batch))[:, None]
        recent = slice(JUDGED_DAYS - days, JUDGED_DAYS)
        mixed = (states.expected[recent][:, rows, chosen] * weights).sum(2).T
        spread = (states.sigma[recent][:, rows, chosen] * weights).sum(2).T
        expected.append(mixed * states.unit[:, None])
        sigmas.append(spread * states.unit[:, None])
    return OneStep(np.concatenate(expected), np.concatenate(sigmas))


def _batches(history: Floats) -> Iterator[Floats]:
    for start in range(0, len(history), _BATCH):
        yield history[start : start + _BATCH]


def _smooth(history: Floats) -> _States:
    """Run all parameter sets over the days."""
    known = np.asarray(np.isfinite(history))
    unit = _units(history, known)
    scaled = (np.where(known, history, 0) / unit[:, None]).astype(np.float32)
    first = np.where(known.any(1), known.argmax(1), history.shape[1] - 1)
    start_level, start_season = _start(scaled, known, first)
    alpha, beta, gamma, phi = (np.array(column, np.float32) for column in zip(*GRID, strict=True))
    sets, (series, length) = len(GRID), history.shape
    level = np.repeat(start_level[:, None], sets, 1)
    trend = np.zeros((series, sets), np.float32)
    season = np.ascontiguousarray(np.repeat(start_season.T[:, :, None], sets, 2))  # WEEK, series, sets
    sigma = np.full((series, sets), 0.3, np.float32)
    kept = np.empty((JUDGED_DAYS + 1, series, sets), np.float32)
    levels, trends, expecteds, sigmas = kept, kept.copy(), kept.copy(), kept.copy()
    seasons = np.empty((JUDGED_DAYS + 1, series, sets, WEEK), np.float32)
    # A history shorter than the judged days begins with its start state.
    begin = length - JUDGED_DAYS
    for missing in range(-begin):
        levels[missing], trends[missing], expecteds[missing], sigmas[missing] = level, 0, level, sigma
        seasons[missing] = season.transpose(1, 2, 0)
    for day in range(length):
        of_week = day % WEEK
        factor = np.maximum(season[of_week], 0.02)
        forward = level + phi * trend
        expected = forward * factor
        if day >= begin:
            at = day - begin
            levels[at], trends[at], expecteds[at], sigmas[at] = level, trend, expected, sigma
            seasons[at] = season.transpose(1, 2, 0)
        miss = scaled[:, day, None] - expected
        limit = CLIP * np.maximum(sigma, 0.02 * np.abs(forward))
        clipped = np.clip(miss, -limit, limit)
        sees = known[:, day, None]
        per_season = clipped / np.maximum(factor, 0.2)
        level = np.where(sees, np.maximum(forward + alpha * per_season, 0), level)
        trend = np.where(sees, phi * trend + alpha * beta * per_season, trend)
        turned = np.clip(season[of_week] + gamma * clipped / np.maximum(forward, 0.05), 0, 8)
        season[of_week] = np.where(sees, turned, season[of_week])
        sigma = np.where(sees, 0.92 * sigma + 0.08 * np.minimum(np.abs(miss) * 1.25, 2 * limit), sigma)
    levels[-1], trends[-1], expecteds[-1], sigmas[-1] = level, trend, level, sigma
    seasons[-1] = season.transpose(1, 2, 0)
    return _States(levels, trends, seasons, expecteds, sigmas, unit, scaled, first)


def _units(history: Floats, known: Flags) -> Floats:
    means = np.where(known, history, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.asarray(np.where(means > 0, means, 1.0))


def _start(scaled: Small, known: Flags, first: NDArray[np.intp]) -> tuple[Small, Small]:
    """Level and week to begin with, from the first four known weeks.

    The week is drawn to flat, at most by half: by as much as its days' means may be chance.
    """
    length = scaled.shape[1]
    days = np.arange(length)[None, :]
    window = np.asarray(known & (days >= first[:, None]) & (days < first[:, None] + 4 * WEEK))
    some = np.asarray(window.any(1))[:, None]
    medians = np.nanmedian(np.where(some, np.where(window, scaled, np.nan), 1.0), axis=1)
    season = np.ones((len(scaled), WEEK), np.float32)
    chance = np.zeros(len(scaled))
    for of_week in range(WEEK):
        of_day, amounts = window[:, of_week::WEEK], scaled[:, of_week::WEEK]
        seen = of_day.sum(1)
        means = np.where(of_day, amounts, 0).sum(1) / np.maximum(seen, 1)
        season[:, of_week] = np.where(seen > 0, means, np.nan)
        around = np.where(of_day, amounts - means[:, None], 0)
        # Of one day a week alone nothing is known of its chance: as much as its own size.
        chance += np.where(seen > 1, (around**2).sum(1) / np.maximum(seen * (seen - 1), 1), means**2) / WEEK
    means = np.nanmean(np.where(some, season, 1.0), axis=1)
    relative = np.where(means[:, None] > 0, season / np.where(means > 0, means, 1)[:, None], 1.0)
    relative = np.where(np.isfinite(relative), relative, 1.0)
    between = np.nanvar(np.where(some, season, 1.0), axis=1)
    trust = np.clip(1 - chance / np.maximum(between, 1e-9), 0.5, 1)[:, None]
    start = 1 + trust * (np.clip(relative, 0.05, 5) - 1)
    return np.maximum(medians, 1e-3).astype(np.float32), start.astype(np.float32)


def _damped(days: int) -> Small:
    """(sets, days): how often the trend counts in a forecast of that many days ahead: phi + phi^2 + ..."""
    phi = np.array([one[3] for one in GRID], np.float32)
    return np.asarray(np.cumsum(phi[:, None] ** np.arange(1, days + 1)[None, :], axis=1), np.float32)


def _judge(states: _States) -> tuple[NDArray[np.intp], Small]:
    """The TOP sets of each series and their weights, (series, TOP), by how 14-day sums were foretold lately."""
    length = states.scaled.shape[1]
    begin = length - JUDGED_DAYS
    sums = np.concatenate(
        [np.zeros((len(states.scaled), 1)), np.cumsum(states.scaled, axis=1, dtype=np.float64)], axis=1
    )
    damped = _damped(JUDGED_SUM).reshape(len(GRID), JUDGED_SUM // WEEK, WEEK)
    errors = np.zeros(states.level.shape[1:], np.float32)
    total_weight = np.zeros((len(states.scaled), 1), np.float32)
    weeks = JUDGED_SUM // WEEK
    trend_share = damped.sum(1)  # sets, WEEK: by days after the origin
    for position in range(max(0, -begin), JUDGED_DAYS - JUDGED_SUM + 1):
        day = begin + position
        season = states.season[position]
        order = (day + np.arange(WEEK)) % WEEK
        foretold = states.level[position] * weeks * season.sum(2)
        foretold += states.trend[position] * np.einsum("ncw,cw->nc", season[:, :, order], trend_share)
        actual = (sums[:, day + JUDGED_SUM] - sums[:, day]).astype(np.float32)[:, None]
        weight = FADING ** (JUDGED_DAYS - JUDGED_SUM - position) * (states.first <= day - _WARM_UP)[:, None]
        errors += weight.astype(np.float32) * np.abs(np.maximum(foretold, 0) - actual)
        total_weight += weight
    errors /= np.maximum(total_weight, 1e-9)
    relative = errors / np.maximum(errors.mean(1, keepdims=True), 1e-9)
    # Little was judged yet: sets that follow slowly and see no trend are the safer bet.
    level, trend = (np.array([one[place] for one in GRID], np.float32) for place in (0, 1))
    errors = relative + DOUBT / np.maximum(total_weight, DOUBT / 100) * (trend + np.abs(level - 0.12))[None, :]
    chosen = np.argsort(errors, axis=1, kind="stable")[:, :TOP]
    weights = 1 / (np.take_along_axis(errors, chosen, 1) + 1e-6) ** 2
    return chosen, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _paths(states: _States, chosen: NDArray[np.intp], weights: Small, position: int, days: int) -> Floats:
    """(series, days): the averaged forecast made after the day at `position`."""
    rows = np.arange(len(chosen))[:, None]
    order = (states.scaled.shape[1] - JUDGED_DAYS + position + np.arange(days)) % WEEK
    trend = states.trend[position][rows, chosen][:, :, None] * _damped(days)[chosen]
    level = states.level[position][rows, chosen][:, :, None] + trend
    each = np.maximum(level * states.season[position][rows, chosen][:, :, order], 0)
    return np.asarray((each * weights[:, :, None]).sum(1), np.float64)


def _own_misses(states: _States, chosen: NDArray[np.intp], weights: Small) -> Floats:
    """(series, OWN_ORIGINS, OWN_HORIZONS): what Fit says, in units."""
    length = states.scaled.shape[1]
    begin = length - JUDGED_DAYS
    horizons = np.array(OWN_HORIZONS)
    sums = np.concatenate(
        [np.zeros((len(states.scaled), 1)), np.cumsum(states.scaled, axis=1, dtype=np.float64)], axis=1
    )
    misses = np.full((len(chosen), OWN_ORIGINS, len(horizons)), np.nan)
    for origin in range(OWN_ORIGINS):
        position = origin * _ORIGIN_STEP
        day = begin + position
        fitting = horizons[horizons <= length - day]
        if day < 0:
            continue
        foretold = np.cumsum(_paths(states, chosen, weights, position, int(fitting[-1])), axis=1)[:, fitting - 1]
        actual = sums[:, day + fitting] - sums[:, [day]]
        old_enough = (states.first <= day - COLD_DAYS)[:, None]
        misses[:, origin, : len(fitting)] = np.where(old_enough, actual - foretold, np.nan)
    return misses
