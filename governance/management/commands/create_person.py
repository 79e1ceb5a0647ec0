"""`manage.py create_person`: a person with a role; the password is asked for on the terminal."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution.models import Team
from governance.identity.services import IdentityError, create_person
from governance.models import Role


class Command(BaseCommand):
    help = "Make a person with a role. The password is asked for, or read from standard input; never an argument."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True)
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--team", help="slug of the team, for a lead or a member")

    def handle(self, *_args: Any, **options: Any) -> None:
        team = None
        if options["team"]:
            team = Team.objects.filter(slug=options["team"]).first()
            if team is None:
                raise CommandError(f"there is no team {options['team']!r}")
        # An argument would stand in the shell's history and in the list of processes.
        password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        try:
            person = create_person(
                email=options["email"],
                name=options["name"],
                role=Role(options["role"]),
                team=team,
                password=password or None,
                now=timezone.now(),
            )
        except IdentityError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{person.email} can sign in." if password else f"{person.email} has no password yet.")
