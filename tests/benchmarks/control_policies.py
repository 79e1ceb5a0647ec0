"""The policies that bench_control compares: ours, and in our words what others do at a limit."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from governance.enforcement.control import Cells, ControlBudget, ControlInputs, ControlPlan, Menu, Option, Rails
from governance.enforcement.controller import plan_tick
from governance.enforcement.ladder import position_of
from governance.enforcement.links import link
from governance.enforcement.rungs import Rung

from .control_months import CAPACITY, COST, HARM, HOURS, LATE, OBJECTIVE, POOLS, Order, Seen

START = datetime(2026, 3, 1, tzinfo=UTC)
ALL = frozenset(Rung)
# Money has some value while the budget is slack: with no control traffic goes where it is cheap within its objective.
WORTH = 0.25
RAILS = Rails(money_worth=WORTH)
REFUSE = np.array([[0.0, 0, 0, 0, 1.0]] * 2)
LEVELS = 6


def nothing(seen: Seen) -> Order:
    """No control: the cheapest plan within the latency objectives."""
    return Order(_priced(seen, WORTH))


def hard_stop(seen: Seen) -> Order:
    """A gateway that counts by its own estimate and refuses everything at 100 %."""
    return Order(REFUSE) if seen.estimated[: seen.t].sum() >= seen.limit else nothing(seen)


class BilledAction:
    """A cloud's budget action: bills only, looked at three times a day; denies from then on."""

    def __init__(self) -> None:
        self.denied = False

    def __call__(self, seen: Seen) -> Order:
        if seen.t % 8 == 0 and seen.billed[: seen.billed_through].sum() >= seen.limit:
            self.denied = True
        return Order(REFUSE) if self.denied else nothing(seen)


class Steps:
    """A ladder of thresholds at 70, 85, 95 and 100 %: a step once taken holds to the end of the month."""

    PRICES = (WORTH, 1.6, 5.0, 13.0)

    def __init__(self) -> None:
        self.step = 0

    def __call__(self, seen: Seen) -> Order:
        used = seen.spent / seen.limit
        self.step = max(self.step, sum(used >= each for each in (0.70, 0.85, 0.95, 1.0)))
        return Order(REFUSE if self.step == 4 else _priced(seen, self.PRICES[self.step]))


class Controlled:
    """Weir's controller, by forecast; or by its pacing fallback when it gets none."""

    def __init__(self, *, paced: bool = False, rails: Rails = RAILS) -> None:
        self.price, self.paced, self.rails = 0.0, paced, rails
        self.errors: list[float] = []
        self.expected: float | None = None

    def __call__(self, seen: Seen) -> Order:
        if self.expected is not None:
            self.errors.append(float(np.log(seen.known[-1] / self.expected)))
        forecast = month_end(seen)
        self.expected = float(forecast[0])
        plan = plan_tick(self.inputs(seen, forecast))
        self.price = plan.budgets[0].price
        return Order(plan.shares, plan.admit)

    def inputs(self, seen: Seen, forecast: np.ndarray) -> ControlInputs:
        rate = float(0.8 * seen.known[-1] * _turn(seen) + 0.2 * forecast[0])
        yesterday = slice(max(0, seen.t - 24), seen.t)
        hours = max(min(seen.t, 24), 1)
        spent = float((seen.estimated[yesterday] * seen.ratio).sum()) / hours * 24
        budget = ControlBudget(
            id=1,
            name="Search",
            team="search",
            limit=seen.limit,
            spent=seen.spent,
            period_end=START + timedelta(hours=HOURS),
            cells=np.array([0, 1]),
            remaining=_split(seen.low) * forecast.sum(),
            sigma=None if self.paced else self.sigma(len(forecast)),
            permitted=ALL,
            hard=True,
            price=self.price,
            spent_last_day=spent if seen.t else None,
        )
        loads, weights = _levels(forecast)
        menus = _menus(seen.ratio)
        cells = Cells(
            team=("search", "search"),
            menu=np.array([0, 1]),
            weight=np.ones(2),
            usd_per_mtok=np.full(2, COST[0] * seen.ratio[0]),
            rate=rate * _split(seen.low),
            shares=seen.shares,
            loads=_split(seen.low)[:, None] * loads[None, :],
            load_weights=np.array([weights, weights]),
        )
        return ControlInputs(START + timedelta(hours=seen.t), "USD", menus, cells, (budget,), self.rails, explain=False)

    def sigma(self, hours: int) -> float:
        """Relative standard error of the rest: days that differ, and a level that moves."""
        daily = min(0.35, 0.9 * float(np.std(self.errors[-168:]))) if len(self.errors) > 48 else 0.18
        days = max(hours, 1) / 24
        return float(daily * np.sqrt(max(days, 1 / 24)) / max(days, 1.0) + 0.05 * np.sqrt(hours / HOURS))


