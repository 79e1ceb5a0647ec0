"""Anomalies as people meet them: what a reader may see of each, and what may be said of it.

Read and triaged here; found by `anomaly_search`. A reader of some teams sees their parts alone: amounts, days and
drivers are sums over what is theirs, and of the others there is no trace but the cause's own name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Prefetch, Q, QuerySet

from attribution import audit
from attribution.actors import Action, Actor
from attribution.money import EXACT, exact_sum
from attribution.scope import TeamScope
from governance.forecasting.anomalies import Cause
from governance.forecasting.drivers import Drivers
from governance.models import Anomaly, AnomalyPart

State = Anomaly.State
# What a person may make of an anomaly, from what.
TRANSITIONS: dict[str, frozenset[str]] = {
    State.OPEN: frozenset({State.EXPLAINED, State.MUTED, State.RESOLVED}),
    State.EXPLAINED: frozenset({State.OPEN, State.MUTED, State.RESOLVED}),
    State.MUTED: frozenset({State.OPEN, State.EXPLAINED, State.RESOLVED}),
    State.RESOLVED: frozenset({State.OPEN, State.EXPLAINED}),
}
MAX_NOTE = 500


class NotFound(Exception):
    """There is no such anomaly for this reader. Never retryable."""

    retryable = False


class Refused(Exception):
    """It can't be done so; the message says which field, what is wrong with it and what to do. Never retryable."""

    retryable = False

    def __init__(self, field: str, message: str, fix: str) -> None:
        self.field, self.message, self.fix = field, message, fix
        super().__init__(f"{field}: {message}; {fix}")


class Outdated(Exception):
    """Somebody else changed it since it was read. Retryable, after a look."""

    retryable = True


@dataclass(frozen=True)
class PartView:
    """One leaf's sum over the days that the reader sees of it."""

    team: str | None
    model: str | None
    provider: str | None
    actual: Decimal
    expected: Decimal
    drivers: Drivers

    @property
    def excess(self) -> Decimal:
        return EXACT.subtract(self.actual, self.expected)


@dataclass(frozen=True)
class DayView:
    """One day of the anomaly, within what the reader sees."""

    day: date
    actual: Decimal
    expected: Decimal

    @property
    def excess(self) -> Decimal:
        return EXACT.subtract(self.actual, self.expected)


@dataclass(frozen=True)
class AnomalyView:
    """An anomaly within a reader's scope. is_share: others have parts of it; then the note isn't shown either."""

    id: int
    cause: Cause
    reason: str
    currency: str
    first_day: date
    last_day: date
    z: Decimal
    state: str
    note: str
    state_by: str
    state_at: datetime
    muted_until: datetime | None
    opened_at: datetime
    version: int
    is_share: bool
    days: tuple[DayView, ...]
    parts: tuple[PartView, ...]  # the dearest first

    @property
    def actual(self) -> Decimal:
        return exact_sum(each.actual for each in self.days)

    @property
    def expected(self) -> Decimal:
        return exact_sum(each.expected for each in self.days)

    @property
    def excess(self) -> Decimal:
        return EXACT.subtract(self.actual, self.expected)

    @property
    def drivers(self) -> Drivers:
        """volume + price + mix + new + gone + unmetered = excess, exactly."""
        return sum((each.drivers for each in self.parts), Drivers())

    @property
    def teams(self) -> tuple[str | None, ...]:
        """Whose parts are shown, the dearest first."""
        return tuple(dict.fromkeys(each.team for each in self.parts))


# Selectors


