"""From what the controller wants to what an orchestrator is told: routes, quotas and blocks of one budget's teams.

Pure. Only what the loop itself steers is touched: a team's own route for a model, its quota there, and its blocks. What
stood before is kept by the caller and comes back when no budget asks any more.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from routing.desired import PPM, Block, BlockReason, DesiredState, Quota, Route, Tier

# A quota that would move by less than this stays: hourly rates are not worth a push.
QUOTA_SLACK_PPM = 100_000
# The rails ask a person for a cut below 75 % of what a limit was.
GENTLE_PPM = 760_000
# A whole route is served by another model or not: on from half of its traffic, off below a fifth.
SERVE_SMALLER_FROM, SERVE_SMALLER_UNTIL = 0.5, 0.2


@dataclass(frozen=True)
class Wish:
    """What is wanted for one team's use of one model.

    weights: target -> parts per million, None: as its base. served_model: answers in its place. rpm, tpm: most requests
    and tokens a minute, None: no limit by the loop. block: refuse all, with this body.
    """

    team: str
    model: str
    weights: Mapping[str, int] | None = None
    served_model: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    block: BlockReason | None = None

    @property
    def is_base(self) -> bool:
        """Is nothing asked any more?"""
        asks = (self.weights, self.served_model, self.rpm, self.tpm, self.block)
        return all(each is None for each in asks)

    def plain(self) -> dict[str, Any]:
        """As it is kept."""
        weights = None if self.weights is None else dict(sorted(self.weights.items()))
        limits = {"rpm": self.rpm, "tpm": self.tpm}
        return {"weights": weights, "served_model": self.served_model, **limits, "blocked": bool(self.block)}


@dataclass(frozen=True)
class Base:
    """What stood before the loop steered: own: the team's own route, None: it followed `common`, that of all teams."""

    own: Route | None
    common: Route | None

    @property
    def route(self) -> Route | None:
        return self.own or self.common


@dataclass(frozen=True)
class Stop:
    """What a budget at its limit refuses: each (team, model) of `subjects`, None being any. No reason: nothing."""

    subjects: frozenset[tuple[str | None, str | None]] = frozenset()
    reason: BlockReason | None = None


Subject = tuple[str | None, str | None, str | None]
"""Whom a quota is for: team, key, model; None is any."""


def with_wishes(
    standing: DesiredState,
    wishes: Iterable[Wish],
    bases: Mapping[tuple[str, str], Base],
    *,
    budget: str,
    stop: Stop = Stop(),
    uses: Collection[tuple[str, str]] = (),
    gently: bool = True,
    declared: Mapping[Subject, Quota] = MappingProxyType({}),
) -> DesiredState:
    """`standing` with the wishes of one budget (its name is on the blocks); equal when nothing changes.

    stop: what it refuses wholly, beside single uses of a model. uses: all that the loop knows there, so that a stop's
    blocks are told from theirs. gently: a limit goes down by less than what needs a person's yes.
    declared: the quotas that people have set; throttling never gives more than they do, nor takes them away.
    """
    routes = {(each.team, each.model): each for each in standing.routes}
    quotas: dict[Subject, Quota] = {(each.team, each.key, each.model): each for each in standing.quotas}
    blocks = {(each.team, each.model): each for each in standing.blocks}
    for wish in wishes:
        place = (wish.team, wish.model)
        route = _route(wish, bases[place], routes)
        if route is None:
            routes.pop(place, None)
        else:
            routes[place] = route
        _set_quota(quotas, wish, declared, gently)
        # A stop of the whole scope says it once, for models that nobody has used yet too.
        _set_block(blocks, (wish.team, wish.model), None if stop.reason else wish.block, budget)
    known: set[tuple[str | None, str | None]] = {*bases, *uses}
    wide = {place for place, each in blocks.items() if each.body.budget == budget and place not in known}
    for subject in {*wide, *stop.subjects}:
        _set_block(blocks, subject, stop.reason if subject in stop.subjects else None, budget)
    return replace(
        standing, routes=tuple(routes.values()), quotas=tuple(quotas.values()), blocks=tuple(blocks.values())
    )


def _route(wish: Wish, base: Base, routes: Mapping[tuple[str | None, str], Route]) -> Route | None:
    if wish.weights is None and wish.served_model is None:
        return base.own
    old = base.route
    if old is None:
        return None
    if wish.served_model is not None:
        # The other model is served where it is at home, else where the asked one is.
        home = routes.get((None, wish.served_model))
        tiers = home.tiers if home is not None else old.tiers
        return Route(wish.model, tiers, wish.team, (home.served_model if home else None) or wish.served_model)
    return Route(wish.model, _tiers(old, wish.weights or {}), wish.team, old.served_model)


def _tiers(old: Route, weights: Mapping[str, int]) -> tuple[Tier, ...]:
    """The first tier as wanted; the others without what it has, since a target stands once in a route."""
    first = Tier.of(weights)
    taken = first.weights.keys()
    later = []
    for tier in old.tiers[1:]:
        left = {name: weight for name, weight in tier.weights.items() if name not in taken}
        if left:
            later.append(Tier.of(_scaled(left)))
    return (first, *later)


def _scaled(weights: Mapping[str, int]) -> dict[str, int]:
    total = sum(weights.values())
    scaled = {name: weight * PPM // total for name, weight in sorted(weights.items())}
    first = next(iter(scaled))
    scaled[first] += PPM - sum(scaled.values())
    return scaled


def _set_quota(quotas: dict[Subject, Quota], wish: Wish, declared: Mapping[Subject, Quota], gently: bool) -> None:
    place: Subject = (wish.team, None, wish.model)
    said, held = declared.get(place) or Quota(*place), quotas.get(place) or Quota(*place)
    rpm, tpm = _least(wish.rpm, said.rpm, held.rpm, gently), _least(wish.tpm, said.tpm, held.tpm, gently)
    if rpm is None and tpm is None:
        quotas.pop(place, None)
    else:
        quotas[place] = Quota(*place, rpm, tpm)


def _least(wished: int | None, said: int | None, held: int | None, gently: bool) -> int | None:
    """The stricter of the loop's limit and a person's; the one that holds where the loop's is about the same."""
    if wished is not None and held is not None and (said is None or held <= said):
        wished = held if abs(held - wished) * PPM <= held * QUOTA_SLACK_PPM else wished
        wished = max(wished, -(-held * GENTLE_PPM // PPM)) if gently else wished
    return min((each for each in (wished, said) if each is not None), default=None)


def _set_block(
    blocks: dict[tuple[str | None, str | None], Block],
    place: tuple[str | None, str | None],
    reason: BlockReason | None,
    budget: str,
) -> None:
    held = blocks.get(place)
    mine = held is not None and held.body.budget == budget
    if reason is None:
        if mine:
            del blocks[place]
        return
    if held is not None and mine and (held.body.resets_at, held.body.limit) == (reason.resets_at, reason.limit):
        # Only the spend would differ: that is not worth a push.
        return
    blocks[place] = Block(reason, *place)
