"""Series from rows, parts that sum to totals, young series, prices and what people know."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.forecasting.events import EventKind, KnownEvent, applied, corrected
from governance.forecasting.fitting import fit_night, kept_scopes, summed
from governance.forecasting.hierarchy import Leaf, Outlook, membership, scopes_of
from governance.forecasting.series import History, HistoryRow, history
from governance.forecasting.values import HORIZONS, ForecastScope

MONDAY = date(2026, 3, 2)
WEEK = np.array([10.0, 10, 10, 10, 10, 2, 2])
SEARCH_A = Leaf(team="search", model="a", provider="aws")
SEARCH_B = Leaf(team="search", model="b", provider="aws")
ADS_A = Leaf(team="ads", model="a", provider="gcp", environment="prod")
LEAVES = (ADS_A, SEARCH_A, SEARCH_B)


def known(costs: np.ndarray, leaves: tuple[Leaf, ...] = LEAVES) -> History:
    return History(leaves, MONDAY, costs, costs * 1000)


def weeks(*sizes: float, count: int = 16) -> np.ndarray:
    return np.array([np.tile(WEEK, count) * size for size in sizes])


def row(day: date, leaf: Leaf = SEARCH_A, **values: float | None) -> HistoryRow:
    return HistoryRow(day, leaf, **{"cost": None, "estimated": None, "tokens": None, **values})


def totals(night, *scopes: ForecastScope, days: int = 28, below=None) -> list[float]:
    return [one.days[:days, 1].sum() for one in summed(night, scopes, below or {})]


# --- series


def test_a_day_without_a_row_is_nothing_before_the_bill_and_unknown_after_it():
    rows = [row(date(2026, 5, 1), cost=5.0), row(date(2026, 5, 3), cost=6.0)]
    made = history(rows, date(2026, 5, 7), {"aws": date(2026, 5, 5)})
    assert made.first_day == date(2026, 4, 30)  # at least a week
    np.testing.assert_array_equal(made.costs, [[np.nan, 5, 0, 6, 0, np.nan, np.nan]])


def test_a_metered_leaf_without_usage_on_a_day_with_telemetry_used_nothing():
    other = [row(date(2026, 5, day), SEARCH_B, estimated=1.0, tokens=9.0) for day in (5, 6)]
    rows = [row(date(2026, 5, 1), cost=5.0, tokens=7.0), *other]
    made = history(rows, date(2026, 5, 7), {"aws": date(2026, 5, 5)})
    assert made.leaves == (SEARCH_A, SEARCH_B)
    np.testing.assert_array_equal(made.costs[0], [np.nan, 5, 0, 0, 0, 0, 0])


def test_bill_and_estimate_of_one_day_are_added():
    made = history([row(date(2026, 5, 6), cost=2.0, estimated=3.0)], date(2026, 5, 7), {})
    assert made.costs[0, -1] == 5.0


# --- hierarchy


def test_scopes_are_those_that_leaves_have_and_teams_above_them():
    scopes = scopes_of(LEAVES, {"products": {"products", "search", "ads"}})
    keys = {scope.key for scope in scopes}
    assert {"all", "team=search", "team=products", "model=a,team=products", "environment=prod"} <= keys
    assert not any("project" in key for key in keys)
    members = membership([ForecastScope.of(team="products", model="a")], LEAVES, {"products": {"search", "ads"}})
    np.testing.assert_array_equal(members, [[1, 1, 0]])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1000), min_size=3, max_size=3), st.integers(0, 1000))
def test_parts_and_totals_agree(sizes, seed):
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.3, (3, 112)))
    night = fit_night(known(weeks(*sizes) * noise), measure_values=weeks(*sizes) * noise)
    everything, search, ads, a, b = totals(
        night, *(ForecastScope.parse(text) for text in ("all", "team=search", "team=ads", "model=a", "model=b"))
    )
    assert everything == pytest.approx(search + ads)
    assert everything == pytest.approx(a + b)
    leaves = night.outlook.path[:, :28].sum()
    assert everything == pytest.approx(leaves)


def test_leaves_that_miss_together_make_a_wide_total():
    random = np.random.default_rng(3)
    shared = np.repeat(np.exp(random.normal(0, 0.3, (1, 112))), 3, axis=0)
    apart = np.exp(random.normal(0, 0.3, (3, 112)))
    widths = []
    for noise in (shared, apart):
        values = np.full((3, 112), 10.0) * noise
        night = fit_night(known(values), measure_values=values)
        scale = night.outlook.summed(np.ones((1, 3))).scale[0, HORIZONS.index(7)]
        widths.append(scale / night.outlook.scale[:, HORIZONS.index(7)].sum())
    assert widths[0] == pytest.approx(1.0, abs=0.05)  # nothing cancels
    assert widths[1] < 0.75


# --- cold start


def test_a_young_series_says_so_is_wider_and_has_everybodys_week():
    costs = weeks(10, 10, 0)
    costs[2] = np.nan
    costs[2, -9:] = np.tile(WEEK, 2)[-9:] * 10
    night = fit_night(known(costs), measure_values=costs)
    young, old = summed(night, [ForecastScope.of(model="b"), ForecastScope.of(team="ads")])
    assert young.cold_start
    assert young.history_days == 9
    assert not old.cold_start
    assert young.provisional
    assert young.days[:7, 1] == pytest.approx(WEEK * 10, rel=0.05)
    assert young.spread.totals[8][-3] > 2 * old.spread.totals[8][-3]


# --- prices and events


def event(kind: EventKind, starts: date, scope: str = "all", **values) -> KnownEvent:
    return KnownEvent(kind, "it", ForecastScope.parse(scope), starts, **values)


END = MONDAY + timedelta(days=112)  # a Monday: the first day that is foretold
TOTAL = 4 * WEEK.sum()


def fitted(*events: KnownEvent, sizes=(1, 1, 1)) -> list[float]:
    costs = weeks(*sizes)
    night = fit_night(known(costs), measure_values=costs, events=events)
    return totals(night, *(ForecastScope.parse(text) for text in ("all", "team=search", "team=ads", "model=new")))


def test_without_events_four_weeks_are_four_weeks():
    assert fitted()[:3] == pytest.approx([3 * TOTAL, 2 * TOTAL, TOTAL], rel=0.01)


def test_a_price_change_ahead_moves_what_it_concerns_from_its_day_on():
    halved = event(EventKind.PRICE_CHANGE, END + timedelta(days=14), "model=a", factor=0.5)
    # a: half of four weeks at half the price; b as before.
    assert fitted(halved)[:3] == pytest.approx([0.75 * 2 * TOTAL + TOTAL, 1.75 * TOTAL, 0.75 * TOTAL], rel=0.01)


def test_a_price_change_in_the_past_is_no_growth():
    costs = weeks(1, 1, 1)
    costs[:, -10:] *= 2.0
    doubled = event(EventKind.PRICE_CHANGE, END - timedelta(days=10), factor=2.0)
    night = fit_night(known(costs), measure_values=costs, events=[doubled])
    assert totals(night, ForecastScope())[0] == pytest.approx(6 * TOTAL, rel=0.01)


def test_a_launch_adds_its_amount_over_its_ramp():
    launch = event(EventKind.LAUNCH, END, "model=new,team=search", amount=5.0, ramp_days=3)
    # 1.25 + 2.5 + 3.75 + 25 days of 5.
    added = 7.5 + 25 * 5
    assert fitted(launch) == pytest.approx([3 * TOTAL + added, 2 * TOTAL + added, TOTAL, added], rel=0.01)


def test_a_launch_by_a_factor_grows_what_is_there():
    assert fitted(event(EventKind.LAUNCH, END, "team=ads", factor=1.5))[2] == pytest.approx(1.5 * TOTAL, rel=0.01)


def test_a_migration_moves_a_share_to_another_model_at_its_cost():
    moved = event(EventKind.MIGRATION, END, "model=b", moved=0.5, factor=0.2, target=(("model", "new"),))
    everything, search, ads, new = fitted(moved)
    assert new == pytest.approx(0.5 * 0.2 * TOTAL, rel=0.01)
    assert search == pytest.approx(1.6 * TOTAL, rel=0.01)
    assert (everything, ads) == pytest.approx((2.6 * TOTAL, TOTAL), rel=0.01)


def test_a_holiday_lowers_its_days_and_no_others():
    free = event(EventKind.HOLIDAY, END, factor=0.0, ends_on=END + timedelta(days=7))
    assert fitted(free)[0] == pytest.approx(3 * TOTAL * 0.75, rel=0.01)


def test_a_past_holiday_teaches_nothing():
    costs = weeks(1, 1, 1)
    costs[:, -7:] *= 0.1
    free = event(EventKind.HOLIDAY, END - timedelta(days=7), factor=0.1, ends_on=END)
    taught = fit_night(known(costs), measure_values=costs, events=[free])
    assert totals(taught, ForecastScope())[0] == pytest.approx(3 * TOTAL, rel=0.01)
    assert np.isnan(corrected([free], LEAVES, MONDAY, costs)[:, -7:]).all()


def test_a_launch_that_history_has_is_not_added_again():
    costs = weeks(1, 1, 1)
    costs[0, -28:] *= 2
    launch = event(EventKind.LAUNCH, END - timedelta(days=28), "team=ads", factor=2.0)
    night = fit_night(known(costs), measure_values=costs, events=[launch])
    assert totals(night, ForecastScope.of(team="ads"))[0] == pytest.approx(2 * TOTAL, rel=0.01)


def test_an_event_of_a_team_holds_for_the_teams_below_it():
    launch = event(EventKind.LAUNCH, END, "team=products", factor=2.0)
    below = {"products": {"products", "search"}}
    costs = weeks(1, 1, 1)
    night = fit_night(known(costs), measure_values=costs, events=[launch], below=below)
    assert totals(night, ForecastScope.of(team="search"), below=below)[0] == pytest.approx(4 * TOTAL, rel=0.01)
    assert totals(night, ForecastScope.of(team="ads"), below=below)[0] == pytest.approx(TOTAL, rel=0.01)


def test_events_name_themselves_where_they_moved_something():
    launch = replace(event(EventKind.LAUNCH, END, "team=ads", factor=1.5), title="New assistant")
    costs = weeks(1, 1, 1)
    night = fit_night(known(costs), measure_values=costs, events=[launch])
    ads, search = summed(night, [ForecastScope.of(team="ads"), ForecastScope.of(team="search")])
    assert ads.events == (f"New assistant (launch, from {END.isoformat()})",)
    assert search.events == ()


@given(st.floats(0.01, 1), st.floats(0.1, 3), st.integers(0, 20), st.integers(-10, 30))
def test_a_migration_at_equal_cost_changes_no_total(moved, size, ramp, starts):
    outlook = Outlook(np.tile(WEEK * size, 12)[None, :84], np.full((1, 5, 9), np.nan))
    event_ = event(
        EventKind.MIGRATION, END + timedelta(days=starts), moved=moved, ramp_days=ramp, target=(("model", "new"),)
    )
    after = applied([event_], [SEARCH_A], END, outlook)
    assert after.outlook.path.sum() == pytest.approx(outlook.path.sum())
    assert (after.outlook.path >= 0).all()


def test_kept_scopes_have_ordered_bands():
    noise = np.exp(np.random.default_rng(0).normal(0, 0.3, (3, 112)))
    costs = weeks(1, 2, 3) * noise
    night = fit_night(known(costs), measure_values=costs)
    for one in summed(night, kept_scopes(night)):
        assert (np.diff(one.days, axis=1) >= 0).all()
        assert (np.diff(np.array(one.spread.totals), axis=1) >= 0).all()


def test_a_bill_that_names_no_environment_and_telemetry_that_does_are_one_series() -> None:
    """Ten billed days of 5 without an environment; two days that telemetry splits into 4 and 1."""
    first, settled = date(2026, 5, 1), date(2026, 5, 11)
    leaf = Leaf(team="claims", model="claude", provider="aws")
    rows = [HistoryRow(first + timedelta(days=day), leaf, 5.0, None, None) for day in range(10)]
    for day in (settled, settled + timedelta(days=1)):
        rows += [
            HistoryRow(day, replace(leaf, environment="production"), None, 4.0, None),
            HistoryRow(day, replace(leaf, environment="staging"), None, 1.0, None),
        ]
    known = history(rows, date(2026, 5, 13), {"aws": settled})
    assert known.leaves == (leaf,)
    assert known.costs.tolist() == [[5.0] * 12]


def test_environments_that_the_bill_names_stay_apart() -> None:
    leaf = Leaf(team="claims", model="claude", provider="aws")
    rows = [
        HistoryRow(date(2026, 5, 1) + timedelta(days=day), replace(leaf, environment=name), cost, None, None)
        for day in range(10)
        for name, cost in (("production", 4.0), ("staging", 1.0), (None, 0.5))
    ]
    assert len(history(rows, date(2026, 5, 11), {"aws": date(2026, 5, 11)}).leaves) == 3
