"""Desired against observed: what differs in configuration, and whether the traffic follows the weights.

Pure. `drift` compares snapshots; `judge_split` compares counted requests with weights, and says when there are too few
to tell; `prove` puts both together into one Proof, the same way for every orchestrator.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from routing.desired import PPM, Block, DesiredState, Difference, Route, diff, percent
from routing.orchestrators.base import Capabilities, Level, Observed, ObservedSplit, Proof, Receipt, RouteSplit

# A share within 1 % of the wanted one follows it, whatever the number of requests.
TOLERANCE_PPM = 10_000
# Requests that a deterministic splitter may be off by: one turn of each of a few workers.
EXACT_SLACK = 4
# A first look needs this many requests, however large the change.
FEWEST_REQUESTS = 30
# Within 3 standard errors counts as following; outside 5 as not following; in between nobody knows yet. The second is
# wider because it is asked again and again, and a false answer takes a good change back.
FOLLOWS_SIGMA, DIVERGES_SIGMA = 3.0, 5.0


class Verdict(StrEnum):
    """What counted requests say about a route."""

    FOLLOWS = "follows"
    DIVERGES = "diverges"
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Finding:
    """The verdict on one route or block, with its requests and its worst target, in words."""

    subject: str
    verdict: Verdict
    requests: int
    words: str
    differences: tuple[Difference, ...] = ()


def drift(wanted: DesiredState, observed: Observed) -> list[Difference]:
    """What the orchestrator holds or runs that isn't what we want; [] when it holds exactly `wanted`.

    Differences read "before = wanted, after = observed". Kinds beyond those of `diff`: generation, live, and what the
    orchestrator's module reports as foreign.
    """
    if observed.state is None:
        return [Difference("generation", wanted.orchestrator, str(wanted.generation), None, "it holds nothing of ours")]
    found = [*observed.foreign]
    told = {(each.kind, each.subject) for each in found}
    found += [each for each in diff(wanted, observed.state) if (each.kind, each.subject) not in told]
    if observed.generation is not None and observed.generation != wanted.generation:
        one, other = str(wanted.generation), str(observed.generation)
        words = f"it holds generation {other}, wanted is {one}"
        found.append(Difference("generation", wanted.orchestrator, one, other, words))
    return found + _not_live(observed)


def prove(
    *,
    receipt: Receipt,
    desired: DesiredState,
    before: DesiredState | None,
    observed: Observed,
    capabilities: Capabilities,
    split: ObservedSplit | None,
    now: datetime,
) -> Proof:
    """How far `receipt` is proved at `now`. split: requests since the change was live everywhere, None if unknown."""
    late = now > receipt.applied_at + capabilities.propagation
    if observed.generation is not None and observed.generation > receipt.generation:
        words = f"generation {observed.generation} has replaced generation {receipt.generation}"
        return Proof(Level.DRIFT, words, differences=tuple(drift(desired, observed)))
    if observed.foreign:
        words = "; ".join(each.words for each in observed.foreign[:3])
        return Proof(Level.DRIFT, words, differences=tuple(drift(desired, observed)))
    if observed.rejected:
        return Proof(Level.REJECTED, "; ".join(observed.rejected), overdue=late)
    if not _holds(receipt, observed):
        differences = tuple(drift(desired, observed))
        held = "nothing of ours" if observed.state is None else f"generation {observed.generation or 'unknown'}"
        words = f"it took generation {receipt.generation}, and reads back {held}"
        return Proof(Level.DRIFT if late else Level.ACCEPTED, words, overdue=late, differences=differences)
    waiting = _not_live(observed)
    if waiting:
        return Proof(Level.ACCEPTED, waiting[0].words, overdue=late, differences=tuple(waiting))
    if not observed.reachable:
        return Proof(Level.ACCEPTED, "written; the data plane does not answer, so nobody saw it live", overdue=late)
    return _prove_effect(desired, before, observed, capabilities, split)


def judge_split(
    desired: DesiredState,
    before: DesiredState | None,
    split: ObservedSplit,
    *,
    exact: bool,
    ejected: Iterable[str] = (),
) -> list[Finding]:
    """A finding for each route and block that `desired` changed against `before`, in a stable order.

    exact: shares follow weights deterministically. ejected: targets that get nothing now because they are unhealthy.
    """
    unhealthy = frozenset(ejected)
    return [
        *(_judge_block(block, split) for block in _new_blocks(desired, before)),
        *(_judge_opened(block, split, desired) for block in _gone_blocks(desired, before)),
        *(_judge_route(each, desired, before, split, exact, unhealthy) for each in _moved_routes(desired, before)),
    ]


def requests_of(route: Route, state: DesiredState, split: ObservedSplit) -> dict[str, int]:
    """Requests by target that `route` served in `split`: its team's, or those of all teams without a route."""
    counted: dict[str, int] = {}
    for each in _served_by(route, state, split):
        for target, number in each.requests.items():
            counted[target] = counted.get(target, 0) + number
    return counted


