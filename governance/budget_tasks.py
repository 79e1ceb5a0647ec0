"""Background work of budgets: thin; a slot runs once, whoever wakes it."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from attribution import runs
from attribution.models import TaskRun
from governance.budget_watch import watch

EVERY = timedelta(minutes=1)
LEASE = timedelta(minutes=10)


@shared_task(name="governance.watch_budgets")  # type: ignore[untyped-decorator]
def watch_budgets() -> None:
    """Learn from settled days, find passed thresholds, tell each once a period."""
    now = timezone.now()
    run = runs.claim("governance.watch_budgets", runs.slot_of(now, EVERY), lease=LEASE, now=now)
    if run is None:
        return
    before = TaskRun.objects.filter(task=run.task, state=TaskRun.State.DONE).order_by("-slot").first()
    try:
        seen = watch(now, known_figures=(before.outcome or {}).get("figures") if before else None)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}"[:2000], timezone.now())
        raise
    run.finish({"budgets": seen.budgets, "passed": seen.passed, "figures": seen.figures}, timezone.now())
