"""`manage.py compare_truth DIR/truth [--json]`: does the ledger say what really happened in the simulated company?"""

import csv
import json
from argparse import ArgumentParser
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution.lake.catalogue import files, open_engine
from attribution.oracle import Comparison, Departure, compare
from attribution.vocabulary import Dataset

SHOWN = 10


class Command(BaseCommand):
    help = "Compares the lake's ledger with a simulated company's truth; exit 1 and the worst cells where they differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("truth", type=Path, help="the `truth` folder that `simulate` wrote")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        path = options["truth"] / "costs.csv"
        if not path.is_file():
            raise CommandError(f"{path} is not there; give the `truth` folder that `manage.py simulate` wrote")
        with localcontext() as context:
            context.prec = 60
            comparison = compare(read_truth(path), read_ledger())
            text = json.dumps(as_json(comparison), indent=2) if options["json"] else as_text(comparison)
        self.stdout.write(text)
        if not comparison.is_equal:
            raise SystemExit(1)


def read_truth(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            row | {name: Decimal(row[name]) for name in ("billed_cost", "effective_cost")}
            for row in csv.DictReader(file)
        ]


def read_ledger() -> list[dict[str, Any]]:
    """The current ledger by owner; all providers and periods."""
    with open_engine() as engine:
        found = engine.run("reports/ledger_by_owner", inputs={"ledger": files(Dataset.LEDGER)})
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def as_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "equal": comparison.is_equal,
        "compared": dict(comparison.compared),
        "departures": len(comparison.departures),
        "worst": [
            {
                "level": departure.level,
                **dict(departure.cell),
                "basis": departure.basis,
                "truth": _text(departure.truth),
                "ledger": _text(departure.ledger),
                "difference": _text(departure.difference),
            }
            for departure in comparison.departures[:SHOWN]
        ],
    }


def as_text(comparison: Comparison) -> str:
    counts = ", ".join(f"{count} {level}" for level, count in comparison.compared.items())
    if comparison.is_equal:
        return f"The ledger equals the truth: {counts} compared."
    worst = "\n".join(_line(departure) for departure in comparison.departures[:SHOWN])
    return f"{len(comparison.departures)} sums depart from the truth ({counts} compared). The worst:\n{worst}"


def _line(departure: Departure) -> str:
    cell = " ".join(f"{name}={value}" for name, value in departure.cell if value)
    amounts = f"truth {_text(departure.truth)}, ledger {_text(departure.ledger)}, off by {_text(departure.difference)}"
    return f"  {departure.level}: {cell} {departure.basis}: {amounts}"


def _text(amount: Decimal) -> str:
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
