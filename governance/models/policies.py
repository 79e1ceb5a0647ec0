"""What budgets may cause: every version of every policy. Nothing is changed or deleted; the highest version holds."""

from django.db import models


class PolicyVersion(models.Model):
    """One version of a budget's policy, as `governance.enforcement.codec` writes it."""

    budget = models.ForeignKey("governance.Budget", on_delete=models.CASCADE, related_name="policies")
    version = models.PositiveIntegerField()
    content = models.JSONField()
    made_at = models.DateTimeField()
    # The name as it was then; who it was is in the audit trail.
    made_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["budget", "version"], name="one_policy_a_version")]

    def __str__(self) -> str:
        return f"{self.budget_id} v{self.version}"
