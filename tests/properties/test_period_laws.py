"""Periods are half-open, and tile: nothing missing, nothing twice, in any zone, across every change of its clocks."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.periods import Period, first_day, month_of, next_month

# Changes at midnight (Beirut, Sao Paulo, Havana), of half an hour (Lord Howe), of a day (Apia), at 02:00 and 03:00.
ZONES = st.sampled_from(
    [
        "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut",
        "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca",
        "America/St_Johns",
    ]
).map(ZoneInfo)  # fmt: skip
DAYS = st.dates(date(2005, 1, 1), date(2030, 12, 31))
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))


@st.composite
def periods(draw) -> Period:
    start = draw(INSTANTS)
    return Period(start, start + draw(st.timedeltas(timedelta(microseconds=1), timedelta(days=40))))


def assert_tiles(whole: Period, parts: list[Period]) -> None:
    assert parts[0].start == whole.start
    assert parts[-1].end == whole.end
    assert all(before.end == after.start for before, after in pairwise(parts))


@given(periods(), ZONES)
def test_local_days_tile_a_period(period, zone):
    parts = list(period.tiles(zone))
    assert_tiles(period, parts)
    assert [part.start.astimezone(zone).date() for part in parts] == list(period.days(zone))


@given(periods())
def test_hours_tile_a_period(period):
    parts = list(period.hours())
    assert_tiles(period, parts)
    assert all(part.duration <= timedelta(hours=1) for part in parts)


@given(DAYS, st.integers(0, 60), ZONES)
def test_whole_local_days_tile_a_span_of_days(first, more, zone):
    whole = (
        Period.of_days(first, first + timedelta(days=more), zone) if more else Period.of_month(month_of(first), zone)
    )
    days = list(whole.days(zone))
    assert_tiles(whole, [Period.of_day(day, zone) for day in days])


@given(DAYS, ZONES)
def test_months_tile_a_year(day, zone):
    months = [f"{day.year}-{month:02d}" for month in range(1, 13)]
    year = Period.of_days(date(day.year, 1, 1), date(day.year, 12, 31), zone)
    assert_tiles(year, [Period.of_month(month, zone) for month in months])


@given(periods(), INSTANTS)
def test_an_instant_is_in_exactly_one_tile_of_a_period_that_holds_it(period, instant):
    holding = [part for part in period.tiles() if instant in part]
    assert len(holding) == (1 if instant in period else 0)


@given(periods(), periods())
def test_an_intersection_is_what_both_hold(one, other):
    both = one.intersection(other)
    assert both == other.intersection(one)
    assert (both is not None) == one.overlaps(other) == other.overlaps(one)
    if both is not None:
        assert max(one.start, other.start) == both.start < both.end == min(one.end, other.end)


@given(periods())
def test_months_of_a_period_are_those_of_its_days(period):
    assert period.months() == sorted({month_of(day) for day in period.days()})


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 5, 1), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight doesn't exist
        ("America/Havana", date(2025, 11, 2), 25),  # midnight comes twice
        ("Asia/Kolkata", date(2026, 3, 29), 24),
    ],
)
def test_a_local_day_has_the_hours_of_its_clock(zone, day, hours):
    assert Period.of_day(day, ZoneInfo(zone)).duration == timedelta(hours=hours)


def test_a_day_that_a_zone_skipped_is_in_no_period():
    apia = ZoneInfo("Pacific/Apia")
    around = Period.of_days(date(2011, 12, 29), date(2011, 12, 31), apia)
    assert list(around.days(apia)) == [date(2011, 12, 29), date(2011, 12, 31)]
    with pytest.raises(ValueError, match="ends after it starts"):
        Period.of_day(date(2011, 12, 30), apia)


def test_the_end_is_outside():
    may = Period.of_month("2026-05")
    assert datetime(2026, 5, 1, tzinfo=UTC) in may
    assert datetime(2026, 6, 1, tzinfo=UTC) not in may
    june = Period.of_month("2026-06")
    assert not may.overlaps(june)
    assert may.intersection(june) is None
    assert may < june


def test_a_period_is_in_utc_whatever_it_was_made_from():
    two_hours = timezone(timedelta(hours=2))
    period = Period(datetime(2026, 5, 1, 2, tzinfo=two_hours), datetime(2026, 5, 1, 4, tzinfo=two_hours))
    assert period == Period(datetime(2026, 5, 1, 0, tzinfo=UTC), datetime(2026, 5, 1, 2, tzinfo=UTC))
    assert str(period) == "[2026-05-01T00:00:00+00:00, 2026-05-01T02:00:00+00:00)"


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (datetime(2026, 5, 1), datetime(2026, 5, 2, tzinfo=UTC), "no time zone"),
        (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2), "no time zone"),
        (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC), "ends after it starts"),
        (datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC), "ends after it starts"),
    ],
)
def test_naive_and_empty_periods_are_refused(start, end, message):
    with pytest.raises(ValueError, match=message):
        Period(start, end)


@given(DAYS)
def test_a_month_and_its_first_day_name_each_other(day):
    assert month_of(first_day(month_of(day))) == month_of(day)
    assert first_day(month_of(next_month(day))) == next_month(day) > day


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026-5", "202605", "0000-01", "2026-05-01", ""])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(ValueError, match="YYYY-MM"):
        first_day(text)
