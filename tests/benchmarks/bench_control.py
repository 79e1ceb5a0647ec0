"""How budget policies end random months, and what one control tick of a large company costs.

Usage: make bench-control SIZE=small|full; the last line is one JSON object:
{policy: {overshoot_mean_pct, overshoot_max_pct, unused_pct, high_priority_drop_pct, dark_hours, disutility, ...},
 "tick": {budgets, models, cells, seconds, peak_mb}}.

Months: control_months (a real trace's days, bursts, launches, price jumps, late bills, biased estimates), each at
budgets of 70, 85 and 100 % of what it would cost uncontrolled; 12 months (small: 4). Seeds 1 to 12; the controller was
tuned on 100 to 107. dark_hours: hours in which high priority got nothing, a month. The tick is measured in a process of
its own: 1,000 teams' budgets over 200 models each, a fifth of them in trouble, below 20 departments and the company.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .control_months import Outcome, Policy, live_through, month, need
from .control_policies import BilledAction, Controlled, Steps, hard_stop, nothing

ROOT = Path(__file__).resolve().parent.parent.parent
BUDGETS = (0.70, 0.85, 1.00)
MONTHS = {"small": 4, "full": 12}


@dataclass(frozen=True)
class Entry:
    """One policy of the comparison. make: a fresh one for each month; learns: sees billed / estimated."""

    make: Callable[[], Policy]
    learns: bool = True


ENTRIES = {
    "no_control": Entry(lambda: nothing),
    "hard_stop": Entry(lambda: hard_stop, learns=False),
    "aws_like": Entry(BilledAction),
    "steps": Entry(Steps),
    "pacing": Entry(lambda: Controlled(paced=True)),
    "weir": Entry(Controlled),
    "weir_without_bias_learning": Entry(Controlled, learns=False),
}


def main() -> None:
    count = MONTHS[os.environ.get("SIZE", "small")]
    figures: dict[str, dict[str, float]] = {}
    for name, entry in ENTRIES.items():
        started = time.process_time()
        by_budget = {part: _lived(entry, part, count) for part in BUDGETS}
        figures[name] = _figures([each for found in by_budget.values() for each in found])
        for part, found in by_budget.items():
            figures[name][f"disutility_at_{part * 100:.0f}"] = round(float(np.mean([o.disutility for o in found])), 4)
        print(f"{name} ({time.process_time() - started:.0f} s): {figures[name]}", flush=True)
    ours, steps = figures["weir"]["disutility"], figures["steps"]["disutility"]
    print(f"disutility by that of the steps: {ours / steps:.2f}")
    figures["tick"] = _tick()
    print(json.dumps(figures))


def _lived(entry: Entry, part: float, count: int) -> list[Outcome]:
    months = [month(seed) for seed in range(1, count + 1)]
    return [live_through(each, part * need(each, nothing), entry.make(), learns=entry.learns) for each in months]


def _figures(found: list[Outcome]) -> dict[str, float]:
    def mean(name: str) -> float:
        return float(np.mean([getattr(each, name) for each in found]))

    return {
        "overshoot_mean_pct": round(100 * mean("overshoot"), 3),
        "overshoot_max_pct": round(100 * max(each.overshoot for each in found), 3),
        "unused_pct": round(100 * mean("unused"), 2),
        "high_priority_drop_pct": round(100 * max(mean("dropped_high"), 0.0), 3),
        "low_priority_drop_pct": round(100 * mean("dropped_low"), 2),
        "dark_hours": round(mean("dark_hours"), 1),
        "disutility": round(mean("disutility"), 4),
        "changes_a_day": round(mean("changes") / 30, 1),
    }


def _tick() -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.control_tick"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    print(f"tick: {found}", flush=True)
    return found


if __name__ == "__main__":
    main()
