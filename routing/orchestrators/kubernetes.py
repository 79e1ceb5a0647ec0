"""What the Kubernetes orchestrators share: server-side apply with a version check, and a record of what was applied.

One object a route, with one rule: `rules` is a list that must be owned whole, and the Gateway API lets the more
specific of two objects win, so a team's own route beats that of all teams. Beside the objects stands one ConfigMap,
written last: the snapshot in our own words with its generation and key. What the objects say and the record doesn't is
drift.

A killed push is repeated: objects that carry the plan's key already are left, those that still have the expected
version are written, any other is a Conflict. The gateway's own traffic can't be read through this API: a push is live
when the controller reports that it follows the object's generation, and its effect stays unproven here.
Source: https://gateway-api.sigs.k8s.io/, https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from routing.desired import (
    DesiredState,
    Difference,
    Problem,
    Route,
    Target,
    Tier,
    diff,
    from_plain,
    problems,
    to_plain,
)
from routing.drift import prove
from routing.orchestrators.base import (
    Capabilities,
    Conflict,
    Malformed,
    Observed,
    ObservedSplit,
    Plan,
    Proof,
    Receipt,
    Refused,
    Stale,
    Step,
    Usage,
)
from routing.orchestrators.naming import object_name
from routing.orchestrators.wire import Wire, secret_of

MANAGER = "weir"
LABEL = "app.kubernetes.io/managed-by"
KEY, GENERATION, INSTANCE = "weir.dev/key", "weir.dev/generation", "weir.dev/orchestrator"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
# A controller that has not followed by then has a problem that a person should see.
PROPAGATION = timedelta(seconds=60)

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of object, as the API's paths and documents name it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")


@dataclass(frozen=True)
class Cluster:
    """Where: the API server, the namespace, the Gateway, and the headers by which it knows model and team.

    team_header must be set by the gateway's own authentication and removed from what clients send.
    """

    wire: Wire
    namespace: str
    gateway: str
    model_header: str
    team_header: str

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, model_header: str) -> "Cluster":
        """settings: api, namespace, gateway, token_env|token_file[, ca_file, model_header, team_header]."""
        missing = [name for name in ("api", "namespace", "gateway") if not settings.get(name)]
        if missing:
            raise Refused(f"the settings lack {', '.join(missing)}: name the API server, the namespace, the Gateway")
        wire = Wire(
            str(settings["api"]).rstrip("/"),
            secret_of(settings),
            ca_file=str(settings["ca_file"]) if settings.get("ca_file") else None,
        )
        return cls(
            wire,
            str(settings["namespace"]),
            str(settings["gateway"]),
            str(settings.get("model_header") or model_header),
            str(settings.get("team_header") or "x-team"),
        )


def backend_of(target: Target) -> str:
    """The name of the object that stands for the target in the cluster."""
    return target.attribute("backend", target.name)


class KubernetesOrchestrator(ABC):
    """Server-side apply of one object a route (and what a kind needs beside it)."""

    #: The kinds that this orchestrator writes, in the order in which they are written.
    kinds: tuple[Kind, ...]
    abilities: Capabilities

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.cluster = cluster

    @abstractmethod
    def manifests(self, desired: DesiredState) -> list[Manifest]:
        """The objects of a sound snapshot, without versions and marks. Pure. Raises Unsupported."""

    @abstractmethod
    def read_tiers(self, rule: Manifest, names: Mapping[str, str]) -> tuple[Tier, ...]:
        """The tiers that a rule says now. names: backend -> target; a backend that is none of ours keeps its name."""

    def read_route(self, found: Manifest, recorded: DesiredState) -> Route | None:
        """The route that an object says now; None for what is no route of the form that we write."""
        try:
            (rule,) = found["spec"]["rules"]
            (match,) = rule["matches"]
            headers = {each["name"]: each["value"] for each in match["headers"]}
        except (KeyError, TypeError, ValueError):
            return None
        model, team = headers.get(self.cluster.model_header), headers.get(self.cluster.team_header)
        if model is None:
            return None
        names = {backend_of(each): each.name for each in recorded.targets}
        before = next((each for each in recorded.routes if (each.model, each.team) == (model, team)), None)
        served = before.served_model if before else None
        return Route(model, self.read_tiers(rule, names), team, served)

    def route_manifest(self, kind: Kind, route: Route, backends: list[Manifest]) -> Manifest:
        """The object of one route: one rule, matched by the model and, for a team's own route, the team."""
        headers = [{"type": "Exact", "name": self.cluster.model_header, "value": route.model}]
        if route.team is not None:
            headers.append({"type": "Exact", "name": self.cluster.team_header, "value": route.team})
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": object_name(self.name, route.model, route.team or ""),
                "namespace": self.cluster.namespace,
            },
            "spec": {
                "parentRefs": [self.gateway_reference()],
                "rules": [{"matches": [{"headers": headers}], "backendRefs": backends}],
            },
        }

    def gateway_reference(self) -> Manifest:
        return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": self.cluster.gateway}

    def capabilities(self) -> Capabilities:
        return self.abilities

    def observe(self) -> Observed:
        record = self._record()
        found = {kind: self._list(kind) for kind in self.kinds}
        versions = {_resource(each): _version(each) for each in _flat(found)}
        if record is None:
            foreign = tuple(_unknown(_resource(each)) for each in _flat(found))
            return Observed(state=None, generation=None, versions=versions, foreign=foreign)
        recorded, raw = record
        live = {name: version if _follows(each) else "" for each in _flat(found) for name, version in [_at(each)]}
        versions[_resource(raw)] = live[_resource(raw)] = _version(raw)
        routes = (self.read_route(each, recorded) for each in found[self.kinds[0]])
        actual = replace(recorded, routes=tuple(each for each in routes if each is not None))
        foreign = (*diff(recorded, actual), *self._strangers(_flat(found), recorded))
        return Observed(
            state=actual,
            generation=recorded.generation,
            versions=versions,
            live=live,
            foreign=foreign,
            rejected=tuple(words for each in _flat(found) for words in _refusals(each)),
        )

    def plan(self, desired: DesiredState, observed: Observed, *, force: bool = False) -> Plan:
        unsound = problems(desired)
        if unsound:
            raise Refused("; ".join(f"{each.subject}: {each.words}" for each in unsound))
        self._check_generation(desired, observed)
        if observed.foreign and not force:
            raise Conflict("others changed what Weir wrote: decide whether to write it over", observed.foreign)
        differences = tuple(diff(observed.state, desired))
        wanted = [self._marked(each, desired) for each in self.manifests(desired)]
        same = observed.state is not None and observed.generation == desired.generation and not differences
        steps = () if same and not observed.foreign else (*self._steps(wanted, observed), self._record_step(desired))
        return Plan(
            desired=desired,
            before=observed.state,
            steps=steps,
            differences=differences,
            expected=dict(observed.versions),
            overwrites=observed.foreign if force else (),
        )

    def validate(self, plan: Plan) -> list[Problem]:
        found: list[Problem] = []
        for step in plan.steps:
            try:
                self._do(step, plan, dry_run=True)
            except (Refused, Conflict) as error:
                found.append(Problem(step.resource, str(error)))
        return found

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        repeated = self._is_done(plan)
        if not repeated:
            for step in plan.steps:
                self._do(step, plan)
        return Receipt(
            key=plan.key,
            orchestrator=self.name,
            generation=plan.desired.generation,
            digest=plan.desired.digest(),
            applied_at=now,
            repeated=repeated,
        )

    def verify(
        self, receipt: Receipt, desired: DesiredState, *, before: DesiredState | None = None, now: datetime
    ) -> Proof:
        return prove(
            receipt=receipt,
            desired=desired,
            before=before,
            observed=self.observe(),
            capabilities=self.abilities,
            split=None,
            now=now,
        )

    def rollback(self, receipt: Receipt, earlier: DesiredState, *, now: datetime) -> Receipt:
        observed = self.observe()
        if observed.generation not in (receipt.generation, earlier.generation):
            raise Stale(f"the cluster holds generation {observed.generation}, not the one to take back")
        return self.apply(self.plan(earlier, observed), now=now)

    def read_usage(self, cursor: str, *, limit: int = 5000) -> Usage:
        del limit
        return Usage(events=(), cursor=cursor)

    def observed_split(self, since: datetime, *, now: datetime) -> ObservedSplit:
        return ObservedSplit(since=since, until=now, complete=False)

    def _check_generation(self, desired: DesiredState, observed: Observed) -> None:
        held = observed.generation
        if held is None or desired.generation > held:
            return
        equal = observed.state is not None and desired.digest() == self._recorded_digest(observed)
        if desired.generation < held or not equal:
            raise Stale(f"the cluster holds generation {held}: generation {desired.generation} is not later")

    def _recorded_digest(self, observed: Observed) -> str:
        # Drift must not make an equal push look like another one: what counts is what was written.
        record = self._record() if observed.foreign else None
        state = record[0] if record else observed.state
        return state.digest() if state else ""

    def _steps(self, wanted: Sequence[Manifest], observed: Observed) -> Iterator[Step]:
        for each in wanted:
            yield Step(_resource(each), f"apply {each['kind']} {each['metadata']['name']}", each, "PATCH")
        kept = {_resource(each) for each in wanted}
        for resource in sorted(observed.versions):
            if resource not in kept and not resource.startswith(CONFIG_MAP.kind):
                yield Step(resource, f"delete {resource}", None, "DELETE")

    def _record_step(self, desired: DesiredState) -> Step:
        body = self._marked(
            {
                "apiVersion": CONFIG_MAP.api_version,
                "kind": CONFIG_MAP.kind,
                "metadata": {"name": object_name("state", self.name), "namespace": self.cluster.namespace},
                "data": {"state.json": json.dumps(to_plain(desired), sort_keys=True)},
            },
            desired,
        )
        return Step(_resource(body), f"record generation {desired.generation}", body, "PATCH")

    def _do(self, step: Step, plan: Plan, *, dry_run: bool = False) -> None:
        """One step, unless an earlier try did it. Raises Conflict when the object changed since the plan was made."""
        kind, _, name = step.resource.partition("/")
        path = self._kind(kind).path(self.cluster.namespace, name)
        current = self.cluster.wire.call("GET", path, missing_is_none=True)
        params = {"dryRun": "All"} if dry_run else {}
        if step.method == "DELETE":
            if current is not None:
                _expect(step.resource, current, plan)
                options = {"preconditions": {"resourceVersion": current["metadata"]["resourceVersion"]}}
                self.cluster.wire.call("DELETE", path, options, params=params, missing_is_none=True)
            return
        if current is not None and current["metadata"].get("annotations", {}).get(KEY) == plan.key:
            if not plan.overwrites:
                return
        else:
            _expect(step.resource, current, plan)
        body = step.body
        if current is not None:
            version = current["metadata"]["resourceVersion"]
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        force = "true" if plan.overwrites else "false"
        params = {**params, "fieldManager": MANAGER, "force": force}
        self.cluster.wire.call("PATCH", path, body, params=params, content_type=APPLY)

    def _is_done(self, plan: Plan) -> bool:
        record = self._record()
        if record is None or record[1]["metadata"].get("annotations", {}).get(KEY) != plan.key:
            return False
        return not plan.overwrites and not self.observe().foreign

    def _record(self) -> tuple[DesiredState, Manifest] | None:
        path = CONFIG_MAP.path(self.cluster.namespace, object_name("state", self.name))
        raw = self.cluster.wire.call("GET", path, missing_is_none=True)
        if raw is None:
            return None
        try:
            generation = int(raw["metadata"]["annotations"][GENERATION])
            plain = json.loads(raw["data"]["state.json"])
            return from_plain(plain, orchestrator=self.name, generation=generation), raw
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(
                f"the ConfigMap {object_name('state', self.name)} can't be read ({error!r}): someone edited it; "
                "restore it, or delete it and let a person decide"
            ) from error

    def _list(self, kind: Kind) -> list[Manifest]:
        """All objects of `kind` that are this orchestrator's, over as many pages as there are."""
        found: list[Manifest] = []
        params: dict[str, Any] = {"labelSelector": f"{LABEL}={MANAGER},{INSTANCE}={_label(self.name)}", "limit": 500}
        while True:
            body = self.cluster.wire.call("GET", kind.path(self.cluster.namespace), params=params)
            # A list leaves out the kind of its items.
            found += [{**each, "apiVersion": kind.api_version, "kind": kind.kind} for each in body.get("items", [])]
            following = body.get("metadata", {}).get("continue")
            if not following:
                return found
            params = {**params, "continue": following}

    def _strangers(self, found: Sequence[Manifest], recorded: DesiredState) -> list[Difference]:
        """What differs from the record beyond routes: whole objects, or parts that no route can say."""
        wanted = {_resource(each): each for each in self.manifests(recorded)}
        strangers = [_unknown(_resource(each)) for each in found if _resource(each) not in wanted]
        for each in found:
            expected = wanted.get(_resource(each))
            if expected is not None and not _holds(each.get("spec"), expected["spec"]):
                strangers.append(_edited(_resource(each)))
        there = {_resource(each) for each in found}
        strangers += [_vanished(name) for name in sorted(wanted.keys() - there)]
        return strangers

    def _kind(self, name: str) -> Kind:
        return next(each for each in (*self.kinds, CONFIG_MAP) if each.kind == name)

    def _marked(self, manifest: Manifest, desired: DesiredState) -> Manifest:
        meta = {
            **manifest["metadata"],
            "labels": {LABEL: MANAGER, INSTANCE: _label(self.name)},
            "annotations": {KEY: desired.key(), GENERATION: str(desired.generation)},
        }
        return {**manifest, "metadata": meta}


