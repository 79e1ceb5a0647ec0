"""Background work of the controller: thin; each slot runs once, whoever wakes it, and none runs beside another."""

from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.db.models import Max
from django.utils import timezone

from attribution import runs, spend
from governance.enforcement.quota_orders import enforce_quotas
from governance.enforcement.tick import Reason, look, tick
from governance.models import Budget, PolicyVersion

TICK, LOOK = "governance.tick", "governance.control_tick"
HOUR = timedelta(hours=1)
# At most one unplanned tick in this time: a decision needs a moment to show in the figures.
AT_ONCE = timedelta(seconds=20)
LEASE = timedelta(minutes=10)
LOOK_AGAIN = timedelta(seconds=30)
# What this process saw last; a lost entry costs one look.
_looked: dict[str, Any] = {}


@shared_task(name=TICK)  # type: ignore[untyped-decorator]
def control_hourly() -> None:
    """The tick of this hour, once."""
    _run(TICK, HOUR, Reason.HOURLY)


@shared_task(name=LOOK)  # type: ignore[untyped-decorator]
def control_look() -> None:
    """Hold declared quotas; decide at once where a rung starts, a period turned, or spend missed what was expected."""
    now = timezone.now()
    enforce_quotas(now)
    if not _worth_a_look(now):
        return
    reason = look(now)
    if reason is not None:
        _run(LOOK, AT_ONCE, reason)


def _worth_a_look(now: datetime) -> bool:
    """Figures, budgets or policies changed since this process looked last; or a while ago, for periods and time."""
    mark = (
        spend.fingerprint(),
        Budget.objects.aggregate(newest=Max("updated_at"))["newest"],
        PolicyVersion.objects.aggregate(newest=Max("id"))["newest"],
    )
    # A clock that was set back must not put looks off until it has caught up.
    seen = mark == _looked.get("mark") and timedelta(0) <= now - _looked["at"] < LOOK_AGAIN
    if not mark[0] or seen:
        return False
    _looked.update(mark=mark, at=now)
    return True


def decide_now() -> bool:
    """Decide because a person asks; False when that was done a moment ago."""
    return _run(LOOK, AT_ONCE, Reason.HAND)


def _run(task: str, every: timedelta, reason: str) -> bool:
    now = timezone.now()
    run = runs.claim(task, runs.slot_of(now, every), lease=LEASE, now=now)
    if run is None:
        return False
    try:
        made = tick(now, reason=reason)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}"[:2000], timezone.now())
        raise
    run.finish({"reason": str(reason), "ticks": [each.pk for each in made]}, timezone.now())
    return True
