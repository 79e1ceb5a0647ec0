"""`manage.py backtest`: how good the forecasts would have been on these very series, beside other methods."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution.vocabulary import Basis
from governance import forecast_fits, forecasts


class Command(BaseCommand):
    help = "Back-test the forecasts on the customer's own series; the result is kept and shown on the Forecasts page."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--basis", choices=[basis.value for basis in Basis], default=Basis.EFFECTIVE.value)
        parser.add_argument("--currency", help="default: US dollars, else the first one with figures")
        parser.add_argument("--months", type=int, default=6, help="whole months to roll over (default 6)")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["months"] < 1:
            raise CommandError(f"--months is {options['months']}: give 1 or more")
        basis = Basis(options["basis"])
        made = forecast_fits.judge_forecasts(timezone.now(), basis=basis, months=options["months"])
        currency = options["currency"] or forecast_fits.first_currency(basis)
        verdict = forecasts.newest_verdict(currency, basis.value) if made else None
        if verdict is None:
            raise CommandError("there is nothing to back-test yet: 'manage.py attribute' makes the figures")
        if options["json"]:
            self.stdout.write(json.dumps(verdict.result))
            return
        for line in _lines(verdict.result):
            self.stdout.write(line)


def _lines(result: Any) -> list[str]:
    """The same as a table for people."""
    lines = [f"{result['series']} series, {result['origins']} origins" + (", provisional" * result["provisional"])]
    for horizon in (key for key in result if key.isdigit()):
        cells = [f"{method} {each['mase']:.3f}/{each['ape_median']:.1%}" for method, each in result[horizon].items()]
        lines.append(f"{horizon:>3} days  MASE / median error of the total: {', '.join(cells)}")
    for day, methods in result["month"].items():
        cells = [f"{method} {value:.1%}" for method, value in methods.items()]
        lines.append(f"day {int(day) + 1:>2}   median error of the month: {', '.join(cells)}")
    for level in ("80", "95"):
        share = result[f"coverage{level}"]
        lines.append(
            f"{level} % intervals of the month covered " + ("nothing yet" if share is None else f"{share:.1%}")
        )
    return lines
