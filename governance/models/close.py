"""What closing a month froze: its figures, exchange rates, the forecasts that stood, the budgets' outcome."""

from typing import Any

from django.db import models

from attribution.models.fields import MoneyField


class ExchangeRate(models.Model):
    """One unit of `currency` is `rate` units of `into`, from `day` on, until a later row says otherwise."""

    currency = models.CharField(max_length=8)
    into = models.CharField(max_length=8)
    day = models.DateField()
    rate = MoneyField()
    source = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["currency", "into", "day"], name="one_exchange_rate_a_day")]


class Frozen(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValueError("what a close froze is never changed: later adjustments are shown beside it")
        super().save(*args, **kwargs)


class ClosedPeriod(Frozen):
    """A closed UTC month. What changes later is shown beside it, never in it."""

    month = models.CharField(max_length=7, unique=True)  # YYYY-MM
    closed_at = models.DateTimeField()
    closed_by = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    # What was not in order when it was closed all the same, in words.
    open_points = models.JSONField(default=list)
    commit_seq = models.PositiveBigIntegerField()
    fingerprint = models.CharField(max_length=64, blank=True)
    # [{"currency", "into", "rate", "day", "source"}] as they stood.
    exchange_rates = models.JSONField(default=list)
    # The forecasts that stood last before the month's end, by scope and currency.
    forecasts = models.JSONField(default=list)
    pinned_revisions = models.PositiveIntegerField(default=0)


class ClosedFigure(Frozen):
    """What a provider, team and project had cost in a month when it was closed; None: not known on that basis."""

    period = models.ForeignKey(ClosedPeriod, on_delete=models.PROTECT, related_name="figures")
    currency = models.CharField(max_length=8)
    provider = models.CharField(max_length=64)
    team = models.CharField(max_length=200, null=True)
    project = models.CharField(max_length=200, null=True)
    billed_cost = MoneyField(null=True)
    effective_cost = MoneyField(null=True)
    list_cost = MoneyField(null=True)
    contracted_cost = MoneyField(null=True)
    # Of the effective cost: what no settled bill covered yet.
    estimated_cost = MoneyField(null=True)


class BudgetOutcome(Frozen):
    """How a budget ended a period that a close froze."""

    period = models.ForeignKey(ClosedPeriod, on_delete=models.PROTECT, related_name="outcomes")
    budget = models.ForeignKey("governance.Budget", on_delete=models.PROTECT, related_name="outcomes")
    name = models.CharField(max_length=200)
    team = models.CharField(max_length=100, null=True)
    scope_key = models.CharField(max_length=900)
    version = models.PositiveIntegerField()
    currency = models.CharField(max_length=8)
    basis = models.CharField(max_length=16)
    zone = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    limit = MoneyField()
    consumed = MoneyField()
    billed = MoneyField()
    estimated = MoneyField()
    # The last forecast of the period's total that was shown before it ended.
    forecast = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["budget", "period_start"], name="one_outcome_a_period")]
