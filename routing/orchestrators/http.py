"""Any orchestrator that implements our documented contract (openapi/orchestrator.yaml): one snapshot in, proof out.

The other side keeps the snapshot with the key under which it came. What it holds and what the key promises are compared
by digest, so a change behind our back shows without us remembering anything.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from routing import desired as snapshots
from routing.desired import DesiredState, Difference, Problem, from_plain, to_plain
from routing.drift import prove
from routing.orchestrators.base import (
    Atomic,
    Capabilities,
    Conflict,
    Malformed,
    Observed,
    ObservedSplit,
    Plan,
    Proof,
    QuotaKind,
    Receipt,
    Refused,
    RouteSplit,
    Stale,
    Step,
    Unsupported,
    Usage,
    UsageEvent,
)
from routing.orchestrators.calls import Answer, call, raise_for
from routing.orchestrators.wire import secret_of

# What is assumed of an orchestrator that declares nothing.
CAUTIOUS = Capabilities(atomic=Atomic.NOTHING, cas=True, weight_step_ppm=1, propagation=timedelta(seconds=60))
_RESOURCE = "state"

# method, path, body, headers -> answer. Raises Unreachable.
Transport = Callable[[str, str, Any, Mapping[str, str]], Answer]


def open_http(name: str, settings: Mapping[str, Any]) -> "HttpOrchestrator":
    """settings: url, token_env|token_file[, ca_file, timeout_seconds, capabilities {...}]."""
    url = str(settings.get("url") or "")
    if not url:
        raise Refused(f"the settings of {name} lack url: the address of its API")
    token = secret_of(settings)
    timeout_seconds = float(settings.get("timeout_seconds") or 5.0)
    ca_file = str(settings["ca_file"]) if settings.get("ca_file") else None

    def transport(method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        signed = {**headers, "authorization": f"Bearer {token}"}
        return call(method, url, path, body=body, headers=signed, timeout_seconds=timeout_seconds, ca_file=ca_file)

    return HttpOrchestrator(name, transport, read_capabilities(settings.get("capabilities") or {}))


def read_capabilities(declared: Mapping[str, Any]) -> Capabilities:
    """Capabilities from JSON values; what is not named stays cautious. Raises Refused for an unknown name or value."""
    known = {each.name for each in fields(Capabilities)}
    values: dict[str, Any] = {each: getattr(CAUTIOUS, each) for each in known}
    try:
        for name, value in declared.items():
            match name:
                case "propagation_seconds":
                    values["propagation"] = timedelta(seconds=float(value))
                case "atomic":
                    values[name] = Atomic(value)
                case "quotas":
                    values[name] = frozenset(QuotaKind(each) for each in value)
                case "weight_step_ppm":
                    values[name] = int(value)
                case "absent":
                    values[name] = tuple((str(what), str(why)) for what, why in value)
                case _ if name in known and isinstance(value, bool):
                    values[name] = value
                case _:
                    raise Refused(f"capability {name} = {value!r} is not one of the contract")
    except (ValueError, TypeError) as error:
        raise Refused(f"capability {name}: {error}") from error
    return Capabilities(**values)


@dataclass(frozen=True)
class _Held:
    """The answer of GET /state."""

    key: str
    generation: int | None
    state: DesiredState | None
    version: str
    live: str
    rejected: tuple[str, ...]
    ejected: frozenset[str]


class HttpOrchestrator:
    """The protocol over the contract."""

    def __init__(self, name: str, transport: Transport, capabilities: Capabilities = CAUTIOUS) -> None:
        self.name = name
        self._transport = transport
        self._capabilities = capabilities

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def observe(self) -> Observed:
        held = self._held()
        foreign: tuple[Difference, ...] = ()
        if held.state is not None and held.key and held.state.digest() != held.key.rpartition(":")[2]:
            words = f"what it holds is not what {held.key.rpartition(':')[0]} put there: someone else changed a part"
            foreign = (Difference("state", self.name, held.key, held.state.key(), words),)
        elif held.state is not None and not held.key:
            foreign = (Difference("state", self.name, None, held.version, "it holds a state that Weir did not push"),)
        return Observed(
            state=held.state,
            generation=held.generation,
            versions={_RESOURCE: held.version},
            live={_RESOURCE: held.live},
            foreign=foreign,
            rejected=held.rejected,
            ejected=held.ejected,
        )

    def plan(self, desired: DesiredState, observed: Observed, *, force: bool = False) -> Plan:
        found = snapshots.problems(desired)
        if found:
            raise Refused("; ".join(f"{each.subject}: {each.words}" for each in found[:3]))
        _refuse_absent(desired, self._capabilities)
        held = observed.generation or 0
        same = observed.state is not None and observed.state.digest() == desired.digest()
        if desired.generation < held or (desired.generation == held and not same):
            raise Stale(f"it holds generation {held}: generation {desired.generation} comes too late")
        if observed.foreign and not force:
            raise Conflict(f"{observed.foreign[0].words}. Decide what stays first", observed.foreign)
        done = same and desired.generation == held and not observed.foreign
        body = {"generation": desired.generation, "digest": desired.digest(), "state": to_plain(desired)}
        return Plan(
            desired=desired,
            before=observed.state,
            steps=() if done else (Step(_RESOURCE, f"put generation {desired.generation}", body),),
            differences=tuple(snapshots.diff(observed.state, desired)),
            expected=dict(observed.versions),
            overwrites=observed.foreign,
        )

    def validate(self, plan: Plan) -> list[Problem]:
        if not self._capabilities.dry_run or not plan.steps:
            return snapshots.problems(plan.desired)
        answer = raise_for(self._transport("POST", "/state/validate", plan.steps[0].body, {}), "dry run")
        try:
            return [Problem(str(each["subject"]), str(each["words"])) for each in answer.json()["problems"]]
        except (KeyError, TypeError) as error:
            raise Malformed(f"the dry run's answer is not that of the contract: {answer.body[:120]!r}") from error

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        desired = plan.desired
        if not plan.steps:
            return self._receipt(desired, now, str(plan.expected.get(_RESOURCE, "")), repeated=True)
        headers = {"idempotency-key": plan.key, "if-match": f'"{plan.expected.get(_RESOURCE, "")}"'}
        answer = self._transport("PUT", "/state", plan.steps[0].body, headers)
        if answer.status == 409 and _code(answer) == "stale":
            raise Stale(f"put generation {desired.generation}: {answer.words()}")
        plain = raise_for(answer, f"put generation {desired.generation}").json()
        try:
            digest, version = str(plain["digest"]), str(plain["version"])
        except (KeyError, TypeError) as error:
            raise Malformed(f"the answer is not that of the contract: {answer.body[:120]!r}") from error
        if digest != desired.digest():
            raise Malformed(f"it says that it took {digest[:12]}, sent was {desired.digest()[:12]}")
        return self._receipt(desired, now, version, repeated=bool(plain.get("repeated")))

    def verify(
        self, receipt: Receipt, desired: DesiredState, *, before: DesiredState | None = None, now: datetime
    ) -> Proof:
        observed = self.observe()
        since = receipt.applied_at + self._capabilities.propagation
        asks = self._capabilities.observes_split and now > since
        return prove(
            receipt=receipt,
            desired=desired,
            before=before,
            observed=observed,
            capabilities=self._capabilities,
            split=self.observed_split(since, now=now) if asks else None,
            now=now,
        )

    def rollback(self, receipt: Receipt, earlier: DesiredState, *, now: datetime) -> Receipt:
        observed = self.observe()
        if observed.state is None or observed.state.digest() != receipt.digest:
            words = "it no longer holds what this receipt is for: decide from what is observed"
            raise Conflict(words, observed.foreign)
        return self.apply(self.plan(earlier, observed), now=now)

    def read_usage(self, cursor: str, *, limit: int = 5000) -> Usage:
        path = f"/usage?cursor={_quoted(cursor)}&limit={limit}"
        plain = raise_for(self._transport("GET", path, None, {}), "usage").json()
        try:
            events = tuple(_event(each) for each in plain["events"])
            return Usage(events, str(plain["cursor"]), bool(plain.get("more")), int(plain.get("lost", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"its usage is not that of the contract: {error!r}") from error

    def observed_split(self, since: datetime, *, now: datetime) -> ObservedSplit:
        path = f"/split?since={_quoted(since.isoformat())}&until={_quoted(now.isoformat())}"
        plain = raise_for(self._transport("GET", path, None, {}), "split").json()
        try:
            routes = tuple(
                RouteSplit(
                    str(each["model"]),
                    str(each["team"]),
                    {str(target): int(number) for target, number in each["requests"].items()},
                    int(each.get("refused", 0)),
                    int(each.get("failed", 0)),
                    int(each.get("retried", 0)),
                )
                for each in plain["routes"]
            )
            return ObservedSplit(since, now, routes, bool(plain.get("complete", True)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"its split is not that of the contract: {error!r}") from error

    def _held(self) -> _Held:
        answer = raise_for(self._transport("GET", "/state", None, {}), "read the state")
        plain = answer.json()
        try:
            generation = plain["generation"]
            state = plain["state"]
            return _Held(
                key=str(plain["key"] or ""),
                generation=None if generation is None else int(generation),
                state=None if state is None else from_plain(state, orchestrator=self.name, generation=generation or 1),
                version=str(plain["version"]),
                live=str(plain["live"] or ""),
                rejected=tuple(str(each) for each in plain.get("rejected", [])),
                ejected=frozenset(str(each) for each in plain.get("ejected", [])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"its state is not that of the contract: {error!r}") from error

    def _receipt(self, desired: DesiredState, now: datetime, version: str, *, repeated: bool) -> Receipt:
        versions = {_RESOURCE: version}
        return Receipt(desired.key(), self.name, desired.generation, desired.digest(), now, versions, repeated)


def content_version(plain: Mapping[str, Any] | None) -> str:
    """A version token for JSON values: what a server may use as its `version`."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _refuse_absent(desired: DesiredState, capabilities: Capabilities) -> None:
    """Raise Unsupported for what the orchestrator says that it can't do."""
    absent = []
    if not capabilities.renames_model and any(each.served_model for each in desired.routes):
        absent.append("answer with another model")
    if not capabilities.per_team_routes and any(each.team for each in desired.routes):
        absent.append("route a team by itself")
    if not capabilities.tiers and any(len(each.tiers) > 1 for each in desired.routes):
        absent.append("fail over to a second tier")
    if not capabilities.blocks and desired.blocks:
        absent.append("block")
    needed = {kind for each in desired.quotas for kind in quota_kinds(each)}
    absent += sorted(f"hold a quota of kind {kind}" for kind in needed - capabilities.quotas)
    if absent:
        raise Unsupported(f"this orchestrator can't {', nor '.join(absent)}: take it out of the snapshot")


