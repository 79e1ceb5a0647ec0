"""The split of a difference in cost. Every literal is worked out by hand."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from attribution.money import exact_sum
from governance.forecasting.drivers import Cell, Drivers, expected_cells, merged, split, split_total

D = Decimal


def test_twice_the_tokens_at_one_price_are_volume() -> None:
    assert split_total({"a": Cell(D(10), 100)}, {"a": Cell(D(20), 200)}) == Drivers(volume=D(10))


def test_the_same_tokens_at_another_price_are_price() -> None:
    assert split_total({"a": Cell(D(10), 100)}, {"a": Cell(D(13), 100)}) == Drivers(price=D(3))


def test_moving_tokens_to_a_dearer_model_is_mix() -> None:
    # a costs 0.10 a token, b 0.30; 50 tokens move: 50 x 0.20 = 10 dearer, no token more.
    before = {"a": Cell(D(10), 100), "b": Cell(D(30), 100)}
    after = {"a": Cell(D(5), 50), "b": Cell(D(45), 150)}

    assert split_total(before, after) == Drivers(mix=D(10))


def test_volume_price_and_mix_at_once() -> None:
    # 200 -> 300 tokens: growth 1.5, volume (10 + 30) x 0.5 = 20.
    # a: 180 tokens at 0.10 = 18, paid 27: price 9. b: 120 at 0.30 = 36, paid 36.
    # In the old mixture: a 150, b 150; so mix = 30 x 0.10 - 30 x 0.30 = -6.
    before = {"a": Cell(D(10), 100), "b": Cell(D(30), 100)}
    after = {"a": Cell(D(27), 180), "b": Cell(D(36), 120)}

    parts = split_total(before, after)

    assert parts == Drivers(volume=D(20), price=D(9), mix=D(-6))
    assert parts.total == D(63) - D(40)
    assert parts.largest() == "volume"


def test_what_only_one_side_has_is_new_or_gone() -> None:
    assert split_total({"a": Cell(D(7), 5)}, {"b": Cell(D(2), None)}) == Drivers(new=D(2), gone=D(-7))


def test_cost_without_a_token_count_has_no_price() -> None:
    before = {"a": Cell(D(10), 100), "gpu": Cell(D(4), None), "net": Cell(D(1), 0)}
    after = {"a": Cell(D(10), 100), "gpu": Cell(D(6), 50), "net": Cell(D(3), 9)}

    assert split_total(before, after) == Drivers(unmetered=D(4))


def test_a_third_is_rounded_once_and_mix_carries_the_rest() -> None:
    # 1 over 3 tokens, then 1 token for 1: 1/3 at the old price, so volume -2/3 and price 2/3.
    parts = split_total({"a": Cell(D(1), 3)}, {"a": Cell(D(1), 1)})

    assert parts.volume == D("-0.666666666666666667")
    assert parts.price == D("0.666666666666666667")
    assert parts.mix == 0
    assert parts.total == 0


def test_an_expected_day_costs_exactly_what_is_expected() -> None:
    usual = {"a": Cell(D(10), 100), "b": Cell(D(20), 50), "credit": Cell(D(-3), 1)}

    cells = expected_cells(usual, D(15))

    assert cells == {"a": Cell(D(5), Fraction(50)), "b": Cell(D(10), Fraction(25))}
    assert expected_cells({}, D(15)) == {}


def test_merging_adds_and_an_unknown_count_stays_unknown() -> None:
    assert merged([("a", Cell(D(1), 2)), ("a", Cell(D(2), 3)), ("b", Cell(D(1), 1)), ("b", Cell(D(1), None))]) == {
        "a": Cell(D(3), 5),
        "b": Cell(D(2), None),
    }


COSTS = st.decimals(min_value=-(10**9), max_value=10**9, places=18)
TOKENS = st.one_of(st.none(), st.integers(min_value=0, max_value=10**15))
SIDE = st.dictionaries(st.sampled_from("abcdef"), st.builds(Cell, COSTS, TOKENS))


@given(SIDE, SIDE)
def test_the_parts_sum_to_the_difference_to_the_last_digit(before: dict[str, Cell], after: dict[str, Cell]) -> None:
    difference = exact_sum(cell.cost for cell in after.values()) - exact_sum(cell.cost for cell in before.values())
    cells = split(before, after)

    assert split_total(before, after).total == difference
    assert exact_sum(each.total for each in cells.values()) == difference
    for key, parts in cells.items():
        old, new = before.get(key), after.get(key)
        assert parts.total == (new.cost if new else 0) - (old.cost if old else 0)


@given(SIDE, SIDE)
def test_turning_time_round_swaps_new_and_gone(before: dict[str, Cell], after: dict[str, Cell]) -> None:
    there, back = split_total(before, after), split_total(after, before)

    assert (there.new, there.gone) == (-back.gone, -back.new)
    assert there.unmetered == -back.unmetered


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.builds(Cell, st.decimals(min_value="0.01", max_value=10**6, places=6), TOKENS)
    ),
    st.decimals(min_value=0, max_value=10**6, places=18),
)
def test_expected_cells_sum_to_what_is_expected(usual: dict[str, Cell], expected: Decimal) -> None:
    cells = expected_cells(usual, expected)

    assert exact_sum(cell.cost for cell in cells.values()) == (expected if usual else 0)