def _label(name: str) -> str:
    """A label's value is at most 63 of few characters: a digest stands for the name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _flat(found: Mapping[Kind, Sequence[Manifest]]) -> list[Manifest]:
    return [each for group in found.values() for each in group]


def _resource(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def _version(manifest: Manifest) -> str:
    """What changes when someone edits the object. Not its resourceVersion: that moves with every status too."""
    meta = manifest["metadata"]
    return f"{meta['uid']}.{meta.get('generation') or meta['resourceVersion']}"


def _at(manifest: Manifest) -> tuple[str, str]:
    return _resource(manifest), _version(manifest)


def _expect(resource: str, current: Manifest | None, plan: Plan) -> None:
    held = None if current is None else _version(current)
    expected = plan.expected.get(resource)
    if held != expected:
        raise Conflict(f"{resource} is at version {held or 'none'}, the plan was made for {expected or 'none'}")


def _holds(found: Any, wanted: Any) -> bool:
    """Does `found` say all that `wanted` says? The API server adds defaults to objects, never items to our lists."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_holds(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _parents(manifest: Manifest) -> list[dict[str, Any]]:
    status = manifest.get("status") or {}
    # Routes have conditions for each parent, policies for each ancestor, AIGatewayRoute once at the top.
    at_top = [{"conditions": status["conditions"]}] if status.get("conditions") else []
    return status.get("parents") or status.get("ancestors") or at_top


