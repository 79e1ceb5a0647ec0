"""The life of a change: the legal steps in one table, and the only writer of a change's status.

    proposed -> approved -> accepted -> live -> effective
                                |         |        |
                                +---------+--------+--> drifted, rolled back, superseded

A step is a conditional UPDATE; the same transaction writes its Transition and its audit entry. Who loses a race
is told.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from attribution import audit
from attribution.actors import Actor
from routing.models import ChangeSet, Transition

Status = ChangeSet.Status

LEGAL: Mapping[Status, frozenset[Status]] = {
    Status.PROPOSED: frozenset({Status.APPROVED, Status.REJECTED, Status.SUPERSEDED, Status.EXPIRED}),
    Status.APPROVED: frozenset({Status.ACCEPTED, Status.FAILED, Status.REJECTED, Status.SUPERSEDED, Status.EXPIRED}),
    Status.ACCEPTED: frozenset({Status.LIVE, Status.DRIFTED, Status.ROLLED_BACK, Status.SUPERSEDED}),
    Status.LIVE: frozenset({Status.EFFECTIVE, Status.DRIFTED, Status.ROLLED_BACK, Status.SUPERSEDED}),
    Status.EFFECTIVE: frozenset({Status.DRIFTED, Status.ROLLED_BACK}),
    Status.DRIFTED: frozenset({Status.LIVE, Status.EFFECTIVE, Status.ROLLED_BACK, Status.SUPERSEDED}),
    Status.REJECTED: frozenset(),
    Status.FAILED: frozenset(),
    Status.ROLLED_BACK: frozenset(),
    Status.SUPERSEDED: frozenset(),
    Status.EXPIRED: frozenset(),
}
# Not pushed yet: they can still be stopped without touching traffic.
WAITING = frozenset({Status.PROPOSED, Status.APPROVED})
# In force, or should be.
PUSHED = frozenset({Status.ACCEPTED, Status.LIVE, Status.EFFECTIVE, Status.DRIFTED})
FINAL = frozenset(status for status, following in LEGAL.items() if not following)


class Illegal(ValueError):
    """No such step exists. A mistake of the caller, never of timing."""

    retryable = False


class Overtaken(Exception):
    """Somebody else has moved the change since it was read: read it again and decide anew."""

    retryable = True


def start(change: ChangeSet, *, actor: Actor, now: datetime) -> None:
    """Write a new change as proposed. Call it inside the transaction that decides so."""
    _require_transaction()
    change.status = Status.PROPOSED
    change.save(force_insert=True)
    _write(change, "", Status.PROPOSED, actor, now, change.words, change.inputs)


def move(
    change: ChangeSet,
    to: Status,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
    inputs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Step `change` from the status it was read with to `to`, with `fields` set in the same UPDATE.

    Raises Illegal for a step that the table lacks, Overtaken when the row has another status by now.
    """
    _require_transaction()
    was = Status(change.status)
    if to not in LEGAL[was]:
        raise Illegal(f"{change.name}: {was} -> {to} is no legal step; from {was} lead {sorted(LEGAL[was]) or 'none'}")
    # A new step is watched anew.
    values = {"looked_at": None, "watched_seconds": 0, "bad_looks": 0, "waits_for": ""} | fields
    if not ChangeSet.objects.filter(pk=change.pk, status=was).update(status=to, **values):
        raise Overtaken(f"{change.name} is no longer {was}: look at it again")
    change.status = to
    for name, value in values.items():
        setattr(change, name, value)
    _write(change, was, to, actor, now, reason, inputs or {})


def _write(
    change: ChangeSet, was: str, to: Status, actor: Actor, now: datetime, reason: str, inputs: Mapping[str, Any]
) -> None:
    Transition.objects.create(
        change=change,
        before=was,
        after=to,
        at=now,
        actor=actor.name,
        actor_id=actor.user_id,
        reason=reason,
        inputs=dict(inputs),
    )
    audit.record(
        actor,
        f"change.{to}",
        "change",
        change.pk,
        team=change.team,
        before={"status": was} if was else None,
        after={"status": str(to), "generation": change.generation},
        reason=reason,
        inputs=inputs,
        now=now,
    )


def _require_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("a change moves inside the transaction that decides so")