def _served_by(route: Route, state: DesiredState, split: ObservedSplit) -> list[RouteSplit]:
    own = {each.team for each in state.routes if each.model == route.model and each.team is not None}
    return [
        each
        for each in split.routes
        if each.model == route.model and (each.team == route.team if route.team is not None else each.team not in own)
    ]


def _holds(receipt: Receipt, observed: Observed) -> bool:
    if observed.state is None or observed.state.digest() != receipt.digest:
        return False
    return observed.generation is None or observed.generation == receipt.generation


def _not_live(observed: Observed) -> list[Difference]:
    if not observed.reachable:
        return []
    found = []
    for resource, version in sorted(observed.versions.items()):
        running = observed.live.get(resource)
        if running != version and observed.live:
            words = f"{resource}: {version} is written, {running or 'nothing'} runs"
            found.append(Difference("live", resource, version, running, words))
    return found


def _prove_effect(
    desired: DesiredState,
    before: DesiredState | None,
    observed: Observed,
    capabilities: Capabilities,
    split: ObservedSplit | None,
) -> Proof:
    if split is None:
        return Proof(Level.LIVE, "live; no traffic is observed here, effect unproven", effect_unproven=True)
    findings = judge_split(desired, before, split, exact=capabilities.exact_split, ejected=observed.ejected)
    diverging = [each for each in findings if each.verdict is Verdict.DIVERGES]
    if diverging:
        differences = tuple(one for each in diverging for one in each.differences)
        words = "; ".join(each.words for each in diverging)
        return Proof(Level.DRIFT, f"live, but the traffic differs: {words}", differences=differences, split=split)
    unproven = [each for each in findings if each.verdict is Verdict.UNPROVEN]
    if unproven:
        words = "; ".join(each.words for each in unproven[:3])
        return Proof(Level.LIVE, f"live, effect unproven: {words}", effect_unproven=True, split=split)
    words = "; ".join(each.words for each in findings[:3]) or "live; nothing in it moves traffic"
    return Proof(Level.EFFECTIVE, words, split=split)


def _moved_routes(desired: DesiredState, before: DesiredState | None) -> Iterator[Route]:
    for route in sorted(desired.routes, key=lambda each: (each.model, each.team or "")):
        if before is None or _shares(route) != _shares(before.route(route.model, route.team)):
            yield route


def _shares(route: Route | None) -> dict[str, int]:
    return {} if route is None or not route.tiers else route.tiers[0].weights


def _new_blocks(desired: DesiredState, before: DesiredState | None) -> list[Block]:
    old = {(each.team, each.model) for each in before.blocks} if before else set()
    return [each for each in _in_order(desired.blocks) if (each.team, each.model) not in old]


def _gone_blocks(desired: DesiredState, before: DesiredState | None) -> list[Block]:
    kept = {(each.team, each.model) for each in desired.blocks}
    return [each for each in _in_order(before.blocks if before else ()) if (each.team, each.model) not in kept]


def _in_order(blocks: Iterable[Block]) -> list[Block]:
    return sorted(blocks, key=lambda each: (each.team or "", each.model or ""))


def _covered(block: Block, split: ObservedSplit) -> list[RouteSplit]:
    return [each for each in split.routes if block.team in (None, each.team) and block.model in (None, each.model)]


def _name(block: Block) -> str:
    return f"{block.team or 'every team'}/{block.model or 'every model'}"


def _judge_block(block: Block, split: ObservedSplit) -> Finding:
    name, mine = _name(block), _covered(block, split)
    served, refused = sum(each.total for each in mine), sum(each.refused for each in mine)
    if served:
        words = f"{name} is blocked, and {served:,} requests were served since"
        gap = Difference("split", name, "0", str(served), words)
        return Finding(name, Verdict.DIVERGES, served + refused, words, (gap,))
    if not refused:
        return Finding(name, Verdict.UNPROVEN, 0, f"{name} sent nothing since the block")
    return Finding(name, Verdict.FOLLOWS, refused, f"{name}: {refused:,} requests refused, none served")


