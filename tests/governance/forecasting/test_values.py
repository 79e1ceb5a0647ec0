"""Scopes, period totals and crossings, worked out by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.forecasting.values import (
    HORIZONS,
    LEVELS,
    DayForecast,
    ForecastScope,
    Spread,
    StoredForecast,
    UnknownDimension,
)

FIRST = date(2026, 5, 11)


def forecast(a_day: str = "10", width: float = 2.0, days: int = 90) -> StoredForecast:
    """`a_day` every day; the offset at level q is (q - 0.5) * width * days: 10 % to 90 % is 0.8 * width a day."""
    amount = Decimal(a_day)
    return StoredForecast(
        scope=ForecastScope(),
        currency="USD",
        basis="effective",
        made_at=datetime(2026, 5, 11, 2, tzinfo=UTC),
        first_day=FIRST,
        inputs_revision="x",
        provisional=False,
        cold_start=False,
        days=tuple(DayForecast(FIRST + timedelta(days=n), amount - 1, amount, amount + 1) for n in range(days)),
        spread=Spread(tuple(tuple((level - 0.5) * width * horizon for level in LEVELS) for horizon in HORIZONS)),
    )


def test_scopes_are_equal_in_any_order():
    one = ForecastScope((("team", "search"), ("model", "gpt-large")))
    assert one == ForecastScope.of(model="gpt-large", team="search", project=None)
    assert one.key == "model=gpt-large,team=search"
    assert ForecastScope.parse(one.key) == one
    assert ForecastScope.parse("all") == ForecastScope()
    assert one.team == "search"
    assert one.contains({"team": "search", "model": "gpt-large", "provider": "aws"})
    assert not one.contains({"team": "search", "model": None})


@pytest.mark.parametrize("text", ["colour=red", "team", "team=", "team=a,team=b"])
def test_what_is_no_scope_is_refused(text):
    with pytest.raises(UnknownDimension):
        ForecastScope.parse(text)


def test_a_month_is_what_is_spent_and_what_comes():
    # 11 to 31 May: 21 days of 10; offsets of +-0.4 * 2 * 21 at 10 and 90 %, +-0.475 * 2 * 21 at 2.5 and 97.5 %.
    total = forecast().period_total(date(2026, 5, 1), date(2026, 6, 1), Decimal(95))
    assert total.p50 == Decimal(305)
    assert (total.p10, total.p90) == (Decimal("288.2"), Decimal("321.8"))
    assert (total.p2_5, total.p97_5) == (Decimal("285.05"), Decimal("324.95"))
    assert total.sigma == pytest.approx(33.6 / 2.5631)
    assert not total.provisional


def test_a_total_is_never_less_than_what_is_spent():
    total = forecast(width=100.0).period_total(date(2026, 5, 1), date(2026, 6, 1), Decimal(95))
    assert total.p2_5 == Decimal(95)


def test_days_that_are_spent_already_are_not_forecast_again():
    total = forecast().period_total(date(2026, 5, 1), date(2026, 6, 1), Decimal(125), spent_through=date(2026, 5, 14))
    assert total.p50 == Decimal(125 + 18 * 10)


def test_a_period_that_is_over_is_what_was_spent():
    total = forecast().period_total(date(2026, 4, 1), date(2026, 5, 1), Decimal(400))
    assert (total.p2_5, total.p50, total.p97_5, total.sigma) == (Decimal(400), Decimal(400), Decimal(400), 0.0)


def test_past_the_last_day_the_last_week_repeats_provisionally():
    total = forecast(days=30).period_total(date(2026, 5, 11), date(2026, 8, 19), Decimal(0))
    assert total.p50 == Decimal(1000)
    assert total.provisional


def test_it_crosses_on_the_day_that_passes_the_limit():
    # 95 + 10 a day: the 31st ends at 305, the 21st at 205.
    crossing = forecast().crossing(Decimal(200), Decimal(95), date(2026, 5, 1), date(2026, 6, 1))
    assert crossing.date == date(2026, 5, 21)
    assert crossing.probability == pytest.approx(0.999)


def test_a_limit_at_the_middle_is_passed_half_of_the_time():
    crossing = forecast().crossing(Decimal(305), Decimal(95), date(2026, 5, 1), date(2026, 6, 1))
    assert crossing.date is None
    assert crossing.probability == pytest.approx(0.5)


def test_ten_percent_lies_above_the_ninetieth_percentile():
    crossing = forecast().crossing(Decimal("321.8"), Decimal(95), date(2026, 5, 1), date(2026, 6, 1))
    assert crossing.probability == pytest.approx(0.1)


def test_what_is_over_already_is_certain():
    crossing = forecast().crossing(Decimal(90), Decimal(95), date(2026, 5, 1), date(2026, 6, 1))
    assert (crossing.date, crossing.probability) == (date(2026, 5, 10), 1.0)


@given(st.decimals(0, 1000, places=2), st.integers(0, 120), st.integers(1, 120))
def test_quantiles_are_in_order_and_the_chance_falls_with_the_limit(spent, skipped, days):
    start = FIRST + timedelta(days=skipped)
    mine = forecast()
    total = mine.period_total(start, start + timedelta(days=days), spent)
    assert total.p2_5 <= total.p10 <= total.p50 <= total.p90 <= total.p97_5
    chances = [
        mine.crossing(spent + limit, spent, start, start + timedelta(days=days)).probability
        for limit in (Decimal(0), Decimal(100), Decimal(1000), Decimal(3000))
    ]
    assert chances == sorted(chances, reverse=True)
