"""What the loop may never do by itself, whatever a decision says. Pure.

Here: whose yes a change needs at least, and why a push has to wait. Not here: what a budget's ladder permits (that is
decided above), how weights are found.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from routing.desired import DesiredState, Quota, Route, percent
from routing.rebase import touched
from routing.weights import largest_step

MAX_CHANGES_A_DAY = 20
# The last ones of a day are kept for what can't wait: a limit that is being passed now.
KEPT_FOR_URGENT = 4
# So that a change is proved, or taken back, before the next one moves the same traffic.
DWELL = timedelta(minutes=10)
BIG_STEP_PPM = 250_000
# A quota that keeps less than this of what it was is a big cut.
BIG_CUT_PPM = 750_000


class Approval(StrEnum):
    """Whose yes a change needs: nobody's, the standing one of a hard budget, one person's, two persons'."""

    NONE = "none"
    STANDING = "standing"
    ONE = "one"
    TWO = "two"

    @property
    def persons(self) -> int:
        return {"one": 1, "two": 2}.get(self.value, 0)


_STRICTNESS = list(Approval)


@dataclass(frozen=True)
class Needed:
    """The approval that a change needs, and why, in words."""

    approval: Approval
    because: str = ""


def approval_needed(before: DesiredState | None, after: DesiredState, offered: Approval) -> Needed:
    """At least `offered`; more where the change stops everything, stops a team, moves data or cuts deep.

    A standing approval covers stops and cuts of its own scope; never a stop of everything, never a residency change.
    """
    needed = Needed(offered)
    for floor in _floors(before, after):
        covered = floor.approval is Approval.ONE and offered is Approval.STANDING and floor.because[0] != "!"
        if not covered and _STRICTNESS.index(floor.approval) > _STRICTNESS.index(needed.approval):
            needed = Needed(floor.approval, floor.because.removeprefix("!"))
    return needed


@dataclass(frozen=True)
class Waiting:
    """What the rails know of a change that could be pushed now.

    pushed: when automatic changes of the same orchestrator and team were queued before, any order.
    exempt: it takes something back, or a period turned: neither windows, rate nor dwell hold it.
    """

    automatic: bool
    exempt: bool
    urgent: bool
    pushed: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class Window:
    start: datetime
    end: datetime
    reason: str


def why_it_waits(change: Waiting, *, frozen: bool, windows: Iterable[Window], now: datetime) -> str:
    """The reason in words, "" when it may go now. The kill switch holds everything."""
    if frozen:
        return "all enforcement is stopped"
    if change.exempt:
        return ""
    window = next((each for each in windows if each.start <= now < each.end), None)
    if window is not None:
        return f"change freeze until {window.end:%d %b %H:%M} UTC{f': {window.reason}' if window.reason else ''}"
    if not change.automatic:
        return ""
    # A clock that jumped back leaves pushes in the future: they count as just now.
    recent = sorted(each for each in change.pushed if each > now - timedelta(days=1))
    limit = MAX_CHANGES_A_DAY if change.urgent else MAX_CHANGES_A_DAY - KEPT_FOR_URGENT
    if len(recent) >= limit:
        free = recent[-limit] + timedelta(days=1)
        return f"{len(recent)} changes in 24 hours, {limit} is the limit; the next may go {free:%d %b %H:%M} UTC"
    if recent and not change.urgent and now - recent[-1] < DWELL:
        return f"the change before it is watched until {recent[-1] + DWELL:%H:%M} UTC"
    return ""


def _floors(before: DesiredState | None, after: DesiredState) -> Iterator[Needed]:
    """ "!" marks what no standing approval covers."""
    before = before or DesiredState(after.orchestrator, 0)
    yield from _stops(before, after)
    yield from _moves_of_data(before, after)
    yield from _cuts(before, after)


def _stops(before: DesiredState, after: DesiredState) -> Iterator[Needed]:
    old = {(each.team, each.model) for each in before.blocks}
    for each in after.blocks:
        if (each.team, each.model) in old:
            continue
        if each.team is None and each.model is None:
            yield Needed(Approval.TWO, "!it stops every request of every team")
        elif each.team is None:
            yield Needed(Approval.ONE, f"!it stops {each.model} for every team")
        else:
            yield Needed(Approval.ONE, f"it stops {each.team}")


def _moves_of_data(before: DesiredState, after: DesiredState) -> Iterator[Needed]:
    for each in touched(before, after):
        if each.part == "residency_rules" and before.routes:
            yield Needed(Approval.ONE, "!it changes where data may stay")
    for route in after.routes:
        old = next((each for each in before.routes if (each.team, each.model) == (route.team, route.model)), None)
        if old is None:
            continue
        new_places = _places(route, after) - _places(old, before)
        if new_places:
            yield Needed(Approval.ONE, f"!it sends data of {route.model} to {', '.join(sorted(new_places))}")


def _places(route: Route, state: DesiredState) -> set[str]:
    found = set()
    for name in {one.target for tier in route.tiers for one in tier.targets}:
        target = state.target(name)
        if target is not None:
            found.add(target.residency or "a place that nobody promises")
    return found


def _cuts(before: DesiredState, after: DesiredState) -> Iterator[Needed]:
    for route in after.routes:
        old = before.route(route.model, route.team)
        if old is None or not old.tiers or not route.tiers:
            continue
        step = largest_step(old.tiers[0].weights, route.tiers[0].weights)
        if step > BIG_STEP_PPM:
            yield Needed(Approval.ONE, f"it moves {percent(step)} of {route.model} at once")
    quotas = {(each.team, each.key, each.model): each for each in before.quotas}
    for quota in after.quotas:
        earlier = quotas.get((quota.team, quota.key, quota.model))
        if earlier is not None and _is_big_cut(earlier, quota):
            yield Needed(Approval.ONE, f"it cuts a quota of {quota.team or 'every team'} by more than a quarter")


def _is_big_cut(old: Quota, new: Quota) -> bool:
    pairs = ((old.rpm, new.rpm), (old.tpm, new.tpm))
    return any(was and now is not None and now * 1_000_000 < was * BIG_CUT_PPM for was, now in pairs)