def _judge_opened(block: Block, split: ObservedSplit, desired: DesiredState) -> Finding:
    """A refusal after the block is gone proves nothing: another block or a quota may refuse too."""
    name, mine = _name(block), _covered(block, split)
    served = sum(each.total for each in mine)
    if served or not desired.routes:
        return Finding(name, Verdict.FOLLOWS, served, f"{name} is served again: {served:,} requests")
    return Finding(name, Verdict.UNPROVEN, 0, f"{name} was not served since the block went")


def _judge_route(
    route: Route,
    desired: DesiredState,
    before: DesiredState | None,
    split: ObservedSplit,
    exact: bool,
    unhealthy: frozenset[str],
) -> Finding:
    name = f"{route.team or 'every team'}/{route.model}"
    wanted = _shares(route)
    counted = requests_of(route, desired, split)
    total = sum(counted.values())
    if not split.complete:
        return Finding(name, Verdict.UNPROVEN, total, f"{name}: the log does not reach back to the change")
    out = sorted(unhealthy & wanted.keys())
    if out:
        return Finding(name, Verdict.UNPROVEN, total, f"{name}: {', '.join(out)} is unhealthy and gets nothing now")
    if total < FEWEST_REQUESTS:
        return Finding(name, Verdict.UNPROVEN, total, f"{name}: {total} requests are too few to tell")
    finding = _compare(name, wanted, counted, _largest_move(route, before), exact)
    retried = sum(each.retried for each in _served_by(route, desired, split))
    if finding.verdict is Verdict.DIVERGES and retried:
        # A target that fails is left out for a while: its share then goes to the others, and that is right.
        return Finding(name, Verdict.UNPROVEN, total, f"{name}: {retried:,} requests met a failing target meanwhile")
    return finding


def _largest_move(route: Route, before: DesiredState | None) -> int:
    """Parts per million; PPM when there is nothing to compare with."""
    old = _shares(before.route(route.model, route.team)) if before else {}
    if not old:
        return PPM
    new = _shares(route)
    return max(abs(new.get(each, 0) - old.get(each, 0)) for each in old.keys() | new.keys())


def _compare(name: str, wanted: Mapping[str, int], counted: Mapping[str, int], move: int, exact: bool) -> Finding:
    total = sum(counted.values())
    seen = {target: round(counted.get(target, 0) * PPM / total) for target in sorted(wanted.keys() | counted.keys())}
    gaps = {target: abs(share - wanted.get(target, 0)) for target, share in seen.items()}
    noise = {target: _noise(wanted.get(target, 0), total, exact) for target in seen}
    worst = max(gaps, key=lambda target: (gaps[target] - noise[target], wanted.get(target, 0)))
    words = f"{name}: {worst} {percent(_rounded(seen[worst]))} of {total:,}, wanted {percent(wanted.get(worst, 0))}"
    if any(gaps[each] > TOLERANCE_PPM + noise[each] * (1 if exact else DIVERGES_SIGMA) for each in gaps):
        difference = Difference("split", f"{name} > {worst}", str(wanted.get(worst, 0)), str(seen[worst]), words)
        return Finding(name, Verdict.DIVERGES, total, words, (difference,))
    sure = 1 if exact else FOLLOWS_SIGMA
    within = all(gaps[each] <= TOLERANCE_PPM + noise[each] * sure for each in gaps)
    # A split that could as well be the earlier one proves nothing.
    if not within or max(noise.values()) * sure > move / 2:
        return Finding(name, Verdict.UNPROVEN, total, f"{name}: {total:,} requests are too few to tell")
    return Finding(name, Verdict.FOLLOWS, total, words)


def _noise(share_ppm: int, total: int, exact: bool) -> float:
    """One standard error of a counted share, in parts per million; of a deterministic splitter its slack."""
    if exact:
        return EXACT_SLACK * PPM / total
    part = min(max(share_ppm / PPM, 1 / total), 1 - 1 / total)
    return math.sqrt(part * (1 - part) / total) * PPM


def _rounded(ppm: int) -> int:
    """To a tenth of a percent, for words."""
    return round(ppm / 1000) * 1000
