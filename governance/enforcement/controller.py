"""The controller: each hour, the least harmful way to end every budget's period within its limit.

Every budget gets one shadow price: the dollars of worth that are given up for the last dollar saved. It is the lowest
price at which the forecast of the rest, with a margin for its uncertainty, fits what is left; all traffic under the
budget then climbs its ladder (`ladder`) to that price, so that no other plan within the limit harms less. Budgets nest:
the narrow ones are settled first, the tightest that holds a cell decides, and a team inside its own budget is spared by
wider ones while anything else can give. Rails limit what one tick moves. Pure: no clock, no database.
"""

from collections.abc import Callable

import numpy as np

from . import wording
from .alternatives import Alternatives
from .control import (
    PPM,
    BudgetPlan,
    ControlBudget,
    ControlInputs,
    ControlPlan,
    Flags,
    Floats,
    Ints,
    Method,
    whole_weights,
)
from .ladder import GRID, position_of, price_at
from .links import Links, link
from .pacing import pace

__all__ = ["ControlInputs", "ControlPlan", "plan_tick"]

_BISECTIONS = 30
_TOP = float(len(GRID) - 1)


def plan_tick(inputs: ControlInputs) -> ControlPlan:
    """Shares for every cell, a shadow price for every budget, and reasons in words."""
    links = link(inputs)
    settled = _Settling(inputs, links)
    for layer in range(int(links.layer.max(initial=-1)) + 1):
        settled.settle(np.flatnonzero(links.layer == layer))
    target = _target(inputs, links, settled)
    shares, admit = _railed(inputs, links, settled, target)
    asked = settled.asking >= 0
    ids = np.array([each.id for each in inputs.budgets], dtype=np.int64)
    deciding = np.full(len(asked), -1, dtype=np.int64)
    deciding[asked] = ids[links.budget[settled.asking[asked]]]
    return ControlPlan(
        inputs=inputs,
        target=target,
        shares=shares,
        weights=whole_weights(shares[:, :-1], links.base[inputs.cells.menu, :-1]),
        refused_ppm=np.rint(shares[:, -1] * PPM).astype(np.int64),
        admit=admit,
        deciding=deciding,
        budgets=_budget_plans(settled, shares, target),
    )


