"""Kept forecasts, the events that people know of, and what back-tests said. Nothing here is ever patched: a night adds.

Paths and spreads are floats, packed: forecasts are no ledger figures. Amounts that a person entered are exact.
"""

from collections.abc import Mapping
from typing import Any

from django.db import models

from attribution.models.fields import MoneyField


class ForecastRun(models.Model):
    """One fit of one measure: every leaf, and what is needed to sum any scope of them."""

    class Measure(models.TextChoices):
        COST = "cost", "Cost"
        TOKENS = "tokens", "Tokens"

    made_at = models.DateTimeField()
    measure = models.CharField(max_length=16, choices=Measure.choices)
    # '' where tokens are counted.
    currency = models.CharField(max_length=8, blank=True)
    basis = models.CharField(max_length=16, blank=True)
    first_day = models.DateField()
    # Fingerprint of the figures it was fitted on.
    inputs_revision = models.CharField(max_length=64)
    # Name and version of the method.
    method = models.CharField(max_length=32)
    history_days = models.PositiveIntegerField()
    provisional = models.BooleanField()
    # [[team, project, model, provider, environment], ...]; null is "no value".
    leaves = models.JSONField()
    # By leaf: days with history, and the texts of the events that move it.
    leaf_days = models.JSONField()
    leaf_events = models.JSONField()
    # Packed float32: (leaves, days ahead) and (leaves, origins, own horizons). Old runs have neither: misses_dropped.
    paths = models.BinaryField()
    misses = models.BinaryField()
    misses_dropped = models.BooleanField(default=False)
    # {relative, borders, offsets, seen}: forecasting.intervals.Pool and Quantiles.
    calibration = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["measure", "currency", "basis", "-made_at"], name="forecast_run_newest")]

    def __str__(self) -> str:
        return f"{self.measure} {self.currency} {self.basis} of {self.first_day}"


class KeptForecast(models.Model):
    """What one run said of one scope: kept for good, so that its error can be shown later."""

    run = models.ForeignKey(ForecastRun, on_delete=models.CASCADE, related_name="kept")
    # ForecastScope.key, and its dimensions as pairs.
    scope_key = models.CharField(max_length=700)
    dims = models.JSONField()
    team = models.CharField(max_length=100, null=True, blank=True)
    provisional = models.BooleanField()
    cold_start = models.BooleanField()
    history_days = models.PositiveIntegerField()
    # Packed float32: (days ahead, 3) p10, p50, p90; (horizons, levels) offsets of totals.
    days = models.BinaryField()
    spread = models.BinaryField()
    events = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint("run", "scope_key", name="one_forecast_a_scope_and_run")]
        indexes = [models.Index(fields=["scope_key", "run"], name="forecast_by_scope")]

    def __str__(self) -> str:
        return f"{self.scope_key}: {self.run}"


class ForecastEvent(models.Model):
    """Something a person knows and history does not: it moves forecasts from the next fit on."""

    class Kind(models.TextChoices):
        LAUNCH = "launch", "Launch"
        PRICE_CHANGE = "price_change", "Price change"
        MIGRATION = "migration", "Migration"
        HOLIDAY = "holiday", "Holiday"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    title = models.CharField(max_length=200)
    # Pairs of dimension and value; [] is everything. `team`: whose it is to edit, NULL: the organisation's.
    dims = models.JSONField(default=list)
    team = models.CharField(max_length=100, null=True, blank=True)
    starts_on = models.DateField()
    # The first day on which it no longer holds; NULL: it lasts.
    ends_on = models.DateField(null=True, blank=True)
    # What stands afterwards, in parts per million of what stood before: usage, or the price; NULL: not said.
    factor_ppm = models.PositiveBigIntegerField(null=True, blank=True)
    # Launch: what it adds a day, in `currency`.
    amount_per_day = MoneyField(null=True, blank=True)
    currency = models.CharField(max_length=8, blank=True)
    # Migration: which part moves, to where, and what it costs there in parts per million of what it cost here.
    moved_ppm = models.PositiveBigIntegerField(null=True, blank=True)
    target = models.JSONField(default=list)
    # Days over which it comes fully into force.
    ramp_days = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(default=1)
    made_by = models.CharField(max_length=200)
    made_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["withdrawn_at", "starts_on"], name="event_by_start")]

    def __str__(self) -> str:
        return self.title

    @property
    def as_audited(self) -> Mapping[str, Any]:
        """What the audit trail keeps of it."""
        return {
            "kind": self.kind,
            "title": self.title,
            "dims": self.dims,
            "starts_on": self.starts_on.isoformat(),
            "ends_on": self.ends_on.isoformat() if self.ends_on else None,
            "factor_ppm": self.factor_ppm,
            "amount_per_day": None if self.amount_per_day is None else f"{self.amount_per_day:f}",
            "currency": self.currency,
            "moved_ppm": self.moved_ppm,
            "target": self.target,
            "ramp_days": self.ramp_days,
            "version": self.version,
        }


class ForecastVerdict(models.Model):
    """What a back-test on the customer's own series said."""

    made_at = models.DateTimeField()
    currency = models.CharField(max_length=8)
    basis = models.CharField(max_length=16)
    inputs_revision = models.CharField(max_length=64)
    # backtest.Verdict.to_json.
    verdict = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["currency", "basis", "-made_at"], name="verdict_newest")]

    def __str__(self) -> str:
        return f"{self.currency} {self.basis} at {self.made_at:%Y-%m-%d}"
