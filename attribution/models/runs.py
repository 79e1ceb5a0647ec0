"""Runs of periodic tasks: the row, not the broker's message, decides whether a slot was worked."""

from django.db import models


class TaskRun(models.Model):
    """The run of `task` for `slot`; there is one row for both, whoever was woken how often."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    task = models.CharField(max_length=100)
    slot = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    holder = models.CharField(max_length=32)
    attempts = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.JSONField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "slot"], name="one_run_a_slot")]
        indexes = [models.Index(fields=["state", "lease_until"])]
