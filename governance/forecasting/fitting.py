"""One night's work on one measure: fit the leaves, learn the intervals, sum every scope. Pure numpy; no clock.

usage x price: a leaf's history is divided by the known price schedule, so that what is smoothed is usage at today's
prices, and what is foretold is multiplied by the schedule ahead. Cost at constant prices and not tokens times a mean
price, because a token's price differs by kind: a shift from input to output would read as a price change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from governance.forecasting import bets
from governance.forecasting.backtest import fit
from governance.forecasting.events import KnownEvent, applied, corrected, price_schedule
from governance.forecasting.hierarchy import Leaf, Outlook, membership, scopes_of
from governance.forecasting.intervals import Conformal, Pool, Quantiles, offsets_of, pool_of
from governance.forecasting.series import History
from governance.forecasting.values import ALONE, HORIZONS, LEVELS, Below, ForecastScope, Spread

Floats = NDArray[np.float64]

METHOD = "bets/1"
COLD_DAYS = bets.COLD_DAYS
# How much wider the pool's scale is taken for a series that began less than COLD_DAYS ago.
COLD_WIDER = 2.0
# Rolling origins from which intervals are learned: every so many days of the last ones.
CALIBRATED_DAYS = 120
_CALIBRATION_STEP = 5
# Fewer series or days than this promise no coverage.
ENOUGH_SERIES = 100
ENOUGH_DAYS = 60


@dataclass(frozen=True)
class Night:
    """What a fit leaves behind, of one measure in one currency. leaf_days: known days by leaf."""

    first_day: date
    leaves: tuple[Leaf, ...]
    leaf_days: tuple[int, ...]
    leaf_events: tuple[tuple[str, ...], ...]
    outlook: Outlook
    pool: Pool
    quantiles: Quantiles
    history_days: int
    provisional: bool


@dataclass(frozen=True)
class Summed:
    """One scope of a night: days (days ahead, 3) as p10, p50, p90; what else a stored forecast says."""

    days: Floats
    spread: Spread
    cold_start: bool
    provisional: bool
    history_days: int
    events: tuple[str, ...]


def fit_night(
    history: History,
    *,
    measure_values: Floats,
    events: Sequence[KnownEvent] = (),
    schedule: Floats | None = None,
    below: Below = ALONE,
) -> Night:
    """Fit `measure_values` (history.costs or history.tokens).

    schedule: the price book's relative prices, (leaves, history days + DAYS_AHEAD); None: for tokens, or where the
    book knows of no change.
    """
    leaves, days = history.leaves, history.days
    prices = price_schedule(events, leaves, history.first_day, days + bets.DAYS_AHEAD, schedule, below)
    changing = bool((prices != prices[:, :1]).any())
    known = corrected(events, leaves, history.first_day, measure_values, below)
    recent = known[:, -bets.HISTORY_DAYS :]
    outlook = fit(
        recent,
        prices[:, :days][:, -bets.HISTORY_DAYS :] if changing else None,
        prices[:, days:] if changing else None,
    )
    leaf_days = np.isfinite(known).sum(1)
    outlook = _warmed(recent, outlook, leaf_days)
    moved = applied(events, leaves, history.end, outlook, below)
    added = len(moved.leaves) - len(leaves)
    pool, quantiles = _learned(leaves, known, prices if changing else None, below, outlook)
    span = _span(known)
    enough = int((leaf_days >= ENOUGH_DAYS).sum()) >= ENOUGH_SERIES and span >= ENOUGH_DAYS
    return Night(
        first_day=history.end,
        leaves=moved.leaves,
        leaf_days=(*leaf_days.tolist(), *([0] * added)),
        leaf_events=moved.events,
        outlook=moved.outlook,
        pool=pool,
        quantiles=quantiles,
        history_days=span,
        provisional=not enough,
    )


def summed(night: Night, scopes: Sequence[ForecastScope], below: Below = ALONE) -> list[Summed]:
    """The forecasts of `scopes`, each the sum of its leaves."""
    members = membership(scopes, night.leaves, below)
    outlook = night.outlook.summed(members)
    leaf_days = np.array(night.leaf_days)
    cold = np.where(leaf_days < COLD_DAYS, 1.0, 0.0)
    totals = np.maximum(outlook.path.sum(1), 1e-9)
    wider = 1 + (COLD_WIDER - 1) * (members @ (cold * night.outlook.path.sum(1))) / totals
    offsets = offsets_of(outlook, night.pool, night.quantiles, wider)
    found = []
    for number in range(len(scopes)):
        mine = np.flatnonzero(members[number])
        history_days = int(leaf_days[mine].max(initial=0))
        words = dict.fromkeys(word for index in mine for word in night.leaf_events[index])
        found.append(
            Summed(
                days=_bands(outlook.path[number], offsets[number]),
                spread=Spread(tuple(tuple(row) for row in offsets[number].tolist())),
                cold_start=history_days < COLD_DAYS,
                provisional=night.provisional or history_days < ENOUGH_DAYS,
                history_days=history_days,
                events=tuple(words),
            )
        )
    return found


def kept_scopes(night: Night, below: Below = ALONE) -> tuple[ForecastScope, ...]:
    """The scopes whose forecasts are kept for good."""
    return scopes_of(night.leaves, below)


def _warmed(recent: Floats, outlook: Outlook, leaf_days: NDArray[np.intp]) -> Outlook:
    """Leaves that began less than COLD_DAYS ago: their own mean level, everybody's week."""
    cold = leaf_days < COLD_DAYS
    if not cold.any():
        return outlook
    week = _usual_week(recent[~cold])
    path = outlook.path.copy()
    length = recent.shape[1]
    factors = week[np.arange(length) % bets.WEEK]
    ahead = week[(length + np.arange(path.shape[1])) % bets.WEEK]
    for index in np.flatnonzero(cold):
        known = np.isfinite(recent[index])
        level = recent[index, known].sum() / max(factors[known].sum(), 1e-9) if known.any() else 0.0
        path[index] = max(level, 0.0) * ahead
    return Outlook(path, outlook.misses)


