"""The audit trail: who did what, when, why, in a chain of digests; and its head."""

from typing import Any

from django.db import models


class AuditEntry(models.Model):
    """One thing that was done. Written once by `attribution.audit`, never changed: the database refuses an update."""

    seq = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    # No foreign key: an entry outlives the person, and a name may change while what was done does not.
    actor_id = models.BigIntegerField(null=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=100)
    team = models.CharField(max_length=200, null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    inputs = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    previous_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        indexes = [
            models.Index(fields=["object_type", "object_id", "seq"]),
            models.Index(fields=["team", "seq"]),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValueError("an audit entry is never changed: record another one")
        super().save(*args, **kwargs)


class AuditHead(models.Model):
    """The end of the chain; its row is the lock under which entries are numbered. Exactly one row, id 1."""

    seq = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="")
