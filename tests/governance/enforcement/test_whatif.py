"""A policy over a past that is worked out by hand: one model, 100 dollars and 1,000 tokens a day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.enforcement.policy import decide
from governance.enforcement.rungs import Approval, BudgetState, Measure, Policy, Rung, Step
from governance.enforcement.whatif import (
    Answer,
    History,
    Offer,
    Replay,
    Situation,
    Span,
    Used,
    Way,
    ladder,
    replay,
    words,
)

SEPTEMBER = Span(date(2026, 9, 1), date(2026, 10, 1), "September")
CHEAPER = Offer("big", "aws", Rung.PREFER_CHEAPER, "big", "gcp", Decimal("0.5"))
SMALLER = Offer("big", "aws", Rung.SMALLER_MODEL, "small", "aws", Decimal("0.1"), harm=0.3)


def flat(start: date, days: int, cost: int = 100, movable: int | None = None) -> tuple[Used, ...]:
    part = cost if movable is None else movable
    return tuple(
        Used(start + timedelta(days=index), "big", "aws", Decimal(cost), Decimal(part), 1000) for index in range(days)
    )


# Ten days of August, so that September's first morning has a forecast: 30 x 100 = 3,000.
PAST = History("USD", flat(date(2026, 8, 22), 40), (CHEAPER, SMALLER))


def ran(*steps: Step, limit: int = 3000, history: History = PAST, **more) -> Replay:
    return replay(Policy(1, 1, steps), {SEPTEMBER: Decimal(limit)}, history, **more)


def step(rung: Rung, at: int, measure: Measure = Measure.FORECAST, approval: Approval = Approval.NONE) -> Step:
    return Step(rung, measure, at * 10_000, at * 10_000 - 50_000, approval)


def test_a_month_within_its_limit_is_left_alone() -> None:
    found = ran(step(Rung.PREFER_CHEAPER, 95), limit=4000)
    assert (found.actual, found.would_be, found.saved) == (3000, 3000, 0)
    assert (found.periods[0].first, found.acted_on, found.known) == ({}, (), True)
    assert words(found) == ("It would have moved and refused nothing in 1 period, and told nobody.",)


def test_a_month_over_its_limit_is_kept_within_it_by_moving_no_more_than_needed() -> None:
    # 3,000 expected, 2,500 allowed: aimed at 98 % of that, 2,450. Half price: 2 x 550 of 3,000 must move.
    found = ran(step(Rung.PREFER_CHEAPER, 95), limit=2500)
    assert found.actual == 3000
    assert found.would_be == pytest.approx(Decimal(2450), abs=Decimal("0.01"))
    assert found.periods[0].kept
    assert found.moved_tokens == pytest.approx(11_000, abs=240)
    assert (found.refused_tokens, found.periods[0].first) == (0, {Rung.PREFER_CHEAPER: date(2026, 9, 1)})


def test_what_costs_no_harm_goes_first_and_the_smaller_model_only_after_it() -> None:
    # 1,500 allowed, 1,470 aimed at: all that may move goes to half the price (saves 47.5 a day of the 51 wanted), then
    # a part of it on to a tenth of the price.
    found = ran(step(Rung.PREFER_CHEAPER, 90), step(Rung.SMALLER_MODEL, 100), limit=1500)
    assert found.would_be == pytest.approx(Decimal(1470), abs=Decimal("0.01"))
    # 95 % of 30,000 tokens moved, nothing refused.
    assert found.moved_tokens == pytest.approx(28_500, abs=240)
    assert found.refused_tokens == 0
    # A step of 3.5 of the 38 a day from one offer to the next: 8.75 % of 30,000 tokens at harm 0.3 a million.
    assert found.disutility == pytest.approx(Decimal("0.000788"), abs=Decimal("0.00001"))


def test_a_throttle_refuses_what_the_milder_rungs_leave() -> None:
    # 980 of 3,000 may be spent: 67.3 % is refused.
    found = ran(step(Rung.THROTTLE, 100), limit=1000)
    assert found.would_be == pytest.approx(Decimal(980), abs=Decimal("0.01"))
    assert found.refused_tokens == pytest.approx(20_200, abs=240)


def test_a_stop_refuses_everything_from_the_hour_on_at_which_the_limit_is_reached() -> None:
    # 1,000 is spent after ten days; a tick is six hours, so nothing more than a tick's 25 goes over.
    found = ran(step(Rung.STOP, 100, Measure.ACTUAL, Approval.ONE), limit=1000)
    assert (found.would_be, found.refused_tokens) == (1000, 20_000)
    assert found.periods[0].first == {Rung.STOP: date(2026, 9, 11)}
    assert found.asked == (Rung.STOP,)


def test_a_hard_limit_stops_without_a_step_and_asks_nobody() -> None:
    found = ran(limit=1000, hard=True)
    assert (found.would_be, found.asked) == (1000, ())


def test_capacity_paid_by_the_hour_is_not_saved_by_refusing() -> None:
    history = replace(PAST, used=flat(date(2026, 8, 22), 40, cost=100, movable=40))
    found = ran(limit=1000, hard=True, history=history)
    assert found.would_be == 1000 + 20 * 60


def test_without_days_before_it_a_step_on_the_forecast_waits_for_what_is_spent() -> None:
    found = ran(step(Rung.PREFER_CHEAPER, 95), limit=2500, history=replace(PAST, used=flat(date(2026, 9, 1), 30)))
    # The second morning knows one day: 100 + 29 x 100 = 3,000.
    assert found.periods[0].first == {Rung.PREFER_CHEAPER: date(2026, 9, 2)}


def test_the_forecast_never_looks_ahead() -> None:
    # The last ten days cost ten times as much: nothing before them may know.
    jump = flat(date(2026, 8, 22), 30) + flat(date(2026, 9, 21), 10, cost=1000)
    found = ran(step(Rung.PREFER_CHEAPER, 105), limit=3000, history=replace(PAST, used=jump))
    assert found.periods[0].first == {Rung.PREFER_CHEAPER: date(2026, 9, 21)}


def test_acting_without_need_is_said() -> None:
    # Twice as much was spent in August, so that September's first mornings expect too much.
    calm = flat(date(2026, 8, 4), 28, cost=200) + flat(date(2026, 9, 1), 30)
    found = ran(step(Rung.PREFER_CHEAPER, 100), limit=3200, history=replace(PAST, used=calm))
    assert found.periods[0].needless
    assert words(found)[-1] == "In September it would have acted without need: the period closed at 94 %."


def test_words_say_what_was_moved_refused_and_kept() -> None:
    found = ran(step(Rung.PREFER_CHEAPER, 95), limit=2500)
    assert words(found) == (
        "It would have acted in 1 of 1 period: "
        f"{found.moved_tokens:,} tokens moved to something cheaper, none refused, 550.00 USD saved.",
        "It would have kept September within the limit.",
    )


def test_no_history_is_said_and_not_replayed() -> None:
    found = ran(step(Rung.NOTIFY, 80), history=History("USD", ()))
    assert not found.known
    assert words(found) == ("There is no history of this scope to replay.",)


def test_another_controller_is_asked_with_what_was_known() -> None:
    asked: list[Situation] = []

    def half(situation: Situation) -> Answer:
        asked.append(situation)
        return Answer(refused=0.5)

    found = ran(step(Rung.THROTTLE, 95), limit=1000, controller=half)
    assert found.would_be == 1500
    assert asked[0].rest_movable == 3000
    assert asked[0].ways[0].offers == (CHEAPER, SMALLER)


# Laws


@given(
    limit=st.integers(0, 5000),
    costs=st.lists(st.integers(0, 500), min_size=1, max_size=30),
    rungs=st.sets(st.sampled_from(Rung)),
    hard=st.booleans(),
)
def test_a_replay_adds_up_and_never_costs_more(limit: int, costs: list[int], rungs: set[Rung], hard: bool) -> None:
    used = tuple(
        Used(date(2026, 9, 1) + timedelta(days=index), "big", "aws", Decimal(cost), Decimal(cost), cost * 10)
        for index, cost in enumerate(costs)
    )
    steps = [step(rung, 60 + 10 * rung, Measure.ACTUAL, Approval.ONE) for rung in sorted(rungs)]
    found = ran(*steps, limit=limit, history=History("USD", used, (CHEAPER, SMALLER)), hard=hard)

    assert found.actual == sum(costs)
    assert 0 <= found.saved <= found.actual
    assert sum(day.would_be for day in found.days) == found.would_be == found.periods[0].would_be
    assert 0 <= found.moved_tokens + found.refused_tokens <= sum(each.tokens for each in used)
    if Rung.STOP not in rungs and Rung.THROTTLE not in rungs and not hard:
        assert found.refused_tokens == 0


@given(limit=st.floats(1, 5000), spent=st.floats(0, 5000), rest=st.floats(0, 5000))
def test_the_ladder_never_moves_more_than_there_is(limit: float, spent: float, rest: float) -> None:
    state = BudgetState(
        1, None, (), _at(1), _at(30), Decimal(repr(limit)).quantize(Decimal("0.01")), Decimal(repr(spent))
    )
    decision = decide(Policy(1, 1, ()), state, _at(2))
    way = Way("big", "aws", rest / 30, 1000, (CHEAPER, SMALLER))
    rungs = frozenset({Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE})
    found = ladder(Situation(_at(2), decision, rungs, limit, spent, 0.0, rest, (way,)))
    assert 0 <= found.refused <= 0.9
    assert all(0 < move.share <= 1 for move in found.moves)
    assert sum(move.share for move in found.moves) <= 0.951


def _at(day: int) -> datetime:
    return datetime(2026, 9, day, tzinfo=UTC)
