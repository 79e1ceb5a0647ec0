"""How good the forecasts would have been: a rolling origin over series, ours beside others' methods. Pure numpy.

An origin is the first day that is foretold. A method gets a copy of the days before it and nothing else, and the price
schedule as it is known; the days from the origin on reach only the scoring. A test alters all of them and sees the same
forecasts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from governance.forecasting import baselines, bets
from governance.forecasting.hierarchy import Outlook
from governance.forecasting.intervals import Conformal, offsets_of, pool_of
from governance.forecasting.values import HORIZONS, LEVELS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

METHODS = ("bets", "seasonal_naive", "koku_ols", "run_rate")
JUDGED_HORIZONS = (7, 14, 30)
MONTH_DAYS = (0, 5, 10, 15, 20, 25)
# A series is judged at an origin that has this many known days before it.
LEAST_DAYS = 28


@dataclass(frozen=True)
class Panel:
    """Daily amounts: values (series, days), NaN where a series was not known or had not begun; first_day of column 0.

    prices: the known schedule, of the same shape and reaching as far ahead as it is known: 1 where it never changes.
    """

    values: Floats
    first_day: date
    prices: Floats | None = None

    @property
    def days(self) -> int:
        return int(self.values.shape[1])

    def day(self, index: int) -> date:
        return self.first_day + timedelta(days=index)

    def before(self, index: int) -> Floats:
        """A copy of what was known on the morning of day `index`, at most HISTORY_DAYS of it."""
        return self.values[:, max(0, index - bets.HISTORY_DAYS) : index].copy()


@dataclass(frozen=True)
class Foretold:
    """What one origin foretold, before anything of it was known."""

    origin: int
    paths: Mapping[str, Floats]  # method -> (series, DAYS_AHEAD), in money
    outlook: Outlook  # ours, in money


@dataclass
class Scores:
    """Collected errors. ape: month totals, by day of the month, method -> values; coverage: hits at 80 and 95 %."""

    mase: dict[int, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    ape: dict[int, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    horizon_ape: dict[int, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    inside80: list[bool] = field(default_factory=list)
    inside95: list[bool] = field(default_factory=list)
    by_day80: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    by_day95: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    origins: int = 0


@dataclass(frozen=True)
class Verdict:
    """What a backtest says; shares are 0 to 1, medians of absolute percentage errors too. None: nothing to judge."""

    mase: Mapping[int, Mapping[str, float]]  # horizon -> method -> mean scaled error
    ape_median: Mapping[int, Mapping[str, float]]  # horizon -> method -> of the horizon's total
    month_ape: Mapping[int, Mapping[str, float]]  # day of month -> method -> of the month's total
    coverage80: float | None
    coverage95: float | None
    coverage_by_day: Mapping[int, tuple[float, float]]
    series: int
    origins: int

    @property
    def provisional(self) -> bool:
        """Too few series or months for the promise of coverage to mean anything."""
        return self.series < ENOUGH_SERIES or self.origins < ENOUGH_ORIGINS

    def to_json(self) -> dict[str, object]:
        """The documented form: {horizon: {method: {mase, ape_median}}, coverage80, coverage95, series, origins}."""
        horizons: dict[str, object] = {
            str(horizon): {
                method: {"mase": _rounded(mase), "ape_median": _rounded(self.ape_median[horizon][method])}
                for method, mase in methods.items()
            }
            for horizon, methods in self.mase.items()
        }
        return {
            **horizons,
            "month": {
                str(day): {method: _rounded(value) for method, value in methods.items()}
                for day, methods in self.month_ape.items()
            },
            "coverage80": _rounded(self.coverage80),
            "coverage95": _rounded(self.coverage95),
            "coverage_by_day": {
                str(day): [_rounded(low), _rounded(high)] for day, (low, high) in self.coverage_by_day.items()
            },
            "series": self.series,
            "origins": self.origins,
            "provisional": self.provisional,
        }


ENOUGH_SERIES = 100
# Two months of origins.
ENOUGH_ORIGINS = 2 * len(MONTH_DAYS)


def month_origins(panel: Panel, months: int) -> tuple[int, ...]:
    """Indices of days 1, 6, 11, 16, 21, 26 of the last `months` months that the panel has to their end."""
    found = [
        index
        for index in range(bets.WEEK * 4, panel.days)
        if panel.day(index).day - 1 in MONTH_DAYS and index + _days_left(panel.day(index)) <= panel.days
    ]
    firsts = sorted({panel.day(index).replace(day=1) for index in found})[-months:]
    return tuple(index for index in found if firsts and panel.day(index) >= firsts[0])


def foretell(panel: Panel, origin: int, methods: Sequence[str] = METHODS) -> Foretold:
    """All methods' forecasts at `origin`, from the days before it and the price schedule alone."""
    past = panel.before(origin)
    outlook = fit(past, *_schedule(panel, origin))
    passed = np.full(len(past), panel.day(origin).day - 1)
    others = {
        "seasonal_naive": lambda: baselines.seasonal_naive(past, bets.DAYS_AHEAD),
        "koku_ols": lambda: baselines.koku_ols(past, bets.DAYS_AHEAD),
        "run_rate": lambda: baselines.run_rate(past, bets.DAYS_AHEAD, passed),
    }
    paths = {name: others[name]() for name in methods if name in others}
    return Foretold(origin, {"bets": outlook.path, **paths}, outlook)


