"""LiteLLM's proxy over its management API: weights and order of deployments, limits and blocks of teams and keys.

It has no generation and no compare-and-swap. What stands for them: a record in the metadata of a team that nobody
uses (the snapshot in our own words, its generation and key, written last), and a look at each resource just before it
is written. Someone who edits within that moment is written over; the next look shows it.

What was measured and shapes this module: `POST /model/update` silently drops `order` (PATCH keeps it); two calls are
not one, so shares rise before others fall; pods follow within 60 s and don't say when, so a push is live after that
time, and only the spend log proves an effect; a configuration that reads back right is no proof.
Source: https://docs.litellm.ai/docs/proxy/, version 1.84.0 or later.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from routing.desired import (
    DesiredState,
    Difference,
    Problem,
    Quota,
    Route,
    Target,
    Tier,
    WeightedTarget,
    diff,
    from_plain,
    problems,
    to_plain,
)
from routing.drift import prove
from routing.orchestrators import litellm_spend as spend
from routing.orchestrators.base import (
    Atomic,
    Capabilities,
    Conflict,
    Level,
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
)
from routing.orchestrators.naming import object_name
from routing.orchestrators.wire import Wire, secret_of

PROPAGATION = timedelta(seconds=60)
PAGE_SIZE = 1000
WINDOW = timedelta(hours=1)
KEPT = timedelta(days=7)

_ABSENT = (
    ("a team's own route", "weights belong to a model for everybody; give the team its own model name"),
    ("a stop of one model, or of one team's model", "LiteLLM blocks whole teams"),
    ("the reason in a hard stop's answer", "a blocked team gets LiteLLM's own 401"),
    ("quotas by model", "LiteLLM's limits of a deployment are for routing and refuse nobody"),
    ("dry run", "the management API has none; what can be known beforehand is checked"),
)


@dataclass(frozen=True)
class _Wanted:
    """What a resource shall hold: its token (for "is it so already?"), and the calls that make it so."""

    resource: str
    content: Mapping[str, Any]

    @property
    def token(self) -> str:
        return _token(self.content)


class LiteLLM:
    """One deployment a model and target, named by both; whatever else serves the same model name is drift."""

    abilities = Capabilities(
        atomic=Atomic.NOTHING,
        cas=False,
        weight_step_ppm=1,
        propagation=PROPAGATION,
        per_team_routes=False,
        block_bodies=False,
        quotas=frozenset({QuotaKind.TEAM_RPM, QuotaKind.TEAM_TPM, QuotaKind.KEY_RPM, QuotaKind.KEY_TPM}),
        dry_run=False,
        renames_model=True,
        credentials_per_target=True,
        dialects_per_target=True,
        absent=_ABSENT,
    )

    def __init__(self, name: str, wire: Wire) -> None:
        self.name = name
        self.wire = wire
        self._record_team = object_name("record", name)

    def capabilities(self) -> Capabilities:
        return self.abilities

    def observe(self) -> Observed:
        record = self._record()
        deployments = self._deployments()
        if record is None:
            return Observed(state=None, generation=None, versions={f"record/{self._record_team}": ""})
        contents, foreign = self._contents(record.state, deployments)
        versions = {resource: _token(content) for resource, content in contents.items()}
        versions[f"record/{self._record_team}"] = record.key
        return Observed(
            state=self._as_state(record.state, contents),
            generation=record.state.generation,
            versions=versions,
            foreign=tuple(foreign),
        )

    def plan(self, desired: DesiredState, observed: Observed, *, force: bool = False) -> Plan:
        unsound = problems(desired)
        if unsound:
            raise Refused("; ".join(f"{each.subject}: {each.words}" for each in unsound))
        _check_supported(desired)
        held, drifted = observed.generation, self._drift(observed)
        if held is not None and desired.generation <= held and not self._is_same(desired, observed):
            raise Stale(f"LiteLLM holds generation {held}: generation {desired.generation} is not later")
        if drifted and not force:
            raise Conflict("others changed what Weir wrote: decide whether to write it over", drifted)
        differences = tuple(diff(observed.state, desired))
        done = held == desired.generation and not differences and not drifted
        return Plan(
            desired=desired,
            before=observed.state,
            steps=() if done else tuple(self._steps(desired, observed)),
            differences=differences,
            expected=dict(observed.versions),
            overwrites=drifted if force else (),
        )

    def validate(self, plan: Plan) -> list[Problem]:
        """No dry run exists: teams and keys that are missing are found by looking."""
        return [
            Problem(step.resource, f"{step.resource} does not exist in LiteLLM: make it there first")
            for step in plan.steps
            if step.resource.startswith(("team/", "key/")) and self._current(step.resource) is None
        ]

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        record = self._record()
        repeated = record is not None and record.key == plan.key and not plan.overwrites
        if not repeated:
            self._check_untouched(plan)
            for step in plan.steps:
                self._do(step, plan)
        desired = plan.desired
        return Receipt(plan.key, self.name, desired.generation, desired.digest(), now, repeated=repeated)

    def verify(
        self, receipt: Receipt, desired: DesiredState, *, before: DesiredState | None = None, now: datetime
    ) -> Proof:
        observed = self.observe()
        drifted = self._drift(observed)
        everywhere = receipt.applied_at + PROPAGATION
        if not drifted and now < everywhere and observed.generation == receipt.generation:
            return Proof(Level.ACCEPTED, "written; LiteLLM's pods follow within 60 s and don't say when")
        split = None if drifted else self.observed_split(everywhere, now=now)
        return prove(
            receipt=receipt,
            desired=desired,
            before=before,
            observed=replace(observed, foreign=drifted),
            capabilities=self.abilities,
            split=split,
            now=now,
        )

    def rollback(self, receipt: Receipt, earlier: DesiredState, *, now: datetime) -> Receipt:
        observed = self.observe()
        if observed.generation not in (receipt.generation, earlier.generation):
            raise Stale(f"LiteLLM holds generation {observed.generation}, not the one to take back")
        return self.apply(self.plan(earlier, observed), now=now)

    def read_usage(self, cursor: str, *, limit: int = 5000) -> Usage:
        """Each call once. The cursor holds the ids of the trailing minutes, which are read again for what came late."""
        now = datetime.now(UTC)
        place = spend.Place.of(cursor, now - KEPT)
        record = self._record()
        targets = {each.name: each for each in record.state.targets} if record else {}
        names = self._target_names(record.state) if record else {}
        while True:
            end = min(place.start + WINDOW, now)
            rows = sorted(
                self._spend_rows(place.start - spend.LATE, end),
                key=lambda row: (str(row["startTime"]), spend.call_id(row)),
            )
            fresh = [row for row in rows if spend.short(row) not in place.seen]
            if fresh or end == now:
                break
            place = spend.Place(end, frozenset(spend.short(row) for row in rows if spend.is_late(row, end)))
        taken = fresh[:limit]
        more = len(fresh) > limit
        if more:
            place = spend.Place(place.start, place.seen | {spend.short(row) for row in taken})
        else:
            place = spend.Place(end, frozenset(spend.short(row) for row in rows if spend.is_late(row, end)))
        events = tuple(spend.event(row, names, targets) for row in taken)
        return Usage(events=events, cursor=place.text(), more=more or end < now)

    def observed_split(self, since: datetime, *, now: datetime) -> ObservedSplit:
        """From the spend log, which names the deployment that answered: a retry counts where it ended."""
        record = self._record()
        names = self._target_names(record.state) if record else {}
        served: dict[tuple[str, str], dict[str, int]] = {}
        failed: dict[tuple[str, str], int] = {}
        for row in self._spend_rows(since, now) if since < now else ():
            place = (str(row.get("model_group") or ""), str(row.get("team_id") or ""))
            if row.get("status") == "failure":
                failed[place] = failed.get(place, 0) + 1
                continue
            target = names.get(str(row.get("model_id")), str(row.get("model_id")))
            counted = served.setdefault(place, {})
            counted[target] = counted.get(target, 0) + 1
        routes = tuple(
            RouteSplit(model, team, served.get((model, team), {}), failed=failed.get((model, team), 0))
            for model, team in sorted(served.keys() | failed.keys())
        )
        return ObservedSplit(since=since, until=now, routes=routes)

    # --- what stands there now

    def _record(self) -> "_Record | None":
        found = self._team(self._record_team)
        if found is None:
            return None
        try:
            plain = (found.get("metadata") or {})["weir"]
            state = from_plain(plain["state"], orchestrator=self.name, generation=int(plain["generation"]))
            return _Record(state, str(plain["key"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(
                f"the metadata of LiteLLM's team {self._record_team} can't be read ({error!r}): someone edited it"
            ) from error

    def _team(self, team: str) -> dict[str, Any] | None:
        body = self.wire.call("GET", "/team/info", params={"team_id": team}, missing_is_none=True)
        found: dict[str, Any] | None = body and body.get("team_info", body)
        return found

    def _key(self, key: str) -> dict[str, Any] | None:
        body = self.wire.call("GET", "/key/info", params={"key": key}, missing_is_none=True)
        found: dict[str, Any] | None = body and body.get("info", body)
        return found

    def _deployments(self) -> list[dict[str, Any]]:
        body = self.wire.call("GET", "/model/info")
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise Malformed("GET /model/info: no list of models: is this LiteLLM's proxy?")
        deployments: list[dict[str, Any]] = body["data"]
        return deployments

    def _contents(
        self, recorded: DesiredState, deployments: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[str, Mapping[str, Any]], list[Difference]]:
        """What each resource of ours holds, and the deployments of others that share our model names."""
        ours = self._ids(recorded)
        models = {route.model for route in recorded.routes}
        contents: dict[str, Mapping[str, Any]] = {}
        foreign: list[Difference] = []
        for each in deployments:
            key = str(each["model_info"].get("id"))
            if key in ours:
                contents[f"model/{key}"] = _deployment_content(each)
            elif each["model_name"] in models and _takes_traffic(each):
                words = f"{each['model_name']}: deployment {key} of someone else takes a share"
                foreign.append(Difference("object", f"model/{key}", None, "there", words))
        for resource in sorted(_limited(recorded)):
            current = self._current(resource)
            if current is not None:
                contents[resource] = current
        return contents, foreign

    def _current(self, resource: str) -> Mapping[str, Any] | None:
        kind, _, name = resource.partition("/")
        if kind == "model":
            found = [each for each in self._deployments() if str(each["model_info"].get("id")) == name]
            return _deployment_content(found[0]) if found else None
        if kind == "record":
            record = self._record()
            return {"key": record.key} if record else None
        read = self._team(name) if kind == "team" else self._key(name)
        return None if read is None else _limits_content(read)

    def _as_state(self, recorded: DesiredState, contents: Mapping[str, Mapping[str, Any]]) -> DesiredState:
        """`recorded`, with what the resources really say."""
        routes = tuple(self._read_route(each, recorded, contents) for each in recorded.routes)
        blocks = [each for each in recorded.blocks if contents.get(f"team/{each.team}", {}).get("blocked")]
        quotas = [_read_quota(each, contents) for each in recorded.quotas]
        targets = tuple(_read_target(each, self._of_target(each, recorded, contents)) for each in recorded.targets)
        kept = tuple(each for each in quotas if each is not None)
        return replace(recorded, routes=routes, blocks=tuple(blocks), quotas=kept, targets=targets)

    def _of_target(
        self, target: Target, recorded: DesiredState, contents: Mapping[str, Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        names = [f"model/{self._id(route.model, target.name)}" for route in recorded.routes]
        return [contents[name] for name in names if name in contents]

    def _read_route(self, route: Route, recorded: DesiredState, contents: Mapping[str, Mapping[str, Any]]) -> Route:
        tiers: dict[int, list[WeightedTarget]] = {}
        served = route.served_model
        for target in recorded.targets:
            content = contents.get(f"model/{self._id(route.model, target.name)}")
            if content is None or not content["weight"] or content["blocked"]:
                continue
            tiers.setdefault(content["order"], []).append(WeightedTarget(target.name, content["weight"]))
            if content["model"] != _upstream(target, route.served_model or route.model):
                served = content["model"]
        ordered = tuple(Tier(tuple(sorted(tiers[order]))) for order in sorted(tiers))
        return replace(route, tiers=ordered, served_model=served)

    def _drift(self, observed: Observed) -> tuple[Difference, ...]:
        """What reads back differently from what was written, and what others put beside it."""
        record = self._record()
        if record is None or observed.state is None:
            return observed.foreign
        return (*diff(record.state, observed.state), *observed.foreign)

    def _is_same(self, desired: DesiredState, observed: Observed) -> bool:
        record = self._record()
        return record is not None and record.key == desired.key() and observed.generation == desired.generation

    # --- what shall stand there

    def _steps(self, desired: DesiredState, observed: Observed) -> Iterator[Step]:
        """Refusals first (they are urgent), then shares that rise, those that fall, and what is let in again."""
        wanted = {each.resource: each for each in self._wanted(desired, observed.state)}
        changed = [each for each in wanted.values() if observed.versions.get(each.resource) != each.token]
        yield from (_step(each) for each in sorted(changed, key=lambda each: self._turn(each, observed)))
        plain = {"generation": desired.generation, "key": desired.key(), "state": to_plain(desired)}
        yield Step(f"record/{self._record_team}", f"record generation {desired.generation}", plain, "POST")

    def _turn(self, wanted: _Wanted, observed: Observed) -> tuple[int, str]:
        if not wanted.resource.startswith("model/"):
            return (0 if wanted.content["blocked"] else 3), wanted.resource
        before = observed.state and self._weight_in(observed.state, wanted.resource)
        return (1 if wanted.content["weight"] > (before or 0) else 2), wanted.resource

    def _weight_in(self, state: DesiredState, resource: str) -> int:
        for route in state.routes:
            for tier in route.tiers:
                for each in tier.targets:
                    if f"model/{self._id(route.model, each.target)}" == resource:
                        return each.weight_ppm
        return 0

    def _wanted(self, desired: DesiredState, before: DesiredState | None) -> Iterator[_Wanted]:
        targets = {each.name: each for each in desired.targets}
        placed: set[str] = set()
        for route in desired.routes:
            for order, tier in enumerate(route.tiers, start=1):
                for each in tier.targets:
                    target = targets[each.target]
                    made = self._deployment(route, target, order, each.weight_ppm)
                    placed.add(made.resource)
                    yield made
        # What served until now and shall not any more stays, without a share: it can come back as it was.
        for route in before.routes if before else ():
            for target in before.targets if before else ():
                made = self._deployment(route, target, 1, 0)
                if made.resource not in placed and self._weight_in(before or desired, made.resource):
                    yield made
        for resource in sorted(_limited(desired) | (_limited(before) if before else set())):
            yield _Wanted(resource, _limits_of(resource, desired))

    def _deployment(self, route: Route, target: Target, order: int, weight: int) -> _Wanted:
        content = {
            "model_name": route.model,
            "model": _upstream(target, route.served_model or route.model),
            "api_base": target.endpoint,
            "credential": target.attribute("credential"),
            "order": order,
            "weight": weight,
            "blocked": weight == 0,
        }
        return _Wanted(f"model/{self._id(route.model, target.name)}", content)

    def _id(self, model: str, target: str) -> str:
        return object_name(self.name, model, target)

    def _ids(self, state: DesiredState) -> set[str]:
        return {self._id(route.model, target.name) for route in state.routes for target in state.targets}

    def _target_names(self, state: DesiredState) -> dict[str, str]:
        return {self._id(route.model, each.name): each.name for route in state.routes for each in state.targets}

    # --- doing it

    def _check_untouched(self, plan: Plan) -> None:
        """What the plan leaves as it is must be as it was too: else others changed what it counts on."""
        if plan.overwrites or plan.before is None:
            return
        written = {step.resource for step in plan.steps}
        now = self.observe().versions
        for resource, version in plan.expected.items():
            if resource not in written and now.get(resource) != version:
                raise Conflict(f"{resource} changed since the plan was made: look at the drift and decide")

    def _do(self, step: Step, plan: Plan) -> None:
        """One step, unless it is done. Raises Conflict when the resource is neither as planned nor as wanted."""
        kind, _, name = step.resource.partition("/")
        if kind == "record":
            self._write_record(step.body)
            return
        current = self._current(step.resource)
        held = "" if current is None else _token(current)
        if held == _token(step.body):
            return
        # A team or a key that the last snapshot did not limit has whatever limits it has: nobody expected any.
        known = step.resource in plan.expected or (current is not None and kind == "model")
        if known and held != plan.expected.get(step.resource, "") and not plan.overwrites:
            raise Conflict(f"{step.resource} changed since the plan was made: look at the drift and decide")
        match kind:
            case "model":
                self._write_deployment(name, step.body, exists=current is not None)
            case "team":
                self._write_team(name, step.body, current)
            case _:
                limits = {"rpm_limit": step.body["rpm_limit"], "tpm_limit": step.body["tpm_limit"]}
                self.wire.call("POST", "/key/update", {"key": name, **limits})

    def _write_deployment(self, key: str, content: Mapping[str, Any], *, exists: bool) -> None:
        params = {name: content[name] for name in ("model", "api_base", "order", "weight")}
        if content["credential"]:
            params["litellm_credential_name"] = content["credential"]
        if exists:
            body = {"litellm_params": params, "blocked": content["blocked"]}
            self.wire.call("PATCH", f"/model/{key}/update", body)
            return
        new = {"model_name": content["model_name"], "litellm_params": params, "model_info": {"id": key}}
        self.wire.call("POST", "/model/new", new)

    def _write_team(self, team: str, content: Mapping[str, Any], current: Mapping[str, Any] | None) -> None:
        if current is None:
            raise Refused(f"team {team} does not exist in LiteLLM: make it there first")
        if current["blocked"] != content["blocked"]:
            self.wire.call("POST", "/team/block" if content["blocked"] else "/team/unblock", {"team_id": team})
        limits = {name: content[name] for name in ("rpm_limit", "tpm_limit")}
        if any(current[name] != limits[name] for name in limits):
            self.wire.call("POST", "/team/update", {"team_id": team, **limits})

    def _write_record(self, plain: Mapping[str, Any]) -> None:
        there = self._team(self._record_team) is not None
        body = {"team_id": self._record_team, "metadata": {"weir": plain}}
        if there:
            self.wire.call("POST", "/team/update", body)
        else:
            self.wire.call(
                "POST", "/team/new", {**body, "team_alias": self._record_team, "blocked": True, "models": []}
            )

    def _spend_rows(self, since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
        """Rows that began in [since, until), each call once."""
        seen: set[str] = set()
        page, pages = 1, 1
        while page <= pages:
            params = {
                "start_date": spend.stamp(since),
                "end_date": spend.stamp(until),
                "page": page,
                "page_size": PAGE_SIZE,
            }
            body = self.wire.call("GET", "/spend/logs/v2", params=params)
            pages = int(body.get("total_pages") or 1)
            for row in body["data"]:
                began = spend.time_of(row.get("startTime"))
                if spend.call_id(row) not in seen and (began is None or since <= began < until):
                    seen.add(spend.call_id(row))
                    yield row
            page += 1


@dataclass(frozen=True)
class _Record:
    state: DesiredState
    key: str


def open_litellm(name: str, settings: Mapping[str, Any]) -> LiteLLM:
    """settings: url, and token_env or token_file: where the proxy's master key is kept."""
    if not settings.get("url"):
        raise Refused("the settings lack url: the proxy's address")
    wire = Wire(str(settings["url"]).rstrip("/"), secret_of(settings))
    return LiteLLM(name, wire)


