"""Writes what really happened: who spent what, by the simulator's own books, and what a reader needs to check it."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attribution.simulator.bills.lines import usd
from attribution.simulator.books import Books, Key

COSTS = (
    "provider",
    "billing_period",
    "team",
    "project",
    "model",
    "token_type",
    "reason",
    "effective_cost",
    "billed_cost",
)
TOKENS = ("provider", "month", "team", "project", "model", "token_type", "metered_tokens", "used_tokens")


def write_costs(folder: Path, books: Books) -> None:
    rows = [
        (*_fields(key), usd(entry.effective), usd(entry.billed))
        for key, entry in sorted(books.entries.items(), key=lambda item: _fields(item[0]))
        if entry.billed or entry.effective
    ]
    _write(folder / "costs.csv", COSTS, rows)


def write_tokens(folder: Path, tokens: Mapping[tuple[str, str, str, str, str, str], tuple[int, int]]) -> None:
    """Tokens by provider, month, team, project, model and type: what telemetry holds, and what was used."""
    rows = [(*place, metered, used) for place, (metered, used) in sorted(tokens.items()) if metered or used]
    _write(folder / "tokens.csv", TOKENS, rows)


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _fields(key: Key) -> tuple[str, ...]:
    return (key.provider, key.period, key.team, key.project, key.model, key.token_type, key.reason)


def _write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")
