"""Events that people know of and forecasts don't: who may say them, how they change, how they are withdrawn.

A change counts from the next fit on; forecasts that were shown stay as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from attribution import audit
from attribution.actors import Action, Actor
from attribution.scope import TeamScope
from governance.budget_drafts import Invalid, Mistake
from governance.forecasting.values import SCOPE_DIMENSIONS
from governance.models import ForecastEvent

Kind = ForecastEvent.Kind
MAX_TITLE = 200
MAX_RAMP_DAYS = 365
# A hundred times as much, or as dear, is a slip of the pen.
MAX_PPM = 100_000_000
_FAR = timedelta(days=5 * 366)


class MissingEvent(Exception):
    """There is no such event, or it is not the reader's to see. Never retryable."""

    retryable = False


class EventConflict(Exception):
    """Somebody changed it since it was read. Read it again, then decide."""

    retryable = False

    def __init__(self, current: "EventView") -> None:
        super().__init__(f"{current.made_by} changed this event meanwhile: it is at version {current.version} now.")
        self.current = current


@dataclass(frozen=True)
class EventDraft:
    """What a person says. factor_ppm: usage, or the price, afterwards in parts per million of before."""

    kind: str
    title: str
    starts_on: date
    ends_on: date | None = None
    dims: tuple[tuple[str, str], ...] = ()
    factor_ppm: int | None = None
    amount_per_day: Decimal | None = None
    currency: str = ""
    moved_ppm: int | None = None
    target: tuple[tuple[str, str], ...] = ()
    ramp_days: int = 0

    @property
    def team(self) -> str | None:
        return dict(self.dims).get("team")


@dataclass(frozen=True)
class EventView:
    """An event as it stands."""

    id: int
    kind: str
    title: str
    starts_on: date
    ends_on: date | None
    dims: tuple[tuple[str, str], ...]
    factor_ppm: int | None
    amount_per_day: Decimal | None
    currency: str
    moved_ppm: int | None
    target: tuple[tuple[str, str], ...]
    ramp_days: int
    team: str | None
    version: int
    made_by: str
    made_at: datetime


def events(scope: TeamScope) -> list[EventView]:
    """The events that stand and move something the reader may see, the next first.

    The whole organisation's are everybody's to see: they move everybody's forecast.
    """
    rows = ForecastEvent.objects.filter(withdrawn_at=None)
    if not scope.everything:
        rows = rows.filter(Q(team__in=scope.teams) | Q(team=None))
    return [_view(row) for row in rows.order_by("starts_on", "id")]


def event(scope: TeamScope, event_id: int) -> EventView:
    """One of them. Raises MissingEvent."""
    found = next((one for one in events(scope) if one.id == event_id), None)
    if found is None:
        raise MissingEvent
    return found


def add_event(draft: EventDraft, *, actor: Actor, now: datetime) -> EventView:
    """Raises Invalid, Forbidden."""
    actor.require(Action.EDIT_EVENT, draft.team)
    checked = _checked(draft)
    with transaction.atomic():
        row = ForecastEvent.objects.create(**_columns(checked), made_by=actor.name, made_at=now)
        _record(actor, "forecast_event.added", row, before=None, after=row.as_audited, now=now)
    return _view(row)


def change_event(event_id: int, version: int, draft: EventDraft, *, actor: Actor, now: datetime) -> EventView:
    """All its values. Raises Invalid, Forbidden, MissingEvent, EventConflict."""
    with transaction.atomic():
        row = _mine(event_id, version, actor)
        actor.require(Action.EDIT_EVENT, draft.team)
        before = row.as_audited
        for name, value in _columns(_checked(draft)).items():
            setattr(row, name, value)
        row.version, row.made_by, row.made_at = version + 1, actor.name, now
        row.save()
        _record(actor, "forecast_event.changed", row, before=before, after=row.as_audited, now=now)
    return _view(row)


def withdraw_event(event_id: int, version: int, *, actor: Actor, now: datetime) -> None:
    """It moves no forecast from the next fit on. Raises Forbidden, MissingEvent, EventConflict."""
    with transaction.atomic():
        row = _mine(event_id, version, actor)
        row.withdrawn_at, row.version = now, version + 1
        row.save()
        _record(actor, "forecast_event.withdrawn", row, before=row.as_audited, after=None, now=now)


def _mine(event_id: int, version: int, actor: Actor) -> ForecastEvent:
    row = ForecastEvent.objects.select_for_update().filter(pk=event_id, withdrawn_at=None).first()
    if row is None or not (row.team is None or actor.scope.allows(row.team)):
        raise MissingEvent
    actor.require(Action.EDIT_EVENT, row.team)
    if row.version != version:
        raise EventConflict(_view(row))
    return row


def _record(
    actor: Actor,
    action: str,
    row: ForecastEvent,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    now: datetime,
) -> None:
    audit.record(actor, action, "forecast_event", row.pk, now=now, team=row.team, before=before, after=after)


