"""The nightly fit, each night once, whoever wakes it and how often."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from attribution import runs, spend
from governance import forecast_fits

EVERY_NIGHT = timedelta(days=1)
_LEASE = timedelta(hours=2)


@shared_task(name="governance.fit_forecasts")  # type: ignore[untyped-decorator]
def fit_forecasts() -> None:
    """Fit and back-test for today, unless that was done or there is nothing to fit yet."""
    now = timezone.now()
    if not spend.fingerprint():
        return
    run = runs.claim("governance.fit_forecasts", runs.slot_of(now, EVERY_NIGHT), lease=_LEASE, now=now)
    if run is None:
        return
    try:
        fitted = forecast_fits.fit_forecasts(now)
        run.heartbeat(timezone.now())
        verdicts = forecast_fits.judge_forecasts(now)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}", timezone.now())
        raise
    outcome = {"runs": fitted.runs, "scopes": fitted.scopes, "leaves": fitted.leaves, "verdicts": verdicts}
    run.finish(outcome, timezone.now())
