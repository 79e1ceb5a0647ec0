"""Weir's LiteLLM module against the real proxy and a real PostgreSQL: `make contract-litellm`.

Not part of `make test`: it installs 700 MB into an environment of its own. Providers are two servers here that count
what reaches them. Prints a line a promise, then one JSON object.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from routing.desired import Block, BlockReason, DesiredState, Quota, Route, Target, Tier
from routing.orchestrators.base import Conflict, Level, Receipt, Stale
from routing.orchestrators.calls import call
from routing.orchestrators.litellm import PROPAGATION, LiteLLM, open_litellm

HERE = Path(__file__).parent
MASTER = "sk-contract-master"
BUDGET = BlockReason("Search March", Decimal(40_000), Decimal(40_000), None, "over")


class Provider:
    """An OpenAI-compatible provider that counts."""

    def __init__(self) -> None:
        self.models: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.models[body["model"]] += 1
                answer = {
                    "id": f"chatcmpl-{time.time_ns()}",
                    "object": "chat.completion",
                    "created": int(time.time()),
                    "model": body["model"],
                    "choices": [
                        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
                    ],
                    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
                }
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def total(self) -> int:
        return self.models.total()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until it held; the proxy says nothing when it is done."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.2)
    return time.monotonic() - start


@contextmanager
def proxy(python: str, folder: Path) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "LITELLM_MASTER_KEY": MASTER}
    with (folder / "proxy.log").open("wb") as log:
        server = subprocess.Popen(
            [python, str(HERE / "serve.py"), str(folder), str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            wait_for("the proxy starts", lambda: is_ready(address, server, folder), 180)
            yield address
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(60)


def is_ready(address: str, server: subprocess.Popen[bytes], folder: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError("the proxy stopped:\n" + (folder / "proxy.log").read_text()[-3000:])
    try:
        return call("GET", address, "/health/readiness").json().get("db") == "connected"
    except Exception:
        return False


class Contract:
    """The promises, in order; each leaves the proxy as the next one needs it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.providers = {"aws": Provider(), "azure": Provider()}
        self.it: LiteLLM = open_litellm("proxy", {"url": address, "token_env": "CONTRACT_MASTER"})
        self.generation = 0
        self.key = ""
        self.cursor = ""
        self.kept: list[str] = []

    def snapshot(self, aws: int, **more: Any) -> DesiredState:
        self.generation += 1
        targets = tuple(
            Target(name, name, "local", each.endpoint, attributes=(("credential", "provider"),))
            for name, each in sorted(self.providers.items())
        )
        route = Route("llama-70b", (Tier.of({"aws": aws, "azure": 1_000_000 - aws}),))
        return replace(DesiredState("proxy", self.generation, targets, (route,)), **more)

    def push(self, desired: DesiredState, *, force: bool = False) -> Receipt:
        plan = self.it.plan(desired, self.it.observe(), force=force)
        assert self.it.validate(plan) == [], self.it.validate(plan)
        return self.it.apply(plan, now=datetime.now(UTC))

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        answer = call(method, self.address, path, body=body, headers={"authorization": f"Bearer {MASTER}"})
        assert answer.status == 200, (path, answer.status, answer.body[:300])
        return answer.json()

    def ask(self) -> tuple[int, Any]:
        body = {"model": "llama-70b", "messages": [{"role": "user", "content": "?"}]}
        headers = {"authorization": f"Bearer {self.key}"}
        answer = call("POST", self.address, "/v1/chat/completions", body=body, headers=headers, timeout_seconds=20)
        return answer.status, answer.json()

    def ask_often(self, number: int) -> dict[str, int]:
        before = {name: each.total for name, each in self.providers.items()}
        for _ in range(number):
            status, body = self.ask()
            assert status == 200, body
        return {name: each.total - before[name] for name, each in self.providers.items()}

    def keep(self, words: str) -> None:
        self.kept.append(words)
        print(f"kept: {words}", flush=True)

    def run(self) -> None:
        self.manage("POST", "/team/new", {"team_id": "search", "models": []})
        secret = {"credential_values": {"api_key": "sk-provider"}, "credential_info": {}}
        self.manage("POST", "/credentials", {"credential_name": "provider", **secret})
        self.key = self.manage("POST", "/key/generate", {"team_id": "search"})["key"]
        self.weights_reach_the_traffic_and_are_proved()
        self.the_same_push_again_changes_nothing()
        self.another_model_answers()
        self.tiers_keep_their_order()
        self.an_edit_by_someone_is_drift()
        self.a_stop_refuses_the_team_and_opens_again()
        self.a_quota_refuses_the_second_request()
        self.usage_names_every_call_once()

    def weights_reach_the_traffic_and_are_proved(self) -> None:
        first = self.snapshot(1_000_000)
        self.push(first)
        assert self.it.observe().state == first
        wait_for("the first deployment serves", lambda: self.ask()[0] == 200, 60)
        desired = self.snapshot(300_000)
        receipt = self.push(desired)
        assert self.it.observe().state == desired
        counted = self.ask_often(400)
        share = counted["aws"] / 400
        assert 0.2 < share < 0.4, counted
        # The proof counts from the time when every pod must have followed; here there is one pod, so look back.
        early = replace(receipt, applied_at=receipt.applied_at - PROPAGATION)
        proved: list[Any] = []

        def is_proved() -> bool:
            proof = self.it.verify(early, desired, before=first, now=datetime.now(UTC) + timedelta(seconds=1))
            proved.append(proof)
            return proof.level is Level.EFFECTIVE

        try:
            seconds = wait_for("the spend log proves it", is_proved, 90)
        except AssertionError as error:
            raise AssertionError(f"{error}: {proved[-1]}") from error
        self.keep(f"30/70 gave {counted} of 400; effective in the spend log after {seconds:.0f} s")

    def the_same_push_again_changes_nothing(self) -> None:
        desired = replace(self.snapshot(600_000))
        plan = self.it.plan(desired, self.it.observe())
        first = self.it.apply(plan, now=datetime.now(UTC))
        again = self.it.apply(plan, now=datetime.now(UTC))
        assert (first.repeated, again.repeated) == (False, True)
        try:
            self.it.plan(replace(desired, generation=desired.generation - 1), self.it.observe())
        except Stale:
            self.keep("a repeated push is recognised, an older generation refused")
        else:
            raise AssertionError("an older generation was planned")

    def another_model_answers(self) -> None:
        desired = self.snapshot(1_000_000)
        desired = replace(desired, routes=(replace(desired.routes[0], served_model="llama-8b"),))
        self.push(desired)
        assert self.it.observe().state == desired
        self.ask_often(5)
        wait_for(
            "the smaller model answers",
            lambda: (self.ask_often(1), self.providers["aws"].models["llama-8b"])[1] > 0,
            60,
        )
        self.keep(f"the smaller model answers: {dict(self.providers['aws'].models)}")

    def tiers_keep_their_order(self) -> None:
        desired = self.snapshot(1_000_000)
        tiers = (Tier.of({"azure": 1_000_000}), Tier.of({"aws": 1_000_000}))
        desired = replace(desired, routes=(Route("llama-70b", tiers),))
        self.push(desired)
        assert self.it.observe().state == desired
        wait_for("the first tier serves", lambda: self.ask_often(5) == {"aws": 0, "azure": 5}, 60)
        counted = self.ask_often(60)
        assert counted == {"aws": 0, "azure": 60}, counted
        self.keep("the second tier gets nothing while the first is healthy: 0 of 60")

    def an_edit_by_someone_is_drift(self) -> None:
        desired = self.snapshot(500_000)
        receipt = self.push(desired)
        model = next(each for each in self.manage("GET", "/model/info")["data"] if each["litellm_params"]["weight"])
        key = model["model_info"]["id"]
        self.manage("PATCH", f"/model/{key}/update", {"litellm_params": {"weight": 1}})
        proof = self.it.verify(receipt, desired, now=datetime.now(UTC))
        assert proof.level is Level.DRIFT, proof
        try:
            self.push(self.snapshot(400_000))
        except Conflict:
            pass
        else:
            raise AssertionError("someone's edit was written over")
        repaired = self.snapshot(400_000)
        self.push(repaired, force=True)
        assert self.it.observe().state == repaired
        self.keep(f"an edit behind our back is drift, and written over only by decision: {proof.words}")

    def a_stop_refuses_the_team_and_opens_again(self) -> None:
        stopped = self.snapshot(400_000, blocks=(Block(BUDGET, "search"),))
        self.push(stopped)
        assert self.it.observe().state == stopped
        closed = wait_for("the team is refused", lambda: self.ask()[0] in (401, 403), 60)
        self.push(self.snapshot(400_000))
        opened = wait_for("the team is served again", lambda: self.ask()[0] == 200, 90)
        self.keep(f"a stop holds after {closed:.1f} s and is gone {opened:.1f} s after it is lifted")

    def a_quota_refuses_the_second_request(self) -> None:
        limited = self.snapshot(400_000, quotas=(Quota(team="search", rpm=1),))
        self.push(limited)
        assert self.it.observe().state.digest() == limited.digest()
        seconds = wait_for("the limit holds", lambda: self.ask()[0] == 429, 90)
        open_again = self.snapshot(400_000)
        self.push(open_again)
        assert self.it.observe().state == open_again
        self.keep(f"a quota of 1 a minute answers 429 after {seconds:.1f} s")

    def usage_names_every_call_once(self) -> None:
        served = sum(each.total for each in self.providers.values())
        found: dict[str, Any] = {}

        def all_there() -> bool:
            more = True
            while more:
                usage = self.it.read_usage(self.cursor)
                self.cursor, more = usage.cursor, usage.more
                for event in usage.events:
                    assert event.request_id not in found, "a call was read twice"
                    if event.status == 200:
                        found[event.request_id] = event
            return len(found) >= served

        try:
            wait_for("the spend log names every call", all_there, 90)
        except AssertionError as error:
            raise AssertionError(f"{error}: {len(found)} of {served}") from error
        assert len(found) == served, (len(found), served)
        tokens = sum(each.input_tokens for each in found.values())
        assert tokens == 12 * served
        self.keep(f"{served} calls were served, {len(found)} events, {tokens} input tokens")


def main() -> int:
    os.environ["CONTRACT_MASTER"] = MASTER
    with tempfile.TemporaryDirectory(prefix="weir-") as folder, proxy(sys.argv[1], Path(folder)) as address:
        contract = Contract(address)
        try:
            contract.run()
        except BaseException:
            print((Path(folder) / "proxy.log").read_text()[-4000:], file=sys.stderr)
            raise
    print(json.dumps({"kept": len(contract.kept)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
