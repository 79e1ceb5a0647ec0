"""The method: what it learns from plain series, and that it never looks ahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.forecasting import bets

WEEK = np.array([10.0, 10, 10, 10, 10, 2, 2])


def test_it_repeats_a_steady_week():
    history = np.tile(WEEK, 20)[None, :]
    fit = bets.forecast(history)
    assert fit.path.shape == (1, 90)
    assert fit.path[0, :7] == pytest.approx(WEEK, rel=0.02)
    assert fit.path[0, :28].sum() == pytest.approx(4 * WEEK.sum(), rel=0.01)


def test_it_follows_growth_further_than_last_week():
    history = (100 * 1.01 ** np.arange(140))[None, :]
    ahead = bets.forecast(history).path[0, :7].mean()
    assert ahead > history[0, -7:].mean()


def test_one_burst_does_not_become_a_level():
    history = np.full((1, 120), 100.0)
    history[0, -3] = 2000
    assert bets.forecast(history).path[0, :30].mean() == pytest.approx(100, rel=0.1)


def test_days_that_are_not_known_change_nothing():
    history = np.tile(WEEK, 20)[None, :]
    holes = history.copy()
    holes[0, 70:73] = np.nan
    assert bets.forecast(holes).path[0] == pytest.approx(bets.forecast(history).path[0], rel=0.05)


def test_a_series_has_the_same_forecast_alone_and_among_others():
    random = np.random.default_rng(1)
    many = random.uniform(1, 100, (300, 100))
    assert bets.forecast(many).path[200] == pytest.approx(bets.forecast(many[200:201]).path[0])


def test_it_scales_with_the_unit():
    history = np.random.default_rng(2).uniform(1, 100, (3, 120))
    assert bets.forecast(history * 1e6).path == pytest.approx(bets.forecast(history).path * 1e6, rel=1e-4)


@pytest.mark.parametrize("days", [7, 13, 14, 40, 69, 70, 71, 180])
def test_it_takes_histories_of_any_length(days):
    fit = bets.forecast(np.full((2, days), 5.0))
    assert fit.path == pytest.approx(5.0, rel=0.01)


def test_an_empty_series_is_forecast_as_nothing():
    path = bets.forecast(np.array([[np.nan] * 60, [0.0] * 60])).path
    assert np.isfinite(path).all()
    assert path[1].sum() == pytest.approx(0, abs=1e-6)


def test_misses_are_those_of_sums_and_signed():
    history = np.full((1, 140), 10.0)
    history[0, 100:] = 20.0
    misses = bets.forecast(history).misses[0]
    # From origins just before the step the sums are far too low, never too high.
    assert np.nanmax(misses) > 50
    assert np.isnan(misses[-1, -1])  # 30 days after the last origin have not passed


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_what_was_expected_of_a_day_does_not_depend_on_it(back, seed):
    random = np.random.default_rng(seed)
    history = random.uniform(1, 100, (2, 120))
    states = bets._smooth(history)
    altered = history.copy()
    altered[:, -back:] = altered[:, -back:] + 1.0
    # The unit is the mean of all days: compared in money.
    other = bets._smooth(altered)
    at = bets.JUDGED_DAYS - back
    mine = states.expected[at] * states.unit[:, None]
    theirs = other.expected[at] * other.unit[:, None]
    assert mine == pytest.approx(theirs, rel=0.02)
