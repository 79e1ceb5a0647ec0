"""One run for each slot of a periodic task: claimed in the database, held by a lease, kept as history.

The broker only wakes: two clocks, a redelivered message or a killed worker lead to one run of a slot, not to none or
two. A run that lost its lease notices at its next `heartbeat` or at its end.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from attribution.models import TaskRun

# A slot whose runs fail this often stays failed: the next slot tries anew.
MAX_ATTEMPTS = 3


class LeaseLost(Exception):
    """Another worker has taken the slot over, because this one was silent for longer than its lease. Retryable."""

    retryable = True


@dataclass(frozen=True)
class Run:
    """The right to work one slot until the lease ends."""

    task: str
    slot: datetime
    holder: str
    lease: timedelta

    def heartbeat(self, now: datetime) -> None:
        """Lengthen the lease from `now`. Raises LeaseLost."""
        self._update(lease_until=now + self.lease)

    def finish(self, outcome: dict[str, Any] | None, now: datetime) -> None:
        """The slot is done. Raises LeaseLost."""
        self._update(state=TaskRun.State.DONE, outcome=outcome, finished_at=now, error="")

    def fail(self, error: str, now: datetime) -> None:
        """The slot failed; it may be claimed again until MAX_ATTEMPTS. Raises LeaseLost."""
        self._update(state=TaskRun.State.FAILED, error=error, finished_at=now)

    def _update(self, **values: Any) -> None:
        mine = TaskRun.objects.filter(
            task=self.task, slot=self.slot, holder=self.holder, state=TaskRun.State.RUNNING
        ).update(**values)
        if not mine:
            raise LeaseLost(f"{self.task} {self.slot.isoformat()}: another worker runs it now")


def slot_of(now: datetime, every: timedelta) -> datetime:
    """The start of the slot of length `every` that holds `now`, counted from midnight UTC of year 1."""
    return now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % every


def claim(task: str, slot: datetime, *, lease: timedelta, now: datetime) -> Run | None:
    """The right to run `task` for `slot`, or None: done, failed too often, or held by a live worker."""
    holder = uuid.uuid4().hex
    try:
        with transaction.atomic():
            TaskRun.objects.create(task=task, slot=slot, holder=holder, started_at=now, lease_until=now + lease)
        return Run(task, slot, holder, lease)
    except IntegrityError:
        pass
    expired = Q(state=TaskRun.State.RUNNING, lease_until__lte=now)
    failed = Q(state=TaskRun.State.FAILED, attempts__lt=MAX_ATTEMPTS)
    taken = TaskRun.objects.filter(expired | failed, task=task, slot=slot).update(
        state=TaskRun.State.RUNNING,
        holder=holder,
        attempts=F("attempts") + 1,
        started_at=now,
        lease_until=now + lease,
        finished_at=None,
    )
    return Run(task, slot, holder, lease) if taken else None
