"""What an orchestrator shall do, as one whole snapshot: targets, routes with weights, blocks, quotas, residency rules.

Pure values. Weights are integers in parts per million and sum to PPM in each tier. A snapshot has a generation (it only
grows) and a digest of its content (the same content has the same digest under every generation).
Not here: how a snapshot is reached (weights.py), how it is pushed (orchestrators/), what was observed (drift.py).
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

PPM = 1_000_000

T = TypeVar("T")
# Names end up in files, headers and URLs of orchestrators: no spaces, quotes, control characters or leading dots.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")


@dataclass(frozen=True, order=True)
class Target:
    """One place that serves: a pool of one provider in one region.

    provider: who serves and bills. endpoint: base URL, "https://host[:port][/path]".
    residency: where the data stays ("eu"), empty when nobody promises it.
    attributes: sorted (name, value) pairs that one orchestrator needs ("upstream_model", "deployment"); never secrets.
    """

    name: str
    provider: str
    region: str
    endpoint: str
    residency: str = ""
    spot: bool = False
    attributes: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str, default: str = "") -> str:
        return dict(self.attributes).get(name, default)


@dataclass(frozen=True, order=True)
class WeightedTarget:
    """A target by name and its share of the tier's requests, in parts per million."""

    target: str
    weight_ppm: int


@dataclass(frozen=True)
class Tier:
    """Targets that share requests. The next tier is used when this one is not healthy."""

    targets: tuple[WeightedTarget, ...]

    @classmethod
    def of(cls, weights: Mapping[str, int]) -> Self:
        """weights: target name -> parts per million. Weight 0 is left out: such a target gets nothing."""
        return cls(tuple(WeightedTarget(name, ppm) for name, ppm in sorted(weights.items()) if ppm != 0))

    @property
    def weights(self) -> dict[str, int]:
        return {each.target: each.weight_ppm for each in self.targets}


@dataclass(frozen=True)
class Route:
    """Where requests for `model` go. team None: of every team that has no route of its own for this model.

    served_model: another model that answers instead (the smaller-model rung); None: the asked one.
    """

    model: str
    tiers: tuple[Tier, ...]
    team: str | None = None
    served_model: str | None = None


@dataclass(frozen=True)
class BlockReason:
    """What a refused caller is told. spend and limit: amounts in `currency`; resets_at: aware, None if nobody knows."""

    budget: str
    spend: Decimal
    limit: Decimal
    resets_at: datetime | None
    message: str
    currency: str = "USD"

    def body(self) -> dict[str, Any]:
        """The body of the 429, in the shape that OpenAI's clients read."""
        return {
            "error": {
                "type": "budget_exceeded",
                "code": "budget_exceeded",
                "message": self.message,
                "budget": self.budget,
                "spend": f"{self.spend:f}",
                "limit": f"{self.limit:f}",
                "currency": self.currency,
                "resets_at": None if self.resets_at is None else self.resets_at.isoformat(),
            }
        }


@dataclass(frozen=True)
class Block:
    """Refuse every request of `team` (None: of all), for `model` (None: any)."""

    body: BlockReason
    team: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Quota:
    """Requests and tokens per minute for what `team`, `key` and `model` name together; None is "any"."""

    team: str | None = None
    key: str | None = None
    model: str | None = None
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True)
class ResidencyRule:
    """Requests of `team` (None: all) for `model` (None: any) may only go to targets of these residencies."""

    allowed: frozenset[str]
    team: str | None = None
    model: str | None = None

    def covers(self, route: Route) -> bool:
        """Does the rule bind some request that `route` serves? A route of every team also serves the rule's team."""
        team = self.team is None or route.team is None or self.team == route.team
        return team and self.model in (None, route.model)


