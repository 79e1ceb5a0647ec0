"""What the attribution was last made from: one row a unit, so that a run with the same inputs does nothing."""

from django.db import models


class AttributedUnit(models.Model):
    """A provider's calendar month, and a fingerprint of each kind of input that its ledger was last made from."""

    provider = models.CharField(max_length=64)
    month = models.CharField(max_length=7)  # YYYY-MM of the charges' days
    # {"charges": hash of its revisions, "usage": ..., "rules": ..., "bindings": ..., "closed": ..., "build": version}
    inputs = models.JSONField(default=dict)
    commit_seq = models.PositiveBigIntegerField(null=True)  # of the last run that changed a partition
    attributed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "month"], name="one_attributed_unit")]
