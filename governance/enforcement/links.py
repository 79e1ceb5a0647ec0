"""Which budget counts which traffic, and the ladder that each pair climbs; capacity divided fairly between the cells.

One link is one cell under one budget: the budget's policy says which rungs the cell's ladder has there. Cells without
capacity limits share ladders; where a pool is limited, a cell has a ladder of its own for each load that is expected.
"""

from dataclasses import dataclass

import numpy as np

from .control import ControlBudget, ControlInputs, Floats, Ints, Menu
from .ladder import Ladders, build, position_of
from .rungs import Rung


@dataclass(frozen=True)
class Links:
    """Columns of m links, ordered by budget.

    owed: dollars that the cell's rest of the period costs at its base. layer: budgets of one layer share no cell, and
    narrower ones come earlier. curve [m]: row of `curves` [rows, GRID], the cost of the rest of the period over all
    loads by that at the base; row_now [m]: the ladder at the load of the next hour.
    base, cost: [menus, K + 1] base shares, and cost of each option by that of the base.
    """

    budget: Ints
    cell: Ints
    owed: Floats
    layer: Ints
    curve: Ints
    curves: Floats
    row_now: Ints
    ladders: Ladders
    base: Floats
    cost: Floats
    starts: Ints

    def of(self, budget: int) -> Ints:
        """The links of a budget."""
        return np.arange(self.starts[budget], self.starts[budget + 1])

    def relative(self, links: Ints, position: Floats) -> Floats:
        """Cost of the rest of the period by that at the base, for each link at its position."""
        return self.ladders.at(self.curve[links], position, self.curves)

    def harm(self, links: Ints, position: Floats) -> Floats:
        """Disutility of a million tokens of each link at its position."""
        return self.ladders.at(self.row_now[links], position, self.ladders.harm)

    def shares_now(self, links: Ints, position: Floats) -> Floats:
        """Shares at the load of the next hour."""
        return self.ladders.at(self.row_now[links], position, self.ladders.shares)


