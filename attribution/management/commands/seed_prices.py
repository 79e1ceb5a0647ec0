"""`manage.py seed_prices`: bring the public prices up to the installed price list. Safe to run at every start."""

from typing import Any

from django.core.management.base import BaseCommand

from attribution.pricing.store import seed_prices


class Command(BaseCommand):
    help = "Seed the price book from the public price list; rows that still stand are left alone."

    def handle(self, *_args: Any, **options: Any) -> None:
        for report in seed_prices():
            if options["verbosity"] < 1:
                continue
            self.stdout.write(
                f"{report.source} {report.version}: {report.standing} prices stand, {report.added} added, "
                f"{report.retired} retired"
            )
            if options["verbosity"] > 1:
                for model, reason in sorted(report.left_out.items()):
                    self.stdout.write(f"  left out {model}: {reason}")
