"""`manage.py loop status|freeze|resume`: does the loop act, what do the orchestrators hold; stop it, let it go on."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from attribution.actors import Action, Actor
from attribution.scope import EVERYTHING
from routing import selectors, services

# Whoever may run commands on this machine may stop the loop; the audit trail says that it was done here.
AT_THE_CONSOLE = Actor(name="the console", scope=EVERYTHING, everywhere=frozenset({Action.KILL_SWITCH}))


class Command(BaseCommand):
    help = "Show whether the loop acts and what the orchestrators hold; stop all enforcement, or let it go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("status", "freeze", "resume"))
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--reason", default="", help="for the audit trail")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["action"] == "freeze":
            services.freeze(actor=AT_THE_CONSOLE, now=now, reason=options["reason"])
        elif options["action"] == "resume":
            services.resume(actor=AT_THE_CONSOLE, now=now, reason=options["reason"])
        status = _status(now)
        if options["json"]:
            self.stdout.write(json.dumps(status))
            return
        tick = f"last decision {status['last_tick']}" if status["last_tick"] else "the loop has not decided yet"
        self.stdout.write(f"enforcement {'is stopped' if status['frozen'] else 'is on'}; {tick}")
        for each in status["orchestrators"]:
            drift = f", drift: {'; '.join(each['drift'])}" if each["drift"] else ""
            self.stdout.write(f"{each['name']}: generation {each['generation']}, {each['state']}{drift}")


def _status(now: datetime) -> dict[str, Any]:
    loop = selectors.loop(now)
    return {
        "orchestrators": [
            {
                "name": each.name,
                "generation": each.generation,
                "state": each.state,
                "drift": [one.words for one in each.drift],
            }
            for each in selectors.orchestrators(EVERYTHING)
        ],
        "frozen": loop.frozen,
        "last_tick": loop.last_tick.isoformat() if loop.last_tick else None,
    }