def _follows(manifest: Manifest) -> bool:
    """Does every parent say that it follows the object as it is now?"""
    generation = manifest["metadata"].get("generation")
    parents = _parents(manifest)
    conditions = [each for parent in parents for each in parent.get("conditions", ()) if each["type"] == "Accepted"]
    return bool(conditions) and all(
        each["status"] == "True" and each.get("observedGeneration", generation) == generation for each in conditions
    )


def _refusals(manifest: Manifest) -> Iterator[str]:
    """What a controller says against the object's current generation."""
    generation = manifest["metadata"].get("generation")
    for parent in _parents(manifest):
        for each in parent.get("conditions", ()):
            current = each.get("observedGeneration", generation) == generation
            if current and each["type"] in ("Accepted", "ResolvedRefs") and each["status"] == "False":
                yield f"{_resource(manifest)}: {each.get('reason', '')}: {each.get('message', '')}"[:300]


def _unknown(resource: str) -> Difference:
    return Difference("object", resource, None, "there", f"{resource} carries Weir's label and is not in its record")


def _edited(resource: str) -> Difference:
    return Difference("object", resource, "as written", "edited", f"{resource} was edited by someone else")


def _vanished(resource: str) -> Difference:
    return Difference("object", resource, "there", None, f"{resource} was deleted by someone else")
