"""The composition root: settings, URLs, Celery, WSGI and ASGI. Nobody imports from here.

The Celery app is bound here because without it a web process binds `@shared_task` to an app that has no broker.
"""

from .celery import app as celery_app

__all__ = ["celery_app"]