def _columns(draft: EventDraft) -> dict[str, object]:
    return {
        "kind": draft.kind,
        "title": draft.title,
        "dims": [list(pair) for pair in draft.dims],
        "team": draft.team,
        "starts_on": draft.starts_on,
        "ends_on": draft.ends_on,
        "factor_ppm": draft.factor_ppm,
        "amount_per_day": draft.amount_per_day,
        "currency": draft.currency,
        "moved_ppm": draft.moved_ppm,
        "target": [list(pair) for pair in draft.target],
        "ramp_days": draft.ramp_days,
    }


def _checked(draft: EventDraft) -> EventDraft:
    """The draft, tidied. Raises Invalid with everything that is wrong."""
    found = [
        *_wrong_place(draft),
        *_wrong_days(draft),
        *_wrong_amounts(draft),
    ]
    if not draft.title.strip():
        found.append(Mistake("title", "it has no title", "say what happens in a few words"))
    elif len(draft.title) > MAX_TITLE:
        found.append(Mistake("title", f"it has {len(draft.title)} characters", f"use at most {MAX_TITLE}"))
    if found:
        raise Invalid(tuple(found))
    return replace(draft, title=draft.title.strip(), dims=tuple(sorted(draft.dims)), target=tuple(sorted(draft.target)))


def _wrong_place(draft: EventDraft) -> list[Mistake]:
    found = []
    if draft.kind not in Kind.values:
        found.append(Mistake("kind", f"{draft.kind!r} is no kind", f"use {', '.join(Kind.values)}"))
    for name, pairs in (("dims", draft.dims), ("target", draft.target)):
        unknown = [dimension for dimension, value in pairs if dimension not in SCOPE_DIMENSIONS or not value]
        if unknown or len(dict(pairs)) != len(pairs):
            found.append(Mistake(name, "it is no scope", f"name each of {', '.join(SCOPE_DIMENSIONS)} at most once"))
    if draft.kind == Kind.MIGRATION and not draft.target:
        found.append(Mistake("target", "a migration goes nowhere", "say which model or provider it goes to"))
    if draft.kind != Kind.MIGRATION and draft.target:
        found.append(Mistake("target", "only a migration has one", "leave it out"))
    return found


def _wrong_days(draft: EventDraft) -> list[Mistake]:
    found = []
    if draft.ends_on is not None and draft.ends_on <= draft.starts_on:
        found.append(Mistake("ends_on", "it ends before it begins", "give the first day on which it no longer holds"))
    if draft.kind == Kind.HOLIDAY and draft.ends_on is None:
        found.append(Mistake("ends_on", "a holiday ends", "give the first day after it"))
    if draft.ends_on is not None and draft.ends_on - draft.starts_on > _FAR:
        found.append(Mistake("ends_on", "it lasts for more than five years", "leave it out if it lasts"))
    if not 0 <= draft.ramp_days <= MAX_RAMP_DAYS:
        found.append(Mistake("ramp_days", f"{draft.ramp_days} days", f"give 0 to {MAX_RAMP_DAYS}"))
    return found


def _wrong_amounts(draft: EventDraft) -> list[Mistake]:
    found = []
    for name, ppm, most in (("factor_ppm", draft.factor_ppm, MAX_PPM), ("moved_ppm", draft.moved_ppm, 1_000_000)):
        if ppm is not None and not 0 <= ppm <= most:
            found.append(Mistake(name, f"{ppm} is out of range", f"give 0 to {most} parts per million"))
    needs_factor = draft.kind in (Kind.PRICE_CHANGE, Kind.HOLIDAY)
    if needs_factor and draft.factor_ppm is None:
        found.append(Mistake("factor_ppm", "it says no change", "say what stands afterwards: 800000 is a fifth less"))
    if draft.kind == Kind.LAUNCH and draft.factor_ppm is None and draft.amount_per_day is None:
        found.append(Mistake("amount_per_day", "it adds nothing", "say what it adds a day, or by what usage grows"))
    if draft.kind != Kind.LAUNCH and draft.amount_per_day is not None:
        found.append(Mistake("amount_per_day", "only a launch has one", "leave it out"))
    if draft.amount_per_day is not None and draft.amount_per_day < 0:
        found.append(Mistake("amount_per_day", "it is below 0", "for less usage give a factor below 1000000"))
    if draft.amount_per_day is not None and len(draft.currency) != 3:
        found.append(Mistake("currency", "the amount has no currency", "use its three letters: USD"))
    return found


def _view(row: ForecastEvent) -> EventView:
    return EventView(
        id=row.pk,
        kind=row.kind,
        title=row.title,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        dims=tuple((name, value) for name, value in row.dims),
        factor_ppm=row.factor_ppm,
        amount_per_day=row.amount_per_day,
        currency=row.currency,
        moved_ppm=row.moved_ppm,
        target=tuple((name, value) for name, value in row.target),
        ramp_days=row.ramp_days,
        team=row.team,
        version=row.version,
        made_by=row.made_by,
        made_at=row.made_at,
    )
