"""Random months of LLM traffic with known answers, and the world in which a budget policy lives through one of them.

Traffic: days of a public trace (tests/samples/traces) in random order under a weekly shape, growth, bursts, launches;
two priorities share five ways to serve. Bills come 8 to 24 h after their day and differ from the estimate by pool;
prices jump, and only bills tell. A policy sees what Weir would see at that hour: telemetry to the last hour, bills to
their watermark. Costs are in units of the premium pool's million tokens.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from governance.enforcement.learning import Ratio, learn

HOURS, HISTORY = 30 * 24, 28 * 24
POOLS = ("premium", "mid", "cheap")
# premium, mid, cheap, smaller model, refused
COST = np.array([1.0, 0.72, 0.45, 0.20, 0.0])
LATE = np.array([0.01, 0.04, 0.13, 0.02, 0.0])
OBJECTIVE = np.array([0.05, 0.12])
# Disutility of a million tokens, high and low priority: what the lead of the team has said about each way.
HARM = np.array([[0.0, 0.02, 0.30, 1.2, 12.0], [0.0, 0.0, 0.03, 0.30, 2.5]])
CAPACITY = {1: 60.0, 2: 55.0}
TRACE = Path(__file__).resolve().parent.parent / "samples" / "traces" / "servegen_hourly.csv"


@dataclass(frozen=True)
class Month:
    """history [HISTORY] and demand [HOURS] in Mtok an hour; low [HOURS] part of low priority; bias [5] billed by
    estimated; jump [HOURS, 5] price changes that the estimator does not know; lag_hours [30] of each day's bill."""

    history: np.ndarray
    demand: np.ndarray
    low: np.ndarray
    bias: np.ndarray
    jump: np.ndarray
    lag_hours: np.ndarray
    seed: int


@cache
def _trace() -> np.ndarray:
    with TRACE.open() as lines:
        hours = np.array([float(row["mtok"]) for row in csv.DictReader(lines)])
    return (hours / hours.mean()).reshape(14, 24)


def month(seed: int) -> Month:
    """One random month."""
    rng = np.random.default_rng(seed)
    days = 58
    order = np.concatenate([rng.permutation(14) for _ in range(5)])[:days]
    growth = (1 + rng.normal(0, 0.15)) ** (np.arange(days)[:, None] / 30)
    weekly = np.where(np.arange(days) % 7 >= 5, 0.55, 1.12)[:, None]
    load = (_trace()[order] * growth * weekly * np.exp(rng.normal(0, 0.06, (days, 1)))).ravel()
    load = load * np.exp(rng.normal(0, 0.05, days * 24))
    load = 100 * load / load[:HISTORY].mean()
    demand = load[HISTORY:].copy()
    for _ in range(rng.integers(2, 5)):
        start, length = int(rng.integers(24, 690)), int(rng.integers(3, 30))
        demand[start : start + length] *= rng.uniform(1.6, 3.5)
    if rng.random() < 0.6:
        demand[int(rng.integers(120, 500)) :] *= rng.uniform(1.15, 1.6)
    if rng.random() < 0.25:
        demand[int(rng.integers(120, 500)) :] *= rng.uniform(0.6, 0.85)
    low = np.clip(0.4 + 0.08 * np.sin(np.arange(HOURS) / 24 * 2 * np.pi) + rng.normal(0, 0.02, HOURS), 0.2, 0.6)
    bias = 1 + rng.normal([0.09, 0.06, 0.14, 0.05, 0.0], [0.05, 0.05, 0.07, 0.03, 0.0])
    jump = np.ones((HOURS, 5))
    if rng.random() < 0.7:
        jump[int(rng.integers(150, 550)) :, int(rng.integers(0, 3))] *= rng.choice([0.85, 1.12, 1.2])
    return Month(load[:HISTORY], demand, low, bias, jump, rng.uniform(8, 24, 30), seed)


