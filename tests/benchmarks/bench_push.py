"""The real Envoy under load: how soon a push is seen by a request, how exact a split is, and from breach to effect.

Usage: make bench-push SIZE=small|full; the last line is one JSON object:
{breach_to_effective_p95_s, push_to_first_p95_ms, bare_swap_p95_ms, client_errors, split_error_pct, ...}

- push_to_first: from the call of `apply` (journal, fsync, rename, all of it) to the end of the first request that the
  new split served. bare_swap: the same file written, synced and renamed by five lines, in turn with the pushes.
- client_errors: answers other than 200, and broken connections, during 100 pushes (full) of weights, routes, quotas and
  blocks of another team.
- split_error: the largest distance from 10 / 30 / 60 % over 10,000 requests, in points.
- breach_to_effective: telemetry passes a line -> feed at its cadence -> change proposed -> pushed -> proved effective
  by the traffic, all by the product's own services at the cadence of its clock. What the controller takes to decide is
  measured by bench-control.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from routing.desired import Block, BlockReason, DesiredState, Quota, Route, Target, Tier
from routing.orchestrators.envoy.bootstrap import Layout, free_port
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator
from tests.benchmarks.push_load import Load, Providers
from tests.routing.orchestrators.envoy_rig import Edge

FLIPS = {"small": 12, "full": 60}
PUSHES = {"small": 20, "full": 100}
REQUESTS = {"small": 2_000, "full": 10_000}
BREACHES = {"small": 3, "full": 12}
# The cadences of the settings: feed, push and verify, seconds.
FEED_EVERY, LOOP_EVERY = 20.0, 2.0
SECRETS = {"search|search-prod": "sk-search", "fraud|fraud-prod": "sk-fraud", "frozen|frozen-prod": "sk-frozen"}


def main() -> None:
    size = os.environ.get("SIZE", "small")
    with tempfile.TemporaryDirectory(prefix="weir-bench-push-") as scratch, _world(Path(scratch)) as (edge, providers):
        targets = tuple(
            Target(name, name, "r1", f"http://127.0.0.1:{port}", "eu") for name, port in providers.ports.items()
        )
        bench = Bench(edge, targets)
        bench.push(bench.on("aws"))
        load = Load(edge.layout.listen_port, "sk-search")
        load.await_first("aws")
        assert load.first() is not None, "no request was served"
        pushed, bare = bench.flips(load, FLIPS[size])
        bench.many_pushes(PUSHES[size])
        answers, errors = load.stop()
        print(f"{answers:,} answers under {PUSHES[size]} pushes and {2 * FLIPS[size]} flips, {errors} errors")
        split_error = bench.split(REQUESTS[size])
        breaches = _breaches(Path(scratch), bench, BREACHES[size])
        result = {
            "breach_to_effective_p95_s": round(_p95(breaches), 2),
            "breach_to_effective_median_s": round(statistics.median(breaches), 2),
            "push_to_first_p95_ms": round(_p95(pushed) * 1000, 1),
            "push_to_first_median_ms": round(statistics.median(pushed) * 1000, 1),
            "bare_swap_p95_ms": round(_p95(bare) * 1000, 1),
            "bare_swap_median_ms": round(statistics.median(bare) * 1000, 1),
            "client_errors": errors,
            "answers": answers,
            "split_error_pct": round(split_error, 3),
        }
    print(json.dumps(result))


@contextlib.contextmanager
def _world(scratch: Path) -> Iterator[tuple[Edge, Providers]]:
    providers = Providers()
    layout = Layout(scratch / "envoy", "127.0.0.1", free_port(), str(scratch / "admin.sock"))
    orchestrator = EnvoyOrchestrator("edge", layout)
    orchestrator.prepare(SECRETS)
    edge = Edge(orchestrator, layout)
    try:
        edge.start()
        yield edge, providers
    finally:
        edge.kill()
        providers.stop()


class Bench:
    """Pushes with rising generations."""

    def __init__(self, edge: Edge, targets: tuple[Target, ...]) -> None:
        self.edge, self.orchestrator, self.targets = edge, edge.orchestrator, targets
        self.generation = 0

    def state(self, *routes: Route, **more: Any) -> DesiredState:
        self.generation += 1
        return DesiredState("edge", self.generation, self.targets, routes, **more)

    def on(self, name: str) -> DesiredState:
        return self.state(Route("gpt-large", (Tier.of({name: 1_000_000}),)))

    def push(self, desired: DesiredState) -> float:
        """Seconds on time.monotonic's clock when `apply` was called; planning and the dry run come before."""
        plan = self.orchestrator.plan(desired, self.orchestrator.observe())
        began = time.monotonic()
        self.orchestrator.apply(plan, now=datetime.now(UTC))
        return began

    def flips(self, load: Load, number: int) -> tuple[list[float], list[float]]:
        """Seconds to the first request on the new split: by pushes, and by bare swaps of the same file, in turn."""
        pushed, bare = [], []
        for turn in range(number):
            name = ("azure", "aws")[turn % 2]
            desired = self.on(name)
            plan = self.orchestrator.plan(desired, self.orchestrator.observe())
            load.await_first(name)
            began = time.monotonic()
            self.orchestrator.apply(plan, now=datetime.now(UTC))
            pushed.append(_waited(load, began))
            time.sleep(0.15)
            bare.append(self._bare(load, ("gcp", name), desired))
            time.sleep(0.15)
        return pushed, bare

    def _bare(self, load: Load, names: tuple[str, str], desired: DesiredState) -> float:
        """To another provider by hand, and back byte for byte, so that nothing looks changed afterwards."""
        path = next(self.edge.layout.xds.glob("eds-model-gpt-large-*.json"))
        ours = path.read_bytes()
        document = json.loads(ours)
        other = self.on(names[0])
        self.generation -= 1
        from routing.orchestrators.envoy import render

        document["resources"] = [render.endpoints(other, other.routes[0])]
        document["version_info"] = f"bare-{time.monotonic_ns()}"
        content = json.dumps(document).encode()
        load.await_first(names[0])
        began = time.monotonic()
        _swap(path, content)
        seconds = _waited(load, began)
        _swap(path, ours)
        return seconds

    def many_pushes(self, number: int) -> None:
        """Weights, a route of a team that comes and goes, quotas, blocks of another team: whatever, nobody may fail."""
        reason = BlockReason("b", Decimal(1), Decimal(1), None, "spent")
        for turn in range(number):
            shares = Tier.of({"aws": 100_000 + turn * 8_000, "azure": 900_000 - turn * 8_000})
            routes = [Route("gpt-large", (shares,))]
            if turn % 4 in (1, 2):
                routes.append(Route("gpt-large", (Tier.of({"gcp": 1_000_000}),), team="search"))
            if turn % 5 == 0:
                routes.append(Route(f"gpt-{turn}", (Tier.of({"gcp": 1_000_000}),)))
            quotas = (Quota(team="fraud", rpm=100 + turn),) if turn % 3 == 0 else ()
            blocks = (Block(reason, "frozen"),) if turn % 2 else ()
            self.push(self.state(*routes, quotas=quotas, blocks=blocks))
            time.sleep(0.02)

    def split(self, number: int) -> float:
        """The largest distance from the wanted share, in points."""
        wanted = {"aws": 10.0, "azure": 30.0, "gcp": 60.0}
        tier = Tier.of({name: int(share * 10_000) for name, share in wanted.items()})
        self.push(self.state(Route("gpt-large", (tier,))))
        time.sleep(0.5)
        seen = dict.fromkeys(wanted, 0)
        for _each in range(number):
            status, headers, _body = self.edge.ask("fraud", "gpt-large")
            assert status == 200, status
            seen[headers["x-provider"]] += 1
        print(f"split over {number:,}: {seen}")
        return max(abs(seen[name] * 100 / number - share) for name, share in wanted.items())


