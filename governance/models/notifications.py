"""Who is told what, where: channels, subscriptions, and the outbox of messages with what became of each.

No address of a channel and no secret stands here in the clear: `sealed` is encrypted, `reference` names where it is.
"""

from typing import Any

from django.db import models
from django.db.models import Q


class Channel(models.Model):
    """A place that messages go to, of one team (and the teams below it) or, without a team, of the organisation."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        PAGERDUTY = "pagerduty", "PagerDuty"
        WEBHOOK = "webhook", "Webhook"

    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    team = models.CharField(max_length=100, null=True, blank=True)
    # Exactly one of both: the encrypted address, or where to read it ("env:WEIR_CHANNEL_X", "file:/run/secrets/x").
    sealed = models.TextField(blank=True)
    reference = models.CharField(max_length=300, blank=True)
    # Encrypted JSON: the webhook's signing secrets, newest first, each with the end of its time.
    signing = models.TextField(blank=True)
    # What may be shown of the address, e.g. "hooks.slack.com/…".
    hint = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sealed="", reference__gt="") | Q(sealed__gt="", reference=""),
                name="channel_has_one_address",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """What a person or a channel wants to hear, of all budgets or (which then decides alone) of one."""

    class Mode(models.TextChoices):
        NOW = "now", "at once"
        DAILY = "daily", "in a daily digest"
        OFF = "off", "not at all"

    user = models.ForeignKey(
        "governance.User", null=True, blank=True, on_delete=models.CASCADE, related_name="subscriptions"
    )
    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.CASCADE, related_name="subscriptions")
    # No foreign key: what is not about a budget has none, and a deleted budget's number is never used again.
    budget_id = models.BigIntegerField(null=True, blank=True)
    # Names of kinds; empty: every kind.
    kinds = models.JSONField(default=list, blank=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.NOW)
    # Wall clock in `zone`; equal or absent: no quiet hours. The end may be on the next day.
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    zone = models.CharField(max_length=64, default="UTC")
    digest_at = models.TimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True, channel__isnull=False) | Q(user__isnull=False, channel__isnull=True),
                name="subscription_has_one_subject",
            ),
            *(
                models.UniqueConstraint(
                    fields=[subject] if general else [subject, "budget_id"],
                    condition=Q(**{f"{subject}__isnull": False, "budget_id__isnull": general}),
                    name=f"one_{'general' if general else 'budget'}_subscription_a_{subject}",
                )
                for subject in ("user", "channel")
                for general in (True, False)
            ),
        ]


class Notification(models.Model):
    """One thing worth telling. `once_key` makes it one however often it is told to the outbox."""

    kind = models.CharField(max_length=40)
    team = models.CharField(max_length=100, null=True, blank=True)
    budget_id = models.BigIntegerField(null=True, blank=True)
    subject = models.CharField(max_length=200)
    # Text and null only: decimals without an exponent, instants in ISO 8601.
    figures = models.JSONField(default=dict)
    link_path = models.CharField(max_length=300)
    once_key = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["team", "-id"])]


class Delivery(models.Model):
    """One notification to one recipient: the row is the queue. Written by governance.notifications.outbox alone."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        # A worker died after it began to hand over, and the recipient can't tell a repeat: a person decides.
        UNCERTAIN = "uncertain", "Unknown"
        CANCELLED = "cancelled", "Cancelled"
        BUNDLED = "bundled", "In a digest"

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(
        "governance.User", null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    # What the recipient knows a repeat by: Message-ID, Idempotency-Key, dedup_key.
    key = models.CharField(max_length=32, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # Held for the recipient's next digest; due_at is that digest's instant.
    is_digest = models.BooleanField(default=False)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    holder = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    # Set just before the message leaves: from here on a dead worker may have sent it.
    handed_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    bundle = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="bundled")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True, channel__isnull=False) | Q(user__isnull=False, channel__isnull=True),
                name="delivery_has_one_recipient",
            ),
            models.UniqueConstraint(
                fields=["notification", "channel"], condition=Q(channel__isnull=False), name="one_delivery_a_channel"
            ),
            models.UniqueConstraint(
                fields=["notification", "user"], condition=Q(user__isnull=False), name="one_delivery_a_person"
            ),
        ]
        indexes = [models.Index(fields=["state", "due_at"]), models.Index(fields=["state", "lease_until"])]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValueError("a delivery changes by a conditional update in governance.notifications.outbox only")
        super().save(*args, **kwargs)
