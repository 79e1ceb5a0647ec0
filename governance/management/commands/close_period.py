"""Close a month: freeze its figures, exchange rates, forecasts and the budgets' outcome."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from attribution.actors import Forbidden
from attribution.api.serializers import exact
from governance import closing
from governance.identity.permissions import actor_of_person
from governance.models import User, normal_email


class Command(BaseCommand):
    help = "Close a month that is over. It is never undone; what changes later is shown beside it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--by", required=True, metavar="ADDRESS", help="who closes it: an owner or finance")
        parser.add_argument("--reason", default="", help="kept with it")
        parser.add_argument("--despite-open-points", action="store_true", help="close although something is open")
        parser.add_argument("--json", action="store_true", help="the answer as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        person = User.objects.filter(email=normal_email(options["by"])).first()
        if person is None:
            raise CommandError(f"there is no {options['by']}: give the address of an owner or finance")
        try:
            closed = closing.close_month(
                options["month"],
                actor=actor_of_person(person, now),
                now=now,
                reason=options["reason"],
                despite_open_points=options["despite_open_points"],
            )
        except closing.NotReady as error:
            points = "\n".join(f"  {each}" for each in error.points)
            raise CommandError(f"open points:\n{points}\nSettle them, or add --despite-open-points.") from error
        except (closing.NotOver, closing.AlreadyClosed, Forbidden) as error:
            raise CommandError(str(error)) from error
        frozen = {currency: exact(amount) for currency, amount in closed.frozen.items()}
        exceeded = sum(1 for each in closed.outcomes if not each.kept)
        if options["json"]:
            budgets = [
                {"name": each.name, "limit": exact(each.limit), "consumed": exact(each.consumed)}
                for each in closed.outcomes
            ]
            answer = {"month": closed.month, "frozen": frozen, "commit_seq": closed.commit_seq, "budgets": budgets}
            self.stdout.write(json.dumps(answer))
            return
        amounts = ", ".join(f"{amount} {currency}" for currency, amount in frozen.items()) or "nothing"
        self.stdout.write(
            f"{closed.month} is closed: {amounts}; {exceeded} of {len(closed.outcomes)} budgets exceeded; "
            f"{closed.pinned_revisions} revisions pinned"
        )
