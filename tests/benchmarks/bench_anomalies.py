"""How well anomalies are found, against the rule "+25 % over the mean of the last seven days".

Usage: make bench-anomalies SIZE=small|full; the last line is one JSON object:
{f1, precision, recall, false_alarms_vs_mean_rule, excess_caught, alerts_per_day, jumps_told, findings_a_jump,
mean_rule: {...}, companies, ...}; a jump is a model's price for all twelve teams, and one finding is what it should be.

Simulated companies: teams x models, each a daily spend with a weekly shape, growth, launches, bursts and price changes;
the noise is that of real clients' daily tokens (quantiles of 159 clients of the public ServeGen trace). Into the last
60 days of each series three events are put: one dear day, a burst of two to four days, a step; in each company also a
model whose price jumps for everybody. Every rise of a series' own (burst, launch, price) by half or more is an event
as well; one by less is neither right nor wrong to tell. The defaults were tuned on companies 1 to 5; 6 and on report.

An event is found when it is told within its first three days. A false alarm is a run of days with an alert that no
event explains, up to three days after it. f1 is that of the residual test on every series; excess_caught and
alerts_per_day are those of what is told: material, one cause one alert. Both rules see the same days.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from governance.forecasting.anomalies import Leaf, Panel, Sensitivity, detect

COMPANIES = {"small": range(6, 9), "full": range(6, 21)}
TEAMS, MODELS, DAYS, LAST = 12, 9, 240, 60
FIRST = date(2026, 1, 5)
GRACE, FOUND_WITHIN = 3, 3
LEAST_FACTOR, GREY_FACTOR = 1.5, 1.15
# Standard deviation of the daily logarithm of a client's tokens, 5 % apart.
CLIENT_NOISE = (
    *(0.05, 0.102, 0.137, 0.153, 0.2, 0.238, 0.257, 0.299, 0.326, 0.372, 0.429),
    *(0.499, 0.579, 0.66, 0.839, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9),
)


@dataclass(frozen=True)
class Rise:
    """A series is `factor` times as dear as before on the days [start, end)."""

    start: int
    end: int
    factor: float
    excess: float = 0.0


@dataclass
class Company:
    leaves: list[Leaf] = field(default_factory=list)
    costs: list[np.ndarray] = field(default_factory=list)
    rises: list[list[Rise]] = field(default_factory=list)
    jumper: str = ""
    jump_day: int = 0


@dataclass
class Score:
    found: int = 0
    missed: int = 0
    false_alarms: int = 0
    excess: float = 0.0
    caught: float = 0.0
    alerts: int = 0

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.false_alarms)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def company(seed: int) -> Company:
    rng = np.random.default_rng(seed)
    made = Company()
    jump_day, jumper = int(rng.integers(DAYS - LAST + 10, DAYS - 15)), int(rng.integers(MODELS))
    jump = float(rng.choice([1.5, 2.0]))
    made.jumper, made.jump_day = f"model{jumper}", jump_day
    for team in range(TEAMS):
        for model in range(MODELS):
            if rng.random() < 0.25 and model != jumper:
                continue
            costs, rises = series(rng)
            if model == jumper:
                costs[jump_day:] *= jump
                rises.append(Rise(jump_day, jump_day + 10, jump))
            made.leaves.append((f"team{team}", f"model{model}", f"cloud{model % 3}"))
            made.costs.append(costs)
            made.rises.append([worth(costs, rise) for rise in rises])
    return made


def worth(costs: np.ndarray, rise: Rise) -> Rise:
    return Rise(rise.start, rise.end, rise.factor, float(costs[rise.start : rise.end].sum() * (1 - 1 / rise.factor)))


def series(rng: np.random.Generator) -> tuple[np.ndarray, list[Rise]]:
    """Daily spend and its own rises, then three events put in."""
    days = np.arange(DAYS)
    weekend = rng.beta(4, 3) if rng.random() < 0.75 else rng.uniform(0.85, 1.1)
    week = np.array([1, 1.05, 1.05, 1.03, 0.95, weekend, weekend * 0.95]) * np.exp(rng.normal(0, 0.05, 7))
    sigma = np.interp(rng.random(), np.linspace(0, 1, len(CLIENT_NOISE)), CLIENT_NOISE) * rng.uniform(0.4, 0.8)
    carry = rng.uniform(0.1, 0.7)
    shocks = rng.normal(0, sigma * np.sqrt(1 - carry**2), DAYS)
    noise = np.zeros(DAYS)
    for day in range(1, DAYS):
        noise[day] = carry * noise[day - 1] + shocks[day]
    growth = np.exp(np.log1p(rng.normal(0.04, 0.06)) * days / 30)
    costs = np.exp(rng.normal(5, 1.6)) * growth * (week / week.mean())[days % 7] * np.exp(noise - sigma**2 / 2)
    own = [
        *((day, DAYS, np.exp(rng.normal(0.15, 0.6))) for day in at(rng, 130)),  # a launch or a migration
        *((day, int(day + rng.integers(1, 4)), rng.uniform(1.8, 5)) for day in at(rng, 50)),  # a batch job
        *((day, DAYS, rng.uniform(0.45, 1.08)) for day in at(rng, 160)),  # a price
    ]
    rises = [_raise(costs, start, end, float(factor)) for start, end, factor in own]
    starts = np.sort(rng.choice(np.arange(DAYS - LAST + 5, DAYS - 12, 14), 3, replace=False))
    for start, length in zip(starts, rng.permutation([1, int(rng.integers(2, 5)), 10]), strict=True):
        rises.append(_raise(costs, int(start), int(start + length), float(rng.choice([1.5, 2, 3, 5]))))
    return costs, [Rise(each.start, min(each.end, each.start + 10), each.factor) for each in rises]


def at(rng: np.random.Generator, every: int) -> list[int]:
    """Days, on average one in `every`."""
    return [int(day) for day in np.flatnonzero(rng.random(DAYS) < 1 / every)]


def _raise(costs: np.ndarray, start: int, end: int, factor: float) -> Rise:
    costs[start:end] *= factor
    return Rise(start, min(end, DAYS), factor)


def alerts_of_weir(made: Company, sensitivity: Sensitivity, *, grouped: bool) -> tuple[np.ndarray, int, int]:
    """[series, day] of what was told, how many causes, and how many of them the model's jump made on its day:
    judged in weekly runs, as the task does."""
    told = np.zeros((len(made.leaves), DAYS), dtype=bool)
    days = tuple(FIRST + timedelta(days=day) for day in range(DAYS))
    costs, causes = np.array(made.costs), set()
    leaves = tuple(made.leaves) if grouped else tuple((f"{n}", f"{n}", f"{n}") for n in range(len(made.leaves)))
    for end in range(DAYS - LAST + 7, DAYS + 1, 7):
        panel = Panel(leaves, days[:end], costs[:, :end])
        for finding in detect(panel, days[end - 7 : end], sensitivity=sensitivity):
            day = (finding.day - FIRST).days
            for each in finding.leaves:
                told[leaves.index(each.leaf), day] = True
            causes.add((finding.cause, day))
    jumps = sum(day == made.jump_day and dict(cause).get("model") == made.jumper for cause, day in causes)
    return told, len({(cause, day) for cause, day in causes if (cause, day - 1) not in causes}), jumps


def alerts_of_mean_rule(made: Company) -> np.ndarray:
    told = np.zeros((len(made.leaves), DAYS), dtype=bool)
    costs = np.array(made.costs)
    for day in range(DAYS - LAST, DAYS - LAST + (LAST // 7) * 7):
        told[:, day] = costs[:, day] > 1.25 * costs[:, day - 7 : day].mean(axis=1)
    return told


def score(made: Company, told: np.ndarray, total: Score) -> None:
    last = DAYS - LAST + (LAST // 7) * 7
    for alerts, rises in zip(told, made.rises, strict=True):
        explained = np.zeros(DAYS, dtype=bool)
        explained[: DAYS - LAST] = explained[last:] = True
        for rise in rises:
            if rise.factor >= GREY_FACTOR:
                explained[rise.start : rise.end + GRACE] = True
            if rise.factor < LEAST_FACTOR or not DAYS - LAST <= rise.start < last - FOUND_WITHIN:
                continue
            seen = bool(alerts[rise.start : min(rise.end, rise.start + FOUND_WITHIN)].any())
            total.found += seen
            total.missed += not seen
            total.excess += rise.excess
            total.caught += rise.excess * seen
        wrong = alerts & ~explained
        total.false_alarms += int((wrong & ~np.r_[False, wrong[:-1]]).sum())


def measure(seeds: Sequence[int], sensitivity: Sensitivity | None = None) -> dict[str, object]:
    limits = sensitivity or Sensitivity()
    everything = Sensitivity(least_z=limits.least_z, least_share=0.0, least_relative=limits.least_relative)
    each, rule, told = Score(), Score(), Score()
    causes, series_days, jumps, begun = 0, 0, [], time.process_time()
    for seed in seeds:
        made = company(seed)
        series_days += len(made.leaves) * (LAST // 7) * 7
        score(made, alerts_of_weir(made, everything, grouped=False)[0], each)
        score(made, alerts_of_mean_rule(made), rule)
        alerts, count, of_jump = alerts_of_weir(made, limits, grouped=True)
        jumps.append(of_jump)
        score(made, alerts, told)
        causes += count
    days = len(seeds) * (LAST // 7) * 7
    return {
        "f1": round(each.f1, 3),
        "precision": round(each.precision, 3),
        "recall": round(each.recall, 3),
        "false_alarms_vs_mean_rule": round(each.false_alarms / max(1, rule.false_alarms), 3),
        "false_alarms_per_30_series_days": round(30 * each.false_alarms / series_days, 3),
        "excess_caught": round(told.caught / told.excess, 3),
        "alerts_per_day": round(causes / days, 2),
        "jumps_told": sum(each > 0 for each in jumps),
        "findings_a_jump": round(sum(jumps) / max(1, sum(each > 0 for each in jumps)), 2),
        "mean_rule": {
            "f1": round(rule.f1, 3),
            "precision": round(rule.precision, 3),
            "recall": round(rule.recall, 3),
            "false_alarms_per_30_series_days": round(30 * rule.false_alarms / series_days, 3),
            "excess_caught": round(rule.caught / rule.excess, 3),
        },
        "companies": len(seeds),
        "series": series_days // ((LAST // 7) * 7),
        "seconds": round(time.process_time() - begun, 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(COMPANIES[os.environ.get("SIZE", "small")])))
