"""`manage.py demo`: load the simulated company into the demo's own data folder, once."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from governance import demo


class Command(BaseCommand):
    help = "Loads the demo company into its own data folder; does nothing when it is there."

    def handle(self, **_options: Any) -> None:
        if not settings.WEIR_DEMO:
            raise CommandError("the demo lives in its own data folder: run WEIR_DEMO=1 manage.py demo")
        now, started = timezone.now(), time.monotonic()
        if demo.load(settings.WEIR_HOME, today=now.date(), now=now, say=self._say):
            self._say(f"ready after {time.monotonic() - started:.0f} s")

    def _say(self, what: str) -> None:
        self.stdout.write(f"Demo: {what}")
        self.stdout.flush()