@dataclass(frozen=True)
class DesiredState:
    """One orchestrator's whole snapshot. Order inside never matters: `canonical` sorts."""

    orchestrator: str
    generation: int
    targets: tuple[Target, ...] = ()
    routes: tuple[Route, ...] = ()
    blocks: tuple[Block, ...] = ()
    quotas: tuple[Quota, ...] = ()
    residency_rules: tuple[ResidencyRule, ...] = ()

    def canonical(self) -> bytes:
        """The content as sorted JSON, without the generation: equal content gives equal bytes."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    def digest(self) -> str:
        """SHA-256 of the content, hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def version(self) -> str:
        """How data planes name it: "<generation>-<12 hex of the digest>"."""
        return f"{self.generation}-{self.digest()[:12]}"

    def key(self) -> str:
        """The idempotency key of a push: the same key changes nothing."""
        return f"{self.orchestrator}:{self.generation}:{self.digest()}"

    def target(self, name: str) -> Target | None:
        return next((each for each in self.targets if each.name == name), None)

    def route(self, model: str, team: str | None) -> Route | None:
        """The route that serves `team`'s requests for `model`: its own, else that of all teams."""
        mine = [each for each in self.routes if each.model == model and each.team in (team, None)]
        return max(mine, key=lambda each: each.team is not None, default=None)


def to_plain(state: DesiredState) -> dict[str, Any]:
    """JSON values of the content (no generation, no orchestrator), sorted; `from_plain` reads them."""
    return {
        "targets": [_plain_target(each) for each in sorted(state.targets)],
        "routes": [_plain_route(each) for each in sorted(state.routes, key=_subject)],
        "blocks": [_plain_block(each) for each in sorted(state.blocks, key=_subject)],
        "quotas": [
            {"team": each.team, "key": each.key, "model": each.model, "rpm": each.rpm, "tpm": each.tpm}
            for each in sorted(state.quotas, key=_subject)
        ],
        "residency_rules": sorted(
            ({"team": r.team, "model": r.model, "allowed": sorted(r.allowed)} for r in state.residency_rules),
            key=lambda plain: json.dumps(plain, sort_keys=True),
        ),
    }


