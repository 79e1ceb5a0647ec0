"""The catalogue of the lake: which file is which revision of which partition."""

from django.db import models


class CommitSequence(models.Model):
    """One row; its counter is taken under the transaction's write lock, so commit_seq is monotone in commit order."""

    value = models.PositiveBigIntegerField(default=0)


class Revision(models.Model):
    """One partition's content as it was published. Files are immutable; a change is a new revision."""

    dataset = models.CharField(max_length=32)  # vocabulary.Dataset
    # Canonical text of the partition key, e.g. scope=..&account=..&period=2026-05&day=2026-05-01
    key = models.CharField(max_length=900)
    # The key's parts that are searched by; '' where the dataset has none.
    scope = models.CharField(max_length=300, blank=True)  # delivery scope, or telemetry source, or provider
    billing_account_id = models.CharField(max_length=200, blank=True)
    billing_period = models.CharField(max_length=7, blank=True)
    day = models.DateField(null=True, blank=True)
    provider = models.CharField(max_length=64, blank=True)
    rev = models.PositiveIntegerField()
    path = models.CharField(max_length=300)  # below the lake's root; '' for an empty revision
    rows = models.PositiveBigIntegerField()
    content_hash = models.CharField(max_length=64)
    current = models.BooleanField()
    commit_seq = models.PositiveBigIntegerField()
    published_at = models.DateTimeField()
    superseded_seq = models.PositiveBigIntegerField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    inputs = models.JSONField(default=dict)
    reason = models.CharField(max_length=300, blank=True)
    schema_version = models.PositiveSmallIntegerField(default=1)
    # When the sweeper removed the file of a superseded revision past its retention; the row stays, so that a question
    # about that instant is refused and not answered with nothing.
    swept_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "key", "rev"], name="one_revision_number"),
            models.UniqueConstraint(
                fields=["dataset", "key"], condition=models.Q(current=True), name="one_current_revision"
            ),
        ]
        indexes = [
            models.Index(fields=["dataset", "current", "provider", "day"]),
            models.Index(fields=["dataset", "commit_seq", "superseded_seq"]),
        ]


class Pin(models.Model):
    """Keeps a revision's file for ever: a locked statement, a decision or a kept forecast was made from it."""

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="pins")
    reason = models.CharField(max_length=300)
    pinned_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["revision", "reason"], name="one_pin_a_reason")]


class ServingFile(models.Model):
    """A read-only database built from one set of roll-ups; pages open the newest. Published last, at a new path."""

    path = models.CharField(max_length=300)
    # What it was built from: revisions and watermarks. The same is never built twice.
    fingerprint = models.CharField(max_length=64, unique=True)
    # The last commit that it knows. Of two, the one that knows more is the newer, whoever finished first.
    commit_seq = models.PositiveBigIntegerField()
    built_at = models.DateTimeField()
