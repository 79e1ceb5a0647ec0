"""Laws of budgets: periods tile to the second in every zone, splits sum, limits and ratios keep their meaning."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.periods import Period
from governance.budgets import (
    Calendar,
    LimitRule,
    LocalSpan,
    Nested,
    PeriodKind,
    Rollover,
    SpendCell,
    consumption,
    excesses,
    parents,
)
from governance.learned_ratios import Ratios, SettledDay, learn_ratios

ZONES = (
    "Asia/Kolkata",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Havana",  # midnight comes twice
    "Asia/Beirut",  # the clock jumps over midnight
    "Pacific/Apia",  # skipped 2011-12-30
    "Pacific/Chatham",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "UTC",
)
REPEATING = (PeriodKind.MONTH, PeriodKind.QUARTER, PeriodKind.WEEK)
days = st.dates(date(2005, 1, 1), date(2035, 1, 1))
amounts = st.decimals(0, 10**9, places=2)
costs = st.decimals(Decimal(-1000), 10**6, places=6)


@given(st.sampled_from(ZONES), st.sampled_from(REPEATING), days)
def test_periods_tile_to_the_second(zone: str, kind: PeriodKind, starts: date) -> None:
    calendar = Calendar(kind, zone, starts)
    periods = [calendar.period(span) for span in calendar.spans(starts + timedelta(days=800))]
    assert all(before.end == after.start for before, after in pairwise(periods))
    assert periods[0].start <= Period.of_day(starts + timedelta(days=1), calendar.tz).start
    # Every instant belongs to exactly one: the last one of a period, and the first of the next.
    for number, period in enumerate(periods):
        for instant in (period.start, period.end - timedelta(microseconds=1)):
            span = calendar.at(instant)
            assert span is not None
            assert (span.number, calendar.period(span)) == (number, period)


@given(st.sampled_from(ZONES), days, st.integers(1, 400), st.integers(0, 800))
def test_own_dates_are_one_period(zone: str, starts: date, length: int, later: int) -> None:
    calendar = Calendar(PeriodKind.DATES, zone, starts, starts + timedelta(days=length))
    only = [LocalSpan(0, starts, starts + timedelta(days=length))]
    # islice: one that never ends is a failure here, not a test that hangs.
    assert list(islice(calendar.spans(starts + timedelta(days=1 + later)), 2)) == only
    assert calendar.of_day(starts + timedelta(days=later)) == (only[0] if later < length else None)


@given(st.sampled_from(ZONES), st.sampled_from(REPEATING), days, st.integers(0, 86_399))
def test_an_instant_lies_in_the_period_that_is_found_for_it(
    zone: str, kind: PeriodKind, day: date, second: int
) -> None:
    calendar = Calendar(kind, zone, day - timedelta(days=500))
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)
    span = calendar.at(instant)
    assert span is not None
    assert instant in calendar.period(span)


@given(st.sampled_from(ZONES), st.lists(st.tuples(st.integers(0, 70), costs, costs), max_size=30), days)
def test_periods_that_tile_share_out_every_cost(
    zone: str, rows: list[tuple[int, Decimal, Decimal]], starts: date
) -> None:
    """Whatever the zone, a cost is in the periods' sum once: nothing is lost at an edge, nothing counts twice."""
    calendar = Calendar(PeriodKind.MONTH, zone, starts)
    first = starts.replace(day=1) + timedelta(days=2)
    cells = [
        SpendCell(first + timedelta(days=ahead), "USD", "aws", "m", billed=billed, estimated=estimated)
        for ahead, billed, estimated in rows
    ]
    periods = [calendar.period(span) for span in calendar.spans(starts + timedelta(days=140))]
    found = [
        consumption(cells, period=period, now=periods[-1].end, currency="USD", ratios=Ratios({}, {"aws": Decimal(1)}))
        for period in periods
    ]
    total = sum((billed + estimated for _, billed, estimated in rows), Decimal(0))
    # Each period is rounded once at six places.
    assert abs(sum(each.consumed for each in found) - total) <= len(found) * Decimal("0.000001")