def quota_kinds(quota: snapshots.Quota) -> list[QuotaKind]:
    """Which kinds one quota needs. A key belongs to a team, so a key's quota is of the kind "key" whatever its team.

    A quota for a key and a model has no kind of its own: it needs both.
    """
    parts = [name for name, value in (("key", quota.key), ("team", quota.team), ("model", quota.model)) if value]
    if "key" in parts:
        names = ["key", *(["model"] if "model" in parts else [])]
    else:
        names = ["_".join(parts)] if parts else ["model"]
    units = [unit for unit, limit in (("rpm", quota.rpm), ("tpm", quota.tpm)) if limit is not None]
    return [QuotaKind(f"{name}_{unit}") for name in names for unit in units]


def _code(answer: Answer) -> str:
    try:
        plain = json.loads(answer.body)
    except ValueError:
        return ""
    return str(plain.get("code", "")) if isinstance(plain, dict) else ""


def _quoted(text: str) -> str:
    return quote(text, safe="")


_EVENT_FIELDS = frozenset(each.name for each in fields(UsageEvent))


def _event(plain: Mapping[str, Any]) -> UsageEvent:
    """Fields beyond the contract's are left: nothing that we don't know is kept."""
    values = {name: value for name, value in plain.items() if name in _EVENT_FIELDS and name != "cost"}
    values = {"region": None, "target": None, "request_model": None, "response_model": None, "team": None, **values}
    completed_at = datetime.fromisoformat(str(plain["completed_at"]))
    if completed_at.utcoffset() is None:
        raise ValueError(f"completed_at {plain['completed_at']} has no zone")
    return UsageEvent(**{**values, "completed_at": completed_at})