def _check_supported(desired: DesiredState) -> None:
    for route in desired.routes:
        if route.team is not None:
            raise Unsupported(f"{route.team}/{route.model}: LiteLLM has no routes by team")
    for block in desired.blocks:
        if block.team is None or block.model is not None:
            raise Unsupported(f"{block.team or 'every team'}/{block.model}: LiteLLM blocks whole teams only")
    for quota in desired.quotas:
        if quota.model is not None or (quota.team is None) == (quota.key is None):
            raise Unsupported("LiteLLM's quotas are for one team or one key")


def _upstream(target: Target, model: str) -> str:
    """How LiteLLM names what answers: "<dialect>/<the provider's name of the model>"."""
    return target.attribute(f"upstream_model:{model}") or f"{target.attribute('dialect', 'openai')}/{model}"


def _deployment_content(found: Mapping[str, Any]) -> dict[str, Any]:
    params, told = found["litellm_params"], found["model_info"]
    return {
        "model_name": found["model_name"],
        "model": params.get("model"),
        "api_base": params.get("api_base") or "",
        "credential": params.get("litellm_credential_name") or "",
        "order": int(params.get("order") or 1),
        "weight": int(params.get("weight") or 0),
        "blocked": bool(told.get("blocked")),
    }


def _takes_traffic(found: Mapping[str, Any]) -> bool:
    return not found["model_info"].get("blocked")


