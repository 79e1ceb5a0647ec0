"""`manage.py first_run`: print the one-time link by which the first owner is made."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse
from django.utils import timezone

from governance.identity.services import FIRST_RUN_LIFETIME, IdentityError, issue_first_run_link


class Command(BaseCommand):
    help = "Print a one-time link that makes the owner of this deployment; refuses when there is one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--address", default="http://localhost:8000", help="where this deployment answers")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            secret = issue_first_run_link(timezone.now())
        except IdentityError as error:
            raise CommandError(str(error)) from error
        link = options["address"].rstrip("/") + reverse("open-first-run", args=[secret])
        hours = int(FIRST_RUN_LIFETIME.total_seconds() // 3600)
        self.stdout.write(f"Make the owner's account here (once, within {hours} hours):\n  {link}")
