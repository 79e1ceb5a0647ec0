"""From what the controller wants to what an orchestrator is told: routes, quotas and blocks of one budget's teams.

Pure. Only what the loop itself steers is touched: a team's own route for a model, its quota there, and its blocks. What
stood before is kept by the caller and comes back when no budget asks any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from routing.desired import PPM, Block, BlockReason, DesiredState, Quota, Route, Tier

# A quota that would move by less than this stays: hourly rates are not worth a push.
QUOTA_SLACK_PPM = 100_000
# A whole route is served by another model or not: on from half of its traffic, off below a fifth.
SERVE_SMALLER_FROM, SERVE_SMALLER_UNTIL = 0.5, 0.2


@dataclass(frozen=True)
class Wish:
    """What is wanted for one team's use of one model.

    weights: target -> parts per million, None: as its base. served_model: answers in its place. tpm: most tokens a
    minute, None: no limit by the loop. block: refuse all, with this body.
    """

    team: str
    model: str
    weights: Mapping[str, int] | None = None
    served_model: str | None = None
    tpm: int | None = None
    block: BlockReason | None = None

    @property
    def is_base(self) -> bool:
        """Is nothing asked any more?"""
        return self.weights is None and self.served_model is None and self.tpm is None and self.block is None

    def plain(self) -> dict[str, Any]:
        """As it is kept."""
        weights = None if self.weights is None else dict(sorted(self.weights.items()))
        return {"weights": weights, "served_model": self.served_model, "tpm": self.tpm, "blocked": bool(self.block)}


@dataclass(frozen=True)
class Base:
    """What stood before the loop steered: own: the team's own route, None: it followed `common`, that of all teams."""

    own: Route | None
    common: Route | None

    @property
    def route(self) -> Route | None:
        return self.own or self.common


def with_wishes(
    standing: DesiredState, wishes: Iterable[Wish], bases: Mapping[tuple[str, str], Base], *, budget: str
) -> DesiredState:
    """`standing` with the wishes of one budget (its name is on the blocks); equal when nothing changes."""
    routes = {(each.team, each.model): each for each in standing.routes}
    quotas = {(each.team, each.key, each.model): each for each in standing.quotas}
    blocks = {(each.team, each.model): each for each in standing.blocks}
    for wish in wishes:
        place = (wish.team, wish.model)
        route = _route(wish, bases[place], routes)
        if route is None:
            routes.pop(place, None)
        else:
            routes[place] = route
        _set_quota(quotas, wish)
        _set_block(blocks, wish, budget)
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


def _set_quota(quotas: dict[tuple[str | None, str | None, str | None], Quota], wish: Wish) -> None:
    place = (wish.team, None, wish.model)
    held = quotas.get(place)
    if wish.tpm is None:
        if held is not None:
            left = replace(held, tpm=None)
            quotas[place] = left
            if left.rpm is None:
                del quotas[place]
        return
    if held is not None and held.tpm is not None and abs(held.tpm - wish.tpm) * PPM <= held.tpm * QUOTA_SLACK_PPM:
        return
    quotas[place] = Quota(wish.team, None, wish.model, held.rpm if held else None, wish.tpm)


def _set_block(blocks: dict[tuple[str | None, str | None], Block], wish: Wish, budget: str) -> None:
    place = (wish.team, wish.model)
    held = blocks.get(place)
    mine = held is not None and held.body.budget == budget
    if wish.block is None:
        if mine:
            del blocks[place]
        return
    if (
        held is not None
        and mine
        and held.body.resets_at == wish.block.resets_at
        and held.body.limit == wish.block.limit
    ):
        # Only the spend would differ: that is not worth a push.
        return
    blocks[place] = Block(wish.block, wish.team, wish.model)
