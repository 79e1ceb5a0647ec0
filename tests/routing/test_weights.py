"""Weights: sums are exact, steps are bounded, floors hold."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.weights import NoShare, largest_step, raise_before_lower, step_towards, to_ppm, with_floor

NAMES = st.sampled_from(["aws", "azure", "gcp", "edge", "spot"])
WEIGHTS = st.dictionaries(NAMES, st.integers(0, 10**9), min_size=1).filter(lambda each: any(each.values())).map(to_ppm)


def test_thirds_get_the_unit_that_is_left_by_name() -> None:
    assert to_ppm({"b": 1, "a": 1, "c": 1}) == {"a": 333_334, "b": 333_333, "c": 333_333}


def test_decimal_shares_keep_their_proportion() -> None:
    assert to_ppm({"aws": Decimal("0.7"), "gcp": Decimal("0.3"), "off": 0}) == {
        "aws": 700_000,
        "gcp": 300_000,
        "off": 0,
    }


def test_nothing_to_share_is_refused() -> None:
    with pytest.raises(NoShare):
        to_ppm({"aws": 0})
    with pytest.raises(ValueError, match="share of aws is -1"):
        to_ppm({"aws": -1, "gcp": 2})


def test_a_step_is_cut_to_its_limit_on_the_straight_way() -> None:
    # aws 80 -> 20 is 60 points; a limit of 15 goes a quarter of the way.
    now, wanted = {"aws": 800_000, "gcp": 200_000}, {"aws": 200_000, "gcp": 500_000, "edge": 300_000}
    assert step_towards(now, wanted, 150_000) == {"aws": 650_000, "gcp": 275_000, "edge": 75_000}


def test_a_floor_is_paid_by_those_above_it() -> None:
    assert with_floor({"a": 900_000, "b": 100_000, "c": 0}, 50_000, ["a", "b", "c"]) == {
        "a": 852_778,  # 900,000 - 50,000 x 850/900
        "b": 97_222,  # 100,000 - 50,000 x 50/900
        "c": 50_000,
    }


def test_what_receives_is_raised_first() -> None:
    assert raise_before_lower({"a": 700, "b": 300}, {"a": 300, "b": 700}) == [("b", 700), ("a", 300)]


@given(WEIGHTS, WEIGHTS, st.integers(1, 1_000_000))
def test_a_step_sums_and_is_bounded_and_arrives(now: dict[str, int], wanted: dict[str, int], limit: int) -> None:
    stepped = step_towards(now, wanted, limit)
    assert sum(stepped.values()) == 1_000_000
    assert min(stepped.values()) >= 0
    assert largest_step(now, stepped) <= limit + 1  # rounding to whole parts
    assert largest_step(stepped, wanted) <= largest_step(now, wanted)


@given(WEIGHTS, st.integers(0, 1_000_000))
def test_a_floor_holds_and_sums(weights: dict[str, int], floor: int) -> None:
    lifted = with_floor(weights, floor, weights)
    assert sum(lifted.values()) == 1_000_000
    assert min(lifted.values()) >= min(floor, 1_000_000 // len(weights))
