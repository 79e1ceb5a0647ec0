"""What orchestrators are told and what came of it: change sets, their transitions, approvals, the queue of pushes.

A change's status is written by `routing.transitions` alone; everything else here by the services of this app.
"""

from django.db import models
from django.db.models import Q


class Orchestrator(models.Model):
    """Something that serves requests and takes a whole snapshot from us. Settings never hold a secret."""

    class State(models.TextChoices):
        UNKNOWN = "unknown"  # never looked at
        OK = "ok"
        DRIFTED = "drifted"  # it holds something that isn't what we want
        UNREACHABLE = "unreachable"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=40)
    settings = models.JSONField(default=dict)
    # {"errors_ppm": 10000, "p95_ms": 2000}: what traffic must stay within after a change; absent: compared with before.
    objectives = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)
    # The newest generation that was given to a push; it only grows.
    generation = models.PositiveBigIntegerField(default=0)
    # The last change that it accepted: what it should hold now.
    standing = models.ForeignKey("ChangeSet", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNKNOWN)
    state_words = models.TextField(blank=True)
    state_since = models.DateTimeField(null=True, blank=True)
    # [{kind, subject, before, after, words}]: wanted against what it holds.
    drift = models.JSONField(default=list)
    checked_at = models.DateTimeField(null=True, blank=True)
    # Where reading its finished requests goes on from.
    usage_cursor = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class ChangeSet(models.Model):
    """One wanted snapshot of one orchestrator, why, by whom, and how far it is proved."""

    class Status(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        ACCEPTED = "accepted"  # the orchestrator took it
        LIVE = "live"  # its data plane runs it
        EFFECTIVE = "effective"  # the traffic follows
        DRIFTED = "drifted"  # what runs is no longer, or never was, what this change wants
        REJECTED = "rejected"  # a person said no
        FAILED = "failed"  # the orchestrator said no
        ROLLED_BACK = "rolled_back"
        SUPERSEDED = "superseded"  # a newer one took its place before it was proved
        EXPIRED = "expired"  # its reason was over before it was pushed

    class Approval(models.TextChoices):
        NONE = "none"
        STANDING = "standing"  # given when a hard budget was set
        ONE = "one"
        TWO = "two"

    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.PROTECT, related_name="changes")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PROPOSED)
    # The team whose traffic alone it touches; null: the organisation's.
    team = models.CharField(max_length=200, null=True, blank=True)
    title = models.CharField(max_length=300)
    kind = models.CharField(max_length=40)
    reference = models.CharField(max_length=200, blank=True)
    words = models.TextField(blank=True)
    inputs = models.JSONField(default=dict)
    proposed_by = models.CharField(max_length=200)
    # No foreign key: the change outlives the person. Null: the product itself.
    proposed_by_id = models.BigIntegerField(null=True, blank=True)
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    approval = models.CharField(max_length=16, choices=Approval.choices)
    approval_because = models.TextField(blank=True)
    # Snapshots as `routing.desired.to_plain` writes them. before: what it builds on, null for the first.
    before_generation = models.PositiveBigIntegerField(default=0)
    before = models.JSONField(null=True)
    wanted = models.JSONField()
    differences = models.JSONField(default=list)
    # Given when it is queued for the push.
    generation = models.PositiveBigIntegerField(null=True, blank=True)
    force = models.BooleanField(default=False)
    urgent = models.BooleanField(default=False)
    rolls_back = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="rollbacks")
    withdrawn = models.BooleanField(default=False)
    # Why it is not pushed though it may be, in words.
    waits_for = models.TextField(blank=True)
    dry_run = models.JSONField(null=True)
    receipt = models.JSONField(null=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)
    effective_at = models.DateTimeField(null=True, blank=True)
    # The last look: what the proof said.
    proof_words = models.TextField(blank=True)
    effect_unproven = models.BooleanField(default=False)
    looked_at = models.DateTimeField(null=True, blank=True)
    # Seconds that somebody has really looked on since the last step; survives clocks that jump and downtime.
    watched_seconds = models.PositiveIntegerField(default=0)
    bad_looks = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["orchestrator", "generation"], name="one_change_a_generation"),
        ]
        indexes = [
            models.Index(fields=["orchestrator", "status"]),
            models.Index(fields=["team", "-id"]),
            models.Index(fields=["reference"]),
        ]

    @property
    def name(self) -> str:
        return f"CH-{self.pk}"


class Transition(models.Model):
    """One step of a change: from, to, when, by whom, why. Written with the step itself, never changed."""

    change = models.ForeignKey(ChangeSet, on_delete=models.PROTECT, related_name="transitions")
    before = models.CharField(max_length=16, blank=True)
    after = models.CharField(max_length=16)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    actor_id = models.BigIntegerField(null=True)
    reason = models.TextField(blank=True)
    inputs = models.JSONField(default=dict)


class ChangeApproval(models.Model):
    """One person's yes to one change. A person counts once, whatever they sign in with."""

    change = models.ForeignKey(ChangeSet, on_delete=models.PROTECT, related_name="approvals")
    person_id = models.BigIntegerField()
    person = models.CharField(max_length=200)
    at = models.DateTimeField()
    note = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "person_id"], name="a_person_approves_once")]


class PushOutbox(models.Model):
    """The queue of pushes: a row is one snapshot under one generation and key. At most one is open an orchestrator."""

    class State(models.TextChoices):
        PENDING = "pending"
        CLAIMED = "claimed"
        DONE = "done"
        VOID = "void"  # never taken by the orchestrator

    change = models.ForeignKey(ChangeSet, on_delete=models.PROTECT, related_name="pushes")
    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.PROTECT, related_name="pushes")
    generation = models.PositiveBigIntegerField()
    key = models.CharField(max_length=250, unique=True)
    # The generation that it is planned on.
    expected_generation = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    holder = models.CharField(max_length=32, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    queued_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator"], condition=Q(state__in=["pending", "claimed"]), name="one_open_push"
            ),
            models.UniqueConstraint(fields=["orchestrator", "generation"], name="one_push_a_generation"),
        ]


class Observation(models.Model):
    """Finished requests of one minute, by team, model and target, as the orchestrator's own log has them."""

    orchestrator = models.ForeignKey(Orchestrator, on_delete=models.CASCADE, related_name="observations")
    minute = models.DateTimeField()
    team = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    target = models.CharField(max_length=200, blank=True)  # empty: refused before any target
    requests = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    # Counts by the bounds of `routing.guards.LATENCY_MS`.
    latency = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator", "minute", "team", "model", "target"], name="one_observation_a_minute"
            )
        ]


class KillSwitch(models.Model):
    """One time that all enforcement was stopped; the row without an end is the stop that holds now."""

    frozen_at = models.DateTimeField()
    frozen_by = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True)
    resumed_by = models.CharField(max_length=200, blank=True)
    is_on = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["is_on"], condition=Q(is_on=True), name="one_stop_at_a_time")]


class FreezeWindow(models.Model):
    """From `start` to `end` (half-open) nothing is pushed but rollbacks and the turn of a period."""

    start = models.DateTimeField()
    end = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    made_by = models.CharField(max_length=200)
