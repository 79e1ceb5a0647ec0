"""`manage.py configure FILE`: teams, projects, ownership rules and bindings from one JSON or TOML file."""

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution.configuration import BadConfiguration, configure, read_configuration


class Command(BaseCommand):
    help = "Apply teams, projects, ownership rules and bindings from a JSON or TOML file; again, it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            added = configure(read_configuration(options["file"]))
        except BadConfiguration as error:
            raise CommandError(str(error)) from error
        words = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in asdict(added).items())
        self.stdout.write(f"Added {words}.")
