"""Hours: a profile times a day."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from governance.forecasting.hourly import hours_of, profile_of

MONDAY = date(2026, 6, 1)
NIGHT = [1 / 8] * 8 + [0.0] * 16
NOON = [0.0] * 12 + [1.0] + [0.0] * 11


def test_a_weekdays_own_hours_count_more_the_more_of_them_were_seen():
    shares = {MONDAY - timedelta(days=7 * week): NOON for week in range(1, 3)}
    shares |= {MONDAY - timedelta(days=7 * week + 1): NIGHT for week in range(1, 3)}
    profile = profile_of(shares)
    # Two Mondays against a mean of half and half: (1 + 0.5) / 2.
    assert profile[0, 12] == pytest.approx(0.75)
    # No Friday was seen: the mean of all.
    assert profile[4, 12] == pytest.approx(0.5)
    assert profile.sum(1) == pytest.approx(np.ones(7))


def test_without_hours_a_day_is_spread_evenly():
    assert profile_of({}) == pytest.approx(1 / 24)


def test_the_hours_of_a_day_sum_to_it():
    bands = np.array([[20.0, 24.0, 30.0], [40.0, 48.0, 60.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    parts = {"aws": bands[:, 1] / 2, "gcp": bands[:, 1] / 2}
    profiles = {"aws": np.tile(NOON, (7, 1))}
    hours = hours_of(MONDAY, bands, parts, profiles, datetime(2026, 6, 1, tzinfo=UTC))
    assert len(hours) == 72
    assert sum(hour.p50 for hour in hours[:24]) == pytest.approx(24)
    assert sum(hour.p90 for hour in hours[24:48]) == pytest.approx(60)
    # Half of Monday's 24 at noon, of which gcp has an even hour too.
    assert hours[12].p50 == pytest.approx(12 + 0.5)
    assert hours[0].p50 == pytest.approx(0.5)


def test_hours_past_the_last_day_are_left_out():
    hours = hours_of(MONDAY, np.ones((1, 3)), {}, {}, datetime(2026, 6, 1, 20, tzinfo=UTC))
    assert [hour.start.hour for hour in hours] == [20, 21, 22, 23]
