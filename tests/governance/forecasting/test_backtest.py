"""The rolling origin: it can't look ahead, and says what it saw."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.forecasting import backtest as back
from governance.forecasting.intervals import Conformal, offsets_of, pool_of

JANUARY = date(2025, 1, 1)


def noisy(seed: int, series: int = 8, days: int = 200) -> np.ndarray:
    random = np.random.default_rng(seed)
    week = np.array([1, 1, 1, 1, 1, 0.4, 0.3])[np.arange(days) % 7]
    return random.uniform(50, 500, (series, 1)) * week * np.exp(random.normal(0, 0.2, (series, days)))


@settings(max_examples=15, deadline=None)
@given(st.integers(60, 190), st.integers(0, 1000), st.sampled_from([np.nan, 0.0, 1e9]))
def test_no_method_sees_a_day_from_the_origin_on(origin, seed, garbage):
    values = noisy(seed)
    altered = values.copy()
    altered[:, origin:] = garbage
    mine = back.foretell(back.Panel(values, JANUARY), origin)
    theirs = back.foretell(back.Panel(altered, JANUARY), origin)
    assert set(mine.paths) == set(back.METHODS)
    for method in back.METHODS:
        np.testing.assert_array_equal(mine.paths[method], theirs.paths[method])
    np.testing.assert_array_equal(mine.outlook.misses, theirs.outlook.misses)


def intervals_until(values: np.ndarray, origins: list[int]) -> np.ndarray:
    """The offsets of the last origin, learned as a backtest learns."""
    panel, conformal = back.Panel(values, JANUARY), Conformal()
    offsets = np.zeros(0)
    for origin in origins:
        conformal.learn(panel.values[:, :origin])
        outlook = back.foretell(panel, origin, ()).outlook
        pool = pool_of(outlook)
        offsets = offsets_of(outlook, pool, conformal.foretold(origin, outlook, pool))
    return offsets


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 1e9]))
def test_no_interval_sees_a_day_from_the_origin_on(seed, garbage):
    values, origins = noisy(seed, series=30), [80, 90, 100, 110, 120]
    altered = values.copy()
    altered[:, origins[-1] :] = garbage
    np.testing.assert_array_equal(intervals_until(values, origins), intervals_until(altered, origins))


def test_origins_are_days_of_whole_months():
    panel = back.Panel(np.ones((1, 31 + 28 + 31 + 10)), JANUARY)
    origins = back.month_origins(panel, months=2)
    assert [panel.day(one).isoformat() for one in origins] == [
        "2025-02-01", "2025-02-06", "2025-02-11", "2025-02-16", "2025-02-21", "2025-02-26",
        "2025-03-01", "2025-03-06", "2025-03-11", "2025-03-16", "2025-03-21", "2025-03-26",
    ]  # fmt: skip


def test_it_knows_a_perfect_week():
    week = np.array([10.0, 10, 10, 10, 10, 2, 2])
    values = np.tile(week, 30)[None, :] * np.array([[1.0], [3.0]])
    values[:, ::14] *= 1.01  # an error scale of exactly 0 can't scale anything
    panel = back.Panel(values, JANUARY)
    verdict = back.backtest(panel, back.month_origins(panel, 3))
    assert verdict.month_ape[10]["bets"] < 0.02
    assert verdict.month_ape[10]["seasonal_naive"] < 0.01
    assert (verdict.series, verdict.origins) == (2, 18)
    assert verdict.provisional  # two series promise nothing


def test_a_known_price_change_is_in_the_forecast_on_the_first_day():
    usage = np.tile([10.0, 10, 10, 10, 10, 2, 2], 30)[None, :]
    prices = np.ones_like(usage)
    prices[:, 150:] = 0.5
    panel = back.Panel(usage * prices, JANUARY, prices)
    path = back.foretell(panel, 150, ()).paths["bets"]
    assert path[0, :28].sum() == pytest.approx(0.5 * 4 * 54, rel=0.02)
    blind = back.foretell(back.Panel(usage * prices, JANUARY), 150, ()).paths["bets"]
    assert blind[0, :28].sum() == pytest.approx(4 * 54, rel=0.02)


def test_intervals_cover_what_they_say_of_many_series():
    values = noisy(5, series=120, days=330)
    panel = back.Panel(values, JANUARY)
    verdict = back.backtest(panel, back.month_origins(panel, 6))
    assert verdict.coverage80 == pytest.approx(0.80, abs=0.04)
    assert verdict.coverage95 == pytest.approx(0.95, abs=0.03)
    assert not verdict.provisional
    answer = verdict.to_json()
    assert set(answer["30"]["bets"]) == {"mase", "ape_median"}
    assert {"coverage80", "coverage95", "series", "origins"} <= set(answer)