class _Settling:
    """The prices as they are found, layer by layer, and what each cell has been asked for so far."""

    def __init__(self, inputs: ControlInputs, links: Links) -> None:
        budgets, cells = inputs.budgets, len(inputs.cells.team)
        self.inputs, self.links = inputs, links
        self.available = np.array([each.limit - each.spent - each.committed for each in budgets])
        self.hours = np.array([(each.period_end - inputs.now).total_seconds() / 3600 for each in budgets])
        self.margin = np.array([inputs.rails.risk * each.margin_factor * (each.sigma or 0.0) for each in budgets])
        self.method = [Method.NONE] * len(budgets)
        self.position, self.expected, self.without = np.zeros((3, len(budgets)))
        self.fits = np.ones(len(budgets), dtype=bool)
        self.holds = np.zeros(len(budgets), dtype=bool)
        # For each link where its cell shall stand on its ladder; for each cell the tightest ask so far: relative cost,
        # the link that asked (-1: none), and whether it is inside, or over, a team's own budget.
        self.stands = np.zeros(len(links.budget))
        self.spared = np.zeros(len(links.budget), dtype=bool)
        self.asked = np.full(cells, np.inf)
        self.asking = np.full(cells, -1, dtype=np.int64)
        self.inside, self.outside = np.zeros((2, cells), dtype=bool)

    def settle(self, layer: Ints) -> None:
        """Find the prices of budgets that share no cell, and hand their asks to the cells."""
        mine = np.flatnonzero(np.isin(self.links.budget, layer))
        row = _Row(self.links, mine, self.asked, len(self.inputs.budgets))
        self.without[layer] = row.sums(row.owed)[layer]
        spared = (self.inside & ~self.outside)[row.cells]
        wanted = self._lowest(row, np.where(spared, row.start, np.nan))
        over = row.spend(wanted, np.where(spared, row.start, np.nan)) * (1 + self.margin) > self.available
        # When all that is not inside its own budget has given everything, a hard budget asks the rest for what is still
        # too much, a soft one only for what they alone would exceed it by: no team pays for another's excess.
        hard = np.array([each.hard for each in self.inputs.budgets])
        alone = row.sums(np.where(spared, row.start * row.owed, 0.0)) * (1 + self.margin)
        last = over & (row.sums(spared.astype(float)) > 0) & (hard | (alone > self.available))
        given = last[row.budget] & ~spared
        spared &= ~last[row.budget]
        fixed = np.where(spared, row.start, np.where(given, row.top, np.nan))
        if last.any():
            counted = np.where(given & ~hard[row.budget], 0.0, fixed)
            wanted = np.where(last, self._lowest(row, counted), wanted)
        position = self._smoothed(row, wanted, fixed, last)
        self.position[layer] = position[layer]
        self.stands[mine] = np.where(given, _TOP, position[row.budget])
        self.spared[mine] = spared
        self.expected[layer] = row.spend(position, fixed)[layer]
        self.fits[layer] = (self.expected <= np.maximum(self.available, 0.0) * (1 + 1e-9))[layer]
        self._hand_over(row)

    def _lowest(self, row: "_Row", fixed: Floats) -> Floats:
        """The lowest position of each budget at which the rest, with its margin, fits; the top where none does."""
        least = position_of(self.inputs.rails.money_worth)
        low, high = np.full(len(self.margin), least), np.full(len(self.margin), _TOP)
        fits = row.spend(low, fixed) * (1 + self.margin) <= self.available
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            over = row.spend(middle, fixed) * (1 + self.margin) > self.available
            low, high = np.where(over, middle, low), np.where(over, high, middle)
        return np.where(fits, least, high)

    def _smoothed(self, row: "_Row", wanted: Floats, fixed: Floats, at_once: Flags) -> Floats:
        """Positions after pacing, slow loosening and what may not loosen; at once where slow would break the limit."""
        position = np.zeros(len(wanted))
        for at in np.unique(row.budget):
            position[at] = self._own_position(int(at), float(wanted[at]))
        steers = np.array([each.may_steer for each in self.inputs.budgets])
        slow = (row.spend(position, fixed) > self.available) | at_once
        return np.where(slow & steers, np.maximum(position, wanted), position)

    def _own_position(self, at: int, wanted: float) -> float:
        budget, rails = self.inputs.budgets[at], self.inputs.rails
        if not budget.may_steer:
            return 0.0
        price = price_at(wanted)
        held = 0.0 if budget.turned else budget.price
        self.method[at] = Method.FORECAST if budget.sigma is not None else Method.PACING
        if budget.sigma is None:
            last = (budget.spent_last_day or 0.0) / 24
            price = pace(held, spent_last_hour=last, available=float(self.available[at]), hours_left=self.hours[at])
        elif not budget.turned:
            price = held + (rails.loosen if price < held else rails.tighten) * (price - held)
        if not budget.may_loosen and price < held:
            # What holds stays as it is: no step back, and none further towards a price that nobody would set now.
            price, self.holds[at] = held, True
        price = max(price, rails.money_worth)
        return position_of(price) if price > GRID[1] / 2 else 0.0

    def _hand_over(self, row: "_Row") -> None:
        links, cells, mine = self.links, row.cells, row.mine
        asked = links.relative(mine, self.stands[mine])
        asks = ~self.spared[mine] & (asked < self.asked[cells]) & (self.stands[mine] > 0)
        self.asked[cells[asks]] = asked[asks]
        self.asking[cells[asks]] = mine[asks]
        teams = np.array([each.team is not None for each in self.inputs.budgets])[row.budget]
        self.inside[cells[teams & self.fits[row.budget]]] = True
        self.outside[cells[teams & ~self.fits[row.budget]]] = True


class _Row:
    """The links of one layer: each cell at most once. Relative costs are of the rest of the period, 1.0 at the base."""

    def __init__(self, links: Links, mine: Ints, asked: Floats, budgets: int) -> None:
        self.links, self.mine, self.budgets = links, mine, budgets
        self.budget, self.cells, self.owed = links.budget[mine], links.cell[mine], links.owed[mine]
        self.start = np.minimum(asked[self.cells], links.relative(mine, np.zeros(len(mine))))
        self.top = np.minimum(self.start, links.relative(mine, np.full(len(mine), _TOP)))

    def sums(self, values: Floats) -> Floats:
        """Sum over the links of each budget, [budgets]."""
        summed: Floats = np.bincount(self.budget, weights=values, minlength=self.budgets).astype(np.float64)
        return summed

    def spend(self, position: Floats, fixed: Floats) -> Floats:
        """Spend of the rest of the period, [budgets]: at `position`, where `fixed` (relative cost) is NaN."""
        asked = np.minimum(self.links.relative(self.mine, position[self.budget]), self.start)
        return self.sums(np.where(np.isnan(fixed), asked, fixed) * self.owed)