def from_plain(plain: Mapping[str, Any], *, orchestrator: str, generation: int) -> DesiredState:
    """The snapshot that `to_plain` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return DesiredState(
        orchestrator=orchestrator,
        generation=generation,
        targets=tuple(_read_target(each) for each in plain["targets"]),
        routes=tuple(_read_route(each) for each in plain["routes"]),
        blocks=tuple(_read_block(each) for each in plain["blocks"]),
        quotas=tuple(Quota(**each) for each in plain["quotas"]),
        residency_rules=tuple(
            ResidencyRule(frozenset(each["allowed"]), each["team"], each["model"]) for each in plain["residency_rules"]
        ),
    )


@dataclass(frozen=True)
class Problem:
    """Why a snapshot must not be pushed. subject: what it is about; words: the value, the limit and the fix."""

    subject: str
    words: str


def problems(state: DesiredState) -> list[Problem]:
    """Everything that forbids a push, in a stable order; empty when the snapshot is sound."""
    return [
        *_naming_problems(state),
        *_target_problems(state),
        *(problem for route in state.routes for problem in _route_problems(state, route)),
        *_twice("route", (_route_name(each) for each in state.routes)),
        *_twice("block", (_block_name(each) for each in state.blocks)),
        *_twice("quota", (_quota_name(each) for each in state.quotas)),
        *_twice("residency rule", (_rule_name(each) for each in state.residency_rules)),
        *_quota_problems(state),
        *residency_problems(state),
    ]


def residency_problems(state: DesiredState) -> Iterator[Problem]:
    """Targets that a residency rule forbids, in any tier: failover may not leave either."""
    for rule in state.residency_rules:
        for route in state.routes:
            if not rule.covers(route) or _has_own_route(state, rule, route):
                continue
            for name in sorted({each.target for tier in route.tiers for each in tier.targets}):
                target = state.target(name)
                if target is not None and target.residency not in rule.allowed:
                    yield Problem(
                        _route_name(route),
                        f"{name} keeps data in {target.residency or 'an unknown place'}; the rule for "
                        f"{rule.team or 'every team'} allows {', '.join(sorted(rule.allowed)) or 'nothing'}: "
                        "take the target out of this route",
                    )


@dataclass(frozen=True)
class Difference:
    """One thing that differs. kind: see `diff`; before, after: texts, None where absent; words: a sentence."""

    kind: str
    subject: str
    before: str | None
    after: str | None
    words: str


def diff(before: DesiredState | None, after: DesiredState) -> list[Difference]:
    """What changes in content, sorted by kind and subject; [] for equal content.

    kinds: target, tiers, weight, served_model, route, block, quota, residency_rule. A `weight` has the subject
    "team/model > target" and parts per million as before and after.
    """
    old = before or DesiredState(after.orchestrator, 0)
    return sorted(
        [
            *_named_differences("target", _by_name(old.targets), _by_name(after.targets), _target_words),
            *_route_differences(old, after),
            *_named_differences("block", _blocks(old), _blocks(after), _block_words),
            *_named_differences("quota", _quotas(old), _quotas(after), _quota_words),
            *_named_differences("residency_rule", _rules(old), _rules(after), str),
        ],
        key=lambda each: (each.kind, each.subject),
    )


def percent(ppm: int) -> str:
    """Parts per million as people read them: 182500 -> "18.25 %"."""
    return f"{Decimal(ppm) / 10_000:f}".rstrip("0").rstrip(".") + " %" if ppm % 10_000 else f"{ppm // 10_000} %"


def _subject(each: Route | Block | Quota) -> tuple[str, ...]:
    key = each.key if isinstance(each, Quota) else None
    return tuple("" if part is None else f"={part}" for part in (each.team, each.model, key))


def _plain_target(each: Target) -> dict[str, Any]:
    return {
        "name": each.name,
        "provider": each.provider,
        "region": each.region,
        "endpoint": each.endpoint,
        "residency": each.residency,
        "spot": each.spot,
        "attributes": dict(sorted(each.attributes)),
    }


def _read_target(plain: Mapping[str, Any]) -> Target:
    return Target(**{**plain, "attributes": tuple(sorted(plain["attributes"].items()))})


def _plain_route(each: Route) -> dict[str, Any]:
    tiers = [
        [{"target": one.target, "weight_ppm": one.weight_ppm} for one in sorted(tier.targets)] for tier in each.tiers
    ]
    return {"model": each.model, "team": each.team, "served_model": each.served_model, "tiers": tiers}


def _read_route(plain: Mapping[str, Any]) -> Route:
    tiers = tuple(Tier(tuple(WeightedTarget(**one) for one in tier)) for tier in plain["tiers"])
    return Route(plain["model"], tiers, plain["team"], plain["served_model"])


def _plain_block(each: Block) -> dict[str, Any]:
    body = each.body
    return {
        "team": each.team,
        "model": each.model,
        "budget": body.budget,
        "spend": f"{body.spend:f}",
        "limit": f"{body.limit:f}",
        "currency": body.currency,
        "resets_at": None if body.resets_at is None else body.resets_at.isoformat(),
        "message": body.message,
    }


def _read_block(plain: Mapping[str, Any]) -> Block:
    resets_at = plain["resets_at"]
    body = BlockReason(
        budget=plain["budget"],
        spend=Decimal(plain["spend"]),
        limit=Decimal(plain["limit"]),
        currency=plain["currency"],
        resets_at=None if resets_at is None else datetime.fromisoformat(resets_at),
        message=plain["message"],
    )
    return Block(body, plain["team"], plain["model"])


def _naming_problems(state: DesiredState) -> Iterator[Problem]:
    if state.generation < 1:
        yield Problem("generation", f"{state.generation}: a generation starts at 1 and only grows")
    named: list[tuple[str, str | None]] = [("orchestrator", state.orchestrator)]
    named += [("target", each.name) for each in state.targets]
    for route in state.routes:
        named += [("model", route.model), ("team", route.team), ("model", route.served_model)]
    for block in state.blocks:
        named += [("team", block.team), ("model", block.model)]
    for quota in state.quotas:
        named += [("team", quota.team), ("key", quota.key), ("model", quota.model)]
    for kind, name in named:
        if name is not None and not _NAME.fullmatch(name):
            yield Problem(kind, f"{name[:60]!r} can't be a name: use letters, digits and . _ : / @ + -, at most 200")


def _target_problems(state: DesiredState) -> Iterator[Problem]:
    yield from _twice("target", (each.name for each in state.targets))
    for each in state.targets:
        if not _is_endpoint(each.endpoint):
            yield Problem(each.name, f"endpoint {each.endpoint[:80]!r} is no http(s) address of a host without sign-in")


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and "@" not in parts.netloc


def _route_problems(state: DesiredState, route: Route) -> Iterator[Problem]:
    name = _route_name(route)
    if not route.tiers:
        yield Problem(name, "has no tier: give it at least one target, or block the model")
    seen: set[str] = set()
    for number, tier in enumerate(route.tiers, start=1):
        weights = [each.weight_ppm for each in tier.targets]
        if not weights or not any(weights):
            yield Problem(name, f"tier {number} is empty: no target has a weight; to refuse requests use a block")
            continue
        if min(weights) < 0 or sum(weights) != PPM:
            yield Problem(name, f"tier {number}: weights {weights} must be 0 or more and sum to {PPM}")
        for each in tier.targets:
            if state.target(each.target) is None:
                yield Problem(name, f"tier {number}: target {each.target!r} is not among the targets")
            if each.target in seen:
                yield Problem(name, f"tier {number}: target {each.target!r} stands twice in this route")
            seen.add(each.target)


def _quota_problems(state: DesiredState) -> Iterator[Problem]:
    for each in state.quotas:
        limits = (each.rpm, each.tpm)
        if limits == (None, None):
            yield Problem(_quota_name(each), "limits nothing: give it requests or tokens a minute, or leave it out")
        if any(limit is not None and limit < 1 for limit in limits):
            yield Problem(_quota_name(each), f"{limits} a minute: a quota is 1 or more; to refuse requests use a block")


def _twice(kind: str, names: Iterable[str]) -> Iterator[Problem]:
    ordered = sorted(names)
    for name in sorted({one for one, other in pairwise(ordered) if one == other}):
        yield Problem(name, f"this {kind} stands twice: keep one")


def _has_own_route(state: DesiredState, rule: ResidencyRule, route: Route) -> bool:
    """A team that has its own route for the model is not served by that of all teams."""
    if rule.team is None or route.team is not None:
        return False
    return any(each.team == rule.team and each.model == route.model for each in state.routes)


def _route_name(each: Route) -> str:
    return f"{each.team or 'every team'}/{each.model}"


def _block_name(each: Block) -> str:
    return f"{each.team or 'every team'}/{each.model or 'every model'}"


def _quota_name(each: Quota) -> str:
    name = f"{each.team or 'every team'}/{each.model or 'every model'}"
    return name if each.key is None else f"{name}/key {each.key}"


def _by_name(targets: Iterable[Target]) -> dict[str, Target]:
    return {each.name: each for each in targets}


def _blocks(state: DesiredState) -> dict[str, Block]:
    return {_block_name(each): each for each in state.blocks}


def _quotas(state: DesiredState) -> dict[str, Quota]:
    return {_quota_name(each): each for each in state.quotas}


def _rules(state: DesiredState) -> dict[str, str]:
    return {_rule_name(each): ", ".join(sorted(each.allowed)) for each in state.residency_rules}


def _rule_name(each: ResidencyRule) -> str:
    return f"{each.team or 'every team'}/{each.model or 'every model'}"


def _target_words(each: Target) -> str:
    spot = ", spot" if each.spot else ""
    extra = "".join(f", {name} {value}" for name, value in sorted(each.attributes))
    residency = f", data in {each.residency}" if each.residency else ""
    return f"{each.provider} {each.region} at {each.endpoint}{spot}{residency}{extra}"


def _block_words(each: Block) -> str:
    resets = "nobody knows when" if each.body.resets_at is None else each.body.resets_at.isoformat()
    body = each.body
    return f"{body.message} ({body.budget}: {body.spend:f} of {body.limit:f} {body.currency}, resets {resets})"


def _quota_words(each: Quota) -> str:
    parts = [f"{limit:,} {unit}" for limit, unit in ((each.rpm, "requests"), (each.tpm, "tokens")) if limit is not None]
    return f"{' and '.join(parts)} a minute"


def _named_differences(
    kind: str, old: Mapping[str, T], new: Mapping[str, T], show: Callable[[T], str]
) -> Iterator[Difference]:
    label = kind.replace("_", " ")
    for name in old.keys() | new.keys():
        before = show(old[name]) if name in old else None
        after = show(new[name]) if name in new else None
        if before == after and old.get(name) == new.get(name):
            continue
        if before is None:
            words = f"{label} for {name} comes: {after}"
        elif after is None:
            words = f"{label} for {name} goes"
        else:
            words = f"{label} for {name} changes from {before} to {after}"
        yield Difference(kind, name, before, after, words)


def _route_differences(old: DesiredState, new: DesiredState) -> Iterator[Difference]:
    was = {_route_name(each): each for each in old.routes}
    will = {_route_name(each): each for each in new.routes}
    for name in was.keys() | will.keys():
        before, after = was.get(name), will.get(name)
        if before is None or after is None:
            verb = "comes" if before is None else "goes"
            texts = [None if each is None else _route_words(each) for each in (before, after)]
            yield Difference("route", name, texts[0], texts[1], f"route {name} {verb}: {texts[0] or texts[1]}")
        if after is not None:
            yield from _weight_differences(name, before, after)
        if before is not None and after is not None:
            yield from _tier_differences(name, before, after)


def _weight_differences(name: str, before: Route | None, after: Route) -> Iterator[Difference]:
    """Of the first tier, where requests go while all is well; a target that is in none of both is not named."""
    was = before.tiers[0].weights if before is not None and before.tiers else {}
    will = after.tiers[0].weights if after.tiers else {}
    for target in was.keys() | will.keys():
        one, other = was.get(target, 0), will.get(target, 0)
        if before is not None and one != other:
            words = f"{name}: {target} from {percent(one)} to {percent(other)}"
            yield Difference("weight", f"{name} > {target}", str(one), str(other), words)


def _tier_differences(name: str, before: Route, after: Route) -> Iterator[Difference]:
    later = [[sorted(tier.weights.items()) for tier in route.tiers[1:]] for route in (before, after)]
    if later[0] != later[1]:
        texts = [_tiers_words(route.tiers[1:]) for route in (before, after)]
        words = f"{name}: failover from {texts[0]} to {texts[1]}"
        yield Difference("tiers", name, texts[0], texts[1], words)
    if before.served_model != after.served_model:
        one, other = before.served_model or before.model, after.served_model or after.model
        yield Difference("served_model", name, one, other, f"{name}: answered by {other} instead of {one}")


def _route_words(route: Route) -> str:
    served = f", answered by {route.served_model}" if route.served_model else ""
    return _tiers_words(route.tiers) + served


def _tiers_words(tiers: tuple[Tier, ...]) -> str:
    return (
        ", then ".join(
            " + ".join(f"{each.target} {percent(each.weight_ppm)}" for each in sorted(tier.targets)) for tier in tiers
        )
        or "nothing"
    )
