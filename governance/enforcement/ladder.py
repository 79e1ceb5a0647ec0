"""From a menu to a ladder: the least harmful way to serve a model at each price that a saved dollar is given.

One row is one menu under one set of permitted rungs, one priority and its capacity bounds. For each price on GRID the
row's linear program

    min  sum (harm_o + price cost_o) x_o + tail_price max(0, excess)     sum x = 1, 0 <= x <= bound
         excess = sum (over_objective_o - tail_objective) x_o            (the refused don't wait)

is solved exactly: one multiplier for the latency row, found by bisection, and a fill in order of price below it. So
each step up the ladder costs no more than the one before, whatever the menu. Pure numpy; all rows at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .control import Floats, Ints, Menu
from .rungs import Rung

# Dollars of worth that are given up for one saved dollar; the first is no price: the base holds.
GRID: Floats = np.concatenate([[0.0], np.geomspace(0.02, 120.0, 48)])
_BISECTIONS = 14


@dataclass(frozen=True)
class Ladders:
    """shares [rows, GRID, K + 1]; cost [rows, GRID], 1.0 at the base, never rising; harm [rows, GRID] for 1M tokens."""

    shares: Floats
    cost: Floats
    harm: Floats

    def at(self, rows: Ints, position: Floats, of: Floats) -> Floats:
        """`of` (shares, cost or harm) of `rows` at positions on GRID, between two prices as a mixture of both."""
        low = np.minimum(position.astype(np.int64), len(GRID) - 2)
        part = position - low if of.ndim == 2 else (position - low)[:, None]
        below: Floats = of[rows, low]
        mixed: Floats = below + part * (of[rows, low + 1] - below)
        return mixed


def price_at(position: float) -> float:
    """The price at a position on GRID."""
    return float(np.interp(position, np.arange(len(GRID)), GRID))


def position_of(price: float) -> float:
    """The position of a price on GRID."""
    return float(np.interp(price, GRID, np.arange(len(GRID))))


def build(
    menus: Sequence[Menu], permitted: Sequence[frozenset[Rung]], weight: Floats, bounds: Floats, most_refused: float
) -> Ladders:
    """One ladder a row. bounds: [rows, K] most share of each option by its capacity (K: of the longest menu)."""
    width = bounds.shape[1]
    table = _tables(menus, width)
    allowed = np.array(
        [_allowed(menu, rungs, width, most_refused) for menu, rungs in zip(menus, permitted, strict=True)]
    ).reshape(len(menus), width + 1)
    most = np.minimum(allowed, np.column_stack([bounds, np.ones(len(menus))]))
    most = _with_room(most, table.base, allowed)
    shares = _solve(table, table.harm * weight[:, None], most)
    shares = _with_floors(shares, table.floor * (allowed >= 1))
    held = np.array([not rungs - {Rung.NOTIFY} for rungs in permitted], dtype=bool)
    shares[held] = table.base[held, None, :]
    shares[:, 0, :] = table.base
    return _monotone(shares, table.cost, table.harm * weight[:, None])


@dataclass(frozen=True)
class _Tables:
    cost: Floats
    harm: Floats
    late: Floats
    late_price: Floats
    base: Floats
    floor: Floats


def _tables(menus: Sequence[Menu], width: int) -> _Tables:
    cost, harm, late, base, floor = (np.zeros((len(menus), width + 1)) for _ in range(5))
    for row, menu in enumerate(menus):
        count = len(menu.options)
        base[row, :count] = menu.base
        usd = np.array([each.usd_per_mtok for each in menu.options])
        reference = float(usd @ base[row, :count])
        cost[row, :count] = usd / reference if reference > 0 else 0.0
        harm[row, :count] = [each.disutility for each in menu.options]
        harm[row, -1] = menu.refusal
        late[row, :count] = [each.over_objective - menu.tail_objective for each in menu.options]
        floor[row, :count] = [each.floor for each in menu.options]
    return _Tables(cost, harm, late, np.array([menu.tail_price for menu in menus]), base, floor)


def _allowed(menu: Menu, permitted: frozenset[Rung], width: int, most_refused: float) -> Floats:
    """Most share of each option and of refusing, by what is permitted; where the base already is may stay."""
    most = np.zeros(width + 1)
    for at, (option, base) in enumerate(zip(menu.options, menu.base, strict=True)):
        most[at] = 1.0 if option.rung in permitted else base
    most[-1] = most_refused if menu.may_refuse and permitted & {Rung.THROTTLE, Rung.STOP} else 0.0
    return most


def _with_room(most: Floats, base: Floats, allowed: Floats) -> Floats:
    """Bounds that leave room for all: what fits nowhere stays where most of the base is, as it does in life."""
    short = np.maximum(1.0 - most.sum(axis=1), 0.0)
    room = most.copy()
    room[np.arange(len(most)), np.where(allowed > 0, base, -1.0).argmax(axis=1)] += short
    return room


def _solve(table: _Tables, harm: Floats, most: Floats) -> Floats:
    price = harm[:, None, :] + GRID[None, :, None] * table.cost[:, None, :]
    most = np.broadcast_to(most[:, None, :], price.shape)
    late = np.broadcast_to(table.late[:, None, :], price.shape)
    top = np.broadcast_to(table.late_price[:, None], price.shape[:2]).copy()
    free = _fill(price, most)
    bound = _fill(price + top[..., None] * late, most)
    excess_free, excess_bound = (free * late).sum(axis=-1), (bound * late).sum(axis=-1)
    crossing = (excess_free > 0) & (excess_bound < 0)
    shares = np.where((excess_free > 0)[..., None], bound, free)
    if crossing.any():
        shares[crossing] = _at_the_objective(price[crossing], most[crossing], late[crossing], top[crossing])
    return shares


def _at_the_objective(price: Floats, most: Floats, late: Floats, top: Floats) -> Floats:
    """The mixture that just keeps the latency objective, of the two sides of the multiplier where the excess is 0."""
    low, high = np.zeros(len(price)), top
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        over = (_fill(price + middle[:, None] * late, most) * late).sum(axis=-1) > 0
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    above, below = _fill(price + low[:, None] * late, most), _fill(price + high[:, None] * late, most)
    over, under = (above * late).sum(axis=-1), (below * late).sum(axis=-1)
    gap = over - under
    part = np.divide(over, gap, out=np.ones_like(gap), where=gap > 1e-12)[:, None].clip(0.0, 1.0)
    mixed: Floats = above * (1 - part) + below * part
    return mixed


def _fill(price: Floats, most: Floats) -> Floats:
    """Shares that sum to 1, the cheapest first, each up to its bound."""
    order = np.argsort(price, axis=-1, kind="stable")
    bounds = np.take_along_axis(most, order, axis=-1)
    before = np.cumsum(bounds, axis=-1) - bounds
    filled = np.clip(1.0 - before, 0.0, bounds)
    shares = np.empty_like(filled)
    np.put_along_axis(shares, order, filled, axis=-1)
    return shares


def _with_floors(shares: Floats, floor: Floats) -> Floats:
    """Keep a little traffic on every healthy pool, out of what is served."""
    floor = floor[:, None, :]
    served = 1.0 - shares[..., -1:]
    kept = shares * (1.0 - floor.sum(axis=-1, keepdims=True)) + floor * served
    kept[..., -1] = shares[..., -1]
    whole: Floats = kept
    return whole


def _monotone(shares: Floats, cost: Floats, harm: Floats) -> Ladders:
    """Ladders whose cost never rises: a step that would cost more keeps the one before (the base may cost little)."""
    spend = np.einsum("rgk,rk->rg", shares, cost)
    keep = np.arange(len(GRID))[None, :].repeat(len(shares), axis=0)
    for at in range(1, len(GRID)):
        dearer = spend[:, at] > spend[np.arange(len(shares)), keep[:, at - 1]]
        keep[:, at] = np.where(dearer, keep[:, at - 1], at)
    shares = np.take_along_axis(shares, keep[..., None], axis=1)
    spend = np.take_along_axis(spend, keep, axis=1)
    return Ladders(shares, spend, np.einsum("rgk,rk->rg", shares, harm))
