"""What people allow: budgets and quotas; what was learned about estimates; which thresholds were passed when."""

from django.db import models
from django.db.models import Q

from attribution.models.fields import MoneyField


class Budget(models.Model):
    """An amount for a scope in every period of a calendar. Changed by `governance.budgeting` only, with its version."""

    class PeriodKind(models.TextChoices):
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"
        WEEK = "week", "Week"
        DATES = "dates", "Own dates"

    class Rollover(models.TextChoices):
        NONE = "none", "Nothing"
        UNUSED = "unused", "What was left"
        BOTH = "both", "What was left or overspent"

    class Basis(models.TextChoices):
        EFFECTIVE = "effective", "Effective"
        BILLED = "billed", "Billed"
        LIST = "list", "List"
        CONTRACTED = "contracted", "Contracted"

    name = models.CharField(max_length=200)
    # Sorted [dimension, value] pairs, and the same as the text of a forecast's scope; 'all' is everything.
    dims = models.JSONField(default=list, blank=True)
    scope_key = models.CharField(max_length=900, default="all")
    # The team that it belongs to: the one of its scope; NULL = the organisation's.
    team = models.CharField(max_length=100, null=True, blank=True)
    currency = models.CharField(max_length=8, default="USD")
    basis = models.CharField(max_length=16, choices=Basis.choices, default=Basis.EFFECTIVE)
    amount = MoneyField()
    growth_ppm = models.IntegerField(default=0)
    rollover = models.CharField(max_length=8, choices=Rollover.choices, default=Rollover.NONE)
    rollover_cap = MoneyField(null=True, blank=True)
    period_kind = models.CharField(max_length=8, choices=PeriodKind.choices, default=PeriodKind.MONTH)
    zone = models.CharField(max_length=64, default="UTC")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True)  # the day after its last
    hard = models.BooleanField(default=False)
    # Parts per million of the limit at which people are told, of what is consumed and of what is expected.
    tell_actual_ppm = models.JSONField(default=list, blank=True)
    tell_forecast_ppm = models.JSONField(default=list, blank=True)
    version = models.PositiveIntegerField(default=1)
    copied_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="copies")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    updated_at = models.DateTimeField()
    updated_by = models.CharField(max_length=200)
    # A budget that is not wanted any more stays for its history.
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(archived_at__isnull=True), name="one_standing_budget_a_name"
            ),
        ]
        indexes = [models.Index(fields=["team", "archived_at"])]

    def __str__(self) -> str:
        return self.name


class Quota(models.Model):
    """At most so many tokens or requests a UTC minute, day or month; '' leaves a dimension open."""

    class Unit(models.TextChoices):
        TOKENS = "tokens", "Tokens"
        REQUESTS = "requests", "Requests"

    class Window(models.TextChoices):
        MINUTE = "minute", "a minute"
        DAY = "day", "a day"
        MONTH = "month", "a month"

    team = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=300, blank=True)
    model = models.CharField(max_length=200, blank=True)
    # '': over all clouds together.
    provider = models.CharField(max_length=64, blank=True)
    unit = models.CharField(max_length=16, choices=Unit.choices)
    window = models.CharField(max_length=8, choices=Window.choices)
    limit = models.PositiveBigIntegerField()
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    updated_at = models.DateTimeField()
    updated_by = models.CharField(max_length=200)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team", "key", "model", "provider", "unit", "window"],
                condition=Q(archived_at__isnull=True),
                name="one_standing_quota",
            ),
        ]


class ThresholdPassed(models.Model):
    """A budget reached a threshold in a period: found once, told once."""

    class Measure(models.TextChoices):
        ACTUAL = "actual"
        FORECAST = "forecast"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="passed")
    period_start = models.DateTimeField()
    measure = models.CharField(max_length=16, choices=Measure.choices)
    threshold_ppm = models.PositiveIntegerField()
    found_at = models.DateTimeField()
    consumed = MoneyField()
    limit = MoneyField()
    expected = MoneyField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "period_start", "measure", "threshold_ppm"], name="one_threshold_a_period"
            ),
        ]


class LearnedEstimates(models.Model):
    """What settled days taught about estimates, as of one set of figures; kept, so that a decision can name it."""

    fingerprint = models.CharField(max_length=64, unique=True)
    learned_at = models.DateTimeField()
    # [{"basis", "provider", "model" (null: the provider as a whole), "ratio", "estimated", "billed"}], decimals as text
    ratios = models.JSONField(default=list)
    # [{"provider", "account", "model", "team", "project", "environment", "currency", "since", basis -> per hour}]
    carried = models.JSONField(default=list)
