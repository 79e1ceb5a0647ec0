"""The live demo's periodic work: its telemetry into the product. Does nothing where no live demo runs."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from governance.forecast_tasks import fit_forecasts
from governance.livedemo import feed as feeding
from governance.livedemo import layout, setup


@shared_task(name="governance.feed_live_telemetry")
def feed_live_telemetry() -> None:
    """Publish the minutes of the gateway's log that are new."""
    home = settings.WEIR_HOME
    chosen = layout.read(home) if settings.WEIR_DEMO else None
    if chosen is None:
        return
    if feeding.is_first(home):
        # A newcomer's budget should be judged by a forecast in the first minutes, not after the first night.
        fit_forecasts.delay()
    feeding.feed(setup.open_edge(home, chosen), home, now=timezone.now())
