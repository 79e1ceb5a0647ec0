"""Figures are plain dicts made from rows: what stands in them, and their laws."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.dashboards import figures, palette
from governance.dashboards.figures import Series

DAYS = [date(2026, 11, 1), date(2026, 11, 2)]
amounts = st.decimals(min_value=Decimal("-1e9"), max_value=Decimal("1e9"), places=6)


def bars(*series: Series) -> figures.Figure:
    return figures.stacked_bars(DAYS, series, currency="USD", monthly=False)


def test_amounts_stay_exact_and_unknown_days_stay_empty() -> None:
    figure = bars(Series("GPT-5", 3, [Decimal("1.234567890123456789"), None], [None, None]))

    (trace,) = figure["data"]
    assert trace["y"] == ["1.234567890123456789", None]
    assert trace["marker"]["color"] == "slot:3"
    assert trace["customdata"][0] == "1 Nov 2026, GPT-5: 1.23 USD"


def test_estimates_are_a_hatched_trace_of_the_same_colour() -> None:
    billed, estimated = bars(Series("GPT-5", 3, [Decimal(1), None], [None, Decimal(2)]))["data"]

    assert "pattern" not in billed["marker"]
    assert estimated["marker"]["pattern"]["shape"] == "/"
    assert estimated["marker"]["color"] == billed["marker"]["color"]
    assert estimated["y"] == [None, "2"]


def test_bars_start_at_zero_also_where_credits_reach_below() -> None:
    axis = bars(Series("A", 1, [Decimal(410), Decimal(-13)], [None, None]))["wide"]["yaxis"]

    assert Decimal(axis["range"][0]) < -13
    assert Decimal(axis["range"][1]) > 410
    assert axis["ticktext"] == ["0", "$200", "$400"]


def test_narrow_screens_have_no_labels_at_the_marks_and_fewer_dates() -> None:
    month = [date(2026, 11, day) for day in range(1, 31)]
    figure = figures.stacked_bars(
        month, [Series("A", 1, [Decimal(1)] * 30, [None] * 30)], currency="USD", monthly=False
    )

    assert len(figure["wide"]["annotations"]) == 1
    assert "annotations" not in figure["narrow"]
    assert len(figure["narrow"]["xaxis"]["tickvals"]) <= 4 < len(figure["wide"]["xaxis"]["tickvals"]) <= 10
    assert figure["wide"]["xaxis"]["ticktext"][:2] == ["1 Nov", "4"]


def test_names_cannot_inject_markup_into_a_label() -> None:
    figure = bars(Series("<b>x</b>", 1, [Decimal(1), None], [None, None]))
    assert "<" not in figure["wide"]["annotations"][0]["text"]


@given(amounts, amounts)
def test_ticks_are_few_round_and_include_zero(one: Decimal, other: Decimal) -> None:
    low, high = min(one, other, Decimal(0)), max(one, other, Decimal(0))
    ticks = figures.nice_ticks(low, high)

    assert Decimal(0) in ticks
    assert 1 <= len(ticks) <= 9
    if high > 0 or low < 0:
        assert low <= ticks[0] <= ticks[-1] <= high


@given(st.lists(st.decimals(min_value=0, max_value=100, places=3), min_size=1, max_size=9).map(sorted))
def test_labels_keep_their_order_and_distance_inside_the_area(heights: list[Decimal]) -> None:
    placed = figures.spread(heights, Decimal(10), Decimal(0), Decimal(100))

    assert all(after - before >= 10 for before, after in pairwise(placed))
    assert Decimal(5) <= placed[0]
    assert placed[-1] <= Decimal(95)


def test_a_sparkline_leaves_gaps_where_nothing_is_known() -> None:
    path = figures.sparkline([Decimal(1), None, Decimal(2), Decimal(3)])
    assert [part[0] for part in path.replace(" ", "\n").split("\n") if part[0] in "ML"] == ["M", "M", "L"]
    assert figures.sparkline([None, Decimal(1)]) == ""


def test_new_entities_take_the_least_used_slot_in_order() -> None:
    assert palette.free_slots(["c", "d"], [1, 2]) == {"c": 3, "d": 4}
    assert palette.free_slots(["x"], list(range(1, 17))) == {"x": 1}


def test_no_two_series_share_a_colour_and_at_most_eight_are_drawn() -> None:
    slots = {"a": 1, "b": 1, "c": 2, **{f"e{index}": index for index in range(3, 14)}}
    assert palette.shown(["a", "b", "c"], slots) == ["a", "c"]
    assert len(palette.shown(list(slots), slots)) == 8


@pytest.mark.django_db
def test_a_colour_once_given_stays_and_rows_without_a_name_have_their_own_grey() -> None:
    first = palette.slots_of("model", ["gpt-5", "claude-sonnet-4.5", ""])
    later = palette.slots_of("model", ["new", "claude-sonnet-4.5", "gpt-5"])

    assert first == {"gpt-5": 1, "claude-sonnet-4.5": 2, "": palette.UNNAMED}
    assert later == {"new": 3, "claude-sonnet-4.5": 2, "gpt-5": 1}


def test_bars_run_on_into_the_forecast_and_what_happened_is_marked() -> None:
    days = [date(2026, 11, 1), date(2026, 11, 2)]
    ahead = figures.Ahead([date(2026, 11, 3)], [Decimal(8)], [Decimal(10)], [Decimal(13)])
    marks = [figures.Mark(date(2026, 11, 2), "2 Nov: +$4 above expected", "R&D"), figures.Mark(date(2026, 12, 1), "x")]

    figure = figures.stacked_bars(
        days,
        [Series("A", 1, [Decimal(5), Decimal(9)], [None, None])],
        currency="USD",
        monthly=False,
        ahead=ahead,
        marks=marks,
    )

    assert [each["name"] for each in figure["data"]] == ["A", "90th percentile", "10th percentile", "Forecast"]
    assert figure["data"][3]["x"] == ["2026-11-03"]
    assert figure["data"][3]["customdata"] == [
        "3 Nov 2026, forecast: 10.00 USD, 80 % between 8.00 and 13.00",
    ]
    # The axis reaches above the band; the mark of a day that isn't shown is left out.
    assert Decimal(figure["wide"]["yaxis"]["range"][1]) > 13
    assert [each["text"] for each in figure["narrow"]["annotations"]] == ["\u25bc"]
    assert "2 Nov: +$4 above expected<br>R&amp;D" in {each["text"] for each in figure["wide"]["annotations"]}
    # Between the second bar (place 1) and the first day foreseen (place 2).
    assert figure["narrow"]["shapes"][0]["x0"] == "1.5"
