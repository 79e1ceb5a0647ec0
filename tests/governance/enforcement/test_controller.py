"""The controller, worked out by hand. Search has $600 left and would use 80 Mtok at $10: $800."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from governance.enforcement.control import Method, Rails
from governance.enforcement.controller import plan_tick
from governance.enforcement.rungs import Rung

from .traffic import END, LARGE, NOW, PLAIN, budget, cells, inputs


def test_it_moves_just_as_much_to_the_mid_pool_as_the_budget_needs() -> None:
    # Of $10 a million at mid's $7.20: 80 x (10 - 2.8 x) = 600, so x = 0.892857.
    plan = plan_tick(inputs([budget(1, [0])]))
    assert plan.budgets[0].method is Method.FORECAST
    assert plan.budgets[0].expected_end == pytest.approx(1000.0, abs=0.001)
    assert plan.budgets[0].without == pytest.approx(1200.0)
    assert plan.shares[0] == pytest.approx([0.107143, 0.892857, 0, 0], abs=1e-5)
    assert sum(plan.cells[0].weights) == 1_000_000
    assert plan.cells[0].rung is Rung.PREFER_CHEAPER
    # A dollar saved there gives up 0.02 / 0.28 dollars of worth.
    assert plan.budgets[0].price == pytest.approx(0.0714, rel=0.15)


def test_a_tick_moves_no_more_than_a_step_and_says_where_it_ends() -> None:
    plan = plan_tick(inputs([budget(1, [0])], rails=Rails(risk=0.0)))
    assert plan.cells[0].weights == (750_000, 250_000, 0)
    assert plan.budgets[0].words == (
        "Search will pass $1,000 on 27 November and end at $1,200 if nothing changes. Moving 89 % of search's "
        "gpt-large traffic to mid, in steps of at most 25 %, keeps it at $1,000; p95 rises by at most 90 ms, within "
        "the 2 s objective."
    )


def test_what_a_policy_does_not_permit_is_not_done() -> None:
    # All at mid: 400 + 80 x 7.2 = 976; only $550 are left, and no smaller model is permitted.
    poorer = budget(1, [0], limit=950.0, permitted=frozenset({Rung.PREFER_CHEAPER}))
    plan = plan_tick(inputs([poorer]))
    assert plan.shares[0] == pytest.approx([0, 1, 0, 0])
    assert not plan.budgets[0].fits
    assert plan.budgets[0].expected_end == pytest.approx(976.0)
    assert "no permitted step goes further" in plan.budgets[0].words
    told_only = budget(1, [0], permitted=frozenset({Rung.NOTIFY}))
    assert plan_tick(inputs([told_only])).cells == ()


def test_a_rung_that_the_ladder_leaves_out_is_skipped() -> None:
    # $400 are left: mid alone (576) is too dear, no smaller model; refusing x at mid: 576 (1 - x) = 400.
    no_smaller = budget(1, [0], limit=800.0, permitted=frozenset({Rung.PREFER_CHEAPER, Rung.THROTTLE}))
    plan = plan_tick(inputs([no_smaller]))
    assert plan.shares[0] == pytest.approx([0, 0.694444, 0, 0.305556], abs=1e-5)
    assert plan.cells[0].refused_ppm == 305_556
    assert plan.cells[0].weights == (0, 1_000_000, 0)


def test_high_priority_is_served_first_in_the_last_mile() -> None:
    # $15 are left for the last two hours; each cell needs 4 Mtok, $8 by the smaller model, 1.3 x that in a burst.
    # The heavier gets its 10.40; 4.60 of 10.40 remain for the other.
    end = {"period_end": NOW + timedelta(hours=2), "remaining": np.array([4.0, 4.0])}
    tight = budget(1, [0, 1], spent=985.0, hard=True, **end)
    plan = plan_tick(inputs([tight], cells(["search", "search"], weight=[4.0, 1.0])))
    assert plan.budgets[0].method is Method.LAST_MILE
    assert plan.shares[0] == pytest.approx([0, 0, 1, 0])
    assert 1 - plan.shares[1, -1] == pytest.approx(4.60 / 10.40, abs=1e-4)


def test_a_hard_budget_with_nothing_left_stops_and_a_soft_one_does_not() -> None:
    gone = budget(1, [0], spent=1000.0, hard=True)
    plan = plan_tick(inputs([gone]))
    assert plan.cells[0].blocked
    assert plan.cells[0].rung is Rung.STOP
    assert plan.budgets[0].words == (
        "Search has spent $1,000 of $1,000; nothing is left until 1 December, so its requests are refused."
    )
    soft = plan_tick(inputs([replace(gone, hard=False)]))
    assert not soft.cells[0].blocked
    may_not_stop = replace(gone, permitted=frozenset({Rung.PREFER_CHEAPER, Rung.THROTTLE}))
    assert plan_tick(inputs([may_not_stop])).cells[0].refused_ppm == 900_000


def test_a_blocked_team_is_back_at_the_turn_of_its_period() -> None:
    new = budget(1, [0], spent=0.0, hard=True, turned=True, price=40.0, may_loosen=False)
    plan = plan_tick(inputs([new], cells(["search"], shares=(0, 0, 0, 1)), rails=Rails()))
    assert plan.shares[0] == pytest.approx([1, 0, 0, 0])


def test_late_data_loosens_nothing_and_may_tighten() -> None:
    tightened = cells(["search"], shares=(0, 1, 0, 0))
    rich = budget(1, [0], limit=5000.0, may_loosen=False, price=0.2)
    assert plan_tick(inputs([rich], tightened)).cells == ()
    assert plan_tick(inputs([replace(rich, may_loosen=True)], tightened)).shares[0] == pytest.approx([1, 0, 0, 0])
    # What was on its way to the smaller model stops where it is, when nobody would ask for that any more.
    half_way = cells(["search"], shares=(0, 0.5, 0.5, 0))
    assert plan_tick(inputs([replace(rich, price=5.0)], half_way)).cells == ()
    poor = budget(1, [0], limit=900.0, may_loosen=False)
    assert plan_tick(inputs([poor], tightened)).shares[0] == pytest.approx([0, 0.817308, 0.182692, 0], abs=1e-5)


def test_a_frozen_budget_keeps_what_holds() -> None:
    plan = plan_tick(inputs([budget(1, [0], frozen=True)]))
    assert plan.cells == ()
    assert plan.budgets[0].method is Method.FROZEN


def test_a_wider_margin_saves_more() -> None:
    calm = plan_tick(inputs([budget(1, [0])], rails=replace(PLAIN, risk=0.25)))
    stale = plan_tick(inputs([budget(1, [0], margin_factor=2.0)], rails=replace(PLAIN, risk=0.25)))
    # 600 / (1 + 0.25 x 0.1) = 585.37, and 600 / (1 + 0.5 x 0.1) = 571.43.
    assert calm.budgets[0].expected_end == pytest.approx(985.37, abs=0.01)
    assert stale.budgets[0].expected_end == pytest.approx(971.43, abs=0.01)


def test_a_team_inside_its_budget_is_not_touched_for_another() -> None:
    # Together they'd spend 1,600 of the company's 1,200; ranker is inside its 900, search has no budget of its own.
    own = budget(1, [1], name="Ranker", team="ranker", limit=900.0, spent=0.0)
    company = budget(2, [0, 1], name="Company", team=None, limit=1200.0, spent=0.0)
    plan = plan_tick(inputs([company, own], cells(["search", "ranker"])))
    assert plan.shares[1] == pytest.approx([1, 0, 0, 0])
    # Search must come down to 400 of 800: mid gives 576, the rest by the smaller model: 576 - 416 y = 400.
    assert plan.shares[0] == pytest.approx([0, 0.576923, 0.423077, 0], abs=1e-5)
    assert plan.budgets[0].spared == 1
    assert "1 use of teams inside their own budgets stay" in plan.budgets[0].words


def test_a_hard_parent_asks_teams_inside_their_budgets_only_when_the_others_gave_everything() -> None:
    # Search gives all but a tenth at $2, which costs 16; then ranker must come to 184 of its 800.
    own = budget(1, [1], name="Ranker", team="ranker", limit=900.0, spent=0.0)
    company = budget(2, [0, 1], name="Company", team=None, limit=200.0, spent=0.0, hard=True)
    plan = plan_tick(inputs([company, own], cells(["search", "ranker"])))
    assert plan.shares[0] == pytest.approx([0, 0, 0.1, 0.9], abs=1e-6)
    assert plan.budgets[0].expected_end == pytest.approx(200.0, abs=0.01)
    # A soft parent asks ranker only for what it alone would be over: 600 are left, ranker's 80 Mtok at mid cost 576.
    soft = plan_tick(inputs([replace(company, limit=600.0, hard=False), own], cells(["search", "ranker"])))
    assert soft.shares[1] == pytest.approx([0.107143, 0.892857, 0, 0], abs=1e-5)
    assert not soft.budgets[0].fits
    richer = replace(company, limit=805.0, hard=False, permitted=frozenset({Rung.PREFER_CHEAPER}))
    left_alone = plan_tick(inputs([richer, own], cells(["search", "ranker"])))
    assert left_alone.shares[1] == pytest.approx([1, 0, 0, 0])
    assert not left_alone.budgets[0].fits


def test_nested_budgets_combine_by_the_tighter() -> None:
    # The team's own budget asks for 600 of 800, the department's for 500: mid gives 576, 576 - 416 y = 500.
    team = budget(1, [0])
    department = budget(2, [0], name="Department", team="science", limit=900.0)
    plan = plan_tick(inputs([team, department]))
    assert plan.shares[0] == pytest.approx([0, 0.817308, 0.182692, 0], abs=1e-5)
    assert plan.cells[0].deciding == 2


def test_a_capacity_is_divided_by_demand_and_the_rest_stays() -> None:
    # Mid takes 2 of the 4 Mtok an hour of both: half of each.
    menu = replace(LARGE, options=(LARGE.options[0], replace(LARGE.options[1], capacity_mtok_h=2.0), LARGE.options[2]))
    only_pools = frozenset({Rung.PREFER_CHEAPER})
    poor = budget(1, [0, 1], limit=1000.0, permitted=only_pools, price=1.0)
    plan = plan_tick(inputs([poor], cells(["search", "search"]), menus=(menu,)))
    assert plan.shares[:, 1] == pytest.approx([0.5, 0.5])


def test_a_late_pool_is_used_up_to_its_latency_objective() -> None:
    # 5 % may be late; premium is late for 1 %, mid for 9 %: half and half.
    first, second, third = LARGE.options
    menu = replace(
        LARGE,
        options=(replace(first, over_objective=0.01), replace(second, over_objective=0.09), third),
        tail_objective=0.05,
    )
    poor = budget(1, [0], limit=1088.0, permitted=frozenset({Rung.PREFER_CHEAPER}))
    assert plan_tick(inputs([poor], menus=(menu,))).shares[0, :2] == pytest.approx([0.5, 0.5], abs=1e-4)


def test_a_healthy_pool_keeps_its_floor() -> None:
    first, second, third = LARGE.options
    menu = replace(LARGE, options=(replace(first, floor=0.02), second, third))
    poor = budget(1, [0], limit=900.0, permitted=frozenset({Rung.PREFER_CHEAPER}))
    assert plan_tick(inputs([poor], menus=(menu,))).shares[0, :2] == pytest.approx([0.02, 0.98])


def test_without_a_forecast_it_paces() -> None:
    # 400 a day is more than the $600 of 15 days allow: the price goes up, from a third.
    plan = plan_tick(inputs([budget(1, [0], sigma=None, spent_last_day=400.0)]))
    assert plan.budgets[0].method is Method.PACING
    assert plan.budgets[0].price > 0.3
    assert "paced evenly" in plan.budgets[0].words


def test_the_alternatives_say_what_else_could_be_done() -> None:
    poorer = budget(1, [0], limit=900.0, permitted=frozenset({Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL}))
    found = {each.name: each for each in plan_tick(inputs([poorer])).budgets[0].alternatives}
    assert found["change nothing"].words == "ends at $1,200, $300 over"
    assert found["cheaper pools only"].words == "ends at $976, $76.00 over"
    assert found["stop at the limit"].words == (
        "ends at $900, $0.00 left, refusing 30.0 million tokens; the policy does not permit it now"
    )


def test_traffic_under_no_budget_stays_as_it_is() -> None:
    odd = cells(["search", "ranker"], shares=(0.4, 0.3, 0.3, 0.0))
    plan = plan_tick(inputs([budget(1, [0])], odd))
    assert plan.shares[1] == pytest.approx([0.4, 0.3, 0.3, 0.0])


def test_no_budgets_ask_for_nothing() -> None:
    plan = plan_tick(inputs([]))
    assert plan.cells == ()
    assert plan.budgets == ()
    assert np.allclose(plan.shares, [[1, 0, 0, 0]])
    assert NOW < END
