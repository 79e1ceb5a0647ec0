"""What the controller is told and what it answers, as values: menus, cells, budgets; plans with their reasons.

Not here: how a plan is found (`ladder`, `controller`), what is permitted (`policy`). Pure numpy. Floats live inside;
money becomes Decimal where a decision is stored. The currency of one tick is one: whoever asks converts or splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from .rungs import Rung

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
PPM = 1_000_000


@dataclass(frozen=True)
class Option:
    """One way to serve a model: one pool, or another model in its place.

    usd_per_mtok: what a million tokens cost there, learned ratio included.
    disutility: how bad serving there is, for a million tokens of weight 1, where 1.0 is as bad as paying the model's
        reference price once more ("fine" 0.05, "worse" 0.3, "bad" 1.0).
    over_objective: share of requests over the latency objective, 0 to 1.
    capacity_mtok_h: what the pool can take in an hour from all teams; None: no limit is known.
    floor: least share that a healthy pool keeps, so that it stays warm and measured.
    """

    target: str
    usd_per_mtok: float
    disutility: float = 0.0
    substitute: str | None = None
    over_objective: float = 0.0
    p95_ms: float | None = None
    capacity_mtok_h: float | None = None
    floor: float = 0.0

    @property
    def rung(self) -> Rung:
        """The rung that must be permitted before traffic moves here."""
        return Rung.PREFER_CHEAPER if self.substitute is None else Rung.SMALLER_MODEL


@dataclass(frozen=True)
class Menu:
    """Every way to serve one model under one set of rules.

    base: the shares that hold when no budget asks for anything; they sum to 1.
    refusal: disutility of refusing a million tokens of weight 1, in the terms of Option.disutility.
    tail_objective: share of requests that may exceed the latency objective; tail_price: what exceeding it by all
        requests is worth, in the same terms. A ladder that cheap can't climb without being late pays this.
    may_refuse: False where what serves the model can't hold a quota.
    """

    model: str
    options: tuple[Option, ...]
    base: tuple[float, ...]
    refusal: float = 2.5
    tail_objective: float = 1.0
    tail_price: float = 8.0
    objective_ms: float | None = None
    may_refuse: bool = True


@dataclass(frozen=True)
class Cells:
    """Traffic that is steered as one: a team's use of a model. Columns of n cells, loads of L levels, K options.

    menu: index into the menus. weight: how much a refused or worse-served token counts (priority), > 0.
    usd_per_mtok: cost of the cell's own token mix at the menu's base shares, learned ratio included.
    rate: Mtok expected in the next hour. shares: what is wanted now, [n, K + 1], the last column is what is refused;
        rows sum to 1.
    loads, load_weights: [n, L] Mtok per hour to expect, and the part of the remaining tokens at each level.
    """

    team: Sequence[str]
    menu: Ints
    weight: Floats
    usd_per_mtok: Floats
    rate: Floats
    shares: Floats
    loads: Floats
    load_weights: Floats


@dataclass(frozen=True)
class ControlBudget:
    """One budget in its period, and what its policy permits now.

    spent: billed + estimate x learned ratio. committed: what the rest of the period costs that no route moves.
    sigma: relative standard error of the forecast of the rest.
    cells, remaining: which cells count, and the Mtok that each is expected to use until the period ends.
    permitted: rungs that may be used now without asking. may_loosen: False while data is stale or a freeze holds.
    price: the shadow price that the last tick left (0: none). turned: the period is new, the last one's asks are over.
    spent_last_day: what the last 24 hours cost, for pacing where no forecast is (sigma None).
    """

    id: int
    name: str
    team: str | None
    limit: float
    spent: float
    period_end: datetime
    cells: Ints
    remaining: Floats
    sigma: float | None
    permitted: frozenset[Rung]
    hard: bool = False
    may_loosen: bool = True
    frozen: bool = False
    margin_factor: float = 1.0
    price: float = 0.0
    turned: bool = False
    committed: float = 0.0
    spent_last_day: float | None = None

    @property
    def may_refuse(self) -> bool:
        return Rung.THROTTLE in self.permitted or Rung.STOP in self.permitted

    @property
    def may_stop(self) -> bool:
        return Rung.STOP in self.permitted

    @property
    def may_steer(self) -> bool:
        return any(each > Rung.NOTIFY for each in self.permitted)


@dataclass(frozen=True)
class Rails:
    """Limits of one tick.

    step, loosening_step: most of a cell's traffic that moves at once; hysteresis: less than this doesn't move.
    risk: sigmas of margin. tighten, loosen: part of the way that the price goes to its new value.
    last_mile_hours: spend that no reading shows yet; what is left must cover it. burst: how far above the expected
    rate the last mile reckons. most_refused: throttling refuses no more than this.
    money_worth: the least price of a dollar that a steering budget asks, even while all fits; 0: the base holds.
    """

    step: float = 0.25
    loosening_step: float = 0.12
    hysteresis: float = 0.05
    risk: float = 0.25
    tighten: float = 0.6
    loosen: float = 0.4
    last_mile_hours: float = 2.0
    burst: float = 1.3
    most_refused: float = 0.9
    money_worth: float = 0.0


@dataclass(frozen=True)
class ControlInputs:
    """All that one tick decides on. explain: also work out the alternatives of each budget that asks for something."""

    now: datetime
    currency: str
    menus: tuple[Menu, ...]
    cells: Cells
    budgets: tuple[ControlBudget, ...]
    rails: Rails = field(default_factory=Rails)
    explain: bool = True


class Method(StrEnum):
    """How the price of a budget was found."""

    NONE = "none"
    FORECAST = "forecast"
    PACING = "pacing"
    LAST_MILE = "last_mile"
    STOP = "stop"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Alternative:
    """What another choice would lead to: where the period ends, and what it costs the people who use it."""

    name: str
    expected_end: float
    disutility: float
    refused_mtok: float
    possible: bool
    words: str


@dataclass(frozen=True)
class CellPlan:
    """What one team's use of one model is served by next.

    weights: parts per million of the served traffic for each option of the menu, summing to 1,000,000.
    refused_ppm: part of the traffic to refuse; admit_mtok_h: the most to let through in an hour, or None.
    deciding: id of the budget that asked for it, None when none did.
    """

    cell: int
    team: str
    model: str
    weights: tuple[int, ...]
    refused_ppm: int
    admit_mtok_h: float | None
    blocked: bool
    rung: Rung
    deciding: int | None
    moved: Mapping[str, float]


@dataclass(frozen=True)
class BudgetPlan:
    """What a budget asks for and why.

    price: dollars of worth given up for the last dollar saved (the shadow price of its row), 0 when it asks nothing.
    expected_end: spend at the period's end under the plan; without: if everything stayed at its base.
    margin: added to the rest of the forecast for its uncertainty, relative. fits: the plan ends within the limit.
    """

    id: int
    method: Method
    price: float
    available: float
    expected_end: float
    without: float
    margin: float
    fits: bool
    touched: tuple[int, ...]
    spared: int
    alternatives: tuple[Alternative, ...]
    words: str


@dataclass(frozen=True)
class ControlPlan:
    """The plan of a tick, as columns over the cells of `inputs`, and for every budget.

    target: [n, K + 1], where the plan leads; shares: the same for now, within the rails of one tick; weights: [n, K]
    the same of what is served, in whole parts per million; admit: Mtok an hour, inf: all; deciding: id of the budget
    that asked, -1 when none did.
    """

    inputs: ControlInputs
    target: Floats
    shares: Floats
    weights: Ints
    refused_ppm: Ints
    admit: Floats
    deciding: Ints
    budgets: tuple[BudgetPlan, ...]

    @property
    def changed(self) -> Ints:
        """The cells that are to be served differently from now on."""
        moved = np.abs(self.shares - self.inputs.cells.shares).max(axis=1, initial=0.0) > 1e-9
        return np.flatnonzero(moved | np.isfinite(self.admit))

    @property
    def cells(self) -> tuple[CellPlan, ...]:
        """The plans of the cells that change."""
        return tuple(self.cell(int(at)) for at in self.changed)

    def cell(self, at: int) -> CellPlan:
        """The plan of one cell."""
        menu = self.inputs.menus[self.inputs.cells.menu[at]]
        count = len(menu.options)
        shares, before = self.shares[at], self.inputs.cells.shares[at]
        moved = {
            option.substitute or option.target: float(change)
            for option, change in zip(menu.options, shares[:count] - before[:count], strict=True)
            if abs(change) > 1e-9
        }
        refused = int(self.refused_ppm[at])
        return CellPlan(
            cell=at,
            team=self.inputs.cells.team[at],
            model=menu.model,
            weights=tuple(int(each) for each in self.weights[at, :count]),
            refused_ppm=refused,
            admit_mtok_h=float(self.admit[at]) if np.isfinite(self.admit[at]) else None,
            blocked=refused >= PPM,
            rung=_rung(menu, shares),
            deciding=int(self.deciding[at]) if self.deciding[at] >= 0 else None,
            moved=moved,
        )


def whole_weights(served: Floats, base: Floats) -> Ints:
    """Parts per million that sum to exactly 1,000,000 in each row: floors, then the largest remainders, earlier first.

    A row that serves nothing gets its base: weights hold for what comes back.
    """
    total = served.sum(axis=1, keepdims=True)
    exact = np.where(total > 1e-9, served / np.maximum(total, 1e-12), base / base.sum(axis=1, keepdims=True)) * PPM
    floors = np.floor(exact).astype(np.int64)
    order = np.argsort(floors - exact, axis=1, kind="stable")
    place = np.arange(exact.shape[1])[None, :] < PPM - floors.sum(axis=1, keepdims=True)
    extra = np.zeros_like(floors)
    np.put_along_axis(extra, order, place.astype(np.int64), axis=1)
    whole: Ints = floors + extra
    return whole


def _rung(menu: Menu, shares: Floats) -> Rung:
    if shares[-1] >= 1.0 - 1e-9:
        return Rung.STOP
    if shares[-1] > 1e-9:
        return Rung.THROTTLE
    more = (share > base + 1e-9 for share, base in zip(shares, menu.base, strict=False))
    return max((option.rung for option, each in zip(menu.options, more, strict=True) if each), default=Rung.NOTIFY)
