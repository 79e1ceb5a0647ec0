"""What pages, the API and the layers above read of changes and orchestrators, within a reader's scope. Reads only.

A reader of some teams sees the changes of these teams alone; that all enforcement is stopped, and whether an
orchestrator holds what it should, is seen by everybody. A change's figures never show another team's element.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from attribution.models import TaskRun
from attribution.scope import TeamScope
from routing import guards, rebase, snapshots, transitions
from routing.desired import DesiredState, Route
from routing.drift import requests_of
from routing.models import ChangeSet, FreezeWindow, KillSwitch, Observation, Orchestrator, Transition
from routing.orchestrators.base import ObservedSplit, OrchestratorError, RouteSplit
from routing.orchestrators.registry import open_orchestrator
from routing.rails import Approval
from routing.traffic import guards_of

Status = ChangeSet.Status
DEFAULT_ROWS, MAX_ROWS = 50, 200
# The loop's own tick, as its task is called.
TICK_TASKS = ("governance.tick", "governance.control_tick")
LINE = (Status.PROPOSED, Status.APPROVED, Status.ACCEPTED, Status.LIVE, Status.EFFECTIVE)


class UnknownPage(ValueError):
    """`after` is no place in the list."""


@dataclass(frozen=True)
class StopView:
    """One time that all enforcement was stopped; resumed_at None: it still is."""

    at: datetime
    by: str
    reason: str
    resumed_at: datetime | None
    resumed_by: str


@dataclass(frozen=True)
class LoopView:
    """frozen: the kill switch is on. last: the stop that holds, else the last one."""

    frozen: bool
    last: StopView | None
    last_tick: datetime | None
    windows: tuple[tuple[datetime, datetime, str], ...]


@dataclass(frozen=True)
class DriftView:
    kind: str
    subject: str
    before: str | None
    after: str | None
    words: str


@dataclass(frozen=True)
class OrchestratorView:
    """generation: the one that it accepted last. drift, state_words: for who sees the whole organisation."""

    name: str
    kind: str
    generation: int
    state: str
    state_words: str
    state_since: datetime | None
    checked_at: datetime | None
    is_enabled: bool
    routes: int
    drift: tuple[DriftView, ...]
    absent: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StepView:
    """One step of a change's life; at None: not reached."""

    status: str
    at: datetime | None
    by: str
    words: str


@dataclass(frozen=True)
class ChangeRow:
    """A change as lists show it."""

    id: int
    name: str
    title: str
    orchestrator: str
    team: str | None
    status: str
    kind: str
    reference: str
    words: str
    proposed_by: str
    proposed_at: datetime
    generation: int | None
    approval: str
    approvals: int
    approvals_needed: int
    effect_unproven: bool
    waits_for: str
    proof_words: str
    is_standing: bool
    rolled_back_by: int | None
    line: tuple[StepView, ...]


@dataclass(frozen=True)
class WeightRow:
    """One target of one route. Parts per million; observed None: nothing counted."""

    target: str
    provider: str
    region: str
    before_ppm: int
    wanted_ppm: int
    observed_ppm: int | None
    requests: int


@dataclass(frozen=True)
class RouteView:
    """One route that a change moves."""

    model: str
    team: str | None
    served_model: str | None
    requests: int
    weights: tuple[WeightRow, ...]


@dataclass(frozen=True)
class SplitPoint:
    """Shares of one span of time, parts per million by target."""

    at: datetime
    requests: int
    shares: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ApprovalView:
    person_id: int
    person: str
    at: datetime
    note: str


@dataclass(frozen=True)
class ChangeView:
    """A change with all that its page shows."""

    row: ChangeRow
    inputs: dict[str, Any]
    approval_because: str
    approvals: tuple[ApprovalView, ...]
    transitions: tuple[StepView, ...]
    differences: tuple[DriftView, ...]
    routes: tuple[RouteView, ...]
    observed_since: datetime | None
    split: tuple[SplitPoint, ...]
    guards: tuple[guards.Guard, ...]
    dry_run: dict[str, Any] | None
    rolls_back: int | None
    base_generation: int
    accepted_at: datetime | None
    live_at: datetime | None


@dataclass(frozen=True)
class ChangePage:
    rows: tuple[ChangeRow, ...]
    next_after: int | None


def standing_state(orchestrator: str) -> DesiredState | None:
    """What an orchestrator should hold now, to make a change from; None before its first one."""
    row = Orchestrator.objects.select_related("standing__orchestrator").get(name=orchestrator)
    return snapshots.standing(row)


def is_frozen() -> bool:
    """Is the kill switch on?"""
    return KillSwitch.objects.filter(is_on=True).exists()


