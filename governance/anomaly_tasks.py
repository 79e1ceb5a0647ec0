"""Background work of anomalies: thin; may run twice and at once: a slot is claimed, judging again is no change."""

from dataclasses import asdict
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from attribution import runs, selectors
from attribution.models import TaskRun
from governance.anomaly_search import judge

TASK = "governance.judge_anomalies"
EVERY = timedelta(minutes=5)
LEASE = timedelta(minutes=30)


@shared_task(name=TASK)  # type: ignore[untyped-decorator]
def judge_anomalies() -> None:
    """Judge the newest days where the figures, or the day, are not those of the last run."""
    now = timezone.now()
    if _is_judged(f"{now.date()}"):
        return
    run = runs.claim(TASK, runs.slot_of(now, EVERY), lease=LEASE, now=now)
    if run is None:
        return
    try:
        judged = judge(now)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}", timezone.now())
        raise
    run.finish({**asdict(judged), "day": f"{now.date()}"}, timezone.now())


def _is_judged(day: str) -> bool:
    last = TaskRun.objects.filter(task=TASK, state=TaskRun.State.DONE).order_by("-slot").first()
    outcome = (last.outcome or {}) if last else {}
    return (outcome.get("revision"), outcome.get("day")) == (selectors.snapshot().fingerprint, day)
