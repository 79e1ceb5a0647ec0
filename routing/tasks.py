"""The loop's periodic work: thin, tolerant of being delivered twice or late; the rows decide what is to do."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from routing import services


@shared_task(name="routing.push")
def push() -> None:
    """Push what may be pushed and look at what is not proved yet."""
    services.push_pending(now=timezone.now())
    services.verify_pending(now=timezone.now())


@shared_task(name="routing.watch")
def watch() -> None:
    """What differs, whose period turned, what a deleted budget left, what waits for a dry run."""
    services.turn_periods(now=timezone.now())
    services.expire_waiting(now=timezone.now())
    services.lift_withdrawn(now=timezone.now())
    services.dry_run_pending(now=timezone.now())
    services.watch_drift(now=timezone.now())


@shared_task(name="routing.traffic")
def traffic() -> None:
    """Count the finished requests since the last time."""
    services.record_traffic()


@shared_task(name="routing.forget_traffic")
def forget_traffic(days: int = 14) -> None:
    """Remove counted minutes that no change's page needs any more."""
    services.forget_traffic(before=timezone.now() - timedelta(days=days))
