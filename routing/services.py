"""What the layers above call: the changes' whole life, the kill switch, drift's decisions, and who is an orchestrator.

Proposals and answers are in `proposing`, the push in `pushing`, proof and drift in `watching`; this module adds what is
small and gives all of it one address.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from attribution import audit
from attribution.actors import Action, Actor
from routing import snapshots, transitions
from routing.desired import DesiredState
from routing.models import ChangeSet, FreezeWindow, KillSwitch, Orchestrator
from routing.orchestrators.base import OrchestratorError, Refused
from routing.orchestrators.registry import open_orchestrator
from routing.proposing import OPEN, NotWaiting, RefusedChange, Special, Unsound, Why, propose_change
from routing.proposing import approve as approve
from routing.proposing import reject as reject
from routing.proposing import roll_back as roll_back
from routing.proposing import roll_back_to as roll_back_to
from routing.pushing import Connect, connect
from routing.pushing import is_frozen as is_frozen
from routing.pushing import push_pending as push_pending
from routing.rails import Approval
from routing.rebase import Overlaps
from routing.watching import expire_waiting as expire_waiting
from routing.watching import forget_traffic as forget_traffic
from routing.watching import lift_withdrawn as lift_withdrawn
from routing.watching import record_traffic as record_traffic
from routing.watching import turn_periods as turn_periods
from routing.watching import verify_pending as verify_pending
from routing.watching import watch_drift as watch_drift

__all__ = [
    "Approval",
    "NotWaiting",
    "Overlaps",
    "RefusedChange",
    "Unsound",
    "Why",
    "propose_change",
]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def register_orchestrator(
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    objectives: Mapping[str, int] = {},
) -> Orchestrator:
    """Add an orchestrator, or give it other settings; the same call twice changes nothing.

    Raises Refused, Forbidden.
    """
    actor.require(Action.EDIT_ORCHESTRATOR, None)
    if not _NAME.fullmatch(name):
        raise Refused(f"{name[:60]!r} can't be a name: use up to 100 letters, digits and . _ -")
    open_orchestrator(kind, name, settings)
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update().filter(name=name).first()
        wanted = {"kind": kind, "settings": dict(settings), "objectives": dict(objectives)}
        if row is not None and {key: getattr(row, key) for key in wanted} == wanted:
            return row
        before = None if row is None else {"kind": row.kind, "settings": row.settings, "objectives": row.objectives}
        if row is not None and row.kind != kind:
            raise Refused(f"{name} is of kind {row.kind}: add the {kind} one under another name")
        row, _made = Orchestrator.objects.update_or_create(name=name, defaults=wanted)
        audit.record(actor, "orchestrator.set", "orchestrator", row.pk, before=before, after=wanted, now=now)
    return row


def freeze(*, actor: Actor, now: datetime, reason: str = "") -> KillSwitch:
    """Stop all enforcement: what stands stays, nothing more is pushed or taken back. Twice is the same stop.

    A push that an orchestrator is being told at this moment may still be taken; its page will say so.
    """
    actor.require(Action.KILL_SWITCH, None)
    try:
        with transaction.atomic():
            made = KillSwitch.objects.create(frozen_at=now, frozen_by=actor.name, reason=reason)
            audit.record(actor, "loop.freeze", "loop", "all", after={"frozen": True}, reason=reason, now=now)
        return made
    except IntegrityError:
        return KillSwitch.objects.get(is_on=True)


def resume(*, actor: Actor, now: datetime, reason: str = "") -> bool:
    """Let the loop act again; False when it was not stopped."""
    actor.require(Action.KILL_SWITCH, None)
    with transaction.atomic():
        if not KillSwitch.objects.filter(is_on=True).update(is_on=False, resumed_at=now, resumed_by=actor.name):
            return False
        audit.record(actor, "loop.resume", "loop", "all", after={"frozen": False}, reason=reason, now=now)
    return True


def add_freeze_window(start: datetime, end: datetime, *, actor: Actor, now: datetime, reason: str = "") -> FreezeWindow:
    """Announce [start, end): in it nothing is pushed but what takes something back.

    Raises RefusedChange, Forbidden.
    """
    actor.require(Action.KILL_SWITCH, None)
    if end <= start:
        raise RefusedChange(
            f"the window ends {end:%d %b %H:%M}, before it starts: give an end after {start:%d %b %H:%M}"
        )
    with transaction.atomic():
        window = FreezeWindow.objects.create(start=start, end=end, reason=reason, made_by=actor.name)
        after = {"start": start, "end": end}
        audit.record(actor, "loop.window", "freeze_window", window.pk, after=after, reason=reason, now=now)
    return window


def settle_drift(
    orchestrator: str, decision: str, *, actor: Actor, now: datetime, reason: str = "", connect: Connect = connect
) -> ChangeSet:
    """Decide about what somebody else wrote. decision: "overwrite" writes again what Weir wants; "keep" makes what is
    there the new baseline.

    Raises Forbidden, NotWaiting, Unsound, OrchestratorError (keep asks the orchestrator what it holds).
    """
    actor.require(Action.EDIT_ORCHESTRATOR, None)
    row = Orchestrator.objects.select_related("standing").get(name=orchestrator)
    current = snapshots.standing(row)
    if row.state != Orchestrator.State.DRIFTED or current is None:
        raise NotWaiting(f"{orchestrator} has not drifted: there is nothing to decide")
    if decision == "overwrite":
        desired, title = current, f"Write over what others wrote in {orchestrator}"
    elif decision == "keep":
        desired, title = _as_it_is(row, current, connect), f"Keep what others wrote in {orchestrator}"
    else:
        raise RefusedChange(f"{decision!r} is no decision: use overwrite or keep")
    why = Why("drift", f"drift:{row.pk}", reason or title, {"decision": decision}, title)
    special = Special(force=True, takes_back=True)
    with transaction.atomic():
        Orchestrator.objects.select_for_update().get(pk=row.pk)
        decided = ChangeSet.objects.filter(
            orchestrator=row, reference=why.reference, status__in=transitions.WAITING
        ).first()
        if decided is not None:
            raise NotWaiting(f"{decided.name} decides it already: look at what becomes of it")
        made = propose_change(orchestrator, desired, why=why, actor=actor, now=now, special=special)
    if made is None:
        raise NotWaiting(f"{orchestrator} holds what it should again")
    return made


def end_waiting(orchestrator: str, reference: str, *, actor: Actor, now: datetime, reason: str) -> list[int]:
    """End what waits under exactly this reference, because nobody asks for it any more; ids of the changes."""
    ended = []
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update().get(name=orchestrator)
        waiting = ChangeSet.objects.select_related("orchestrator").filter(
            orchestrator=row, reference=reference, status__in=transitions.WAITING
        )
        for change in waiting.exclude(pushes__state__in=OPEN).order_by("id"):
            transitions.move(change, ChangeSet.Status.SUPERSEDED, actor=actor, now=now, reason=reason)
            ended.append(change.pk)
    return ended


def withdraw(reference: str, *, actor: Actor, now: datetime, reason: str) -> list[int]:
    """What asked for changes is gone (a deleted budget): those that wait end, what they stopped is served again.

    reference: also stands for what begins with it and a colon. One that is being pushed at this moment is finished
    first and then lifted. Ids of the changes concerned.
    """
    concerned = []
    with transaction.atomic():
        named = Q(reference=reference) | Q(reference__startswith=f"{reference}:")
        found = ChangeSet.objects.filter(named).exclude(status__in=transitions.FINAL)
        Orchestrator.objects.select_for_update().filter(changes__in=found).order_by("id").exists()
        for change in found.select_related("orchestrator").order_by("id"):
            concerned.append(change.pk)
            is_open = change.pushes.filter(state__in=OPEN).exists()
            if change.status in transitions.WAITING and not is_open:
                transitions.move(change, ChangeSet.Status.SUPERSEDED, actor=actor, now=now, reason=reason)
            else:
                ChangeSet.objects.filter(pk=change.pk).update(withdrawn=True)
                audit.record(actor, "change.withdraw", "change", change.pk, team=change.team, reason=reason, now=now)
    return concerned


def dry_run_pending(*, now: datetime, connect: Connect = connect) -> list[int]:
    """Ask each orchestrator what it would say to the changes that wait for a person; ids of those that were asked."""
    asked = []
    waiting = ChangeSet.objects.select_related("orchestrator__standing").filter(
        status=ChangeSet.Status.PROPOSED, dry_run__isnull=True
    )
    for change in waiting.order_by("id"):
        ChangeSet.objects.filter(pk=change.pk).update(dry_run=_dry_run(change, connect, now))
        asked.append(change.pk)
    return asked


def _dry_run(change: ChangeSet, connect: Connect, now: datetime) -> dict[str, Any] | None:
    desired = replace(snapshots.wanted(change), generation=change.orchestrator.generation + 1)
    try:
        client = connect(change.orchestrator)
        plan = client.plan(desired, client.observe())
        found = [f"{each.subject}: {each.words}" for each in client.validate(plan)]
        steps = [each.words for each in plan.steps]
    except OrchestratorError as error:
        if error.retryable:
            return None
        found, steps = [f"{error}"], []
    return {"at": now.isoformat(), "accepts": not found, "problems": found, "steps": steps[:50]}


def _as_it_is(row: Orchestrator, current: DesiredState, connect: Connect) -> DesiredState:
    observed = connect(row).observe()
    if observed.state is None:
        raise NotWaiting(f"{row.name} holds nothing that could be kept: write again what Weir wants")
    # What is there becomes ours: told as made on what stands now.
    return replace(observed.state, orchestrator=row.name, generation=current.generation)