@dataclass
class Seen:
    """What is known at the start of hour `t`: nothing later than that."""

    month: Month
    limit: float
    learns: bool
    t: int = 0
    estimated: np.ndarray = field(default_factory=lambda: np.zeros((HOURS, 5)))
    billed: np.ndarray = field(default_factory=lambda: np.zeros((HOURS, 5)))
    ratios: list[Ratio] = field(default_factory=lambda: [Ratio() for _ in range(5)])
    shares: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0, 0, 0, 0]] * 2))
    days_billed: int = 0

    @property
    def ratio(self) -> np.ndarray:
        return np.array([each.value for each in self.ratios]) if self.learns else np.ones(5)

    @property
    def billed_through(self) -> int:
        """Hours with a bill; days are billed in order."""
        arrived = (np.arange(1, 31) * 24 + self.month.lag_hours) <= self.t
        return int(np.argmin(np.append(arrived, False))) * 24

    @property
    def spent(self) -> float:
        """Billed, and what was used since by estimate x learned ratio."""
        if not self.learns:
            return float(self.estimated[: self.t].sum())
        through = self.billed_through
        return float(self.billed[:through].sum() + (self.estimated[through : self.t] * self.ratio).sum())

    @property
    def known(self) -> np.ndarray:
        """Demand up to the last hour."""
        return np.concatenate([self.month.history, self.month.demand[: self.t]])

    @property
    def low(self) -> float:
        return float(self.month.low[max(self.t - 1, 0)])

    def learn_from_bills(self) -> None:
        through = self.billed_through // 24
        usual = float(self.estimated[: self.t].sum()) / max(self.t / 24, 1)
        for day in range(self.days_billed, through):
            hours = slice(day * 24, day * 24 + 24)
            billed, estimated = self.billed[hours].sum(axis=0), self.estimated[hours].sum(axis=0)
            self.ratios = [
                learn(known, billed=float(b), estimated=float(e), usual_day=usual, at_hours=day * 24 + 24)
                for known, b, e in zip(self.ratios, billed, estimated, strict=True)
            ]
        self.days_billed = through


@dataclass(frozen=True)
class Order:
    """What a policy wants for the next hour: shares [2, 5], and the most to let through [2] in Mtok (None: all)."""

    shares: np.ndarray
    admit: np.ndarray | None = None


Policy = Callable[[Seen], Order]


@dataclass(frozen=True)
class Outcome:
    """How a month ended, as parts of the budget or of the traffic."""

    overshoot: float
    unused: float
    dropped_high: float
    dropped_low: float
    dark_hours: int
    disutility: float
    changes: int


def live_through(lived: Month, limit: float, policy: Policy, *, learns: bool = True) -> Outcome:
    """Run a month hour by hour."""
    rng = np.random.default_rng(lived.seed + 999)
    seen = Seen(lived, limit, learns)
    served = np.zeros((HOURS, 2, 5))
    changes = 0
    for t in range(HOURS):
        seen.t = t
        if learns:
            seen.learn_from_bills()
        order = policy(seen)
        changes += bool(np.abs(order.shares - seen.shares).max() > 0.005)
        seen.shares = order.shares
        served[t] = _serve(lived, t, order)
        used = served[t].sum(axis=0) * COST
        seen.estimated[t] = used * np.exp(rng.normal(0, 0.01))
        seen.billed[t] = used * lived.bias * lived.jump[t]
    demand = np.column_stack([lived.demand * (1 - lived.low), lived.demand * lived.low])
    refused = served[:, :, 4]
    spent = float(seen.billed.sum()) / limit - 1
    return Outcome(
        overshoot=max(spent, 0.0),
        unused=max(-spent, 0.0),
        dropped_high=float(refused[:, 0].sum() / demand[:, 0].sum()),
        dropped_low=float(refused[:, 1].sum() / demand[:, 1].sum()),
        dark_hours=int((refused[:, 0] > 0.99 * demand[:, 0]).sum()),
        disutility=float((served * HARM).sum() / demand.sum()),
        changes=changes,
    )


def _serve(lived: Month, t: int, order: Order) -> np.ndarray:
    """Mtok of each priority by way: full pools spill to the premium one, what is above the quota is refused."""
    demand = lived.demand[t] * np.array([1 - lived.low[t], lived.low[t]])
    mtok = demand[:, None] * order.shares
    if order.admit is not None:
        wanted = mtok[:, :4].sum(axis=1)
        part = np.minimum(1.0, order.admit / np.maximum(wanted, 1e-12))
        mtok[:, :4] *= part[:, None]
        mtok[:, 4] = demand - mtok[:, :4].sum(axis=1)
    for way, capacity in CAPACITY.items():
        used = mtok[:, way].sum()
        if used > capacity:
            spilled = mtok[:, way] * (1 - capacity / used)
            mtok[:, way] -= spilled
            mtok[:, 0] += spilled
    return mtok


def need(lived: Month, policy: Policy) -> float:
    """What the month costs when nothing controls it."""
    seen = Seen(lived, np.inf, learns=False)
    spent = 0.0
    for t in range(HOURS):
        seen.t = t
        spent += float((_serve(lived, t, policy(seen)).sum(axis=0) * COST * lived.bias * lived.jump[t]).sum())
    return spent
