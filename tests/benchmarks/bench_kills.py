"""`make bench-kills`: SIGKILL to the loop's worker, the clock, the web server and Envoy, in every order, while changes
are proposed, approved and rolled back; then: was anything pushed twice, lost, or shown that is not so?

A real Envoy, a real broker, SQLite as `make run` has it. Prints one JSON object; exits 1 unless all three are 0.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

KILLS = {"tiny": 8, "small": 104, "full": 200}
VICTIMS = ("worker", "clock", "web", "envoy")
SETTLE_SECONDS = 180


def main() -> None:
    size = os.environ.get("SIZE", "small")
    with tempfile.TemporaryDirectory(prefix="weir-kills-") as home:
        os.environ.update(WEIR_HOME=home, WEIR_DEMO="0", DJANGO_SETTINGS_MODULE="governance.config.settings")
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from tests.routing.orchestrators.envoy_rig import envoy, stub_providers

        with stub_providers() as providers, envoy(Path(home) / "envoy") as edge:
            bench = Bench(Path(home), edge, providers, random.Random(int(os.environ.get("SEED", "1"))))
            try:
                bench.prepare()
                figures = bench.run(KILLS[size])
            finally:
                bench.stop()
    print(json.dumps(figures))
    sys.exit(1 if figures["double_pushes"] or figures["lost"] or figures["lies"] else 0)


@dataclass
class Bench:
    """The processes, what was asked of them, and what they were caught at."""

    home: Path
    edge: Any
    providers: Any
    chance: random.Random
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    port: int = 0
    token: str = ""

    # --- before

    def prepare(self) -> None:
        from django.core.management import call_command
        from django.utils import timezone

        from governance.identity.services import create_person, issue_token
        from governance.models import Role

        call_command("migrate", verbosity=0)
        (self.home / "static").mkdir(exist_ok=True)
        owner = create_person(email="o@example.org", name="Olga", role=Role.OWNER, now=timezone.now())
        self.token = issue_token(owner, name="bench", may_write=True).secret
        self._orchestrator(owner.pk)
        self._commands()
        for name in ("broker", "web", "worker", "clock"):
            self.start(name)
        self.until(lambda: self.get("/api/v1/orchestrators") is not None, 60, "the web server")
        self.until(lambda: self._standing() is not None, 60, "the first push")

    def _orchestrator(self, owner_id: int) -> None:
        from django.utils import timezone

        import tests.benchmarks.kills_app  # noqa: F401  (registers the counted kind)
        from attribution.actors import Action, Actor
        from attribution.scope import EVERYTHING
        from routing import services
        from routing.desired import DesiredState, Route, Tier
        from tests.routing.orchestrators.envoy_rig import targets_of

        layout = self.edge.layout
        settings = {
            "folder": f"{layout.folder}",
            "listen": f"127.0.0.1:{layout.listen_port}",
            "admin": f"{layout.admin}",
            "log": f"{self.home / 'pushes.ndjson'}",
        }
        self.actor = Actor("Olga", owner_id, EVERYTHING, everywhere=frozenset(Action))
        services.register_orchestrator("edge", "counted", settings, actor=self.actor, now=timezone.now())
        targets = targets_of(self.providers)
        self.names = [each.name for each in targets[:2]]
        tier = Tier.of({self.names[0]: 600_000, self.names[1]: 400_000})
        routes = tuple(Route("gpt-large", (tier,), team) for team in ("search", "fraud"))
        first = DesiredState("edge", 0, targets, routes)
        why = services.Why("person", "", "the start")
        services.propose_change("edge", first, why=why, actor=self.actor, now=timezone.now())

    def _commands(self) -> None:
        from governance.supervisor import programs
        from routing.orchestrators.envoy.bootstrap import free_port

        self.port = free_port()
        made = {each.name: list(each.command) for each in programs(self.home, host="127.0.0.1", port=self.port)}
        socket = next(word for at, word in enumerate(made["broker"]) if made["broker"][at - 1] == "--unixsocket")
        os.environ["CELERY_BROKER_URL"] = f"redis+socket://{socket}"
        self.commands = {name: made[name] for name in ("broker", "web", "clock")}
        self.commands["worker"] = [
            "tests.benchmarks.kills_app" if word == "governance.config" else word for word in made["loop"]
        ]

    # --- processes

    def start(self, name: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                self.commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        self.killed[name] += 1
        if name == "envoy":
            self.edge.restart()
            return
        _kill_group(self.children[name])
        self.start(name)

    def stop(self) -> None:
        for child in self.children.values():
            _kill_group(child)

    # --- the bench

    def run(self, kills: int) -> dict[str, Any]:
        started = time.monotonic()
        while sum(self.killed.values()) < kills:
            order = list(VICTIMS)
            self.chance.shuffle(order)
            for victim in order:
                self._act()
                if victim == "worker":
                    # In the middle of a push, where it hurts most; or just after one.
                    self._until_pushing(25.0)
                    time.sleep(self.chance.choice((self.chance.uniform(0.0, 0.5), self.chance.uniform(0.5, 3.0))))
                else:
                    time.sleep(self.chance.uniform(0.0, 0.6))
                self.kill(victim)
                self._look()
            lasted = time.monotonic() - started
            _say(f"{sum(self.killed.values())} kills, {len(self.asked)} changes asked, {lasted:.0f} s")
        self._settle()
        return self._figures(time.monotonic() - started)

    def _act(self) -> None:
        """A new change of one team, or, asked of the web server, a generation back: both may be acknowledged."""
        from django.utils import timezone

        from routing import selectors, services
        from routing.desired import Route, Tier
        from routing.models import ChangeSet

        if self.chance.random() < 0.15:
            answer = self.post("/api/v1/orchestrators/edge/rollback", {"generation": self.chance.randint(1, 3)})
            if answer is not None and "id" in answer:
                self.asked.append(answer["id"])
            return
        waiting = set(ChangeSet.objects.filter(status="approved").values_list("team", flat=True))
        free = [each for each in ("search", "fraud") if each not in waiting]
        if not free or None in waiting:
            return
        state = selectors.standing_state("edge")
        team = self.chance.choice(free)
        share = self.chance.randrange(450_000, 600_000, 1000)
        tier = Tier.of({self.names[0]: share, self.names[1]: 1_000_000 - share})
        routes = tuple(each for each in state.routes if each.team != team)
        wanted = replace(state, routes=(*routes, Route("gpt-large", (tier,), team)))
        why = services.Why("person", "", "bench")
        made = services.propose_change("edge", wanted, why=why, actor=self.actor, team=team, now=timezone.now())
        if made is not None:
            self.asked.append(made.pk)
        for name in ("search", "fraud"):
            for _request in range(8):
                try:
                    self.edge.ask(name, "gpt-large")
                except OSError:
                    self.edge.connections.pop(name, None)

    def _look(self) -> None:
        """What the API says is live must be what Envoy runs, or older: asked before Envoy, so it can't be newer."""
        from routing.orchestrators.base import OrchestratorError

        page = self.get("/api/v1/changes?limit=30")
        if page is None:
            return
        said = [
            row for row in page["rows"] if row["status"] in ("accepted", "live", "effective") and row["is_standing"]
        ]
        try:
            observed = self.edge.orchestrator.observe()
        except OrchestratorError:
            return
        for row in said:
            if observed.generation is not None and observed.generation < row["generation"]:
                self.lies.append(
                    f"{row['name']} is {row['status']} as {row['generation']}, Envoy has {observed.generation}"
                )

    def _settle(self) -> None:
        from routing.models import ChangeSet, PushOutbox

        def quiet() -> bool:
            waits = ChangeSet.objects.filter(status__in=("approved", "accepted")).exists()
            return not waits and not PushOutbox.objects.filter(state__in=("pending", "claimed")).exists()

        self.until(quiet, SETTLE_SECONDS, "everything to settle")

    def _figures(self, seconds: float) -> dict[str, Any]:
        from attribution import audit
        from routing.models import ChangeSet, Transition

        pushes, doubled = self._pushes()
        statuses = Counter(ChangeSet.objects.filter(pk__in=self.asked).values_list("status", flat=True))
        done = {"accepted", "live", "effective", "rolled_back", "superseded", "expired"}
        lost = len(set(self.asked)) - sum(statuses[each] for each in done)
        twice = Counter(Transition.objects.filter(after="accepted").values_list("change_id", flat=True))
        doubled += sum(1 for count in twice.values() if count > 1)
        self.lies += [each.words for each in audit.verify()]
        self.lies += self._at_the_end()
        for each in self.lies:
            _say(f"LIE: {each}")
        return {
            "kills": sum(self.killed.values()),
            "double_pushes": doubled,
            "lost": lost,
            "lies": len(self.lies),
            "killed": dict(self.killed),
            "changes": len(set(self.asked)),
            "pushes": pushes,
            "taken_over_after_a_kill": Transition.objects.filter(reason__contains="had taken it already").count(),
            "statuses": dict(statuses),
            "seconds": round(seconds),
        }

    def _pushes(self) -> tuple[int, int]:
        """How often something was really written, and how often twice under one key."""
        lines = [json.loads(line) for line in (self.home / "pushes.ndjson").read_text().splitlines()]
        written: Counter[str] = Counter()
        held: dict[int, bool] = {}
        doubled = 0
        for line in lines:
            if line["what"] == "begin":
                held[line["pid"]] = line["flag"]
            elif not line["flag"]:
                written[line["key"]] += 1
                doubled += held.get(line["pid"], False)
        return sum(written.values()), doubled + sum(count - 1 for count in written.values() if count > 1)

    def _at_the_end(self) -> list[str]:
        """The pages, the database and Envoy say the same."""
        from routing.models import Orchestrator
        from routing.selectors import standing_state

        observed = self.edge.orchestrator.observe()
        state = standing_state("edge")
        page = self.get("/api/v1/orchestrators")
        found = []
        if observed.state is None or observed.state.digest() != state.digest():
            found.append("Envoy holds other content than what should stand")
        if observed.generation != state.generation:
            found.append(f"Envoy holds generation {observed.generation}, {state.generation} should stand")
        if page is None or page["rows"][0]["generation"] != observed.generation:
            found.append(f"the API says {page}")
        row = Orchestrator.objects.get(name="edge")
        if row.state != "ok":
            found.append(f"the page says {row.state}: {row.state_words}")
        if observed.foreign:
            found.append(f"Envoy's files hold what nobody wrote: {observed.foreign}")
        return found

    # --- helpers

    def _standing(self) -> Any:
        from routing.selectors import standing_state

        return standing_state("edge")

    def _until_pushing(self, seconds: float) -> None:
        """Until a worker that lives holds a push."""
        from django.utils import timezone

        from routing.models import PushOutbox

        begun = timezone.now()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not PushOutbox.objects.filter(claimed_at__gte=begun).exists():
            time.sleep(0.005)

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                logs = {name: (self.home / f"{name}.log").read_text()[-1500:] for name in self.commands}
                raise TimeoutError(f"waited {seconds} s for {what}: {json.dumps(logs, indent=1)}\n{_rows()}")
            time.sleep(0.2)

    def get(self, path: str) -> Any:
        return self._call(urllib.request.Request(self._address(path), headers=self._headers()))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        content = json.dumps(body).encode()
        headers = {**self._headers(), "Content-Type": "application/json"}
        return self._call(urllib.request.Request(self._address(path), content, headers, method="POST"))

    def _call(self, request: urllib.request.Request) -> Any:
        """The answer's JSON, also of a refusal; None where the web server is down."""
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                why = (self.home / "web.log").read_text()[-1500:]
                self.lies.append(f"{request.full_url} answers {error.code}: {why}")
            error.close()
            return None
        except (OSError, ValueError):
            return None

    def _address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _rows() -> str:
    """What waits, for whom, and what the gateway holds by its own word."""
    from routing.models import ChangeSet, Orchestrator, PushOutbox

    open_changes = ChangeSet.objects.filter(status__in=("approved", "accepted", "drifted"))
    told = [
        f"{each.name} {each.status} {each.generation}: {each.waits_for or each.proof_words}" for each in open_changes
    ]
    pushes = PushOutbox.objects.exclude(state__in=("done", "void"))
    told += [f"push {each.generation} {each.state} attempt {each.attempts}: {each.error}" for each in pushes]
    told += [f"{each.name} {each.state}: {each.state_words} {each.drift}" for each in Orchestrator.objects.all()]
    return "\n".join(told)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
