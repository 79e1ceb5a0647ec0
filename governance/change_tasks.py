"""Background work about changes: thin; may run twice and at once."""

from celery import shared_task
from django.utils import timezone

from governance import change_news


@shared_task(name="governance.tell_changes")
def tell_changes() -> None:
    """Queue what people are to hear about changes."""
    change_news.tell_changes(now=timezone.now())
