"""A stand-in that implements the documented contract, and misbehaves on purpose: for tests and for trying the loop.

`ContractServer.handle` is the whole server, so that tests can ask it in-process or over a real socket. Traffic is
imagined: `serve` shares requests as the live snapshot says.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from routing.desired import PPM, DesiredState, from_plain, problems, to_plain
from routing.orchestrators.base import Atomic, Capabilities, QuotaKind, RouteSplit, Unreachable, UsageEvent
from routing.orchestrators.calls import Answer
from routing.orchestrators.http import HttpOrchestrator, content_version

PROPAGATION = timedelta(seconds=5)
CAPABILITIES = Capabilities(
    atomic=Atomic.ALL,
    cas=True,
    weight_step_ppm=1,
    propagation=PROPAGATION,
    quotas=frozenset(QuotaKind),
    renames_model=True,
    exact_split=True,
)


class Misbehaviour(StrEnum):
    """What an orchestrator can do wrong. Each is one that was seen somewhere."""

    IGNORES = "ignores"  # says yes, changes nothing
    HALF_APPLIES = "half applies"  # says yes, keeps only a part
    LATE = "late"  # says yes, and the data plane follows only when told to
    LOSES_REQUEST = "loses request"  # no answer, nothing happened
    LOSES_ANSWER = "loses answer"  # no answer, and it happened
    CONFLICTS = "conflicts"  # 409
    OVERLOADED = "overloaded"  # 429
    BROKEN = "broken"  # 500
    GARBLED = "garbled"  # 200 with a page instead of JSON
    HANGS = "hangs"  # accepts the call and never answers
    MISROUTES = "misroutes"  # reads back what was put, routes as before
    REJECTS = "rejects"  # the API takes it, the data plane does not


@dataclass
class ContractServer:
    """The state behind the contract. release: ends what hangs."""

    name: str = "fake"
    misbehaves: Misbehaviour | None = None
    key: str = ""
    generation: int | None = None
    state: dict[str, Any] | None = None
    live: dict[str, Any] | None = None
    routed: dict[str, Any] | None = None
    rejected: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    events: list[UsageEvent] = field(default_factory=list)
    counted: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)
    token: str = ""

    def handle(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """One call of the contract. Raises Unreachable where a caller would wait for ever."""
        parts = urlsplit(path)
        self.calls.append(f"{method} {parts.path}")
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return _problem(401, "unauthorized", "the bearer token is not known here")
        match method, parts.path:
            case "GET", "/state":
                return self._show()
            case "POST", "/state/validate":
                return _json(200, {"problems": [asdict(each) for each in self._problems(body)]})
            case "PUT", "/state":
                return self._put(body, headers)
            case "GET", "/usage":
                return self._usage(parse_qs(parts.query))
            case "GET", "/split":
                return _json(200, {"routes": [asdict(each) for each in self.splits()], "complete": True})
        return _problem(404, "not_found", f"{method} {parts.path} is not of the contract")

    def follow(self) -> None:
        """The data plane catches up with what was put."""
        self.live = self.routed = self.state

    def restart(self) -> None:
        """Forget everything, as an orchestrator that keeps its state in memory."""
        self.key, self.generation = "", None
        self.state = self.live = self.routed = None
        self.rejected = []

    def edit(self, model: str, weights: Mapping[str, int]) -> None:
        """Somebody else changes a route behind our back."""
        state = json.loads(json.dumps(self.state))
        for route in state["routes"]:
            if route["model"] == model:
                route["tiers"][0] = [{"target": t, "weight_ppm": w} for t, w in sorted(weights.items())]
        self.state = self.live = self.routed = state

    def serve(self, team: str, model: str, number: int, *, at: datetime | None = None) -> None:
        """`number` requests, shared exactly as what is routed says; the last target takes what rounding leaves."""
        state = from_plain(self.routed or to_plain(DesiredState("x", 1)), orchestrator="x", generation=1)
        where = (model, team)
        if any(each.team in (None, team) and each.model in (None, model) for each in state.blocks):
            self.refused[where] = self.refused.get(where, 0) + number
            return
        route = state.route(model, team)
        if route is None:
            return
        counted = self.counted.setdefault(where, {})
        left = number
        weights = sorted(route.tiers[0].weights.items())
        for index, (target, weight) in enumerate(weights):
            share = left if index == len(weights) - 1 else number * weight // PPM
            counted[target] = counted.get(target, 0) + share
            left -= share
            self._log(state, team, model, target, share, at or datetime.now(UTC))

    def forget_traffic(self) -> None:
        self.counted.clear()
        self.refused.clear()

    def splits(self) -> list[RouteSplit]:
        wheres = sorted(self.counted.keys() | self.refused.keys())
        return [RouteSplit(*each, self.counted.get(each, {}), self.refused.get(each, 0)) for each in wheres]

    def _log(self, state: DesiredState, team: str, model: str, target: str, share: int, at: datetime) -> None:
        found = state.target(target)
        for _each in range(share):
            number = len(self.events) + 1
            event = UsageEvent(
                request_id=f"{self.name}-{number}",
                completed_at=at,
                provider=found.provider if found else "unknown",
                region=found.region if found else None,
                target=target,
                request_model=model,
                response_model=model,
                team=team,
                status=200,
                input_tokens=100,
                output_tokens=20,
                attempts=1,
            )
            self.events.append(event)

    def _version(self) -> str:
        return content_version({"state": self.state, "generation": self.generation})

    def _show(self) -> Answer:
        running = content_version({"state": self.live, "generation": self.generation})
        return _json(
            200,
            {
                "key": self.key or None,
                "generation": self.generation,
                "version": self._version(),
                "state": self.state,
                "live": running,
                "rejected": self.rejected,
                "ejected": [],
            },
        )

    def _problems(self, body: Any) -> list[Any]:
        try:
            return list(problems(from_plain(body["state"], orchestrator=self.name, generation=body["generation"])))
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"a body that is not of the contract: {error!r}") from error

    def _put(self, body: Any, headers: Mapping[str, str]) -> Answer:
        match self.misbehaves:
            case Misbehaviour.LOSES_REQUEST:
                raise Unreachable("PUT /state: no answer")
            case Misbehaviour.HANGS:
                self.release.wait(timeout=30)
                raise Unreachable("PUT /state: no answer")
            case Misbehaviour.CONFLICTS:
                return _problem(409, "conflict", "the state is not the expected one")
            case Misbehaviour.OVERLOADED:
                return _problem(429, "too_many", "slow down", {"retry-after": "7"})
            case Misbehaviour.BROKEN:
                return _problem(500, "broken", "a fault of mine")
            case Misbehaviour.GARBLED:
                return Answer(200, {"content-type": "text/html"}, b"<html>welcome</html>")
        key = headers.get("idempotency-key", "")
        if key == self.key:
            return self._took(body, repeated=True)
        if self.generation is not None and body["generation"] <= self.generation:
            return _problem(409, "stale", f"generation {self.generation} is here")
        if headers.get("if-match", "").strip('"') != self._version():
            return _problem(409, "conflict", f"the state is at {self._version()}")
        self._take(key, body)
        if self.misbehaves is Misbehaviour.LOSES_ANSWER:
            raise Unreachable("PUT /state: no answer")
        return self._took(body, repeated=False)

    def _take(self, key: str, body: Any) -> None:
        if self.misbehaves is Misbehaviour.IGNORES:
            return
        self.key, self.generation, self.state = key, body["generation"], body["state"]
        if self.misbehaves is Misbehaviour.HALF_APPLIES:
            self.state = {**body["state"], "routes": body["state"]["routes"][:1], "blocks": [], "quotas": []}
        if self.misbehaves is Misbehaviour.REJECTS:
            self.rejected = ["route 1: unknown cluster"]
            return
        if self.misbehaves is not Misbehaviour.LATE:
            self.live = self.state
            if self.misbehaves is not Misbehaviour.MISROUTES:
                self.routed = self.state

    def _took(self, body: Any, *, repeated: bool) -> Answer:
        took = {"generation": body["generation"], "digest": body["digest"], "version": self._version()}
        return _json(200, {**took, "repeated": repeated})

    def _usage(self, query: Mapping[str, list[str]]) -> Answer:
        start, limit = int((query.get("cursor") or ["0"])[0] or 0), int((query.get("limit") or ["5000"])[0])
        page = self.events[start : start + limit]
        events = [
            {name: value for name, value in asdict(each).items() if value is not None and name != "cost"}
            | {"completed_at": each.completed_at.isoformat()}
            for each in page
        ]
        end = start + len(page)
        return _json(200, {"events": events, "cursor": str(end), "more": end < len(self.events)})


class FakeOrchestrator(HttpOrchestrator):
    """The contract's client with the server in the same process."""

    def __init__(self, name: str = "fake", misbehaves: Misbehaviour | None = None) -> None:
        self.server = ContractServer(name, misbehaves)
        super().__init__(name, self._ask, CAPABILITIES)

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        # Through JSON, so that nothing is shared with the caller.
        sent = None if body is None else json.loads(json.dumps(body))
        if method == "PUT" and self.server.misbehaves is Misbehaviour.HANGS:
            raise Unreachable(f"{method} {path}: timed out")
        return self.server.handle(method, path, sent, headers)


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"content-type": "application/json", **(headers or {})}, json.dumps(content).encode())


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    return _json(status, {"status": status, "code": code, "detail": detail}, headers)
