"""One control tick of 1,000 team budgets over 200 models each, below 20 departments and the company. Prints JSON."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from governance.enforcement.control import Cells, ControlBudget, ControlInputs, Menu, Option
from governance.enforcement.controller import plan_tick
from governance.enforcement.rungs import Rung

TEAMS, MODELS, DEPARTMENTS = 1_000, 200, 20
NOW = datetime(2026, 11, 16, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)


def main() -> None:
    inputs = company(np.random.default_rng(1))
    started, cpu = time.perf_counter(), time.process_time()
    plan = plan_tick(inputs)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    # Not ru_maxrss: a process inherits that of the one that started it.
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(
        json.dumps(
            {
                "budgets": len(inputs.budgets),
                "models": MODELS,
                "cells": len(inputs.cells.team),
                "changed": len(plan.changed),
                "asking": sum(each.price > 0 for each in plan.budgets),
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu, 2),
                "peak_mb": round(peak_kb / 1024),
            }
        )
    )


def company(rng: np.random.Generator) -> ControlInputs:
    """A fifth of the teams will pass their budgets; every policy permits the whole ladder."""
    count = TEAMS * MODELS
    rate = rng.lognormal(-3, 1.5, count)
    menus = tuple(_menu(f"model-{at}", float(price)) for at, price in enumerate(rng.lognormal(1.5, 1, MODELS)))
    menu = np.tile(np.arange(MODELS), TEAMS)
    usd = np.array([each.options[0].usd_per_mtok for each in menus])[menu] * rng.uniform(0.8, 1.2, count)
    cells = Cells(
        team=tuple(f"team-{at // MODELS}" for at in range(count)),
        menu=menu,
        weight=rng.choice([1.0, 2.0, 4.0], count),
        usd_per_mtok=usd,
        rate=rate,
        shares=np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (count, 1)),
        loads=rate[:, None],
        load_weights=np.ones((count, 1)),
    )
    remaining = rate * 360
    teams = [np.arange(at * MODELS, at * MODELS + MODELS) for at in range(TEAMS)]
    size = TEAMS // DEPARTMENTS
    departments = [np.concatenate(teams[at * size : at * size + size]) for at in range(DEPARTMENTS)]
    scopes = [*teams, *departments, np.arange(count)]
    budgets = tuple(
        _budget(
            at,
            scope,
            remaining[scope],
            float((remaining * usd)[scope].sum()),
            trouble=at % 5 == 0 and at < TEAMS + DEPARTMENTS,
        )
        for at, scope in enumerate(scopes)
    )
    return ControlInputs(NOW, "USD", menus, cells, budgets)


def _menu(model: str, usd: float) -> Menu:
    options = (
        Option("premium", usd, 0.0, p95_ms=600, floor=0.01),
        Option("mid", usd * 0.72, 0.02, p95_ms=700),
        Option("spot", usd * 0.45, 0.1, over_objective=0.13, p95_ms=900),
        Option("small", usd * 0.2, 0.3, substitute="small"),
    )
    return Menu(model, options, (1.0, 0.0, 0.0, 0.0), 2.5, 0.05, objective_ms=2000)


def _budget(at: int, cells: np.ndarray, remaining: np.ndarray, owed: float, *, trouble: bool) -> ControlBudget:
    return ControlBudget(
        id=at,
        name=f"Budget {at}",
        team=f"team-{at}" if at < TEAMS else None,
        limit=owed * (1.7 if trouble else 2.5),
        spent=owed,
        period_end=END,
        cells=cells,
        remaining=remaining,
        sigma=0.08,
        permitted=frozenset(Rung),
        hard=at % 2 == 0,
    )


if __name__ == "__main__":
    main()