def _target(inputs: ControlInputs, links: Links, settled: _Settling) -> Floats:
    """Where every cell shall end: where the tightest ask puts it, at its base without any, as it is under no budget."""
    cells = inputs.cells
    touched = np.zeros(len(cells.team), dtype=bool)
    touched[links.cell] = True
    target: Floats = np.where(touched[:, None], links.base[cells.menu], cells.shares)
    asking = np.flatnonzero(settled.asking >= 0)
    by = settled.asking[asking]
    target[asking] = links.shares_now(by, settled.stands[by])
    return target


def _railed(inputs: ControlInputs, links: Links, settled: _Settling, target: Floats) -> tuple[Floats, Floats]:
    """The wanted shares, within what one tick may move; and the most that each cell lets through an hour (inf: all)."""
    cells = inputs.cells
    turned = _cells_where(inputs, links, lambda each: each.turned, all_of=True)
    held = _cells_where(inputs, links, lambda each: not each.may_loosen and not each.turned)
    frozen = _cells_where(inputs, links, lambda each: each.frozen)
    shares = _stepped(inputs, links, target, turned, settled)
    looser = _cost(links, cells.menu, shares) > _cost(links, cells.menu, cells.shares) + 1e-12
    asked = settled.asking >= 0
    holding = np.zeros(len(asked), dtype=bool)
    holding[asked] = settled.holds[links.budget[settled.asking[asked]]]
    keep = frozen | holding | (held & looser)
    shares[keep] = cells.shares[keep]
    admit = np.full(len(cells.team), np.inf)
    for at, budget in enumerate(inputs.budgets):
        if budget.hard and not budget.frozen and budget.may_refuse:
            _last_mile(inputs, links, settled, at, shares, admit)
    return shares, admit


def _cells_where(
    inputs: ControlInputs, links: Links, holds: Callable[[ControlBudget], bool], all_of: bool = False
) -> Flags:
    flags = np.array([holds(each) for each in inputs.budgets], dtype=bool)
    count = len(inputs.cells.team)
    found = np.bincount(links.cell, weights=flags[links.budget], minlength=count)
    least = np.bincount(links.cell, minlength=count) if all_of else 1
    some: Flags = (found > 0) & (found >= least)
    return some


def _cost(links: Links, menu: Ints, shares: Floats) -> Floats:
    cost: Floats = (links.cost[menu] * shares).sum(axis=1)
    return cost


def _stepped(inputs: ControlInputs, links: Links, target: Floats, turned: Flags, settled: _Settling) -> Floats:
    """From what holds towards the target: no more than a step, nothing below the hysteresis, loosening slower."""
    cells, rails = inputs.cells, inputs.rails
    now = cells.shares
    gap = np.abs(target - now).max(axis=1)
    looser = _cost(links, cells.menu, target) > _cost(links, cells.menu, now)
    step = np.where(looser, rails.loosening_step, rails.step)
    part = np.minimum(1.0, step / np.maximum(gap, 1e-12))
    # Back at the base nothing lingers: what no budget asks for any more goes, however small.
    lingers = (settled.asking < 0) & (gap > 0)
    part = np.where((gap < rails.hysteresis) & ~lingers, 0.0, part)
    part = np.where(turned, 1.0, part)
    moved: Floats = now + part[:, None] * (target - now)
    return moved


