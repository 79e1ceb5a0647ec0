"""Small traffic for the controller's tests: one model with three ways to serve it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from governance.enforcement.control import Cells, ControlBudget, ControlInputs, Menu, Option, Rails
from governance.enforcement.rungs import Rung

NOW = datetime(2026, 11, 16, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
ALL = frozenset(Rung)
# No smoothing and no margin: what the arithmetic says.
PLAIN = Rails(step=1.0, loosening_step=1.0, hysteresis=0.0, risk=0.0, tighten=1.0, loosen=1.0)
LARGE = Menu(
    model="gpt-large",
    options=(
        Option("premium", 10.0, 0.0, p95_ms=600),
        Option("mid", 7.2, 0.02, p95_ms=690),
        Option("spare", 2.0, 0.3, substitute="gpt-small", p95_ms=400),
    ),
    base=(1.0, 0.0, 0.0),
    refusal=2.5,
    objective_ms=2000,
)
AT_BASE = (1.0, 0.0, 0.0, 0.0)


def cells(
    teams: Sequence[str], *, weight: float | Sequence[float] = 1.0, shares: Sequence[float] = AT_BASE, usd: float = 10.0
) -> Cells:
    """One cell of gpt-large for each team, 2 Mtok an hour."""
    count = len(teams)
    return Cells(
        team=tuple(teams),
        menu=np.zeros(count, dtype=np.int64),
        weight=np.broadcast_to(np.asarray(weight, dtype=float), count).copy(),
        usd_per_mtok=np.full(count, usd),
        rate=np.full(count, 2.0),
        shares=np.tile(np.asarray(shares, dtype=float), (count, 1)),
        loads=np.full((count, 1), 2.0),
        load_weights=np.ones((count, 1)),
    )


def budget(id: int, which: Sequence[int], **values: Any) -> ControlBudget:
    """A budget of $1,000 with $400 spent, over cells that will each use 80 Mtok ($800 at the base) to its end."""
    return replace(
        ControlBudget(
            id=id,
            name="Search",
            team="search",
            limit=1000.0,
            spent=400.0,
            period_end=END,
            cells=np.array(which, dtype=np.int64),
            remaining=np.full(len(which), 80.0),
            sigma=0.1,
            permitted=ALL,
        ),
        **values,
    )


def inputs(budgets: Sequence[ControlBudget], traffic: Cells | None = None, **values: Any) -> ControlInputs:
    given = {"menus": (LARGE,), "rails": PLAIN} | values
    return ControlInputs(now=NOW, currency="USD", cells=traffic or cells(["search"]), budgets=tuple(budgets), **given)
