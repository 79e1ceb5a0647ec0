"""A change keeps its own differences when others were pushed since it was made. Pure.

Three snapshots: the one that it was made on, the one that it wants, the one that stands now. What only one side changed
is taken from that side; what both changed differently can't be decided by a program.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from routing.desired import DesiredState

Keyed = dict[tuple[str | None, ...], Any]


class Overlaps(Exception):
    """Both sides changed the same thing. `subjects`: what, in words. Plan again on what stands now."""

    retryable = False

    def __init__(self, subjects: Iterable[str]) -> None:
        self.subjects = tuple(sorted(subjects))
        super().__init__(f"changed since by another change: {', '.join(self.subjects)}")


@dataclass(frozen=True)
class Touched:
    """One element that a change adds, alters or removes. part: targets, routes, blocks, quotas or residency_rules."""

    part: str
    team: str | None
    model: str | None
    name: str


def merge(base: DesiredState | None, mine: DesiredState, theirs: DesiredState | None) -> DesiredState:
    """`mine` made on `base`, carried over to `theirs`; generation and orchestrator are those of `mine`.

    None is the empty snapshot. Raises Overlaps.
    """
    empty = DesiredState(mine.orchestrator, 0)
    base, theirs = base or empty, theirs or empty
    if base.digest() == theirs.digest():
        return mine
    parts: dict[str, Any] = {}
    overlaps: list[str] = []
    for part in _PARTS:
        old, ours, now = _keyed(base, part), _keyed(mine, part), _keyed(theirs, part)
        merged, clashes = _merge_part(old, ours, now)
        parts[part] = tuple(merged[key] for key in sorted(merged, key=_order))
        overlaps += [_words(part, key) for key in clashes]
    if overlaps:
        raise Overlaps(overlaps)
    return replace(mine, **parts)


def touched(before: DesiredState | None, after: DesiredState) -> list[Touched]:
    """Every element in which the two snapshots differ."""
    before = before or DesiredState(after.orchestrator, 0)
    found = []
    for part in _PARTS:
        old, new = _keyed(before, part), _keyed(after, part)
        keys = sorted(old.keys() | new.keys(), key=_order)
        found += [_touched(part, key) for key in keys if old.get(key) != new.get(key)]
    return found


def team_of(before: DesiredState | None, after: DesiredState) -> str | None:
    """The one team whose elements alone differ; None when the organisation's, or several teams', do."""
    teams = {each.team for each in touched(before, after)}
    return teams.pop() if len(teams) == 1 else None


_PARTS = ("targets", "routes", "blocks", "quotas", "residency_rules")


def _merge_part(base: Keyed, mine: Keyed, theirs: Keyed) -> tuple[Keyed, list[tuple[str | None, ...]]]:
    merged: Keyed = {}
    clashes = []
    for key in base.keys() | mine.keys() | theirs.keys():
        old, ours, now = base.get(key), mine.get(key), theirs.get(key)
        if ours in (old, now):
            chosen = now
        elif now == old:
            chosen = ours
        else:
            clashes.append(key)
            continue
        if chosen is not None:
            merged[key] = chosen
    return merged, clashes


def _keyed(state: DesiredState, part: str) -> Keyed:
    if part == "targets":
        return {(each.name,): each for each in state.targets}
    if part == "quotas":
        return {(each.team, each.model, each.key): each for each in state.quotas}
    if part == "routes":
        # The order of targets in a tier means nothing: two routes that differ in it alone are one.
        return {
            (each.team, each.model): replace(
                each, tiers=tuple(replace(tier, targets=tuple(sorted(tier.targets))) for tier in each.tiers)
            )
            for each in state.routes
        }
    elements: tuple[Any, ...] = getattr(state, part)
    return {(each.team, each.model): each for each in elements}


def _touched(part: str, key: tuple[str | None, ...]) -> Touched:
    return Touched(part, _team(part, key), _model(part, key), _words(part, key))


def _team(part: str, key: tuple[str | None, ...]) -> str | None:
    return None if part == "targets" else key[0]


def _model(part: str, key: tuple[str | None, ...]) -> str | None:
    return None if part == "targets" else key[1]


def _order(key: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple("" if each is None else f"={each}" for each in key)


def _words(part: str, key: tuple[str | None, ...]) -> str:
    kind = {"residency_rules": "residency rule"}.get(part, part.removesuffix("s"))
    if part == "targets":
        return f"{kind} {key[0]}"
    return f"{kind} {key[0] or 'every team'}/{key[1] or 'every model'}" + (
        f"/key {key[2]}" if part == "quotas" and key[2] else ""
    )
