"""Laws of the controller: weights are whole, tightening never costs more, more budget never buys less, fairness."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.enforcement.control import PPM, Cells, ControlBudget, ControlInputs, Menu, Option, Rails
from governance.enforcement.controller import plan_tick
from governance.enforcement.rungs import Rung

NOW = datetime(2026, 11, 16, tzinfo=UTC)
AT_ONCE = Rails(step=1.0, loosening_step=1.0, hysteresis=0.0, tighten=1.0, loosen=1.0)
RUNGS = (Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE, Rung.STOP)


@st.composite
def menus(draw: st.DrawFn) -> Menu:
    count = draw(st.integers(1, 4))
    options = tuple(
        Option(
            target=f"pool-{at}",
            usd_per_mtok=draw(st.floats(0.05, 60)),
            disutility=draw(st.floats(0, 2)),
            substitute="small" if at and draw(st.booleans()) else None,
            over_objective=draw(st.floats(0, 0.3)),
            capacity_mtok_h=draw(st.none() | st.floats(0.1, 20)),
            floor=draw(st.sampled_from([0.0, 0.01, 0.05])) if not at else 0.0,
        )
        for at in range(count)
    )
    parts = np.array([draw(st.floats(0.01, 1)) for _ in options])
    return Menu("large", options, tuple(parts / parts.sum()), draw(st.floats(1, 12)), draw(st.floats(0.01, 0.3)))


@st.composite
def situations(draw: st.DrawFn) -> ControlInputs:
    dishes = tuple(draw(st.lists(menus(), min_size=1, max_size=2)))
    width = max(len(menu.options) for menu in dishes)
    count = draw(st.integers(1, 4))
    which = np.array([draw(st.integers(0, len(dishes) - 1)) for _ in range(count)])
    shares = np.zeros((count, width + 1))
    for at, menu in enumerate(which):
        parts = np.array([draw(st.floats(0.01, 1)) for _ in range(len(dishes[menu].options) + 1)])
        parts = parts / parts.sum()
        shares[at, : len(parts) - 1], shares[at, -1] = parts[:-1], parts[-1]
        if draw(st.booleans()):
            shares[at] = 0.0
            shares[at, : len(dishes[menu].base)] = dishes[menu].base
    rate = np.array([draw(st.floats(0, 30)) for _ in range(count)])
    usd = [sum(o.usd_per_mtok * b for o, b in zip(dishes[m].options, dishes[m].base, strict=True)) for m in which]
    cells = Cells(
        team=tuple(f"team-{at}" for at in range(count)),
        menu=which,
        weight=np.array([draw(st.sampled_from([1.0, 2.0, 4.0])) for _ in range(count)]),
        usd_per_mtok=np.array(usd),
        rate=rate,
        shares=shares,
        loads=np.column_stack([rate * 0.7, rate * 1.4]),
        load_weights=np.tile([0.4, 0.6], (count, 1)),
    )
    remaining = rate * 100
    owed = float((remaining * usd).sum())
    budgets = [
        ControlBudget(
            id=at,
            name=f"Budget {at}",
            team=f"team-{at}" if at < count else None,
            limit=draw(st.floats(0, 1.5)) * (owed if at == count else float(remaining[at] * usd[at])) + 0.01,
            spent=draw(st.sampled_from([0.0, 0.005, 1.0])),
            period_end=NOW + timedelta(hours=100),
            cells=np.arange(count) if at == count else np.array([at]),
            remaining=remaining if at == count else remaining[at : at + 1],
            sigma=draw(st.none() | st.floats(0, 0.5)),
            permitted=frozenset(draw(st.sets(st.sampled_from(RUNGS)))),
            hard=draw(st.booleans()),
            may_loosen=draw(st.booleans()),
            price=draw(st.sampled_from([0.0, 0.3, 5.0])),
            spent_last_day=draw(st.none() | st.floats(0, 1000)),
        )
        for at in range(count + 1)
    ]
    chosen = tuple(each for each in budgets if draw(st.booleans()))
    return ControlInputs(NOW, "USD", dishes, cells, chosen)


def _cost(inputs: ControlInputs, shares: np.ndarray) -> np.ndarray:
    usd = np.zeros_like(shares)
    for at, menu in enumerate(inputs.cells.menu):
        options = inputs.menus[menu].options
        usd[at, : len(options)] = [each.usd_per_mtok for each in options]
    return (usd * shares).sum(axis=1)


@given(situations())
@settings(max_examples=60, deadline=None)
def test_weights_are_whole_and_shares_are_parts(inputs: ControlInputs) -> None:
    plan = plan_tick(inputs)
    assert np.allclose(plan.shares.sum(axis=1), 1.0)
    assert (plan.shares >= -1e-9).all()
    for cell in plan.cells:
        assert sum(cell.weights) == PPM
        assert min(cell.weights) >= 0
        assert 0 <= cell.refused_ppm <= PPM
    for budget in plan.budgets:
        assert budget.words


@given(situations())
@settings(max_examples=60, deadline=None)
def test_late_data_never_costs_more_and_never_serves_dearer(inputs: ControlInputs) -> None:
    late = replace(inputs, budgets=tuple(replace(each, may_loosen=False) for each in inputs.budgets))
    plan = plan_tick(late)
    assert (_cost(late, plan.shares) <= _cost(late, inputs.cells.shares) + 1e-6).all()


@given(situations(), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_more_money_never_plans_to_spend_less(inputs: ControlInputs, part: float) -> None:
    one = tuple(replace(each, sigma=each.sigma or 0.1, price=0.0) for each in inputs.budgets)[-1:]
    rich = replace(inputs, budgets=one, rails=AT_ONCE)
    poor = replace(rich, budgets=tuple(replace(each, limit=each.limit * part) for each in one))
    for more, less in zip(plan_tick(rich).budgets, plan_tick(poor).budgets, strict=True):
        assert less.expected_end <= more.expected_end + 1e-6 * max(more.expected_end, 1.0)
        assert less.price >= more.price - 1e-9


@given(situations())
@settings(max_examples=60, deadline=None)
def test_nobody_is_touched_beyond_what_some_budget_permits(inputs: ControlInputs) -> None:
    at_base = inputs.cells.shares.copy()
    at_base[:] = 0.0
    for at, menu in enumerate(inputs.cells.menu):
        at_base[at, : len(inputs.menus[menu].base)] = inputs.menus[menu].base
    fresh = replace(inputs, cells=replace(inputs.cells, shares=at_base))
    plan = plan_tick(fresh)
    for at, menu_at in enumerate(inputs.cells.menu):
        permitted: set[Rung] = set()
        for each in inputs.budgets:
            permitted |= each.permitted if at in each.cells else set()
        moved = plan.shares[at] - at_base[at]
        options = inputs.menus[menu_at].options
        for place, option in enumerate(options):
            spills = option.capacity_mtok_h is not None or any(o.capacity_mtok_h is not None for o in options)
            assert moved[place] <= 1e-9 or option.rung in permitted or spills
        assert moved[-1] <= 1e-9 or permitted & {Rung.THROTTLE, Rung.STOP}


@given(situations())
@settings(max_examples=60, deadline=None)
def test_a_team_inside_its_budget_is_not_touched_for_another(inputs: ControlInputs) -> None:
    count = len(inputs.cells.team)
    owed = inputs.cells.rate * 100 * inputs.cells.usd_per_mtok
    own = ControlBudget(
        id=100,
        name="Own",
        team="team-0",
        limit=float(owed[0]) * 2 + 1,
        spent=0.0,
        period_end=NOW + timedelta(hours=100),
        cells=np.array([0]),
        remaining=inputs.cells.rate[:1] * 100,
        sigma=0.1,
        permitted=frozenset(RUNGS),
    )
    others = replace(own, id=101, team=None, cells=np.arange(count), remaining=inputs.cells.rate * 100)
    # Everybody together may spend what team 0 uses and a little more: the others must give, team 0 need not.
    others = replace(others, limit=float(owed[0]) * 1.5 + 1)
    shares = inputs.cells.shares.copy()
    base = inputs.menus[inputs.cells.menu[0]].base
    shares[0] = 0.0
    shares[0, : len(base)] = base
    case = replace(inputs, budgets=(own, others), cells=replace(inputs.cells, shares=shares), rails=AT_ONCE)
    assert np.allclose(plan_tick(case).shares[0], shares[0])


@given(situations())
@settings(max_examples=60, deadline=None)
def test_one_tick_moves_no_more_than_its_step(inputs: ControlInputs) -> None:
    soft = replace(inputs, budgets=tuple(replace(each, hard=False) for each in inputs.budgets))
    plan = plan_tick(soft)
    moved = np.abs(plan.shares - inputs.cells.shares).max(axis=1)
    assert (moved <= soft.rails.step + 1e-9).all()
