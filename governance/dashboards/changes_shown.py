"""The Changes pages' figures and words. Pure: the selectors' values in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from governance.dashboards import formats
from routing.guards import Guard
from routing.selectors import (
    ChangeRow,
    ChangeView,
    DriftView,
    LoopView,
    OrchestratorView,
    RouteView,
    SplitPoint,
    StepView,
    WeightRow,
)

_AMOUNT = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,18}|[0-9]{4,15}")
_BUDGET = re.compile(r"budget:([0-9]{1,18})")
_NOT_SHOWN = frozenset({"decision", "budget", "budget_version", "change", "alternatives"})
_INPUTS = {
    "expected_end": "Ends at",
    "without": "Without it",
    "price": "Price of a dollar saved",
    "policy_version": "Policy version",
}
_NAMES = {
    "proposed": "Proposed",
    "approved": "Approved",
    "accepted": "Accepted",
    "live": "Live",
    "effective": "Effective",
    "drifted": "Drifted",
    "rejected": "Rejected",
    "failed": "Refused by the gateway",
    "rolled_back": "Rolled back",
    "superseded": "Replaced",
    "expired": "Expired",
}
_CSS = {
    "effective": "ok",
    "live": "",
    "accepted": "",
    "approved": "",
    "proposed": "warn",
    "drifted": "bad",
    "failed": "bad",
}
_DOTS = {
    "drifted": "bad",
    "failed": "bad",
    "rejected": "cut",
    "rolled_back": "warn",
    "superseded": "cut",
    "expired": "cut",
}
_ASKED_BY = {
    "decision": "the budget loop",
    "plan": "the plan",
    "person": "a person",
    "rollback": "a rollback",
    "period_turn": "the turn of the period",
    "withdrawal": "a deleted budget",
    "drift": "a decision about drift",
}


@dataclass(frozen=True)
class Step:
    """A dot of the line. css: done, now, todo, bad, warn or cut; at: its time, '' when it was not reached."""

    name: str
    css: str
    at: str
    title: str
    words: str


@dataclass(frozen=True)
class Line:
    """A change in the list."""

    id: int
    name: str
    title: str
    why: str
    scope: str
    status: str
    css: str
    detail: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Kill:
    """The kill switch as everybody sees it."""

    frozen: bool
    head: str
    words: str


@dataclass(frozen=True)
class Gateway:
    """An orchestrator's line. dot: ok, warn, bad, none."""

    name: str
    kind: str
    generation: str
    dot: str
    state: str
    words: str
    checked: str
    drifted: bool
    drift: tuple[DriftView, ...]
    absent: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Bar:
    """One target of one route; x in a drawing 380 wide."""

    target: str
    place: str
    slot: int
    before: str
    wanted: str
    observed: str
    requests: str
    off: str
    off_css: str
    before_x: str
    wanted_x: str
    observed_x: str
    label: str


@dataclass(frozen=True)
class Weights:
    title: str
    served: str
    bars: tuple[Bar, ...]
    total: tuple[str, str, str, str]
    requests: str


@dataclass(frozen=True)
class Curve:
    target: str
    slot: int
    path: str
    wanted: str
    last: str
    label_y: float


@dataclass(frozen=True)
class Drawing:
    """Observed shares over time. css: for which widths it is meant."""

    width: int
    height: int
    right: int
    css: str
    grid: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    push_x: float | None
    push_words: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class GuardLine:
    name: str
    limit: str
    before: str
    now: str
    css: str
    words: str


@dataclass(frozen=True)
class Fact:
    """What a change rests on. title: every digit; budget: the id of the budget that it names."""

    name: str
    text: str
    title: str = ""
    budget: int | None = None


@dataclass(frozen=True)
class Detail:
    line: Line
    lead: str
    proof: str
    difference_lines: tuple[str, ...]
    weights: tuple[Weights, ...]
    drawings: tuple[Drawing, ...]
    guards: tuple[GuardLine, ...]
    dry_run: str
    dry_run_css: str
    problems: tuple[str, ...]
    gateway_steps: tuple[str, ...]
    why: str
    facts: tuple[Fact, ...]
    alternatives: tuple[str, ...]
    yeses: tuple[str, ...]
    needs: str
    history: tuple[Step, ...]


def kill(loop: LoopView, gateways: Sequence[OrchestratorView], today: date) -> Kill:
    last = loop.last
    if loop.frozen and last is not None:
        reason = f": {last.reason}" if last.reason else ""
        words = (
            f"By {last.by}, {formats.moment(last.at, today)} UTC{reason}. What stands stays as it is; nothing is "
            "pushed, not even a rollback or the turn of a period."
        )
        return Kill(True, "Enforcement is stopped.", words)
    routes = sum(each.routes for each in gateways)
    words = f"Weir writes weights and quotas to {_count(routes, 'route')} on {_count(len(gateways), 'gateway')}."
    words += " Stopping freezes them as they are now; nothing is rolled back."
    if last is not None and last.resumed_at is not None:
        lasted = formats.duration((last.resumed_at - last.at).total_seconds())
        words += f" Last used {formats.day(last.at.date(), today)} by {last.by}, for {lasted}."
    return Kill(False, "Enforcement is on.", words)


