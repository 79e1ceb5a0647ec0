"""`manage.py prices`: the standing prices; `--unpriced`: usage without one; `--reprice`: estimate requests again."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from attribution.imports import plain
from attribution.ingest_telemetry import reprice_usage
from attribution.models import Price
from attribution.pricing.store import unpriced_usage


class Command(BaseCommand):
    help = "List the price book, or usage that it doesn't know; or price all requests again by the book of now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--provider", help="only this provider")
        parser.add_argument("--model", help="only this model's slug")
        parser.add_argument(
            "--unpriced", action="store_true", help="list usage whose model, tier or token has no price"
        )
        parser.add_argument("--reprice", action="store_true", help="estimate the requests of all days again")
        parser.add_argument("--reason", default="repriced by hand", help="why, as the new revisions say it")
        parser.add_argument("--json", action="store_true", dest="as_json", help="a list of objects for programs")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["reprice"]:
            self.stdout.write(f"{reprice_usage(reason=options['reason'])} partitions changed")
        elif options["unpriced"]:
            self._tell([asdict(one) for one in unpriced_usage()], options["as_json"], "everything is priced")
        else:
            self._tell(_standing(options["provider"], options["model"]), options["as_json"], "no prices")

    def _tell(self, rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
        if as_json:
            self.stdout.write(json.dumps(rows, default=str))
        elif not rows:
            self.stdout.write(nothing)
        for row in [] if as_json else rows:
            self.stdout.write("  ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "")))


def _standing(provider: str | None, model: str | None) -> list[dict[str, Any]]:
    found = Price.objects.filter(retired_by="").order_by("provider", "model", "routing", "tier", "context_from", "id")
    wanted = {"provider": provider, "model": model}
    found = found.filter(**{name: value for name, value in wanted.items() if value})
    columns = ("provider", "model", "routing", "tier", "context_from", "token_type", "usd_per_token")
    rows = list(found.values(*columns, "valid_from", "valid_to", "source", "version"))
    return [row | {"usd_per_token": plain(row["usd_per_token"])} for row in rows]
