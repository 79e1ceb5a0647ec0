"""`manage.py live`: what the live demo does, and what it shall do: fail a provider, heal it, slow it, surge a team."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from governance.livedemo import layout
from governance.livedemo.layout import HOST, LiveLayout
from governance.livedemo.world import POOLS, STREAMS
from routing.orchestrators.base import OrchestratorError
from routing.orchestrators.calls import call, raise_for


class Command(BaseCommand):
    help = "Show or steer the live demo: its stub providers and its traffic."

    def add_arguments(self, parser: ArgumentParser) -> None:
        todo = parser.add_subparsers(dest="todo")
        status = todo.add_parser("status", help="what the providers served and the callers got")
        status.add_argument("--json", action="store_true")
        fail = todo.add_parser("fail", help="let a provider answer with an error")
        fail.add_argument("provider", choices=[pool.name for pool in POOLS])
        fail.add_argument("--status", type=int, default=503)
        fail.add_argument("--share", type=float, default=1.0, help="of its requests, 0 to 1")
        slow = todo.add_parser("slow", help="set a provider's median latency")
        slow.add_argument("provider", choices=[pool.name for pool in POOLS])
        slow.add_argument("milliseconds", type=float)
        heal = todo.add_parser("heal", help="end what was done to a provider")
        heal.add_argument("provider", choices=[pool.name for pool in POOLS])
        surge = todo.add_parser("surge", help="multiply a team's rate; 1 is usual, 0 is silence")
        surge.add_argument("team", choices=sorted({stream.team for stream in STREAMS}))
        surge.add_argument("factor", type=float)

    def handle(self, *_args: Any, **options: Any) -> None:
        home: Path = settings.WEIR_HOME
        chosen = layout.read(home)
        if chosen is None:
            raise CommandError(f"no live demo in {home}: start it with 'make run', then use WEIR_DEMO=1 manage.py live")
        try:
            self._do(chosen, options)
        except OrchestratorError as error:
            raise CommandError(f"the live demo does not answer ({error}): is 'make run' running?") from error

    def _do(self, chosen: LiveLayout, options: dict[str, Any]) -> None:
        match options["todo"]:
            case "fail":
                self._provider(chosen, options["provider"], {"fail": options["status"], "rate": options["share"]})
            case "slow":
                self._provider(chosen, options["provider"], {"latency_ms": options["milliseconds"]})
            case "heal":
                usual = next(pool.latency_ms for pool in POOLS if pool.name == options["provider"])
                self._provider(chosen, options["provider"], {"fail": 0, "rate": 1.0, "latency_ms": usual})
            case "surge":
                wanted = {"team": options["team"], "factor": options["factor"]}
                self.stdout.write(json.dumps(_control(chosen.control_port, wanted)))
            case _:
                self._status(chosen, as_json=bool(options.get("json")))

    def _provider(self, chosen: LiveLayout, name: str, wanted: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(_control(chosen.ports[name], wanted)))

    def _status(self, chosen: LiveLayout, *, as_json: bool) -> None:
        shown = {
            "gateway": f"http://{HOST}:{chosen.gateway_port}/v1",
            "traffic": _control(chosen.control_port, None),
            "providers": {name: _control(port, None) for name, port in chosen.ports.items()},
        }
        if as_json:
            self.stdout.write(json.dumps(shown))
            return
        self.stdout.write(f"gateway {shown['gateway']}")
        self.stdout.write(f"answers {shown['traffic']['answers']}, rates {shown['traffic']['factors'] or 'usual'}")
        for name, each in shown["providers"].items():
            failing = f"fails with {each['fail']} at {each['rate']:.0%}" if each["fail"] else "healthy"
            self.stdout.write(f"{name}: {failing}, {each['latency_ms']:.0f} ms, served {each['served']}")


def _control(port: int, wanted: dict[str, Any] | None) -> Any:
    method = "GET" if wanted is None else "POST"
    return raise_for(call(method, f"http://{HOST}:{port}", "/_control", body=wanted), "control").json()