def gateway(view: OrchestratorView, now: datetime) -> Gateway:
    today = now.date()
    states = {
        "ok": ("ok", "Holds what it should"),
        "drifted": ("bad", "Drifted"),
        "unreachable": ("warn", "Does not answer"),
        "unknown": ("none", "Not looked at yet"),
    }
    dot, words = states[view.state]
    if view.generation == 0 and view.state == "ok":
        dot, words = "none", "Nothing was sent to it yet"
    if view.state in ("drifted", "unreachable") and view.state_since is not None:
        words += f" since {formats.moment(view.state_since, today)}"
    age = "" if view.checked_at is None else f"looked at {formats.duration(_age(view.checked_at, now))} ago"
    generation = f"generation {view.generation}" if view.generation else ""
    return Gateway(
        view.name,
        view.kind,
        generation,
        dot,
        words,
        view.state_words,
        age,
        view.state == "drifted",
        view.drift,
        view.absent,
    )


def line(row: ChangeRow, today: date) -> Line:
    asked = _ASKED_BY.get(row.kind, row.kind)
    by = row.proposed_by if row.kind in ("person", "rollback", "drift") else asked
    status = _NAMES[row.status]
    css = _CSS.get(row.status, "")
    if row.status == "live" and row.effect_unproven:
        status, css = "Live, effect unproven", "warn"
    if row.status == "proposed":
        status = (
            "Waits for a yes" if row.approvals_needed == 1 else f"{row.approvals} of {row.approvals_needed} said yes"
        )
    return Line(
        id=row.id,
        name=row.name,
        title=row.title,
        why=row.words,
        scope=", ".join(each for each in (row.orchestrator, row.team or "whole organisation", f"by {by}") if each),
        status=status,
        css=css,
        detail=_detail(row),
        steps=_steps(row.line, row.status, today),
    )


def summary(rows: Sequence[ChangeRow], waiting: int, gateways: Sequence[OrchestratorView]) -> str:
    """The answer first, in words."""
    if not rows:
        return "No change yet."
    moving = sum(1 for each in rows if each.status in ("approved", "accepted") or (each.status == "live"))
    said = [
        f"{_count(waiting, 'change')} {'waits' if waiting == 1 else 'wait'} for a yes"
        if waiting
        else "Nothing waits for a yes",
        f"{moving} on {'its' if moving == 1 else 'their'} way" if moving else "",
        *(f"{each.name} has drifted" for each in gateways if each.state == "drifted"),
        *(f"{each.name} does not answer" for each in gateways if each.state == "unreachable"),
    ]
    return ", ".join(each for each in said if each) + "."


def detail(view: ChangeView, slots: Mapping[str, int], now: datetime) -> Detail:
    today = now.date()
    shown = line(view.row, today)
    weights = tuple(_weights(each, slots) for each in view.routes)
    css, said = _dry_run(view)
    return Detail(
        line=shown,
        lead=_lead(view),
        proof=view.row.proof_words or view.row.waits_for,
        difference_lines=tuple(each.words for each in view.differences if each.kind != "weight"),
        weights=weights,
        drawings=_drawings(view, slots),
        guards=tuple(_guard(each) for each in view.guards),
        dry_run=said,
        dry_run_css=css,
        problems=tuple(view.dry_run["problems"]) if view.dry_run else (),
        gateway_steps=tuple(view.dry_run["steps"]) if view.dry_run else (),
        why=view.row.words,
        facts=tuple(_facts(view)),
        alternatives=tuple(f"{each}" for each in _listed(view.inputs.get("alternatives"))),
        yeses=tuple(
            f"{each.person}, {formats.moment(each.at, today)}{f': {each.note}' if each.note else ''}"
            for each in view.approvals
        ),
        needs=_needs(view),
        history=_steps(view.transitions, view.row.status, today, whole=True),
    )


def targets_of(view: ChangeView) -> list[str]:
    """Every target that the page draws, for their colours."""
    named = {each.target for route in view.routes for each in route.weights}
    return sorted(named | {name for point in view.split for name, _share in point.shares})


def _lead(view: ChangeView) -> str:
    row = view.row
    said = [f"On {row.orchestrator}"]
    if row.generation is not None:
        said.append(f"generation {row.generation}")
    if row.is_standing:
        said.append("what stands now")
    text = ", ".join(said) + "."
    if row.rolled_back_by is not None:
        text += f" Taken back by CH-{row.rolled_back_by}."
    if view.rolls_back is not None:
        text += f" Takes CH-{view.rolls_back} back."
    return text