def _waited(load: Load, began: float) -> float:
    seen = load.first()
    assert seen is not None, "no request on the new split within 10 s"
    return seen - began


def _swap(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".bare")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _breaches(scratch: Path, bench: Bench, number: int) -> list[float]:
    """Seconds from the moment that telemetry passes a line to the change's proof by traffic."""
    os.environ.update(
        WEIR_HOME=str(scratch / "home"), WEIR_DEMO="0", DJANGO_SETTINGS_MODULE="governance.config.settings"
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from attribution.actors import SYSTEM
    from routing import services

    layout = bench.edge.layout
    settings = {
        "folder": str(layout.folder),
        "listen": f"{layout.listen_host}:{layout.listen_port}",
        "admin": layout.admin,
    }
    services.register_orchestrator("edge", "envoy", settings, actor=SYSTEM, now=datetime.now(UTC))
    return _timed_breaches(bench, number)


def _timed_breaches(bench: Bench, number: int) -> list[float]:
    from routing.models import Orchestrator

    observed = bench.orchestrator.observe()
    Orchestrator.objects.update(generation=observed.generation or 0)
    load = Load(bench.edge.layout.listen_port, "sk-search", connections=1)
    # The product starts from a snapshot of its own; whoever registers an Envoy in use decides so.
    first = bench.orchestrator.plan(bench.on("aws"), observed)
    bench.orchestrator.apply(first, now=datetime.now(UTC))
    Orchestrator.objects.update(generation=bench.generation)
    try:
        return [_one_breach(bench, turn) for turn in range(number)]
    finally:
        load.stop()


def _one_breach(bench: Bench, turn: int) -> float:
    from attribution.actors import SYSTEM
    from routing import selectors, services
    from routing.models import ChangeSet
    from routing.proposing import Special

    cursor = _end_of_log(bench)
    # Breaches come at any phase of the feed: spread evenly over it.
    next_feed = time.monotonic() + FEED_EVERY * (turn % 4 + 0.5) / 4
    breach = time.monotonic()
    events = 0
    while True:
        _until(next_feed)
        usage = bench.orchestrator.read_usage(cursor, limit=50_000)
        events += len(usage.events)
        cursor = usage.cursor
        if events:
            break
        next_feed += FEED_EVERY
    name = ("azure", "gcp", "aws")[turn % 3]
    standing = selectors.standing_state("edge")
    route = Route("gpt-large", (Tier.of({name: 900_000, ("aws", "azure", "gcp")[turn % 3]: 100_000}),))
    base = standing or DesiredState("edge", 0, bench.targets)
    wanted = replace(base, targets=bench.targets, routes=(route,))
    why = services.Why(
        "decision", f"budget:{turn}", "spend passed the line", {"events": events}, "Move to a cheaper pool"
    )
    now = datetime.now(UTC)
    # Breaches of one budget would wait for each other's dwell; taking back does not.
    special = Special(force=True, takes_back=True)
    change = services.propose_change(
        "edge", wanted, why=why, actor=SYSTEM, approval="standing", now=now, urgent=True, special=special
    )
    assert change is not None
    next_loop = time.monotonic() + LOOP_EVERY / 2
    while time.monotonic() - breach < 120:
        _until(next_loop)
        next_loop += LOOP_EVERY
        services.push_pending(now=datetime.now(UTC))
        services.verify_pending(now=datetime.now(UTC))
        change.refresh_from_db()
        if change.status == ChangeSet.Status.EFFECTIVE:
            seconds = time.monotonic() - breach
            print(f"breach {turn + 1}: effective after {seconds:.1f} s: {change.proof_words}", file=sys.stderr)
            return seconds
    raise AssertionError(f"not effective after 120 s: {change.status} {change.proof_words} {change.waits_for}")


def _end_of_log(bench: Bench) -> str:
    cursor, more = "", True
    while more:
        usage = bench.orchestrator.read_usage(cursor, limit=100_000)
        cursor, more = usage.cursor, usage.more
    return cursor


def _until(instant: float) -> None:
    time.sleep(max(0.0, instant - time.monotonic()))


def _p95(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


if __name__ == "__main__":
    main()
