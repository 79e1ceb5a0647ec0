"""Background work of the bottom layer: thin wrappers; tolerant of being delivered twice."""

from datetime import timedelta

from celery import shared_task

from attribution.lake import catalogue


@shared_task(name="attribution.sweep_lake")
def sweep_lake(grace_hours: int = 6) -> None:
    """Remove lake files that no revision names; the grace is longer than the longest query."""
    catalogue.sweep(timedelta(hours=grace_hours))


@shared_task(name="attribution.attribute_pending")
def attribute_pending() -> None:
    """Attribute what has new inputs; does nothing where nothing changed."""
    from attribution import services

    services.attribute()
