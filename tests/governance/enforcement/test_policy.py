"""What a ladder permits, step by step, on literals; its laws are in tests/properties/test_policy_laws.py."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from governance.enforcement.policy import decide, mistakes
from governance.enforcement.rungs import (
    ActiveRung,
    Approval,
    BudgetState,
    FreezeWindow,
    Measure,
    Policy,
    QuietHours,
    Rung,
    Step,
    Substitute,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)

NOTIFY = Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000)
CHEAPER = Step(Rung.PREFER_CHEAPER, Measure.FORECAST, 950_000, 900_000)
SMALLER = Step(Rung.SMALLER_MODEL, Measure.FORECAST, 1_030_000, 980_000, Approval.ONE)
THROTTLE = Step(Rung.THROTTLE, Measure.FORECAST, 1_100_000, 1_050_000, Approval.ONE)
STOP = Step(Rung.STOP, Measure.ACTUAL, 1_200_000, 1_150_000, Approval.ONE)
LADDER = Policy(1, 1, (NOTIFY, CHEAPER, SMALLER, THROTTLE, STOP))


def state(consumed: str, forecast: str | None = None, upper: str | None = None, **more) -> BudgetState:
    made = BudgetState(
        budget_id=7,
        team="search",
        dims=(("team", "search"),),
        period_start=START,
        period_end=END,
        limit=Decimal(1000),
        consumed=Decimal(consumed),
        forecast_p50=None if forecast is None else Decimal(forecast),
        forecast_p90=None if upper is None else Decimal(upper),
    )
    return replace(made, **more)


def allowed(policy: Policy, budget: BudgetState, now: datetime = NOW) -> dict[str, str]:
    """rung -> whose yes it needs."""
    return {each.rung.key: each.approval.value for each in decide(policy, budget, now).allowed}


@pytest.mark.parametrize(
    ("consumed", "forecast", "expected"),
    [
        ("799.99", "949.99", {}),
        ("800", "949.99", {"notify": "none"}),
        ("800", "950", {"notify": "none", "prefer_cheaper": "none"}),
        ("800", "1030", {"notify": "none", "prefer_cheaper": "none", "smaller_model": "one"}),
        (
            "800",
            "1100",
            {"notify": "none", "prefer_cheaper": "none", "smaller_model": "one", "throttle": "one"},
        ),
        (
            "1200",
            "1199",
            {"notify": "none", "prefer_cheaper": "none", "smaller_model": "one", "throttle": "one", "stop": "one"},
        ),
    ],
)
def test_each_step_starts_exactly_at_its_threshold(consumed: str, forecast: str, expected: dict[str, str]) -> None:
    assert allowed(LADDER, state(consumed, forecast)) == expected


def test_the_reason_gives_the_amounts_the_limit_and_the_share() -> None:
    found = decide(LADDER, state("810", "960"), NOW)

    assert [each.because for each in found.permitted] == [
        "Notify: spent 810.00 of 1,000 USD (81 %)",
        "Prefer cheaper: expected to end at 960.00 of 1,000 USD (96 %)",
    ]
    assert found.notify == tuple(each.because for each in found.permitted)
    assert found.reach is Rung.PREFER_CHEAPER


def test_without_a_forecast_a_step_is_judged_by_what_is_spent() -> None:
    assert allowed(LADDER, state("940")) == {"notify": "none"}
    assert allowed(LADDER, state("950")) == {"notify": "none", "prefer_cheaper": "none"}


def test_a_forecast_below_what_is_spent_does_not_hide_it() -> None:
    assert "prefer_cheaper" in allowed(LADDER, state("950", "900"))


def test_a_limit_of_nothing_is_reached_by_nothing() -> None:
    assert allowed(Policy(1, 1, (NOTIFY,)), state("0", limit=Decimal(0))) == {"notify": "none"}


# A stop, and who says yes


@pytest.mark.parametrize(
    ("approval", "dims", "hard", "expected"),
    [
        (Approval.NONE, (("team", "search"),), False, "one"),
        (Approval.STANDING, (("team", "search"),), False, "one"),
        (Approval.ONE, (("team", "search"),), False, "one"),
        (Approval.TWO, (("team", "search"),), False, "two"),
        (Approval.NONE, (), False, "two"),
        (Approval.ONE, (), False, "two"),
        (Approval.ONE, (("team", "search"),), True, "standing"),
    ],
)
def test_a_stop_is_never_free(approval: Approval, dims, hard: bool, expected: str) -> None:
    policy = Policy(1, 1, (replace(STOP, approval=approval),))
    assert allowed(policy, state("1300", dims=dims, hard=hard)) == {"stop": expected}


def test_a_standing_yes_of_a_soft_budget_counts_as_none() -> None:
    policy = Policy(1, 1, (replace(SMALLER, approval=Approval.STANDING),))
    assert allowed(policy, state("0", "1100")) == {"smaller_model": "one"}


def test_a_hard_budget_stops_at_its_limit_though_its_ladder_says_later_or_nothing() -> None:
    assert allowed(Policy(1, 1, ()), state("999.99", hard=True)) == {}
    assert allowed(Policy(1, 1, ()), state("1000", hard=True)) == {"stop": "standing"}
    assert allowed(Policy(1, 1, (STOP,)), state("1000", hard=True)) == {"stop": "standing"}


def test_a_stop_is_not_started_by_a_forecast() -> None:
    policy = Policy(1, 1, (replace(STOP, measure=Measure.FORECAST),))
    assert allowed(policy, state("900", "5000")) == {}
    assert allowed(policy, state("1200", "5000")) == {"stop": "one"}


# Hysteresis and dwell


def test_between_its_two_thresholds_a_step_stays_as_it_is() -> None:
    two_hours_ago = (ActiveRung(Rung.PREFER_CHEAPER, NOW - timedelta(hours=2)),)
    assert decide(LADDER, state("100", "920", active=two_hours_ago), NOW).permitted[0].held
    assert decide(LADDER, state("100", "920"), NOW).permitted == ()

    let_go = decide(LADDER, state("100", "890", active=two_hours_ago), NOW)
    assert let_go.released == (Rung.PREFER_CHEAPER,)
    assert let_go.permitted[0].because == "Prefer cheaper ends: expected to end at 890.00 of 1,000 USD (89 %)"


def test_a_rung_holds_for_its_dwell() -> None:
    policy = replace(LADDER, minimum_dwell=timedelta(hours=2))
    young = state("100", "100", active=(ActiveRung(Rung.PREFER_CHEAPER, NOW - timedelta(minutes=119)),))
    found = decide(policy, young, NOW)
    assert (found.released, found.may_loosen) == ((), False)
    assert found.blocked_because == ("Prefer cheaper holds: it holds for at least 2 h",)

    assert decide(policy, young, NOW + timedelta(minutes=1)).released == (Rung.PREFER_CHEAPER,)


def test_a_clock_that_jumped_back_lets_nothing_go() -> None:
    ahead = state("100", "100", active=(ActiveRung(Rung.PREFER_CHEAPER, NOW + timedelta(hours=3)),))
    assert decide(LADDER, ahead, NOW).released == ()


def test_what_is_in_force_needs_no_second_yes() -> None:
    held = state("100", "1050", active=(ActiveRung(Rung.SMALLER_MODEL, NOW - timedelta(hours=2)),))
    found = decide(LADDER, held, NOW)
    assert found.approval_of(Rung.SMALLER_MODEL) is Approval.NONE
    assert found.reach is Rung.SMALLER_MODEL
    assert found.notify == ("Prefer cheaper: expected to end at 1,050 of 1,000 USD (105 %)",)


def test_a_step_that_left_the_ladder_is_let_go() -> None:
    held = state("990", "1500", active=(ActiveRung(Rung.THROTTLE, NOW - timedelta(hours=2)),))
    found = decide(Policy(1, 2, (NOTIFY,)), held, NOW)
    assert found.released == (Rung.THROTTLE,)


# Stale data


@pytest.mark.parametrize(
    ("ages", "factor"),
    [
        ({"telemetry_age": timedelta(hours=2), "bills_age": timedelta(hours=72)}, 1),
        ({"telemetry_age": timedelta(hours=2, seconds=1)}, 2),
        ({"bills_age": timedelta(hours=72, seconds=1)}, 2),
        ({"telemetry_age": None, "bills_age": timedelta(days=4)}, 3),
    ],
)
def test_each_stale_source_widens_the_margin(ages: dict, factor: int) -> None:
    found = decide(LADDER, state("100", "100", **ages), NOW)
    assert found.margin_factor == factor
    assert found.may_loosen is (factor == 1)


@pytest.mark.parametrize("ages", [{"telemetry_age": timedelta(hours=3)}, {"bills_age": timedelta(days=4)}])
@pytest.mark.parametrize("hard", [False, True])
def test_stale_data_neither_stops_nor_loosens(ages: dict, hard: bool) -> None:
    over = decide(LADDER, state("1300", "1300", hard=hard, **ages), NOW)
    assert over.approval_of(Rung.STOP) is None
    assert "nothing is stopped on stale data" in over.blocked_because[0]

    active = (ActiveRung(Rung.THROTTLE, NOW - timedelta(days=1)), ActiveRung(Rung.STOP, NOW - timedelta(days=1)))
    under = decide(LADDER, state("1", "1", hard=hard, active=active, **ages), NOW)
    assert (under.released, [each.held for each in under.permitted]) == ((), [True, True])


def test_with_stale_data_the_upper_end_of_the_forecast_counts() -> None:
    fresh, stale = state("100", "900", "960"), state("100", "900", "960", telemetry_age=timedelta(hours=3))
    assert allowed(LADDER, fresh) == {}
    assert allowed(LADDER, stale) == {"prefer_cheaper": "none"}


def test_nothing_is_loosened_when_the_forecast_went_missing() -> None:
    held = state("100", active=(ActiveRung(Rung.PREFER_CHEAPER, NOW - timedelta(days=1)),))
    found = decide(LADDER, held, NOW)
    assert found.released == ()
    assert found.blocked_because == ("Prefer cheaper holds: nothing is loosened without a forecast",)


# The turn of a period


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"telemetry_age": timedelta(hours=9)},
        {"bills_age": None, "telemetry_age": None},
    ],
)
def test_a_periods_turn_lets_go_of_everything_also_with_stale_data(more: dict) -> None:
    before = tuple(ActiveRung(rung, START - timedelta(minutes=5)) for rung in (Rung.NOTIFY, Rung.THROTTLE, Rung.STOP))
    found = decide(LADDER, state("0", "500", active=before, hard=True, **more), START)

    assert found.released == (Rung.NOTIFY, Rung.THROTTLE, Rung.STOP)
    assert found.may_loosen
    assert found.permitted[2].because == "Stop ends: a new period began 2026-11-01 00:00 UTC"


def test_at_the_turn_a_rung_that_is_due_again_goes_on() -> None:
    before = (ActiveRung(Rung.PREFER_CHEAPER, START - timedelta(days=3)),)
    found = decide(LADDER, state("0", "990", active=before), START)
    assert (found.released, found.reach) == ((), Rung.PREFER_CHEAPER)


def test_a_turn_in_a_freeze_window_still_ends_a_stop() -> None:
    policy = replace(LADDER, freeze_windows=(FreezeWindow(START - timedelta(days=1), START + timedelta(days=1)),))
    before = (ActiveRung(Rung.STOP, START - timedelta(days=3)),)
    assert decide(policy, state("0", "10", active=before), START).released == (Rung.STOP,)


@pytest.mark.parametrize("now", [START - timedelta(seconds=1), END])
def test_a_state_of_another_period_permits_nothing_new(now: datetime) -> None:
    found = decide(LADDER, state("1300", active=(ActiveRung(Rung.NOTIFY, START),)), now)
    assert [(each.rung, each.held) for each in found.permitted] == [(Rung.NOTIFY, True)]
    assert found.blocked_because == ("its period is over or has not begun: read the budget again",)


# Quiet hours, freezes, the kill switch


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("20:59", False), ("21:00", True), ("23:59", True), ("00:00", True), ("05:59", True), ("06:00", False)],
)
def test_quiet_hours_run_over_midnight_in_the_policys_zone(clock: str, quiet: bool) -> None:
    # 22:00 to 07:00 in Berlin, one hour ahead of UTC in November.
    policy = replace(LADDER, quiet_hours=QuietHours(time(22), time(7)), zone="Europe/Berlin")
    hour, minute = map(int, clock.split(":"))
    found = decide(policy, state("850", "1200"), NOW.replace(hour=hour, minute=minute))

    expected = {Rung.PREFER_CHEAPER} if quiet else {Rung.NOTIFY, Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE}
    assert {each.rung for each in found.allowed} == expected
    assert bool(found.notify) is not quiet


def test_quiet_hours_follow_the_clock_of_the_zone_over_its_change() -> None:
    # On 25 October Berlin's clocks go back at 03:00: 06:30 local is 05:30 UTC, on the day before it was 04:30 UTC.
    policy = replace(LADDER, quiet_hours=QuietHours(time(22), time(6, 30)), zone="Europe/Berlin")
    october = {"period_start": datetime(2026, 10, 1, tzinfo=UTC), "period_end": datetime(2026, 11, 1, tzinfo=UTC)}
    budget = state("850", "900", **october)
    assert allowed(policy, budget, datetime(2026, 10, 24, 4, 30, tzinfo=UTC)) == {"notify": "none"}
    assert allowed(policy, budget, datetime(2026, 10, 25, 4, 30, tzinfo=UTC)) == {}
    assert allowed(policy, budget, datetime(2026, 10, 25, 5, 30, tzinfo=UTC)) == {"notify": "none"}


def test_in_quiet_hours_only_a_hard_budget_stops() -> None:
    policy = replace(LADDER, quiet_hours=QuietHours(time(0), time(23)))
    assert decide(policy, state("1300", "1300"), NOW).approval_of(Rung.STOP) is None
    assert decide(policy, state("1300", "1300", hard=True), NOW).approval_of(Rung.STOP) is Approval.STANDING


def test_a_freeze_window_lets_people_be_told_and_nothing_else() -> None:
    window = FreezeWindow(NOW - timedelta(hours=1), NOW + timedelta(hours=1), "Black Friday")
    policy = replace(LADDER, freeze_windows=(window,))
    held = (ActiveRung(Rung.THROTTLE, NOW - timedelta(days=1)),)
    found = decide(policy, state("1300", "1", hard=True, active=held), NOW)

    assert {each.rung for each in found.allowed} == {Rung.NOTIFY, Rung.THROTTLE}
    assert not found.may_loosen
    assert "nothing is changed before 2026-11-20 13:00 UTC (Black Friday)" in found.blocked_because[-1]
    assert Rung.STOP in {each.rung for each in decide(policy, state("1300", hard=True), window.end).allowed}


def test_the_kill_switch_keeps_everything_as_it_is_also_at_the_turn() -> None:
    before = (ActiveRung(Rung.STOP, START - timedelta(days=3)),)
    found = decide(LADDER, state("0", "1", active=before, frozen=True), START)
    assert [(each.rung, each.held) for each in found.permitted] == [(Rung.STOP, True)]
    assert (found.released, found.may_loosen) == ((), False)
    assert decide(LADDER, state("2000", frozen=True), NOW).permitted == ()


# What may be stored


def test_a_sound_ladder_has_no_mistakes() -> None:
    assert mistakes(LADDER) == ()


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        (Policy(1, 1, (replace(NOTIFY, threshold_ppm=0, clear_ppm=0),)), "steps.notify", "use more than 0 %"),
        (Policy(1, 1, (replace(NOTIFY, clear_ppm=800_000),)), "steps.notify", "use less than 80 %"),
        (Policy(1, 1, (replace(STOP, approval=Approval.NONE),)), "steps.stop", "a stop needs a person's yes"),
        (Policy(1, 1, (replace(STOP, measure=Measure.FORECAST),)), "steps.stop", "let it act on what is spent"),
        (Policy(1, 1, (replace(SMALLER, approval=Approval.STANDING),)), "steps.smaller_model", "only a hard limit"),
        (Policy(1, 1, (SMALLER, CHEAPER)), "steps", "not in order"),
        (Policy(1, 1, (NOTIFY, NOTIFY)), "steps", "stands twice"),
        (
            Policy(1, 1, (CHEAPER, replace(SMALLER, threshold_ppm=940_000, clear_ppm=1))),
            "steps.smaller_model",
            "Smaller model at 94 % starts before prefer cheaper: use at least 95 %",
        ),
        (Policy(1, 1, (), zone="Berlin"), "zone", "is no time zone"),
        (Policy(1, 1, (), minimum_dwell=timedelta(days=8)), "minimum_dwell", "use 0 to 168 h"),
        (Policy(1, 1, (), substitutes={"a": (Substitute("a"),)}), "substitutes", "can't stand in for itself"),
        (Policy(1, 1, (), substitutes={"a": (Substitute("b"), Substitute("b"))}), "substitutes", "twice"),
        (Policy(1, 1, (), freeze_windows=(FreezeWindow(NOW, NOW),)), "freeze_windows", "before it starts"),
        (Policy(1, 1, (), priorities={"*": 4}), "priorities", "use 1 (low), 2 (normal) or 3 (high)"),
    ],
)
def test_a_mistake_names_its_field_and_the_fix(policy: Policy, field: str, words: str) -> None:
    found = mistakes(policy)
    assert [each.field for each in found] == [field]
    assert words in found[0].words