def fit(past: Floats, past_prices: Floats | None, prices_ahead: Floats | None) -> Outlook:
    """Usage by "bets", times the price schedule: `past` is in money; None: prices don't change.

    Usage is money at the prices of the day, that is past / past_prices; what is ahead is priced by the schedule.
    """
    if past_prices is None or prices_ahead is None:
        plain = bets.forecast(past)
        return Outlook(plain.path, plain.misses)
    usage = bets.forecast(past / past_prices)
    price_now = prices_ahead[:, :1]
    return Outlook(usage.path * prices_ahead, usage.misses * price_now[:, :, None])


def backtest(
    panel: Panel,
    origins: Iterable[int],
    methods: Sequence[str] = METHODS,
    *,
    judged_at: Callable[[int], Flags] | None = None,
) -> Verdict:
    """Roll over `origins` in time order. Intervals at an origin rest on what earlier origins missed.

    judged_at: origin -> (series): which of them are judged there; None: all that can be.
    """
    scores, conformal = Scores(), Conformal()
    judged: set[int] = set()
    for origin in sorted(origins):
        conformal.learn(panel.values[:, :origin])
        foretold = foretell(panel, origin, methods)
        pool = pool_of(foretold.outlook)
        quantiles = conformal.foretold(origin, foretold.outlook, pool)
        offsets = offsets_of(foretold.outlook, pool, quantiles)
        fitting = _fitting(panel, origin)
        if judged_at is not None:
            fitting &= judged_at(origin)
        if not fitting.any():
            continue
        scores.origins += 1
        judged |= set(np.flatnonzero(fitting).tolist())
        _score_horizons(scores, panel, foretold, fitting)
        _score_month(scores, panel, foretold, offsets, fitting)
    return _verdict(scores, len(judged))


def scaled_misses(past: Floats) -> Floats:
    """(series): the mean miss of "as a week ago" within the past, by which errors are scaled."""
    steps = np.abs(past[:, 7:] - past[:, :-7])
    known = np.isfinite(steps)
    return np.asarray(np.where(known, steps, 0).sum(1) / np.maximum(known.sum(1), 1))


def _fitting(panel: Panel, origin: int) -> Flags:
    """Series that can be judged at this origin: long enough, alive in the last four weeks, no empty past."""
    past = panel.before(origin)
    long_enough = np.isfinite(past).sum(1) >= LEAST_DAYS
    alive = np.nan_to_num(past[:, -LEAST_DAYS:]).sum(1) > 0
    return np.asarray(long_enough & alive & (scaled_misses(past) > 0))