def _usual_week(series: Floats) -> Floats:
    """(WEEK): the shape of everybody's last four weeks, mean 1, by column number modulo WEEK; flat if there is none."""
    recent = np.nan_to_num(series[:, -4 * bets.WEEK :]).sum(0) if len(series) else np.zeros(0)
    if len(recent) < 4 * bets.WEEK or recent.sum() <= 0:
        return np.ones(bets.WEEK)
    by_day = recent.reshape(4, bets.WEEK).sum(0)
    # The first of the recent columns is number (length - 28) of the history.
    return np.roll(np.maximum(by_day, 0) / max(by_day.mean(), 1e-9), (series.shape[1] - 4 * bets.WEEK) % bets.WEEK)


def _learned(
    leaves: Sequence[Leaf], known: Floats, prices: Floats | None, below: Below, outlook: Outlook
) -> tuple[Pool, Quantiles]:
    """Quantiles of what rolling origins missed, over the leaves and all standard scopes; none of them looks ahead."""
    scopes = scopes_of(leaves, below)
    members = np.concatenate([membership(scopes, leaves, below), np.eye(len(leaves))])
    actual = _totals(members, known)
    conformal = Conformal()
    days = known.shape[1]
    first = max(bets.WEEK * 4, days - CALIBRATED_DAYS)
    for origin in range(
        days - 1 - (days - 1 - first) // _CALIBRATION_STEP * _CALIBRATION_STEP, days, _CALIBRATION_STEP
    ):
        if origin < first:
            continue
        start = max(0, origin - bets.HISTORY_DAYS)
        then = fit(
            known[:, start:origin],
            None if prices is None else prices[:, start:origin],
            None if prices is None else prices[:, origin : origin + bets.DAYS_AHEAD],
        ).summed(members)
        conformal.learn(actual[:, :origin])
        conformal.foretold(origin, then, pool_of(then))
    conformal.learn(actual)
    return pool_of(outlook.summed(members)), conformal.quantiles()


def _totals(members: Floats, known: Floats) -> Floats:
    """(sums, days): NaN on days on which a leaf that had begun is not known."""
    begun = np.cumsum(np.isfinite(known), axis=1) > 0
    missing = members @ (begun & ~np.isfinite(known)).astype(float)
    none_yet = members @ begun.astype(float) == 0
    return np.where((missing > 0) | none_yet, np.nan, members @ np.nan_to_num(known))


def _span(known: Floats) -> int:
    """Days from the first known one on."""
    some = np.asarray(np.isfinite(known).any(0))
    return int(len(some) - some.argmax()) if some.any() else 0


def _bands(path: Floats, offsets: Floats) -> Floats:
    """(days, 3): p10, p50, p90 of single days.

    A day misses by its own noise, as the first day does, and by the level's drift: what a total's miss has beyond
    independent days. Days of a small size in the week miss by less.
    """
    days = np.arange(1, len(path) + 1)
    sizes = 0.5 + 0.5 * path / np.maximum(path.mean(), 1e-9)
    columns = [path]
    for level, place in ((0.1, 0), (0.9, 2)):
        knots = offsets[:, LEVELS.index(level)]
        total = np.interp(days, (0, *HORIZONS), (0.0, *knots))
        drift = np.maximum((total / days) ** 2 - knots[0] ** 2 / days, 0)
        offset = np.sqrt(knots[0] ** 2 + drift) * np.clip(sizes, 0.5, 2)
        columns.insert(place, np.maximum(path - offset, 0) if level < 0.5 else path + offset)
    return np.stack(columns, axis=1)


def last_day(night: Night) -> date:
    """The last day that is foretold, inclusive."""
    return night.first_day + timedelta(days=night.outlook.path.shape[1] - 1)