def month_end(seen: Seen) -> np.ndarray:
    """Hourly forecast to the end of the month: a weekly profile x the level of the last days, damped to two weeks."""
    known, rest = seen.known, HOURS - seen.t
    hour = np.arange(len(known))
    last = known[-HISTORY_HOURS:].reshape(4, 168)
    profile = np.roll(np.median(last, axis=0), len(known) % 168)
    ratio = known / np.maximum(profile[hour % 168], 1e-6)
    recent, usual = np.median(ratio[-72:]), np.median(ratio[-336:])
    ahead = np.arange(rest)
    near = np.exp(-ahead / (24 * 6))
    return profile[(len(known) + ahead) % 168] * (near * recent + (1 - near) * (0.75 * recent + 0.25 * usual))


HISTORY_HOURS = 28 * 24


def _turn(seen: Seen) -> float:
    """How the hour of the week usually differs from the one before."""
    known = seen.known
    before, now = known[-168 - 1 :: -168][:3].mean(), known[-168::-168][:3].mean()
    return float(np.clip(now / max(before, 1e-9), 0.7, 1.4))


def _split(low: float) -> np.ndarray:
    return np.array([1 - low, low])


def _levels(forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loads of LEVELS equal parts of the hours, and the part of the tokens at each."""
    parts = np.array_split(np.sort(forecast), LEVELS)
    sums = np.array([part.sum() for part in parts])
    means = np.array([part.mean() if len(part) else 0.0 for part in parts])
    return means, sums / max(sums.sum(), 1e-9)


def _menus(ratio: np.ndarray) -> tuple[Menu, Menu]:
    usd = COST * ratio
    menus = []
    for harm, objective in zip(HARM, OBJECTIVE, strict=True):
        pools = tuple(
            Option(name, float(usd[at]), float(harm[at]), None, float(LATE[at]), None, CAPACITY.get(at))
            for at, name in enumerate(POOLS)
        )
        smaller = Option("small-pool", float(usd[3]), float(harm[3]), "gpt-small", float(LATE[3]))
        base = (1.0, 0.0, 0.0, 0.0)
        menus.append(Menu("gpt-large", (*pools, smaller), base, float(harm[4]), float(objective)))
    return menus[0], menus[1]


def _priced(seen: Seen, price: float) -> np.ndarray:
    load = float(seen.known[-1])
    return _plan_at(round(np.log(max(load, 1.0)) / 0.04), round(seen.low / 0.02), price)


@lru_cache(maxsize=100_000)
def _plan_at(log_load: int, low: int, price: float) -> np.ndarray:
    """Shares on the ladder at a fixed price, for a rounded load."""
    rate = float(np.exp(log_load * 0.04)) * _split(low * 0.02)
    cells = Cells(
        ("search", "search"),
        np.array([0, 1]),
        np.ones(2),
        np.ones(2),
        rate,
        np.array([[1.0, 0, 0, 0, 0]] * 2),
        rate[:, None],
        np.ones((2, 1)),
    )
    budget = ControlBudget(
        1, "Search", None, 1.0, 0.0, START + timedelta(hours=1), np.array([0, 1]), rate, 0.1, ALL, price=price
    )
    links = link(ControlInputs(START, "USD", _menus(np.ones(5)), cells, (budget,)))
    return links.shares_now(np.array([0, 1]), np.full(2, position_of(price)))


def planned(seen: Seen, policy: Controlled) -> ControlPlan:
    """The whole plan of one hour, for its words."""
    return plan_tick(policy.inputs(seen, month_end(seen)))
