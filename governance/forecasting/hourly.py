"""The next 72 hours: a day's forecast, spread by a plain profile of its weekday's hours. Pure numpy.

A profile and a level beat nothing fancier here: hours of one client are too noisy for more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HOURS_AHEAD = 72
PROFILE_DAYS = 28
# A weekday's own profile counts as much as everyday's after so many of it.
_OWN_DAYS = 2


@dataclass(frozen=True)
class HourForecast:
    """One UTC hour, from `start` on."""

    start: datetime
    p10: float
    p50: float
    p90: float


def profile_of(shares: Mapping[date, Sequence[float]]) -> Floats:
    """(7, 24): the share of its day that each hour has, by weekday; every row sums to 1; flat where nothing is known.

    shares: day -> 24 shares. Few days of a weekday are drawn to the mean of all days.
    """
    if not shares:
        return np.full((7, 24), 1 / 24)
    everyday = np.mean([list(each) for each in shares.values()], axis=0)
    rows = []
    for weekday in range(7):
        mine = [list(each) for day, each in shares.items() if day.weekday() == weekday]
        own = np.mean(mine, axis=0) if mine else everyday
        trust = len(mine) / (len(mine) + _OWN_DAYS)
        rows.append(trust * own + (1 - trust) * everyday)
    profile = np.maximum(np.array(rows), 0)
    totals = profile.sum(1, keepdims=True)
    return np.asarray(np.where(totals > 0, profile / np.where(totals > 0, totals, 1), 1 / 24))


def hours_of(
    first_day: date, bands: Floats, parts: Mapping[str, Floats], profiles: Mapping[str, Floats], start: datetime
) -> list[HourForecast]:
    """HOURS_AHEAD hours from `start` (a whole UTC hour) on.

    bands: (days, 3) p10, p50, p90 of the scope's days from first_day; parts: provider -> (days) its part of them;
    profiles: provider -> (7, 24). A day's band is spread as its middle is.
    """
    found = []
    for ahead in range(HOURS_AHEAD):
        at = start + timedelta(hours=ahead)
        index = (at.date() - first_day).days
        if not 0 <= index < len(bands):
            continue
        weights = {provider: max(float(part[index]), 0.0) for provider, part in parts.items()}
        total = sum(weights.values())
        share = 1 / 24
        if total > 0:
            share = sum(
                weight * float(profiles[provider][at.weekday(), at.hour]) if provider in profiles else weight / 24
                for provider, weight in weights.items()
            )
            share /= total
        low, middle, high = (float(value) * share for value in bands[index])
        found.append(HourForecast(at, low, middle, high))
    return found