def _schedule(panel: Panel, origin: int) -> tuple[Floats | None, Floats | None]:
    if panel.prices is None:
        return None, None
    ahead = panel.prices[:, origin : origin + bets.DAYS_AHEAD]
    missing = bets.DAYS_AHEAD - ahead.shape[1]
    if missing:
        last = panel.prices[:, -1:] if not ahead.shape[1] else ahead[:, -1:]
        ahead = np.concatenate([ahead, np.repeat(last, missing, axis=1)], axis=1)
    return panel.prices[:, max(0, origin - bets.HISTORY_DAYS) : origin], ahead


def _score_horizons(scores: Scores, panel: Panel, foretold: Foretold, fitting: Flags) -> None:
    scale = scaled_misses(panel.before(foretold.origin))
    for horizon in JUDGED_HORIZONS:
        actual = panel.values[:, foretold.origin : foretold.origin + horizon]
        if actual.shape[1] < horizon:
            continue
        used = fitting & np.isfinite(actual).all(1)
        total = actual[used].sum(1)
        for method, path in foretold.paths.items():
            ahead = path[used, :horizon]
            scores.mase[horizon][method] += (np.abs(ahead - actual[used]).mean(1) / scale[used]).tolist()
            misses = np.abs(ahead.sum(1) - total)[total > 0] / total[total > 0]
            scores.horizon_ape[horizon][method] += misses.tolist()


def _score_month(scores: Scores, panel: Panel, foretold: Foretold, offsets: Floats, fitting: Flags) -> None:
    origin = foretold.origin
    passed = panel.day(origin).day - 1
    left = _days_left(panel.day(origin))
    if passed not in MONTH_DAYS or origin + left > panel.days or origin < passed:
        return
    month = panel.values[:, origin - passed : origin + left]
    used = fitting & np.isfinite(month).all(1) & (month.sum(1) > 0)
    spent, rest = month[used, :passed].sum(1), month[used, passed:].sum(1)
    for method, path in foretold.paths.items():
        misses = np.abs(path[used, :left].sum(1) - rest) / (spent + rest)
        scores.ape[passed][method] += misses.tolist()
    middle = foretold.outlook.path[used, :left].sum(1)
    for low, high, hits, by_day in (
        (0.1, 0.9, scores.inside80, scores.by_day80),
        (0.025, 0.975, scores.inside95, scores.by_day95),
    ):
        inside = (rest >= np.maximum(0, middle + _offset(offsets[used], left, low))) & (
            rest <= middle + _offset(offsets[used], left, high)
        )
        hits += inside.tolist()
        by_day[passed] += inside.tolist()


def _offset(offsets: Floats, days: int, level: float) -> Floats:
    """(series): the offset of a total of `days` days at a level of LEVELS, as values.Spread.at gives it."""
    at_level = offsets[:, :, LEVELS.index(level)]
    knots = np.array((0, *HORIZONS))
    padded = np.concatenate([np.zeros((len(at_level), 1)), at_level], axis=1)
    right = int(np.searchsorted(knots, days))
    share = (days - knots[right - 1]) / (knots[right] - knots[right - 1])
    return np.asarray(padded[:, right - 1] + (padded[:, right] - padded[:, right - 1]) * share)


def _days_left(day: date) -> int:
    """Days of the month from `day` on, itself included."""
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (following - day).days


def _verdict(scores: Scores, series: int) -> Verdict:
    return Verdict(
        mase={horizon: _means(methods) for horizon, methods in sorted(scores.mase.items())},
        ape_median={horizon: _medians(methods) for horizon, methods in sorted(scores.horizon_ape.items())},
        month_ape={day: _medians(methods) for day, methods in sorted(scores.ape.items())},
        coverage80=_share(scores.inside80),
        coverage95=_share(scores.inside95),
        coverage_by_day={
            day: (_share(scores.by_day80[day]) or 0.0, _share(scores.by_day95[day]) or 0.0)
            for day in sorted(scores.by_day80)
        },
        series=series,
        origins=scores.origins,
    )


def _means(methods: Mapping[str, list[float]]) -> dict[str, float]:
    return {method: float(np.mean(values)) for method, values in methods.items() if values}


def _medians(methods: Mapping[str, list[float]]) -> dict[str, float]:
    return {method: float(np.median(values)) for method, values in methods.items() if values}


def _share(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if hits else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
