"""Learned ratios and pacing, worked out by hand."""

import math

import pytest

from governance.enforcement.learning import Ratio, learn
from governance.enforcement.pacing import MOST, pace


def test_the_first_bill_says_almost_all() -> None:
    # A day of 100 estimated was billed 109; the prior is 2 % of a usual day: (109 + 2) / (100 + 2).
    known = learn(Ratio(), billed=109.0, estimated=100.0, usual_day=100.0, at_hours=24)
    assert known.value == pytest.approx(111 / 102)


def test_an_hour_is_learned_once() -> None:
    once = learn(Ratio(), billed=109.0, estimated=100.0, usual_day=100.0, at_hours=24)
    assert learn(once, billed=109.0, estimated=100.0, usual_day=100.0, at_hours=24) is once
    assert learn(once, billed=0.0, estimated=0.0, usual_day=100.0, at_hours=48) is once


def test_older_days_count_half_after_72_hours() -> None:
    first = learn(Ratio(), billed=110.0, estimated=100.0, usual_day=0.0, at_hours=24)
    later = learn(first, billed=103.0, estimated=100.0, usual_day=0.0, at_hours=96)
    assert later.value == pytest.approx((55 + 103) / (50 + 100))


def test_two_days_that_say_the_same_are_a_price_change() -> None:
    known = Ratio()
    for day in range(10):
        known = learn(known, billed=100.0, estimated=100.0, usual_day=100.0, at_hours=day * 24 + 24)
    first = learn(known, billed=120.0, estimated=100.0, usual_day=100.0, at_hours=264)
    second = learn(first, billed=120.0, estimated=100.0, usual_day=100.0, at_hours=288)
    assert first.value < 1.06
    assert second.value > 1.13


def test_pacing_raises_the_price_while_money_goes_too_fast() -> None:
    # Twice an even run: e^0.12 higher.
    assert pace(1.0, spent_last_hour=2.0, available=100.0, hours_left=100.0) == pytest.approx(math.exp(0.12))
    assert pace(1.0, spent_last_hour=0.0, available=100.0, hours_left=100.0) == pytest.approx(math.exp(-0.12))
    assert pace(0.3, spent_last_hour=0.5, available=100.0, hours_left=100.0) == 0.0
    assert pace(1.0, spent_last_hour=1.0, available=0.0, hours_left=10.0) == MOST