def loop(now: datetime) -> LoopView:
    """Whether the loop acts; for everybody."""
    newest = KillSwitch.objects.order_by("-is_on", "-id").first()
    last = None
    if newest is not None:
        last = StopView(newest.frozen_at, newest.frozen_by, newest.reason, newest.resumed_at, newest.resumed_by)
    tick = TaskRun.objects.filter(task__in=TICK_TASKS, state=TaskRun.State.DONE).order_by("-slot").first()
    windows = FreezeWindow.objects.filter(end__gt=now).order_by("start")
    return LoopView(
        frozen=newest is not None and newest.is_on,
        last=last,
        last_tick=tick.finished_at if tick else None,
        windows=tuple((each.start, each.end, each.reason) for each in windows),
    )


def orchestrators(scope: TeamScope) -> list[OrchestratorView]:
    """All of them; what differs where is for readers of the whole organisation."""
    if scope.is_empty:
        return []
    rows = Orchestrator.objects.select_related("standing__orchestrator").order_by("name")
    return [_orchestrator(row, scope) for row in rows]


def changes(
    scope: TeamScope,
    *,
    statuses: Sequence[str] = (),
    orchestrator: str | None = None,
    after: int | None = None,
    limit: int = DEFAULT_ROWS,
) -> ChangePage:
    """Newest first. after: `next_after` of the page before."""
    found = _visible(scope).order_by("-id")
    if statuses:
        found = found.filter(status__in=statuses)
    if orchestrator is not None:
        found = found.filter(orchestrator__name=orchestrator)
    if after is not None:
        found = found.filter(id__lt=after)
    rows = list(found.prefetch_related("transitions", "approvals", "rollbacks")[: limit + 1])
    more = len(rows) > limit
    return ChangePage(tuple(_row(each) for each in rows[:limit]), rows[limit - 1].pk if more else None)


def change(scope: TeamScope, change_id: int, now: datetime) -> ChangeView:
    """One change. Raises ChangeSet.DoesNotExist, also for another team's."""
    found = _visible(scope).prefetch_related("transitions", "approvals", "rollbacks").get(pk=change_id)
    wanted, before = snapshots.wanted(found), snapshots.before(found)
    moved = _moved_routes(before, wanted, found.team)
    since = found.live_at
    return ChangeView(
        row=_row(found),
        inputs=found.inputs,
        approval_because=found.approval_because,
        approvals=tuple(
            ApprovalView(each.person_id, each.person, each.at, each.note) for each in found.approvals.order_by("id")
        ),
        transitions=tuple(_step(each) for each in found.transitions.order_by("id")),
        differences=tuple(DriftView(**each) for each in found.differences),
        routes=tuple(_route(each, found, before, wanted, since, now) for each in moved),
        observed_since=since,
        split=_split(moved[0], found, wanted, now) if moved else (),
        guards=guards_of(found, now),
        dry_run=found.dry_run,
        rolls_back=found.rolls_back_id,
        base_generation=found.before_generation,
        accepted_at=found.accepted_at,
        live_at=found.live_at,
    )


def waiting(scope: TeamScope) -> int:
    """How many changes wait for a person's yes."""
    return _visible(scope).filter(status=Status.PROPOSED).count()


def waiting_for(orchestrator: str, asker: str) -> list[ChangeSet]:
    """What waits at an orchestrator under the references "<asker>:...", for the asker itself. Not scoped."""
    found = ChangeSet.objects.select_related("orchestrator").filter(
        orchestrator__name=orchestrator, reference__startswith=f"{asker}:", status__in=transitions.WAITING
    )
    return list(found.order_by("id"))


def changes_since(after_transition: int, limit: int = 500) -> list[Transition]:
    """Steps after one, oldest first, for who tells people about them. Not scoped: each step names its change's team."""
    found = Transition.objects.filter(id__gt=after_transition).select_related("change__orchestrator")
    return list(found.order_by("id")[:limit])


def _visible(scope: TeamScope) -> QuerySet[ChangeSet]:
    found = ChangeSet.objects.select_related("orchestrator")
    return found if scope.everything else found.filter(team__in=scope.teams)


def _orchestrator(row: Orchestrator, scope: TeamScope) -> OrchestratorView:
    wanted = snapshots.standing(row)
    return OrchestratorView(
        name=row.name,
        kind=row.kind,
        generation=0 if wanted is None else wanted.generation,
        state=row.state,
        state_words=row.state_words if scope.everything else "",
        state_since=row.state_since,
        checked_at=row.checked_at,
        is_enabled=row.is_enabled,
        routes=0 if wanted is None else len(wanted.routes),
        drift=tuple(DriftView(**each) for each in row.drift) if scope.everything else (),
        absent=_absent(row),
    )


def _absent(row: Orchestrator) -> tuple[tuple[str, str], ...]:
    try:
        return open_orchestrator(row.kind, row.name, row.settings).capabilities().absent
    except OrchestratorError as error:
        return (("be opened", f"{error}"),)


