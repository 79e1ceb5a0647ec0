"""`manage.py loop tick`: decide now. Everything else is the loop command of the layer below."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from governance.enforcement.tick import Reason, tick
from governance.models import Decision
from routing.management.commands import loop


class Command(loop.Command):
    help = "Show whether the loop acts and what the orchestrators hold; stop it, let it go on, or decide now (tick)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        action = next(each for each in parser._actions if each.dest == "action")
        action.choices = (*(action.choices or ()), "tick")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "tick":
            made = tick(timezone.now(), reason=Reason.HAND)
            if not options["json"]:
                for decision in Decision.objects.filter(tick__in=made).order_by("budget_name"):
                    self.stdout.write(f"{decision.budget_name}: {decision.words}")
        super().handle(*args, **options)
