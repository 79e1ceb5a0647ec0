"""`manage.py up`: check, migrate, load the demo once, then run everything until Ctrl-C."""

import os
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from governance.identity.services import owner_exists
from governance.livedemo import setup
from governance.livedemo.layout import HOST, LiveLayout, PortTaken
from governance.supervisor import Program, StartError, Supervisor, broker_socket, check_folder, check_port, programs
from routing.orchestrators.base import OrchestratorError


class Command(BaseCommand):
    help = "Run Weir: broker, web, worker and clock, in the foreground, on the data folder WEIR_HOME."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *_args: Any, **options: Any) -> None:
        home: Path = settings.WEIR_HOME
        host, port = options["host"], options["port"]
        try:
            check_folder(home)
            check_port(host, port)
            os.environ["CELERY_BROKER_URL"] = f"redis+socket://{broker_socket(home)}"
            todo = programs(home, host=host, port=port)
        except StartError as error:
            raise CommandError(str(error)) from error
        self._prepare()
        live = self._prepare_live(home)
        todo += [] if live is None else [Program(*each) for each in setup.commands(home, live, sys.executable)]
        supervisor = Supervisor(home, todo)
        signal.signal(signal.SIGINT, supervisor.request_stop)
        signal.signal(signal.SIGTERM, supervisor.request_stop)
        try:
            supervisor.start_all()
            supervisor.wait_until_up(host, port)
            if not supervisor.stopping:
                self._greet(f"http://{'localhost' if host == '127.0.0.1' else host}:{port}", live)
            supervisor.watch()
        except StartError as error:
            raise CommandError(str(error)) from error
        finally:
            supervisor.stop_all()
        self.stdout.write("Weir: stopped.")

    def _prepare(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("seed_prices", verbosity=0)
        if settings.WEIR_DEMO:
            call_command("demo")

    def _prepare_live(self, home: Path) -> LiveLayout | None:
        """The live demo is an extra: where there is no Envoy, the rest runs without it."""
        if not settings.WEIR_DEMO or not settings.WEIR_LIVE_DEMO:
            return None
        try:
            return setup.prepare(home, now=timezone.now(), gateway_port=settings.WEIR_GATEWAY_PORT)
        except (OrchestratorError, PortTaken) as error:
            self.stderr.write(f"Weir: no live gateway: {error}")
            return None

    def _greet(self, address: str, live: LiveLayout | None) -> None:
        self.stdout.write(f"Weir runs at {address} (data in {settings.WEIR_HOME}); Ctrl-C stops it.")
        if settings.WEIR_DEMO:
            call_command("demo_sign_in", address=address)
        elif not owner_exists():
            call_command("first_run", address=address)
        else:
            self.stdout.write(f"Sign in at {address}/sign-in")
        if live is not None:
            self.stdout.write(f"Its gateway takes requests at http://{HOST}:{live.gateway_port}/v1 ('manage.py live').")
        self.stdout.flush()