def _row(found: ChangeSet) -> ChangeRow:
    taken_back = [each.pk for each in found.rollbacks.all() if each.status not in ("rejected", "failed", "superseded")]
    return ChangeRow(
        id=found.pk,
        name=found.name,
        title=found.title,
        orchestrator=found.orchestrator.name,
        team=found.team,
        status=found.status,
        kind=found.kind,
        reference=found.reference,
        words=found.words,
        proposed_by=found.proposed_by,
        proposed_at=found.proposed_at,
        generation=found.generation,
        approval=found.approval,
        approvals=len(found.approvals.all()),
        approvals_needed=Approval(found.approval).persons,
        effect_unproven=found.effect_unproven,
        waits_for=found.waits_for,
        proof_words=found.proof_words,
        is_standing=found.orchestrator.standing_id == found.pk,
        rolled_back_by=max(taken_back, default=None),
        line=_line(found),
    )


def _line(found: ChangeSet) -> tuple[StepView, ...]:
    """The five steps with their times, and where it left them, its end."""
    steps = sorted(found.transitions.all(), key=lambda each: each.pk)
    reached = {each.after: _step(each) for each in steps}
    line = [reached.get(status.value, StepView(status.value, None, "", "")) for status in LINE]
    if found.status not in LINE:
        # What was never reached is no longer to come.
        line = [each for each in line if each.at is not None] + [reached[found.status]]
    return tuple(line)


def _step(each: Transition) -> StepView:
    return StepView(each.after, each.at, each.actor, each.reason)


def _moved_routes(before: DesiredState | None, wanted: DesiredState, team: str | None) -> list[Route]:
    """The routes that differ, as they will be; a team's change shows its team's alone."""
    names = {(each.team, each.model) for each in rebase.touched(before, wanted) if each.part == "routes"}
    return [each for each in wanted.routes if (each.team, each.model) in names and (team is None or each.team)]


def _route(
    route: Route,
    found: ChangeSet,
    before: DesiredState | None,
    wanted: DesiredState,
    since: datetime | None,
    now: datetime,
) -> RouteView:
    old = before.route(route.model, route.team) if before else None
    was = old.tiers[0].weights if old and old.tiers else {}
    will = route.tiers[0].weights if route.tiers else {}
    counted = {} if since is None else requests_of(route, wanted, _observed(found, route, since, now))
    total = sum(counted.values())
    rows = []
    for name in sorted(was.keys() | will.keys() | {each for each in counted if each}):
        target = wanted.target(name)
        share = None if not total else counted.get(name, 0) * 1_000_000 // total
        place = (target.provider, target.region) if target else ("", "")
        rows.append(WeightRow(name, *place, was.get(name, 0), will.get(name, 0), share, counted.get(name, 0)))
    return RouteView(route.model, route.team, route.served_model, total, tuple(rows))


def _observed(found: ChangeSet, route: Route, since: datetime, until: datetime) -> ObservedSplit:
    """Whole minutes after `since`: the one in which it began holds both splits."""
    first = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
    rows = _minutes(found, route, first, until).values_list("team", "target", "requests")
    teams: dict[str, dict[str, int]] = {}
    for team, target, requests in rows:
        mine = teams.setdefault(team, {})
        mine[target] = mine.get(target, 0) + requests
    return ObservedSplit(
        first, until, tuple(RouteSplit(route.model, team, counted) for team, counted in sorted(teams.items()))
    )


def _minutes(found: ChangeSet, route: Route, first: datetime, until: datetime) -> QuerySet[Observation]:
    rows = Observation.objects.filter(
        orchestrator_id=found.orchestrator_id, model=route.model, minute__gte=first, minute__lt=until
    ).exclude(target="")
    return rows if route.team is None else rows.filter(team=route.team)


def _split(route: Route, found: ChangeSet, wanted: DesiredState, now: datetime) -> tuple[SplitPoint, ...]:
    """Shares since a while before the push: by minute in the first half hour, else by quarter of an hour."""
    if found.accepted_at is None:
        return ()
    end = min(now, found.accepted_at + timedelta(hours=8))
    fine = end - found.accepted_at <= timedelta(minutes=45)
    start = found.accepted_at - (timedelta(minutes=15) if fine else timedelta(hours=2))
    size = timedelta(minutes=1 if fine else 15)
    own = {each.team for each in wanted.routes if each.model == route.model and each.team is not None}
    points: dict[datetime, dict[str, int]] = {}
    for minute, team, target, requests in _minutes(found, route, start, end).values_list(
        "minute", "team", "target", "requests"
    ):
        if route.team is None and team in own:
            continue
        bucket = minute - (minute - datetime.min.replace(tzinfo=minute.tzinfo)) % size
        mine = points.setdefault(bucket, {})
        mine[target] = mine.get(target, 0) + requests
    made = []
    for at, counted in sorted(points.items()):
        total = sum(counted.values())
        if total:
            shares = tuple((name, number * 1_000_000 // total) for name, number in sorted(counted.items()))
            made.append(SplitPoint(at, total, shares))
    return tuple(made)


def in_force(reference: str) -> bool:
    """Does a change of this reference stand, or is one on its way?"""
    wanted = Q(status__in=transitions.PUSHED) | Q(status__in=transitions.WAITING)
    return ChangeSet.objects.filter(wanted, reference=reference).exists()
