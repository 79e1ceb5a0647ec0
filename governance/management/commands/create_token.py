"""`manage.py create_token`: a bearer token of a person for the API, shown once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution.models import Team
from governance.identity.services import issue_token
from governance.models import User, normal_email


class Command(BaseCommand):
    help = "Make an API token of a person, optionally for one team and the teams below it; it is shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="whose token it is")
        parser.add_argument("--name", default="command line", help="what it is for")
        parser.add_argument("--team", help="slug of the team that it is restricted to")
        parser.add_argument("--write", action="store_true", help="let it do what the person may do, not only read")
        parser.add_argument("--days", type=int, default=90, help="days until it expires (default 90)")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(email=normal_email(options["email"])).first()
        if user is None:
            raise CommandError(f"nobody has the address {options['email']}: see 'manage.py create_person'")
        team = None
        if options["team"]:
            team = Team.objects.filter(slug=options["team"]).first()
            if team is None:
                raise CommandError(f"there is no team {options['team']!r}")
        if options["days"] < 1:
            raise CommandError(f"--days is {options['days']}: give 1 or more")
        expires_at = timezone.now() + timedelta(days=options["days"])
        issued = issue_token(user, name=options["name"], team=team, expires_at=expires_at, may_write=options["write"])
        self.stdout.write(issued.secret)
