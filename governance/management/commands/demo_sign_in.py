"""`manage.py demo_sign_in`: who may sign in to the demo, and how."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from governance import demo


class Command(BaseCommand):
    help = "Prints the demo's people and their password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--address", default="http://localhost:8000")

    def handle(self, **options: Any) -> None:
        if not settings.WEIR_DEMO or not demo.is_loaded(settings.WEIR_HOME):
            raise CommandError("the demo isn't loaded: run WEIR_DEMO=1 manage.py demo")
        owner, *others = demo.PEOPLE
        self.stdout.write(f"Sign in at {options['address']}/sign-in as {owner.email} with {self._password()}")
        names = ", ".join(f"{person.email} ({self._what(person)})" for person in others)
        self.stdout.write(f"The same password signs in {names}.")

    def _password(self) -> str:
        return demo.password_of(settings.WEIR_HOME)

    def _what(self, person: demo.DemoPerson) -> str:
        return f"{person.role.label.lower()} of {person.team}" if person.team else person.role.label.lower()