def _last_mile(inputs: ControlInputs, links: Links, settled: _Settling, at: int, shares: Floats, admit: Floats) -> None:
    """A hard budget near its limit serves what still fits, high priority first, each by its cheapest ways.

    What no reading shows yet (last_mile_hours at a burst above the expected rate) must fit what is left; beyond it the
    rest is refused now. With nothing left all is refused where a stop is permitted.
    """
    rails, cells, budget = inputs.rails, inputs.cells, inputs.budgets[at]
    mine = links.of(at)
    which = links.cell[mine]
    hours = min(rails.last_mile_hours, max(float(settled.hours[at]), 1e-6))
    left = float(settled.available[at])
    usd = cells.usd_per_mtok[which] * cells.rate[which] * hours
    need = _cost(links, cells.menu[which], shares[which]) * usd
    if budget.limit - budget.spent <= 0:
        settled.method[at] = Method.STOP if budget.may_stop else Method.LAST_MILE
        served = np.maximum(1.0 - shares[which, -1], 1e-12)
        _refuse(shares, which, np.minimum(1.0, (0.0 if budget.may_stop else 1 - rails.most_refused) / served))
        return
    if left <= 0:
        return
    total = float(need.sum())
    if total * 3 > left and total > 0:
        admit[which] = np.minimum(admit[which], _rates(cells.rate[which], shares[which]) * left / total)
    if total * rails.burst <= left:
        return
    settled.method[at] = Method.LAST_MILE
    cheapest = links.shares_now(mine, np.full(len(mine), _TOP))
    served = 1.0 - cheapest[:, -1:]
    cheapest = np.where(served > 0, cheapest / np.maximum(served, 1e-12), cheapest)
    cheapest[:, -1] = 0.0
    cheaper = _cost(links, cells.menu[which], cheapest) < _cost(links, cells.menu[which], shares[which]) - 1e-12
    shares[which[cheaper]] = cheapest[cheaper]
    need = _cost(links, cells.menu[which], shares[which]) * usd * rails.burst
    admitted = _by_priority(need, settled.inside[which], cells.weight[which], left)
    # Nothing is refused wholly without the right to stop.
    least = 0.0 if budget.may_stop else 1 - rails.most_refused
    _refuse(shares, which, np.maximum(admitted, least))


def _rates(rate: Floats, shares: Floats) -> Floats:
    served: Floats = rate * (1.0 - shares[:, -1])
    return served


def _by_priority(need: Floats, inside: Flags, weight: Floats, left: float) -> Floats:
    """Part of each need that `left` covers: teams inside their own budget first, then by weight, equals alike."""
    admitted = np.ones(len(need))
    for own, each in sorted({(bool(own), float(each)) for own, each in zip(inside, weight, strict=True)}, reverse=True):
        mine = (weight == each) & (inside == own)
        total = float(need[mine].sum())
        part = 1.0 if total <= left else max(left, 0.0) / total
        admitted[mine] = part
        left -= total * part
    return admitted


def _refuse(shares: Floats, which: Ints, admitted: Floats) -> None:
    """Serve only `admitted` of what the cells' shares serve."""
    kept = shares[which] * admitted[:, None]
    kept[:, -1] = 1.0 - kept[:, :-1].sum(axis=1)
    shares[which] = kept


def _budget_plans(settled: _Settling, shares: Floats, target: Floats) -> tuple[BudgetPlan, ...]:
    others = Alternatives(settled.inputs, settled.links)
    return tuple(_budget_plan(settled, at, shares, target, others) for at in range(len(settled.inputs.budgets)))


def _budget_plan(settled: _Settling, at: int, shares: Floats, target: Floats, others: Alternatives) -> BudgetPlan:
    inputs, links = settled.inputs, settled.links
    budget: ControlBudget = inputs.budgets[at]
    mine = links.of(at)
    asked = settled.asking[links.cell[mine]]
    # The last mile acts at once; everything else arrives at its target in steps.
    ends = shares if settled.method[at] in (Method.LAST_MILE, Method.STOP) else target
    touched = links.cell[mine][(asked >= links.starts[at]) & (asked < links.starts[at + 1])]
    price = price_at(float(settled.position[at]))
    method = Method.FROZEN if budget.frozen else settled.method[at]
    if price == 0.0 and method in (Method.FORECAST, Method.PACING):
        method = Method.NONE
    facts = wording.Facts(
        budget=budget,
        currency=inputs.currency,
        now=inputs.now,
        method=method,
        price=price,
        available=float(settled.available[at]),
        expected_end=budget.spent + budget.committed + float(settled.expected[at]),
        without=budget.spent + budget.committed + float(settled.without[at]),
        margin=float(settled.margin[at]),
        fits=bool(settled.fits[at]),
        spared=int(settled.spared[mine].sum()),
        moves=wording.moves(inputs, touched, ends) if len(touched) else (),
        in_steps=bool((np.abs(ends[touched] - shares[touched]) > inputs.rails.hysteresis).any()),
        step=inputs.rails.step,
    )
    explained = inputs.explain and method not in (Method.NONE, Method.FROZEN)
    return BudgetPlan(
        id=budget.id,
        method=method,
        price=price,
        available=facts.available,
        expected_end=facts.expected_end,
        without=facts.without,
        margin=facts.margin,
        fits=facts.fits,
        touched=tuple(int(each) for each in touched),
        spared=facts.spared,
        alternatives=others.of(at, facts) if explained else (),
        words=wording.reason(facts),
    )