def _detail(row: ChangeRow) -> str:
    if row.waits_for:
        return f"Waits: {row.waits_for}"
    if row.rolled_back_by is not None and row.status != "rolled_back":
        return f"Being taken back by CH-{row.rolled_back_by}"
    return row.proof_words


def _steps(line: Sequence[StepView], status: str, today: date, *, whole: bool = False) -> tuple[Step, ...]:
    made = []
    for each in line:
        css = "todo" if each.at is None else _DOTS.get(each.status, "done")
        if each.status == status and status in ("proposed", "approved", "accepted", "live") and not whole:
            css = "now"
        at = "" if each.at is None else _time(each.at, today)
        title = "" if each.at is None else f"{each.at:%Y-%m-%d %H:%M:%S} UTC"
        words = f"by {each.by}" if each.by else ""
        if each.words:
            words = f"{words}: {each.words}" if words else each.words
        made.append(Step(_NAMES[each.status], css, at, title, words))
    return tuple(made)


def _time(at: datetime, today: date) -> str:
    return f"{at:%H:%M:%S}" if at.date() == today else f"{formats.day(at.date(), today)} {at:%H:%M}"


def _weights(route: RouteView, slots: Mapping[str, int]) -> Weights:
    served = f"answered by {route.served_model}" if route.served_model else ""
    seen = any(each.observed_ppm is not None for each in route.weights)
    bars = tuple(_bar(each, slots.get(each.target, 0)) for each in route.weights)
    total = (
        _points(sum(each.before_ppm for each in route.weights)),
        _points(sum(each.wanted_ppm for each in route.weights)),
        "100.0" if seen else formats.UNKNOWN,
        formats.whole(route.requests) if seen else formats.UNKNOWN,
    )
    return Weights(f"{route.model}, {route.team or 'every team'}", served, bars, total, formats.whole(route.requests))


def _bar(row: WeightRow, slot: int) -> Bar:
    seen = row.observed_ppm
    off = None if seen is None else seen - row.wanted_ppm
    observed = formats.UNKNOWN if seen is None else _points(seen)
    off_text = formats.UNKNOWN if off is None else _signed(off)
    return Bar(
        target=row.target,
        place=", ".join(each for each in (row.provider, row.region) if each),
        slot=slot,
        before=_points(row.before_ppm),
        wanted=_points(row.wanted_ppm),
        observed=observed,
        requests=formats.whole(row.requests) if seen is not None else formats.UNKNOWN,
        off=off_text,
        off_css="" if off is None else ("is-ok" if abs(off) <= 10_000 else "is-warn"),
        before_x=_x(row.before_ppm),
        wanted_x=_x(row.wanted_ppm),
        observed_x=_x(seen or 0),
        label=f"before {_points(row.before_ppm)} %, wanted {_points(row.wanted_ppm)} %, observed {observed} %",
    )


def _drawings(view: ChangeView, slots: Mapping[str, int]) -> tuple[Drawing, ...]:
    if len(view.split) < 2 or not view.routes:
        return ()
    return (
        _drawing(view, slots, width=800, height=216, right=650, css="wide-only", every=4, letters=20),
        _drawing(view, slots, width=326, height=220, right=210, css="narrow-only", every=2, letters=11),
    )


