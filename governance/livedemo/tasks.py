"""The live demo's periodic work: its telemetry into the product. Does nothing where no live demo runs."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from governance.livedemo import feed as feeding
from governance.livedemo import layout, setup


@shared_task(name="governance.feed_live_telemetry")
def feed_live_telemetry() -> None:
    """Publish the minutes of the gateway's log that are new."""
    chosen = layout.read(settings.WEIR_HOME) if settings.WEIR_DEMO else None
    if chosen is not None:
        feeding.feed(setup.open_edge(settings.WEIR_HOME, chosen), settings.WEIR_HOME, now=timezone.now())
