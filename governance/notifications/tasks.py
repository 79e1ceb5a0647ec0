"""Background work of notifications: thin; may run twice and at once."""

from celery import shared_task
from django.utils import timezone

from governance.notifications import outbox
from governance.notifications.delivering import deliver_due


@shared_task(name="governance.deliver_notifications")
def deliver_notifications() -> None:
    """Send what is due. The rows are the queue: a lost wake-up costs a few seconds, never a message."""
    deliver_due()


@shared_task(name="governance.forget_notifications")
def forget_notifications() -> None:
    """Delete messages that are more than a year old."""
    outbox.forget(timezone.now())
