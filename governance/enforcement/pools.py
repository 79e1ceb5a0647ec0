"""Menus from what is known: the pools of an orchestrator, what a million tokens cost there, how late they are. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from routing.desired import DesiredState, Route, Target

from .control import Menu, Option
from .rungs import Disutility, Substitute
from .whatif import HARM, REFUSAL

# Moving to another pool for the same model: users notice a little at most; a spot pool may be taken away.
ELSEWHERE, SPOT = 0.02, 0.06
FLOOR = 0.01
TAIL = 0.05


@dataclass(frozen=True)
class Latency:
    """How a pool answered lately. over: share over the objective, 0 where there is none."""

    p95_ms: float | None = None
    over: float = 0.0


@dataclass(frozen=True)
class Kitchen:
    """What menus are made of.

    usd: (provider, model) -> dollars for a million tokens of the model's usual mix, None: unknown.
    harm: what a lead has said of substitutes. renames: the orchestrator can serve another model in a route.
    """

    state: DesiredState
    usd: Callable[[str, str], float | None]
    latency: Mapping[str, Latency]
    objective_ms: float | None = None
    renames: bool = True
    throttles: bool = True


def menu(kitchen: Kitchen, base: Route, team: str, substitutes: Sequence[Substitute]) -> Menu | None:
    """Every way to serve `base`'s model to `team`; None where nothing is known of what its base costs."""
    weights = base.tiers[0].weights if base.tiers else {}
    options, shares = [], []
    for target in _targets(kitchen.state, base, team):
        price = _price(kitchen, target, base.served_model or base.model)
        share = weights.get(target.name, 0) / 1_000_000
        if price is None and not share:
            continue
        options.append(_option(kitchen, target, price, share))
        shares.append(share)
    if not options or sum(shares) <= 0:
        return None
    options = _priced(options, shares)
    if not options:
        return None
    for each in substitutes if kitchen.renames else ():
        found = _substitute(kitchen, base, each)
        if found is not None:
            options.append(found)
            shares.append(0.0)
    total = sum(shares)
    return Menu(
        model=base.model,
        options=tuple(options),
        base=tuple(each / total for each in shares),
        refusal=REFUSAL,
        tail_objective=TAIL if kitchen.objective_ms is not None else 1.0,
        objective_ms=kitchen.objective_ms,
        may_refuse=kitchen.throttles,
    )


def _targets(state: DesiredState, base: Route, team: str) -> list[Target]:
    """The targets that serve the model somewhere, and may serve this team; those of its base first."""
    mine = [one.target for tier in base.tiers for one in tier.targets]
    others = [
        one.target
        for route in state.routes
        if route.model == base.model and route.served_model == base.served_model
        for tier in route.tiers
        for one in tier.targets
    ]
    found = [state.target(name) for name in dict.fromkeys([*mine, *others])]
    rules = [each for each in state.residency_rules if each.team in (None, team) and each.model in (None, base.model)]
    return [each for each in found if each is not None and all(each.residency in rule.allowed for rule in rules)]


def _price(kitchen: Kitchen, target: Target, model: str) -> float | None:
    own = target.attribute(f"usd_per_mtok:{model}") or target.attribute("usd_per_mtok")
    return float(own) if own else kitchen.usd(target.provider, model)


def _option(kitchen: Kitchen, target: Target, price: float | None, share: float) -> Option:
    late = kitchen.latency.get(target.name, Latency())
    harm = 0.0 if share else (SPOT if target.spot else ELSEWHERE)
    floor = FLOOR if share else 0.0
    return Option(target.name, -1.0 if price is None else price, harm, None, late.over, late.p95_ms, None, floor)


def _priced(options: Iterable[Option], shares: Sequence[float]) -> list[Option]:
    """Pools of the base without a price cost what the others do on average; nothing is known where none has one."""
    options = list(options)
    known = [(each.usd_per_mtok, share) for each, share in zip(options, shares, strict=True) if each.usd_per_mtok >= 0]
    if not known:
        return []
    weight = sum(share for _, share in known)
    mean = sum(usd * share for usd, share in known) / weight if weight else known[0][0]
    return [
        each
        if each.usd_per_mtok >= 0
        else Option(each.target, mean, each.disutility, None, each.over_objective, each.p95_ms, None, each.floor)
        for each in options
    ]


def _substitute(kitchen: Kitchen, base: Route, choice: Substitute) -> Option | None:
    """The other model at the pools where it is at home, at the mean of their prices."""
    home = next((r for r in kitchen.state.routes if r.model == choice.model and r.team is None), None) or base
    prices = []
    for name, weight in home.tiers[0].weights.items():
        target = kitchen.state.target(name)
        price = None if target is None else _price(kitchen, target, choice.model)
        if price is None:
            return None
        prices.append((price, weight))
    total = sum(weight for _, weight in prices)
    usd = sum(price * weight for price, weight in prices) / total
    return Option(f"model:{choice.model}", usd, HARM[Disutility(choice.disutility)], choice.model)