def _drawing(
    view: ChangeView,
    slots: Mapping[str, int],
    *,
    width: int,
    height: int,
    right: int,
    css: str,
    every: int,
    letters: int,
) -> Drawing:
    points = view.split
    start, end = points[0].at, points[-1].at
    span = max((end - start).total_seconds(), 1.0)
    highest = max(share for point in points for _name, share in point.shares)
    top_ppm = next(step for step in (200_000, 400_000, 600_000, 800_000, 1_000_000) if highest <= step)
    floor, ceiling = height - 24.0, 16.0

    def x_of(at: datetime) -> float:
        return round(4 + (right - 4) * min(max((at - start).total_seconds() / span, 0.0), 1.0), 1)

    def y_of(ppm: int) -> float:
        return round(floor - (floor - ceiling) * ppm / top_ppm, 1)

    pushed = view.accepted_at
    push_x = x_of(pushed) if pushed is not None and start <= pushed <= end else None
    names = sorted({name for point in points for name, _share in point.shares})
    wanted = {each.target: each for each in view.routes[0].weights}
    curves = [_curve(name, points, slots, wanted.get(name), x_of, y_of, push_x, right) for name in names]
    steps = [start + timedelta(seconds=span * at / every) for at in range(every + 1)]
    words = "" if pushed is None else f"accepted {pushed:%H:%M}"
    if view.live_at is not None:
        words += f", live {view.live_at:%H:%M}"
    return Drawing(
        width=width,
        height=height,
        right=right,
        css=css,
        grid=tuple((y_of(top_ppm * part // 2), f"{top_ppm * part // 20_000} %") for part in (0, 1, 2)),
        ticks=tuple((x_of(at), f"{at:%H:%M}") for at in steps),
        push_x=push_x,
        push_words=words,
        curves=tuple(_apart(curves, ceiling, floor, letters)),
    )


def _curve(
    name: str,
    points: Sequence[SplitPoint],
    slots: Mapping[str, int],
    row: WeightRow | None,
    x_of: Any,
    y_of: Any,
    push_x: float | None,
    right: int,
) -> Curve:
    shares = [dict(point.shares).get(name, 0) for point in points]
    path = " ".join(
        f"{'M' if at == 0 else 'L'}{x_of(point.at)} {y_of(share)}"
        for at, (point, share) in enumerate(zip(points, shares, strict=True))
    )
    wanted = ""
    if row is not None and push_x is not None:
        wanted = f"M{push_x} {y_of(row.before_ppm)}V{y_of(row.wanted_ppm)}H{right}"
    return Curve(name, slots.get(name, 0), path, wanted, _points(shares[-1]), y_of(shares[-1]))


def _apart(curves: Sequence[Curve], ceiling: float, floor: float, letters: int) -> list[Curve]:
    """Labels at the ends of the curves, at least 13 px from each other."""
    made: list[Curve] = []
    least = ceiling
    for each in sorted(curves, key=lambda one: one.label_y):
        y = max(each.label_y, least)
        least = y + 13
        name = each.target if len(each.target) <= letters else f"{each.target[: letters - 1]}…"
        made.append(Curve(name, each.slot, each.path, each.wanted, each.last, round(min(y, floor + 20), 1)))
    return made


def _guard(guard: Guard) -> GuardLine:
    show = _ppm_percent if guard.unit == "%" else _milliseconds
    css = "is-bad medium" if guard.worse else ("is-ok" if guard.now is not None else "muted")
    return GuardLine(
        f"{guard.name[0].upper()}{guard.name[1:]}, {guard.unit}",
        show(guard.limit),
        show(guard.before),
        show(guard.now),
        css,
        guard.words,
    )


def _ppm_percent(ppm: int | None) -> str:
    return formats.UNKNOWN if ppm is None else f"{ppm / 10_000:.2f}"


def _milliseconds(value: int | None) -> str:
    return formats.UNKNOWN if value is None else f"{value:,}"


def _dry_run(view: ChangeView) -> tuple[str, str]:
    if view.row.generation is not None:
        return "", ""
    if view.dry_run is None:
        return "", "is being asked" if view.row.status == "proposed" else ""
    return ("is-ok", "would accept") if view.dry_run["accepts"] else ("is-bad medium", "would refuse")


def _facts(view: ChangeView) -> list[Fact]:
    row = view.row
    found = _BUDGET.match(row.reference)
    asked = _ASKED_BY.get(row.kind, row.kind)
    facts = [
        Fact("Asked by", asked if found else ", ".join(filter(None, (asked, row.reference)))),
        Fact("Proposed by", row.proposed_by),
        Fact("Builds on", f"generation {view.base_generation}" if view.base_generation else "nothing: it is the first"),
    ]
    if found:
        facts[0] = Fact("Asked by", f"{asked}, budget {found.group(1)}", budget=int(found.group(1)))
    for name, value in view.inputs.items():
        if name in _NOT_SHOWN or not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            continue
        label = _INPUTS.get(name, name.replace("_", " ").capitalize())
        facts.append(_fact(label, f"{value}"))
    return facts


def _fact(label: str, text: str) -> Fact:
    """An amount as pages print it, with every digit in its title; any other text as it is."""
    if not _AMOUNT.fullmatch(text):
        return Fact(label, text)
    return Fact(label, formats.money(Decimal(text)), formats.exact(Decimal(text)))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _needs(view: ChangeView) -> str:
    said = {
        "none": "Nobody's yes: it stays within what the policy lets the loop do.",
        "standing": "The standing yes that was given when its hard budget was set.",
        "one": "One person's yes",
        "two": "Two persons' yes",
    }[view.row.approval]
    because = view.approval_because
    return f"{said}: {because}." if because and view.row.approvals_needed else said


def _points(ppm: int) -> str:
    return f"{ppm / 10_000:.1f}"


def _signed(ppm: int) -> str:
    text = f"{abs(ppm) / 10_000:.1f}"
    return text if text == "0.0" else f"{'+' if ppm > 0 else formats.MINUS}{text}"


def _x(ppm: int) -> str:
    return f"{380 * ppm / 1_000_000:.1f}"


def _age(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