def _limits_content(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "blocked": bool(found.get("blocked")),
        "rpm_limit": found.get("rpm_limit"),
        "tpm_limit": found.get("tpm_limit"),
    }


def _limited(state: DesiredState) -> set[str]:
    """The teams and keys that the snapshot blocks or limits, as resources."""
    found = {f"team/{each.team}" for each in state.blocks}
    return found | {_limit_resource(each) for each in state.quotas}


def _limit_resource(quota: Quota) -> str:
    return f"key/{quota.key}" if quota.key is not None else f"team/{quota.team}"


def _limits_of(resource: str, desired: DesiredState) -> dict[str, Any]:
    quota = next((each for each in desired.quotas if _limit_resource(each) == resource), None)
    blocked = any(f"team/{each.team}" == resource for each in desired.blocks)
    return {
        "blocked": blocked,
        "rpm_limit": quota.rpm if quota else None,
        "tpm_limit": quota.tpm if quota else None,
    }


def _read_quota(quota: Quota, contents: Mapping[str, Mapping[str, Any]]) -> Quota | None:
    content = contents.get(_limit_resource(quota), {})
    rpm, tpm = content.get("rpm_limit"), content.get("tpm_limit")
    return None if (rpm, tpm) == (None, None) else replace(quota, rpm=rpm, tpm=tpm)


def _read_target(target: Target, contents: Iterable[Mapping[str, Any]]) -> Target:
    """The target with the address that its deployments really have, if one differs."""
    others = sorted({content["api_base"] for content in contents} - {target.endpoint})
    return replace(target, endpoint=others[0]) if others else target


def _step(wanted: _Wanted) -> Step:
    kind, _, name = wanted.resource.partition("/")
    if kind == "model":
        content = wanted.content
        words = f"{content['model_name']}: {name} gets weight {content['weight']}, order {content['order']}"
    else:
        words = f"{kind} {name}: " + ("blocked" if wanted.content["blocked"] else "open, with its limits")
    return Step(wanted.resource, words, dict(wanted.content), "PATCH" if kind == "model" else "POST")


def _token(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