def anomalies(
    scope: TeamScope,
    *,
    states: Iterable[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[AnomalyView]:
    """Those with a part that `scope` allows, the newest found first.

    states: only these; start, end: only those with a day in [start, end); before: only those found before that id.
    """
    found = _visible(scope).order_by("-id")
    if states is not None:
        found = found.filter(state__in=list(states))
    if start is not None:
        found = found.filter(last_day__gte=start)
    if end is not None:
        found = found.filter(first_day__lt=end)
    if before is not None:
        found = found.filter(id__lt=before)
    return [_view(one, scope) for one in (found if limit is None else found[:limit])]


def anomaly(scope: TeamScope, anomaly_id: int) -> AnomalyView:
    """One of them. Raises NotFound, also for one that is not the reader's."""
    found = _visible(scope).filter(id=anomaly_id).first()
    if found is None:
        raise NotFound(f"there is no anomaly {anomaly_id}")
    return _view(found, scope)


def by_excess(views: Iterable[AnomalyView]) -> list[AnomalyView]:
    """The dearest first. Currencies never compare: they follow one another."""
    return sorted(views, key=lambda each: (each.currency != "USD", each.currency, -each.excess, -each.id))


def may_triage(actor: Actor, anomaly_id: int) -> bool:
    """May the actor say something of it? Only who may for every team that has a part."""
    teams = set(AnomalyPart.objects.filter(anomaly_id=anomaly_id).values_list("team", flat=True))
    return all(actor.may(Action.TRIAGE_ANOMALY, team) for team in teams)


def cause_of(one: Anomaly) -> Cause:
    return tuple((str(name), value) for name, value in one.cause)


def _visible(scope: TeamScope) -> QuerySet[Anomaly]:
    found = Anomaly.objects.prefetch_related(Prefetch("parts", AnomalyPart.objects.order_by("day", "id")))
    if scope.everything:
        return found.filter(Q(parts__isnull=False)).distinct()
    return found.filter(parts__team__in=scope.teams).distinct()


def _view(one: Anomaly, scope: TeamScope) -> AnomalyView:
    every = list(one.parts.all())
    mine = [part for part in every if scope.allows(part.team)]
    is_share = len(mine) < len(every)
    return AnomalyView(
        id=one.pk,
        cause=cause_of(one),
        reason=one.reason,
        currency=one.currency,
        first_day=min(part.day for part in mine),
        last_day=max(part.day for part in mine),
        z=one.z,
        state=one.state,
        note="" if is_share else one.note,
        state_by="" if is_share else one.state_by,
        state_at=one.state_at,
        muted_until=one.muted_until,
        opened_at=one.opened_at,
        version=one.version,
        is_share=is_share,
        days=_days(mine),
        parts=_parts(mine),
    )


def _days(parts: Sequence[AnomalyPart]) -> tuple[DayView, ...]:
    days = sorted({part.day for part in parts})
    of = {day: [part for part in parts if part.day == day] for day in days}
    return tuple(
        DayView(day, exact_sum(part.actual for part in of[day]), exact_sum(part.expected for part in of[day]))
        for day in days
    )


def _parts(parts: Sequence[AnomalyPart]) -> tuple[PartView, ...]:
    leaves: dict[tuple[str | None, ...], list[AnomalyPart]] = {}
    for part in parts:
        leaves.setdefault((part.team, part.model, part.provider), []).append(part)
    views = [
        PartView(
            team=leaf[0],
            model=leaf[1],
            provider=leaf[2],
            actual=exact_sum(part.actual for part in of),
            expected=exact_sum(part.expected for part in of),
            drivers=sum((Drivers(**part.drivers) for part in of), Drivers()),
        )
        for leaf, of in leaves.items()
    ]
    return tuple(sorted(views, key=lambda each: (-each.excess, str((each.team, each.model, each.provider)))))


# Services


def triage(
    actor: Actor,
    anomaly_id: int,
    state: str,
    *,
    version: int,
    now: datetime,
    note: str = "",
    muted_until: datetime | None = None,
) -> AnomalyView:
    """Say what became of an anomaly: expected (then its like must be worse to be told again), muted, resolved, open.

    Raises NotFound, Forbidden, Refused, Outdated.
    """
    _check(state, note, muted_until, now)
    with transaction.atomic():
        before = Anomaly.objects.select_for_update().filter(id=anomaly(actor.scope, anomaly_id).id).get()
        _require(actor, before)
        if before.version != version:
            raise Outdated(f"{before.state_by or 'somebody'} has made it {before.get_state_display()} meanwhile")
        if state not in TRANSITIONS[before.state]:
            raise Refused("state", f"it is {before.get_state_display().lower()} already", "choose another state")
        values = {"state": state, "note": note, "muted_until": muted_until}
        changed = Anomaly.objects.filter(id=before.pk, version=version, state=before.state).update(
            **values, state_by=actor.name, state_at=now, version=F("version") + 1
        )
        if not changed:
            raise Outdated("somebody else has changed it meanwhile")
        old = {"state": before.state, "note": before.note, "muted_until": before.muted_until}
        audit.record(
            actor,
            "anomaly.triaged",
            "anomaly",
            before.pk,
            team=before.team,
            before=old,
            after=values,
            reason=note,
            now=now,
        )
        return anomaly(actor.scope, before.pk)


def _require(actor: Actor, one: Anomaly) -> None:
    teams = {part.team for part in one.parts.all()}
    if len(teams) == 1:
        actor.require(Action.TRIAGE_ANOMALY, teams.pop())
    elif not all(actor.may(Action.TRIAGE_ANOMALY, team) for team in teams):
        actor.require(Action.TRIAGE_ANOMALY, None)


def _check(state: str, note: str, muted_until: datetime | None, now: datetime) -> None:
    if state not in State.values:
        raise Refused("state", f"{state[:40]!r} is none", f"use one of {', '.join(State.values)}")
    if len(note) > MAX_NOTE:
        raise Refused("note", f"it has {len(note)} characters", f"use at most {MAX_NOTE}")
    if state == State.EXPLAINED and not note.strip():
        raise Refused("note", "an expected cost needs a reason", "say in a few words why it was to be expected")
    if state == State.MUTED and (muted_until is None or muted_until <= now):
        raise Refused("muted_until", "a muted anomaly needs an end", "give a time in the future")
    if state != State.MUTED and muted_until is not None:
        raise Refused("muted_until", "only a muted anomaly has one", "leave it out")