@given(amounts, st.integers(-900_000, 1_000_000), st.lists(amounts, max_size=8), st.sampled_from(list(Rollover)))
def test_a_limit_is_never_negative(amount: Decimal, growth: int, consumed: list[Decimal], rollover: Rollover) -> None:
    rule = LimitRule(amount, growth // 10, rollover)
    limit = rule.limit(len(consumed), consumed)
    assert limit >= 0
    if rollover is Rollover.UNUSED:
        assert limit >= rule.base(len(consumed))


@given(amounts, st.lists(amounts, min_size=1, max_size=8))
def test_what_goes_over_both_ways_conserves(amount: Decimal, consumed: list[Decimal]) -> None:
    """With neither cap nor growth, and while nothing is cut off at 0: all limits so far = amounts + what is left."""
    rule = LimitRule(amount, 0, Rollover.BOTH)
    plain = amount * (len(consumed) + 1) - sum(consumed, Decimal(0))
    lowest = min(amount * (number + 1) - sum(consumed[:number], Decimal(0)) for number in range(len(consumed) + 1))
    if lowest >= 0:
        assert rule.limit(len(consumed), consumed) == plain


@given(st.decimals(Decimal("0.2"), 5, places=3), st.lists(st.decimals(1, 10**5, places=2), min_size=1, max_size=20))
def test_a_steady_ratio_is_learned_exactly(ratio: Decimal, estimates: list[Decimal]) -> None:
    newest = date(2026, 5, 20)
    settled = [
        SettledDay(newest - timedelta(days=age), "aws", "m", estimated, estimated * ratio)
        for age, estimated in enumerate(estimates)
    ]
    learned = learn_ratios(settled, {"aws": newest})
    assert abs(learned.of("aws", "m") - ratio) < Decimal("1e-8")
    assert abs(learned.of("aws", "never seen") - ratio) < Decimal("1e-8")
    assert learned.of("gcp", "m") == 1


@given(st.data())
def test_a_parent_exceeds_exactly_when_a_family_allows_more(data: st.DataObject) -> None:
    period = Period.of_month("2026-05")
    teams = [f"t{number}" for number in range(data.draw(st.integers(1, 5)))]
    limits = {team: data.draw(amounts, label=team) for team in teams}
    above = data.draw(amounts, label="parent")
    nested = [Nested(0, (), None, above, period, "USD", "effective")]
    nested += [
        Nested(number + 1, (("team", team),), frozenset({team}), limits[team], period, "USD", "effective")
        for number, team in enumerate(teams)
    ]
    assert parents(nested) == {number + 1: 0 for number in range(len(teams))}
    found = excesses(nested)
    assert (0 in found) == (sum(limits.values()) > above)


@pytest.mark.parametrize(
    ("zone", "month", "start", "end", "hours"),
    [
        # Summer time begins on 8 March 2026 in New York: the month has 743 hours.
        ("America/New_York", date(2026, 3, 1), "2026-03-01T05:00:00", "2026-04-01T04:00:00", 743),
        # It ends on 1 November 2026: 721 hours.
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00:00", "2026-12-01T05:00:00", 721),
        # India has none, and lies five and a half hours ahead.
        ("Asia/Kolkata", date(2026, 3, 1), "2026-02-28T18:30:00", "2026-03-31T18:30:00", 744),
        ("Europe/Berlin", date(2026, 10, 1), "2026-09-30T22:00:00", "2026-10-31T23:00:00", 745),
    ],
)
def test_a_month_over_a_change_of_the_clock(zone: str, month: date, start: str, end: str, hours: int) -> None:
    calendar = Calendar(PeriodKind.MONTH, zone, month)
    period = calendar.period(next(calendar.spans(date.max)))
    assert (period.start, period.end) == (
        datetime.fromisoformat(start).replace(tzinfo=UTC),
        datetime.fromisoformat(end).replace(tzinfo=UTC),
    )
    assert period.duration == timedelta(hours=hours)
    # To the second: the last one of the month is the month's, the next is not.
    last = calendar.at(period.end - timedelta(seconds=1))
    following = calendar.at(period.end)
    assert last is not None
    assert following is not None
    assert (last.number, following.number) == (0, 1)
