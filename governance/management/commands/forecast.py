"""`manage.py forecast`: fit all forecasts, or print one of them."""

import json
from argparse import ArgumentParser
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution.vocabulary import Basis
from governance import forecast_fits, forecasts
from governance.forecasting.values import ForecastScope, PeriodForecast, StoredForecast, UnknownDimension


class Command(BaseCommand):
    help = "Fit the forecasts of all spend (--fit), or print the stored one of a scope."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fit", action="store_true", help="fit now; else the newest stored forecast is printed")
        parser.add_argument("--scope", default="all", help="team=search,model=gpt-large; all is everything (default)")
        parser.add_argument("--basis", choices=[basis.value for basis in Basis], default=Basis.EFFECTIVE.value)
        parser.add_argument("--currency", help="default: US dollars, else the first one with forecasts")
        parser.add_argument("--tokens", action="store_true", help="tokens instead of cost")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["fit"]:
            fitted = forecast_fits.fit_forecasts(now)
            if not options["json"]:
                self.stdout.write(f"{fitted.runs} fits of {fitted.leaves} leaves, {fitted.scopes} forecasts kept")
        try:
            scope = ForecastScope.parse(options["scope"])
        except UnknownDimension as error:
            raise CommandError(str(error)) from error
        found = _read(scope, options)
        if found is None:
            raise CommandError(f"there is no forecast of {scope.key}: 'manage.py forecast --fit' makes them")
        start = found.first_day.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
        spent = forecast_fits.spent_of(scope, found, start)
        answer = _answer(found, found.period_total(start, end, spent), start, end, spent)
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        total = answer["period"]
        self.stdout.write(
            f"{scope.key}: {total['p50']} {found.currency} in {start:%B %Y} (80 %: {total['p10']} to {total['p90']})"
        )
        for day in answer["days"]:
            self.stdout.write(f"{day['day']}  {day['p50']}  ({day['p10']} to {day['p90']})")


def _read(scope: ForecastScope, options: dict[str, Any]) -> StoredForecast | None:
    if options["tokens"]:
        return forecasts.forecast_for(scope, currency="", basis="", measure=forecasts.TOKENS)
    known = forecasts.currencies(options["basis"])
    currency = options["currency"] or (known[0] if known else "USD")
    return forecasts.forecast_for(scope, currency=currency, basis=options["basis"])


def _answer(found: StoredForecast, total: PeriodForecast, start: date, end: date, spent: Decimal) -> dict[str, Any]:
    return {
        "scope": found.scope.key,
        "currency": found.currency or None,
        "basis": found.basis or None,
        "made_at": found.made_at.isoformat(),
        "inputs_revision": found.inputs_revision,
        "provisional": total.provisional,
        "cold_start": found.cold_start,
        "events": list(found.events),
        "days": [
            {"day": day.day.isoformat(), "p10": f"{day.p10:f}", "p50": f"{day.p50:f}", "p90": f"{day.p90:f}"}
            for day in found.days
        ],
        "hours": [
            {
                "start": hour.start.isoformat(),
                "p10": f"{hour.p10:.6f}",
                "p50": f"{hour.p50:.6f}",
                "p90": f"{hour.p90:.6f}",
            }
            for hour in forecasts.hours_for(found, timezone.now())
        ],
        "period": {
            "start": start.isoformat(),
            "end": end.isoformat(),
            "spent": f"{spent:f}",
            **{name: f"{getattr(total, name):f}" for name in ("p2_5", "p10", "p50", "p90", "p97_5")},
        },
    }
