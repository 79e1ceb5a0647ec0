"""Why a budget asks for what it asks, in words that a lead understands, with the figures in them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .control import ControlBudget, ControlInputs, Floats, Ints, Menu, Method

_MOST_MOVES = 2


@dataclass(frozen=True)
class Move:
    """What happens to one team's use of one model: tokens leave `source` for `target`, or are refused.

    part: share of the cell's traffic. late_ms: how much its p95 rises; objective_ms: what it may be; None: unknown.
    """

    team: str
    model: str
    source: str
    target: str
    part: float
    late_ms: float | None
    p95_ms: float | None
    objective_ms: float | None


@dataclass(frozen=True)
class Facts:
    """All that a reason is made of. Amounts in `currency`; margin relative to the rest of the forecast."""

    budget: ControlBudget
    currency: str
    now: datetime
    method: Method
    price: float
    available: float
    expected_end: float
    without: float
    margin: float
    fits: bool
    spared: int
    moves: Sequence[Move]
    in_steps: bool = False
    step: float = 0.25


def reason(facts: Facts) -> str:
    """One to four sentences: what would happen, what is done about it, what it costs the people who use it."""
    budget = facts.budget
    if facts.method is Method.FROZEN:
        return f"{budget.name} is frozen: the last state holds until someone resumes it."
    if facts.method is Method.STOP:
        return f"{_spent(facts)} nothing is left until {_day(budget.period_end)}, so its requests are refused."
    sentences = [_outlook(facts)]
    if facts.method is Method.NONE:
        over = facts.without > budget.limit
        return f"{sentences[0]} Its policy asks nothing of its traffic yet." if over else sentences[0]
    sentences.append(_action(facts))
    if facts.method is Method.PACING:
        sentences.append("There is no forecast yet, so spend is paced evenly to the end of the period.")
    if facts.spared:
        sentences.append(f"{_count(facts.spared, 'use')} of teams inside their own budgets stay as they are.")
    if not budget.may_loosen:
        sentences.append("For now nothing is loosened: data is late, or what holds has not held for long enough.")
    return " ".join(sentences)


def money(amount: float, currency: str) -> str:
    """$39,700 above a hundred, cents below."""
    sign = "$" if currency == "USD" else f"{currency} "
    digits = 0 if abs(amount) >= 100 else 2
    return f"{'-' if amount < 0 else ''}{sign}{abs(amount):,.{digits}f}"


def moves(inputs: ControlInputs, touched: Ints, shares: Floats) -> tuple[Move, ...]:
    """The largest movements among touched cells against their base, by dollars."""
    cells = inputs.cells
    dollars = cells.rate[touched] * cells.usd_per_mtok[touched]
    largest = touched[dollars.argsort(kind="stable")[::-1][:50]]
    found = [
        (part * float(cells.rate[at] * cells.usd_per_mtok[at]), move)
        for at in largest
        for part, move in _moves_of(cells.team[at], inputs.menus[cells.menu[at]], shares[at])
    ]
    return tuple(move for _, move in sorted(found, key=lambda each: -each[0])[:_MOST_MOVES])


def _moves_of(team: str, menu: Menu, shares: Floats) -> list[tuple[float, Move]]:
    change = [float(share - base) for share, base in zip(shares, menu.base, strict=False)]
    source = menu.options[min(range(len(change)), key=change.__getitem__)]
    before = _p95(menu, list(menu.base))
    after = _p95(menu, [float(each) for each in shares[: len(menu.base)]])
    late = None if before is None or after is None else after - before
    found = []
    for option, part in zip(menu.options, change, strict=True):
        if part > 0.005:
            target = f"{option.substitute} in its place" if option.substitute else option.target
            found.append((part, Move(team, menu.model, source.target, target, part, late, after, menu.objective_ms)))
    refused = float(shares[-1])
    if refused > 0.0005:
        found.append((refused, Move(team, menu.model, source.target, "", refused, late, after, menu.objective_ms)))
    return found


def _p95(menu: Menu, shares: list[float]) -> float | None:
    """The slowest p95 among pools with a part that matters: an upper bound of the mixture's."""
    used = [option.p95_ms for option, share in zip(menu.options, shares, strict=True) if share >= 0.05]
    known = [each for each in used if each is not None]
    return max(known) if known and len(known) == len(used) else None


def _outlook(facts: Facts) -> str:
    budget, limit = facts.budget, money(facts.budget.limit, facts.currency)
    if facts.budget.limit <= facts.budget.spent:
        return _spent(facts)
    if facts.without <= budget.limit:
        end = money(facts.without, facts.currency)
        if facts.method is Method.NONE:
            return f"{budget.name} is expected to end at {end} of {limit}; nothing is asked of its traffic."
        if facts.available < (facts.without - budget.spent - budget.committed) * (1 + facts.margin):
            return f"{budget.name} is expected to end at {end} of {limit}, too close for how uncertain that is."
        return f"{budget.name} is expected to end at {end} of {limit}; what was asked of it is taken back slowly."
    when = _crossing(facts)
    passes = f"will pass {limit}" + (f" on {when}" if when else "")
    return f"{budget.name} {passes} and end at {money(facts.without, facts.currency)} if nothing changes."


def _spent(facts: Facts) -> str:
    spent, limit = (money(each, facts.currency) for each in (facts.budget.spent, facts.budget.limit))
    return f"{facts.budget.name} has spent {spent} of {limit};"


def _crossing(facts: Facts) -> str | None:
    """The day on which an even run of the forecast passes the limit."""
    hours = (facts.budget.period_end - facts.now).total_seconds() / 3600
    rest = facts.without - facts.budget.spent - facts.budget.committed
    if rest <= 0 or hours <= 0:
        return None
    return _day(facts.now + timedelta(hours=hours * facts.available / rest))


def _action(facts: Facts) -> str:
    end = money(facts.expected_end, facts.currency)
    keeps = f"keeps it at {end}" if facts.fits else f"brings it to {end}, and no permitted step goes further"
    if not facts.moves:
        return f"What its policy permits now {keeps}." if not facts.fits else f"The traffic that is left {keeps}."
    steps = " and ".join(_move(each) for each in facts.moves)
    slowly = f", in steps of at most {facts.step * 100:.0f} %," if facts.in_steps else ""
    sentence = f"{steps[0].upper()}{steps[1:]}{slowly} {keeps}"
    late = next((each for each in facts.moves if each.late_ms is not None and each.late_ms > 0.5), None)
    return f"{sentence}; {_latency(late)}." if late else f"{sentence}."


def _move(move: Move) -> str:
    part = f"{move.part * 100:.0f} %" if move.part >= 0.01 else "under 1 %"
    team = move.team or "unowned"
    possessive = f"{team}'" if team.endswith("s") else f"{team}'s"
    whose = f"{possessive} {move.model} traffic"
    if not move.target:
        return f"refusing {part} of {whose}"
    if move.target.endswith(" in its place"):
        return f"serving {part} of {whose} by {move.target}"
    return f"moving {part} of {whose} to {move.target}"


def _latency(move: Move) -> str:
    rises = f"p95 rises by at most {move.late_ms:.0f} ms"
    if move.objective_ms is None or move.p95_ms is None:
        return rises
    within = "within" if move.p95_ms <= move.objective_ms else "beyond"
    return f"{rises}, {within} the {_seconds(move.objective_ms)} objective"


def _seconds(ms: float) -> str:
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