def link(inputs: ControlInputs) -> Links:
    """All links of a tick, with their ladders."""
    sizes = np.array([len(each.cells) for each in inputs.budgets], dtype=np.int64)
    budget = np.repeat(np.arange(len(sizes)), sizes)
    none = np.zeros(0)
    cell = np.concatenate([*(each.cells for each in inputs.budgets), none]).astype(np.int64)
    remaining = np.concatenate([*(each.remaining for each in inputs.budgets), none])
    base, cost = _columns(inputs.menus, inputs.cells.shares.shape[1])
    ladders, curve, curves, row_now = _ladders(inputs, budget, cell, base)
    return Links(
        budget=budget,
        cell=cell,
        owed=remaining * inputs.cells.usd_per_mtok[cell],
        layer=_layers(inputs.budgets, len(inputs.cells.team)),
        curve=curve,
        curves=curves,
        row_now=row_now,
        ladders=ladders,
        base=base,
        cost=cost,
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def _columns(menus: tuple[Menu, ...], width: int) -> tuple[Floats, Floats]:
    base, cost = np.zeros((len(menus), width)), np.zeros((len(menus), width))
    for at, menu in enumerate(menus):
        count = len(menu.options)
        base[at, :count] = menu.base
        usd = np.array([each.usd_per_mtok for each in menu.options])
        reference = float(usd @ base[at, :count])
        cost[at, :count] = usd / reference if reference > 0 else 0.0
    return base, cost


def _layers(budgets: tuple[ControlBudget, ...], cells: int) -> Ints:
    """Narrow budgets first; a budget comes after every narrower one that shares a cell with it."""
    deepest = np.full(cells, -1, dtype=np.int64)
    layer = np.zeros(len(budgets), dtype=np.int64)
    for at in sorted(range(len(budgets)), key=lambda each: (len(budgets[each].cells), budgets[each].id)):
        which = budgets[at].cells
        layer[at] = deepest[which].max(initial=-1) + 1
        deepest[which] = layer[at]
    return layer


def _mask(rungs: frozenset[Rung]) -> int:
    return sum(1 << each for each in rungs if each > Rung.NOTIFY)


def _ladders(inputs: ControlInputs, budget: Ints, cell: Ints, base: Floats) -> tuple[Ladders, Ints, Floats, Ints]:
    cells = inputs.cells
    masks = np.array([_mask(each.permitted) for each in inputs.budgets], dtype=np.int64)[budget]
    limited = np.array(
        [any(option.capacity_mtok_h is not None for option in menu.options) for menu in inputs.menus], dtype=bool
    )
    own = limited[cells.menu[cell]]
    weights, weight_at = np.unique(cells.weight, return_inverse=True)
    # Links with the same menu, rungs and priority climb the same ladder; a limited cell climbs its own.
    key = np.column_stack([cells.menu[cell], masks, weight_at[cell], np.where(own, cell, -1)])
    unique, place = np.unique(key, axis=0, return_inverse=True)
    place = place.reshape(-1)
    levels = cells.loads.shape[1]
    alone = unique[:, 3] >= 0
    spread = np.where(alone, levels + 1, 1)
    first = np.concatenate([[0], np.cumsum(spread)]).astype(np.int64)
    source = np.repeat(np.arange(len(unique)), spread)
    level = np.arange(int(first[-1])) - first[source]
    menus = [inputs.menus[each] for each in unique[source, 0]]
    permitted = [frozenset(rung for rung in Rung if mask >> rung & 1) for mask in unique[source, 1]]
    bounds = np.ones((len(source), base.shape[1] - 1))
    if alone.any():
        bounds[alone[source]] = _bounds(inputs, budget, cell, unique[source, 3], level)[alone[source]]
    ladders = build(menus, permitted, weights[unique[source, 2]], bounds, inputs.rails.most_refused)
    curves = ladders.cost[first[:-1]]
    for at in np.flatnonzero(alone):
        loads = ladders.cost[first[at] : first[at] + levels]
        curves[at] = cells.load_weights[unique[at, 3]] @ loads
    return ladders, place, curves, (first[:-1] + np.where(alone, levels, 0))[place]


def _bounds(inputs: ControlInputs, budget: Ints, cell: Ints, row_cell: Ints, level: Ints) -> Floats:
    """Most share of each option for each row's cell at its load, out of a fair division of what the pools can take."""
    cells = inputs.cells
    limited = np.unique(row_cell[row_cell >= 0])
    place = np.zeros(len(cells.team), dtype=np.int64)
    place[limited] = np.arange(len(limited))
    loads = np.column_stack([cells.loads[limited], cells.rate[limited]])
    offers = _offers(inputs, limited, loads, _wants(inputs, limited, budget, cell))
    row = place[row_cell]
    load = np.maximum(loads[row, level], 1e-9)
    bounds: Floats = np.minimum(offers[row, level] / load[:, None], 1.0)
    return bounds


def _wants(inputs: ControlInputs, limited: Ints, budget: Ints, cell: Ints) -> Floats:
    """Share of each option that each cell would take at the price that holds, if no pool were limited: [n, K]."""
    cells = inputs.cells
    strictest: dict[int, ControlBudget] = {}
    for at in np.flatnonzero(np.isin(cell, limited)):
        asked = inputs.budgets[budget[at]]
        known = strictest.setdefault(int(cell[at]), asked)
        if asked.price > known.price:
            strictest[int(cell[at])] = asked
    menus = [inputs.menus[each] for each in cells.menu[limited]]
    asked_by = [strictest[int(each)] for each in limited]
    free = np.ones((len(menus), cells.shares.shape[1] - 1))
    rungs = [each.permitted for each in asked_by]
    ladders = build(menus, rungs, cells.weight[limited], free, inputs.rails.most_refused)
    position = np.array([position_of(each.price) for each in asked_by])
    return ladders.at(np.arange(len(menus)), position, ladders.shares)[:, :-1]


def _offers(inputs: ControlInputs, limited: Ints, loads: Floats, wants: Floats) -> Floats:
    """Mtok an hour that each limited cell may send to each option at each load, [n, L + 1, K].

    What it wants, scaled down where all want more than there is, and its part by demand of what nobody wants.
    """
    offers = np.full((len(limited), loads.shape[1], wants.shape[1]), np.inf)
    for (capacity, _), members in _sharing(inputs, limited).items():
        which = np.array([each[0] for each in members])
        place = np.array([each[1] for each in members])
        demand = loads[which]
        wanted = wants[which, place][:, None] * demand
        total, everything = wanted.sum(axis=0), demand.sum(axis=0)
        slack = np.maximum(capacity - total, 0.0)
        scaled = np.minimum(1.0, capacity / np.maximum(total, 1e-12))
        offers[which, :, place] = wanted * scaled + slack * demand / np.maximum(everything, 1e-12)
    return offers


def _sharing(inputs: ControlInputs, limited: Ints) -> dict[tuple[float, tuple[str, str, str]], list[tuple[int, int]]]:
    """(capacity, pool) -> the (limited cell, option) pairs that draw on it: one capacity for each served model."""
    found: dict[tuple[float, tuple[str, str, str]], list[tuple[int, int]]] = {}
    for at, menu_at in enumerate(inputs.cells.menu[limited]):
        menu = inputs.menus[menu_at]
        for place, option in enumerate(menu.options):
            if option.capacity_mtok_h is not None:
                pool = (menu.model, option.target, option.substitute or "")
                found.setdefault((option.capacity_mtok_h, pool), []).append((at, place))
    return found
