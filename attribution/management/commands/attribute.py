"""`manage.py attribute`: give every billed dollar that has new inputs its owner, or the reason why it has none."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution import services
from attribution.ledger import BrokenLaw
from attribution.ownership import BadRule


class Command(BaseCommand):
    help = "Attribute bills and telemetry that changed since the last run; does nothing where nothing changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="print the last line only")

    def handle(self, *_args: Any, **options: Any) -> None:
        def tell(unit: services.UnitReport) -> None:
            if not options["quiet"]:
                self.stdout.write(f"{unit.provider} {unit.month}: {unit.changes} changes ({unit.reason})")

        try:
            summary = services.attribute(progress=tell)
        except (BrokenLaw, BadRule) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{summary.changes} changes in {len(summary.units)} provider months; {summary.skipped} had nothing new."
        )
