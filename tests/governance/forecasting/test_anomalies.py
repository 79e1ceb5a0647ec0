"""What is told of a day: one cause, once. Steady series, a forecast of "as a week ago": every figure is by hand."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from governance.forecasting.anomalies import Feedback, Finding, Leaf, Panel, Reach, Sensitivity, detect, scores
from governance.forecasting.bets import OneStep

FIRST = date(2026, 9, 1)
DAYS = 60
LAST = FIRST + timedelta(days=DAYS - 1)
NINE = tuple(f"team{number}" for number in range(9))


def a_week_ago(costs: np.ndarray, days: int) -> OneStep:
    """A forecast that says what was a week ago."""
    expected = np.concatenate([costs[:, :7], costs[:, :-7]], axis=1)[:, -days:]
    return OneStep(expected, np.ones_like(expected))


def panel(usual: dict[Leaf, float], last_day: dict[Leaf, float]) -> Panel:
    """`usual` on every day, and on the last day what `last_day` says."""
    costs = np.array([[cost] * DAYS for cost in usual.values()], dtype=float)
    for place, leaf in enumerate(usual):
        costs[place, -1] = last_day.get(leaf, costs[place, -1])
    return Panel(tuple(usual), tuple(FIRST + timedelta(days=day) for day in range(DAYS)), costs)


def told(usual: dict[Leaf, float], last_day: dict[Leaf, float], **options: object) -> list[Finding]:
    return detect(panel(usual, last_day), [LAST], foresee=a_week_ago, **options)  # type: ignore[arg-type]


def everybody() -> dict[Leaf, float]:
    """Nine teams, two models, 100 a day each: 1,800 a day."""
    return {(team, model, "aws"): 100.0 for team in NINE for model in ("small", "large")}


def test_a_quiet_day_is_not_told() -> None:
    assert told(everybody(), {}) == []


def test_one_team_s_burst_on_one_model_is_one_finding_with_its_whole_name() -> None:
    (found,) = told(everybody(), {("team3", "large", "aws"): 300.0})

    assert found.cause == (("team", "team3"), ("model", "large"), ("provider", "aws"))
    assert (found.actual, found.expected, found.excess) == (300.0, 100.0, 200.0)
    assert found.day == LAST


def test_a_model_s_price_jump_over_nine_teams_is_one_finding() -> None:
    (found,) = told(everybody(), {(team, "large", "aws"): 150.0 for team in NINE})

    assert found.cause == (("model", "large"), ("provider", "aws"))
    assert found.excess == 9 * 50
    assert {each.leaf[0] for each in found.leaves} == set(NINE)


def test_a_price_jump_is_one_finding_even_where_one_team_has_most_of_the_model() -> None:
    usual = everybody() | {("team0", "large", "aws"): 5000.0}

    (found,) = told(usual, {leaf: cost * 1.5 for leaf, cost in usual.items() if leaf[1] == "large"})

    assert found.cause == (("model", "large"), ("provider", "aws"))
    assert found.excess == 0.5 * (5000 + 8 * 100)


def test_two_causes_on_one_day_are_two_findings_the_dearer_first() -> None:
    jump = {(team, "large", "aws"): 150.0 for team in NINE}

    dearer, other = told(everybody(), {**jump, ("team1", "small", "aws"): 300.0})

    assert dearer.cause == (("model", "large"), ("provider", "aws"))
    assert other.cause == (("team", "team1"), ("model", "small"), ("provider", "aws"))
    assert (dearer.excess, other.excess) == (450.0, 200.0)


def test_a_team_that_uses_more_of_everything_is_one_finding_of_the_team() -> None:
    (found,) = told(everybody(), {("team5", model, "aws"): 200.0 for model in ("small", "large")})

    assert found.cause == (("team", "team5"), ("provider", "aws"))


def test_a_leaf_that_fell_has_no_part_in_what_rose() -> None:
    jump = {(team, "large", "aws"): 150.0 for team in NINE}

    (found,) = told(everybody(), {**jump, ("team7", "large", "aws"): 60.0})

    assert found.cause == (("model", "large"), ("provider", "aws"))
    assert {each.leaf[0] for each in found.leaves} == set(NINE) - {"team7"}
    assert found.excess == 8 * 50


def test_what_has_no_owner_is_told_too() -> None:
    usual = {**everybody(), (None, "large", "aws"): 50.0}

    (found,) = told(usual, {(None, "large", "aws"): 250.0})

    assert found.cause == (("team", None), ("model", "large"), ("provider", "aws"))


def test_an_excess_that_nobody_would_miss_is_not_told() -> None:
    # 8 more on a leaf of 10: unusual, but 0.5 % of a usual day of 1,810 is 9.05.
    usual = {**everybody(), ("team0", "tiny", "aws"): 10.0}

    assert told(usual, {("team0", "tiny", "aws"): 18.0}) == []
    assert len(told(usual, {("team0", "tiny", "aws"): 20.0})) == 1
    assert len(told(usual, {("team0", "tiny", "aws"): 18.0}, sensitivity=Sensitivity(least_share=0.001))) == 1


def test_spending_less_is_not_told() -> None:
    assert told(everybody(), {("team3", "large", "aws"): 0.0}) == []


def test_a_new_series_is_not_judged_before_it_has_settled() -> None:
    young = Panel((("a", "b", "c"),), tuple(FIRST + timedelta(days=day) for day in range(28)), np.full((1, 28), 9.0))
    young.costs[0, -1] = 900

    assert detect(young, [young.days[-1]], foresee=a_week_ago) == []
    assert detect(Panel((), (), np.zeros((0, 0))), [LAST]) == []


def test_what_people_expected_must_be_worse_to_be_told_again() -> None:
    leaf: Leaf = ("team3", "large", "aws")
    cause = (("team", "team3"), ("model", "large"), ("provider", "aws"))
    now = datetime(2026, 10, 30, tzinfo=UTC)
    said = Reach((Feedback(cause, now),), now)
    # 1.25 of the usual: enough once (0.2), not after one "expected" (0.2 x 1.5 = 0.3).
    assert len(told(everybody(), {leaf: 125.0})) == 1
    assert told(everybody(), {leaf: 125.0}, reach=said) == []
    assert len(told(everybody(), {leaf: 140.0}, reach=said)) == 1
    # Others are judged as before, and a larger group is not hushed by one leaf's history.
    assert len(told(everybody(), {("team4", "large", "aws"): 125.0}, reach=said)) == 1
    assert len(told(everybody(), {(team, "large", "aws"): 125.0 for team in NINE}, reach=said)) == 1


def test_feedback_fades() -> None:
    now = datetime(2026, 10, 30, tzinfo=UTC)
    cause = (("team", "a"),)

    assert Reach((Feedback(cause, now), Feedback(cause, now)), now).factor(cause) == 2.0
    assert Reach((Feedback(cause, now - timedelta(days=60)),), now).factor(cause) == 1.25
    assert Reach((Feedback(cause, now),), now).factor((("model", "b"),)) == 1.0


def test_a_score_never_looks_ahead() -> None:
    rng = np.random.default_rng(3)
    costs = rng.uniform(50, 150, (4, DAYS))
    expected = np.full_like(costs, 100)
    changed = costs.copy()
    changed[:, -1] *= 9

    before, after = scores(costs, expected), scores(changed, expected)

    assert np.array_equal(before[:, :-1], after[:, :-1])


@pytest.mark.parametrize("factor", [1.5, 3.0, 10.0])
def test_one_odd_day_does_not_hide_the_next(factor: float) -> None:
    costs = np.full((1, DAYS), 100.0)
    costs[0, 40] = 100 * factor
    costs[0, 50] = 150

    assert scores(costs, np.full_like(costs, 100))[0, 50] > 2.5


def test_with_the_real_forecast_a_burst_is_one_finding_and_a_weekend_none() -> None:
    week = np.array([1.0, 1.1, 1.0, 1.05, 0.95, 0.4, 0.35])
    usual = dict.fromkeys(everybody(), 100.0)
    costs = np.array([[100 * week[day % 7] for day in range(DAYS)] for _ in usual])
    costs[4, 50] *= 4
    days = tuple(FIRST + timedelta(days=day) for day in range(DAYS))

    found = detect(Panel(tuple(usual), days, costs), days)

    assert [(each.day, each.cause) for each in found] == [
        (days[50], (("team", "team2"), ("model", "small"), ("provider", "aws")))
    ]
    assert found[0].excess == pytest.approx(300 * week[50 % 7], rel=0.1)
