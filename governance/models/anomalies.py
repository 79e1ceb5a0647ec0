"""Days that cost more than expected, each cause once: its state, and its parts by day and leaf, so that a total of a
reader's own teams can be made."""

from collections.abc import Mapping
from decimal import Decimal

from django.db import models

from attribution.models.fields import MoneyField


class Anomaly(models.Model):
    """One cause over one run of days. Its amounts are the sums of its parts."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        EXPLAINED = "explained", "Expected"
        MUTED = "muted", "Muted"
        RESOLVED = "resolved", "Resolved"

    # [[dimension, value or null], ...] in the order of forecasting.anomalies.DIMENSIONS; [] is everything.
    cause = models.JSONField()
    cause_key = models.CharField(max_length=700)
    # The one team that has all of it; NULL: several, or what has no owner.
    team = models.CharField(max_length=100, null=True, blank=True)
    # Why most of it has no owner (vocabulary.Reason), where none of it has one; else "".
    reason = models.CharField(max_length=32, blank=True)
    currency = models.CharField(max_length=8)
    first_day = models.DateField()
    last_day = models.DateField()
    # The most unusual day, in units of the series' own usual residual.
    z = models.DecimalField(max_digits=12, decimal_places=2)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    # Why it is in this state, by whom, since when; until when it stays muted.
    note = models.CharField(max_length=500, blank=True)
    state_by = models.CharField(max_length=200, blank=True)
    state_at = models.DateTimeField()
    muted_until = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    # Which figures it was last judged by (the serving file's fingerprint).
    inputs_revision = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "-last_day"], name="anomaly_by_state"),
            models.Index(fields=["cause_key", "-last_day"], name="anomaly_by_cause"),
        ]


class AnomalyPart(models.Model):
    """What one leaf (team, model, provider) cost on one day, what was expected, and why it differs.

    volume + price + mix + new + gone + unmetered = actual - expected, exactly; see forecasting.drivers.
    """

    anomaly = models.ForeignKey(Anomaly, on_delete=models.CASCADE, related_name="parts")
    day = models.DateField()
    team = models.CharField(max_length=100, null=True, blank=True)
    model = models.CharField(max_length=200, null=True, blank=True)
    provider = models.CharField(max_length=64, null=True, blank=True)
    actual = MoneyField()
    expected = MoneyField()
    volume = MoneyField()
    price = MoneyField()
    mix = MoneyField()
    new = MoneyField()
    gone = MoneyField()
    unmetered = MoneyField()

    class Meta:
        indexes = [models.Index(fields=["team"], name="anomaly_part_by_team")]

    @property
    def drivers(self) -> Mapping[str, Decimal]:
        names = ("volume", "price", "mix", "new", "gone", "unmetered")
        return {name: getattr(self, name) for name in names}
