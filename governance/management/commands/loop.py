"""`manage.py loop tick`: decide now. Everything else is the loop command of the layer below."""

from argparse import ArgumentParser
from typing import Any

from governance.control_tasks import decide_now
from governance.models import ControlTick, Decision
from routing.management.commands import loop


class Command(loop.Command):
    help = "Show whether the loop acts and what the orchestrators hold; stop it, let it go on, or decide now (tick)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        action = next(each for each in parser._actions if each.dest == "action")
        action.choices = (*(action.choices or ()), "tick")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "tick":
            if not decide_now():
                self.stderr.write("It decided a moment ago: this is what it said.")
            if not options["json"]:
                self._say()
        super().handle(*args, **options)

    def _say(self) -> None:
        newest = ControlTick.objects.order_by("-id").first()
        if newest is not None:
            for decision in Decision.objects.filter(at=newest.at).order_by("budget_name"):
                self.stdout.write(f"{decision.budget_name}: {decision.words}")
