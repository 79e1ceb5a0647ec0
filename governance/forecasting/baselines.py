"""What others do, computed beside ours in the same run: seasonal naive, Koku's line, a run rate. Pure numpy.

All take `history` (series, days), NaN before a series begins, and foretell (series, days ahead).
Sources: Koku `forecast.py` (https://github.com/project-koku/koku): least squares on at most 31 days, outliers past 1.5
interquartile ranges left out, never below 0. A run rate is the mean of the month so far (LiteLLM, AWS Budgets' line).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KOKU_DAYS = 31


def seasonal_naive(history: Floats, days: int) -> Floats:
    """The last week again and again."""
    week = np.nan_to_num(history[:, -7:])
    return np.tile(week, (1, days // 7 + 1))[:, :days]


def koku_ols(history: Floats, days: int) -> Floats:
    """A straight line through the last 31 days without outliers, never below 0."""
    recent = history[:, -KOKU_DAYS:]
    numbers = np.arange(recent.shape[1], dtype=float)
    known = np.asarray(np.isfinite(recent))
    some = np.asarray(known.any(1))
    safe = np.where(some[:, None], recent, 0.0)
    low, high = np.nanpercentile(safe, [25, 75], axis=1)
    reach = 1.5 * (high - low)
    used = np.isfinite(safe) & (safe >= (low - reach)[:, None]) & (safe <= (high + reach)[:, None])
    values = np.where(used, safe, 0.0)
    count = np.maximum(used.sum(1), 1)
    mean_x, mean_y = (numbers * used).sum(1) / count, values.sum(1) / count
    away = (numbers[None, :] - mean_x[:, None]) * used
    spread = (away**2).sum(1)
    slope = (away * (values - mean_y[:, None])).sum(1) / np.where(spread > 0, spread, 1.0)
    ahead = np.arange(len(numbers), len(numbers) + days, dtype=float)
    line = mean_y[:, None] + slope[:, None] * (ahead[None, :] - mean_x[:, None])
    return np.asarray(np.maximum(line, 0.0))


def run_rate(history: Floats, days: int, days_of_month: NDArray[np.int_]) -> Floats:
    """The mean of the month so far, each day; on a month's first day that of the last 30 days.

    days_of_month: days of the current month that are behind us, by series.
    """
    length = history.shape[1]
    window = np.where(days_of_month > 0, days_of_month, 30)
    used = (np.arange(length)[None, :] >= length - window[:, None]) & np.isfinite(history)
    mean = np.where(used, np.nan_to_num(history), 0.0).sum(1) / np.maximum(used.sum(1), 1)
    return np.repeat(mean[:, None], days, axis=1)
