"""Laws of `decide`, over any ladder, state and time."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from governance.enforcement.policy import decide, in_quiet_hours
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
)

START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
STALE = {"telemetry_age": timedelta(hours=5), "bills_age": timedelta(days=5)}
FRESH = {"telemetry_age": timedelta(0), "bills_age": timedelta(0)}

ppm = st.integers(1, 2_000_000)
money = st.decimals(Decimal(0), Decimal(3000), places=2)
moments = st.integers(0, 30 * 24 * 60 - 1).map(lambda minutes: START + timedelta(minutes=minutes))
ages = st.one_of(st.none(), st.integers(0, 200).map(lambda hours: timedelta(hours=hours)))


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    found = []
    for rung in Rung:
        if draw(st.booleans()):
            at = draw(ppm)
            clear = draw(st.integers(0, at))
            found.append(Step(rung, draw(st.sampled_from(Measure)), at, clear, draw(st.sampled_from(Approval))))
    return tuple(found)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    quiet = st.builds(QuietHours, st.times().map(lambda at: at.replace(tzinfo=None)), st.just(time(7)))
    window = moments.map(lambda at: FreezeWindow(at, at + timedelta(days=2)))
    return Policy(
        id=1,
        version=1,
        steps=draw(steps()),
        quiet_hours=draw(st.none() | quiet),
        zone=draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"])),
        minimum_dwell=timedelta(hours=draw(st.integers(0, 48))),
        freeze_windows=tuple(draw(st.lists(window, max_size=2))),
    )


@st.composite
def states(draw: st.DrawFn) -> BudgetState:
    since = st.integers(-5 * 24, 30 * 24).map(lambda hours: START + timedelta(hours=hours))
    active = draw(st.lists(st.builds(ActiveRung, st.sampled_from(Rung), since), max_size=5))
    return BudgetState(
        budget_id=1,
        team=draw(st.none() | st.just("search")),
        dims=draw(st.sampled_from([(), (("team", "search"),)])),
        period_start=START,
        period_end=END,
        limit=draw(money),
        consumed=draw(money),
        forecast_p50=draw(st.none() | money),
        forecast_p90=draw(st.none() | money),
        hard=draw(st.booleans()),
        active=tuple(active),
        telemetry_age=draw(ages),
        bills_age=draw(ages),
        frozen=draw(st.booleans()),
    )


def in_force(state: BudgetState, *, this_period: bool = False) -> set[Rung]:
    return {each.rung for each in state.active if not this_period or each.since >= state.period_start}


@given(policies(), states(), moments)
def test_a_stop_that_nobody_allowed_is_never_permitted(policy: Policy, state: BudgetState, now: datetime) -> None:
    approval = decide(policy, state, now).approval_of(Rung.STOP)
    if approval is not None and approval.automatic:
        # Either it is in force, so its yes was given, or a hard budget carries it for itself.
        assert Rung.STOP in in_force(state) or (state.hard and approval is Approval.STANDING)
    if approval is Approval.ONE:
        assert not state.covers_everything


@given(policies(), states(), moments)
def test_every_rung_in_force_is_held_let_go_or_due_again(policy: Policy, state: BudgetState, now: datetime) -> None:
    found = decide(policy, state, now)
    assert in_force(state) <= {each.rung for each in found.permitted}
    assert len({each.rung for each in found.permitted}) == len(found.permitted)
    assert {each.rung for each in found.permitted if each.held or each.released} <= in_force(state)


@given(policies(), states(), moments)
def test_stale_data_never_loosens_and_never_stops(policy: Policy, state: BudgetState, now: datetime) -> None:
    stale = replace(state, **STALE)
    found = decide(policy, stale, now)
    # The only thing let go is what was in force for an earlier period.
    assert not set(found.released) & in_force(stale, this_period=True)
    stop = found.approval_of(Rung.STOP)
    assert stop is None or Rung.STOP in in_force(stale)
    if in_force(stale, this_period=True):
        assert not found.may_loosen


@given(policies(), states(), moments)
def test_stale_data_permits_whatever_fresh_data_did_but_a_stop(
    policy: Policy, state: BudgetState, now: datetime
) -> None:
    fresh = decide(policy, replace(state, **FRESH), now)
    stale = decide(policy, replace(state, **STALE), now)
    assert {each.rung for each in fresh.allowed} - {Rung.STOP} <= {each.rung for each in stale.allowed}
    assert stale.margin_factor > fresh.margin_factor


@given(policies(), states(), moments)
def test_the_turn_of_a_period_frees_whatever_is_not_due_again(
    policy: Policy, state: BudgetState, now: datetime
) -> None:
    before = tuple(replace(each, since=START - timedelta(hours=1)) for each in state.active)
    turned = replace(state, active=before, consumed=Decimal(0), forecast_p50=None, limit=Decimal(1), frozen=False)
    found = decide(policy, turned, now)
    assert set(found.released) == in_force(turned)
    assert found.may_loosen or not in_force(turned)


@given(policies(), states(), moments)
def test_a_rung_holds_for_its_dwell_within_a_period(policy: Policy, state: BudgetState, now: datetime) -> None:
    young = {
        each.rung
        for each in state.active
        if each.since >= state.period_start and now - each.since < policy.minimum_dwell
    }
    assert not set(decide(policy, state, now).released) & young


@given(policies(), states(), moments)
def test_between_the_thresholds_nothing_changes(policy: Policy, state: BudgetState, now: datetime) -> None:
    """Asked again with what it permitted in force, it lets nothing of that go: no flapping at one state."""
    found = decide(policy, replace(state, active=()), now)
    active = tuple(ActiveRung(each.rung, now) for each in found.allowed)
    for step in policy.steps:
        assert step.clear_ppm <= step.threshold_ppm
    again = decide(policy, replace(state, active=active), now + timedelta(0))
    assert again.released == ()
    assert {each.rung for each in again.allowed} == {each.rung for each in found.allowed}


@given(policies(), states(), moments)
def test_quiet_hours_are_quiet(policy: Policy, state: BudgetState, now: datetime) -> None:
    found = decide(policy, state, now)
    if not in_quiet_hours(policy, now):
        return
    assert found.notify == ()
    new = {each.rung for each in found.allowed if each.rung not in in_force(state)}
    assert new <= {Rung.PREFER_CHEAPER} | ({Rung.STOP} if state.hard else set())


@given(policies(), states(), moments)
def test_a_freeze_starts_nothing_and_loosens_nothing(policy: Policy, state: BudgetState, now: datetime) -> None:
    frozen = replace(policy, freeze_windows=(FreezeWindow(now, now + timedelta(hours=1)),))
    found = decide(frozen, state, now)
    assert {each.rung for each in found.allowed} <= in_force(state) | {Rung.NOTIFY}
    assert not set(found.released) & in_force(state, this_period=True)


@given(policies(), states(), moments)
def test_the_kill_switch_changes_nothing(policy: Policy, state: BudgetState, now: datetime) -> None:
    found = decide(policy, replace(state, frozen=True), now)
    assert {each.rung for each in found.allowed} == in_force(state)
    assert (found.released, found.notify, found.may_loosen) == ((), (), False)


@given(policies(), states(), moments, money)
def test_spending_more_never_permits_less(policy: Policy, state: BudgetState, now: datetime, more: Decimal) -> None:
    dearer = replace(state, consumed=state.consumed + more)
    before = {each.rung for each in decide(policy, state, now).allowed}
    assert before <= {each.rung for each in decide(policy, dearer, now).allowed}


@given(policies(), states(), moments)
@settings(max_examples=50)
def test_the_same_question_has_the_same_answer(policy: Policy, state: BudgetState, now: datetime) -> None:
    assert decide(policy, state, now) == decide(policy, state, now)
