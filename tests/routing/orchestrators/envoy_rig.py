"""A real Envoy before three stub providers, on loopback, for tests and benchmarks."""

import asyncio
import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from governance.livedemo.providers import Provider, run
from routing.desired import Target
from routing.orchestrators.base import Unreachable
from routing.orchestrators.envoy import admin
from routing.orchestrators.envoy.bootstrap import Layout, free_port
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator
from tests.routing.orchestrators.conformance import until

TEAMS = ("search", "fraud", "frozen")


@contextmanager
def stub_providers() -> Iterator[list[Provider]]:
    """aws and azure keep data in "eu", gcp in "us"; they end with the context."""
    providers = [Provider(name, "127.0.0.1", free_port()) for name in ("aws", "azure", "gcp")]
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    task: list[asyncio.Task[None]] = []

    def work() -> None:
        asyncio.set_event_loop(loop)
        task.append(loop.create_task(run(providers, ready.set)))
        try:
            loop.run_until_complete(task[0])
        except asyncio.CancelledError:
            pending = asyncio.all_tasks(loop)
            for each in pending:
                each.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        finally:
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        yield providers
    finally:
        loop.call_soon_threadsafe(task[0].cancel)
        thread.join(10)


def targets_of(providers: list[Provider]) -> tuple[Target, Target, Target]:
    one, two, three = (
        Target(each.name, each.name, f"{home}-1", f"http://127.0.0.1:{each.port}", residency=home)
        for each, home in zip(providers, ("eu", "eu", "us"), strict=True)
    )
    return one, two, three


@dataclass
class Edge:
    """One Envoy process and the orchestrator that drives it."""

    orchestrator: EnvoyOrchestrator
    layout: Layout
    concurrency: int = 1
    process: "subprocess.Popen[bytes] | None" = None
    connections: dict[str, http.client.HTTPConnection] = field(default_factory=dict)

    def start(self) -> None:
        with (self.layout.folder / "envoy.log").open("ab") as log:
            command = self.orchestrator.command(concurrency=self.concurrency)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        assert until(self._ready, 15), (self.layout.folder / "envoy.log").read_text()[-3000:]

    def _ready(self) -> bool:
        try:
            return admin.is_ready(self.layout.admin)
        except Unreachable:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for each in self.connections.values():
            each.close()
        self.connections.clear()

    def restart(self) -> None:
        self.kill()
        self.start()

    def ask(self, team: str, model: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        """One chat request of `team`: status, headers, body."""
        body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}], **more}
        headers = {"authorization": f"Bearer sk-{team}", "content-type": "application/json"}
        connection = self.connections.get(team)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.layout.listen_port, timeout=10)
            self.connections[team] = connection
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()

    def serve(self, team: str, model: str, number: int) -> int:
        """How many of `number` requests were refused."""
        return sum(self.ask(team, model)[0] == 429 for _each in range(number))

    def edit(self, model: str, weights: dict[str, int]) -> None:
        """A person changes the weights in Envoy's file."""
        for path in self.layout.xds.glob("eds-*.json"):
            content = json.loads(path.read_text())
            assignment = content["resources"][0]
            if assignment["cluster_name"] != f"model/{model}":
                continue
            for each in assignment["endpoints"]:
                name = each["locality"]["zone"]
                each["load_balancing_weight"] = weights.get(name, each["load_balancing_weight"])
            content["version_info"] = "by-hand"
            partial = path.with_suffix(".hand")
            partial.write_text(json.dumps(content))
            partial.replace(path)


@contextmanager
def envoy(folder: Path, *, concurrency: int = 1) -> Iterator[Edge]:
    """A prepared and started Envoy; killed at the end."""
    layout = Layout(folder, "127.0.0.1", free_port(), str(folder / "admin.sock"))
    orchestrator = EnvoyOrchestrator("edge", layout)
    orchestrator.prepare({f"{team}|{team}-prod": f"sk-{team}" for team in TEAMS})
    edge = Edge(orchestrator, layout, concurrency)
    try:
        edge.start()
        yield edge
    finally:
        edge.kill()
