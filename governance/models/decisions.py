"""What the loop decided: every tick, every budget's decision with its figures, and what the loop steers now."""

from django.db import models

from attribution.models.fields import MoneyField

from .budgets import Budget


class ControlTick(models.Model):
    """One run of the controller over the budgets of one currency and basis."""

    class Reason(models.TextChoices):
        HOURLY = "hourly", "Every hour"
        BREACH = "breach", "A limit was passed"
        MISS = "miss", "Spend missed its forecast"
        TURN = "turn", "A period began"
        HAND = "hand", "By hand"

    at = models.DateTimeField()
    reason = models.CharField(max_length=8, choices=Reason.choices)
    currency = models.CharField(max_length=8)
    budgets = models.PositiveIntegerField()
    cells = models.PositiveIntegerField()
    # Fingerprint of the figures and newest commit of the lake that it was made from.
    figures = models.CharField(max_length=200, blank=True)
    commit_seq = models.PositiveBigIntegerField(default=0)
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["-at"])]


class Decision(models.Model):
    """What one budget asked for at one tick, and why. Never changed, but for the change that came of it.

    Amounts in `currency`. price: dollars of worth given up for the last dollar saved. expected_end: the period's spend
    under the plan; without: if nothing were asked. permitted, blocked: what its policy said. inputs: the traffic that
    it rests on; alternatives: what else was weighed; cells: what is wanted of each use of a model.
    """

    tick = models.ForeignKey(ControlTick, on_delete=models.CASCADE, related_name="decisions")
    budget = models.ForeignKey(Budget, null=True, on_delete=models.SET_NULL, related_name="decisions")
    budget_name = models.CharField(max_length=200)
    budget_version = models.PositiveIntegerField()
    policy_version = models.PositiveIntegerField()
    team = models.CharField(max_length=100, null=True, blank=True)
    at = models.DateTimeField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    currency = models.CharField(max_length=8)
    method = models.CharField(max_length=16)
    price = models.DecimalField(max_digits=12, decimal_places=4)
    limit = MoneyField()
    spent = MoneyField()
    expected_end = MoneyField()
    without = MoneyField()
    margin_ppm = models.PositiveIntegerField(default=0)
    fits = models.BooleanField()
    permitted = models.JSONField(default=list)
    blocked = models.JSONField(default=list)
    alternatives = models.JSONField(default=list)
    cells = models.JSONField(default=list)
    inputs = models.JSONField(default=dict)
    words = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["budget", "-at"]), models.Index(fields=["team", "-at"])]


class DecisionChange(models.Model):
    """A change of an orchestrator that came of a decision. `change`: id of the change set; asks: it waits for a yes."""

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="changes")
    change = models.PositiveBigIntegerField()
    asks = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["decision", "change"], name="one_link_a_decision_and_change")]


class BudgetControl(models.Model):
    """Where a budget stands with the loop, between two ticks.

    active: [[rung, since]] in force. consumed, hourly: what was consumed at the tick, and what an hour was expected to
    cost, to find a miss.
    """

    budget = models.OneToOneField(Budget, on_delete=models.CASCADE, related_name="control")
    ticked_at = models.DateTimeField()
    period_start = models.DateTimeField()
    price = models.DecimalField(max_digits=12, decimal_places=4, default=0)
    active = models.JSONField(default=list)
    consumed = MoneyField()
    hourly = MoneyField()


class SteeredRoute(models.Model):
    """A team's route that the loop has changed, and what it was before: that is what it goes back to.

    base: the team's own route as a snapshot writes it, null: it had none and followed the route of all teams.
    """

    orchestrator = models.CharField(max_length=100)
    team = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    budget = models.ForeignKey(Budget, null=True, on_delete=models.SET_NULL, related_name="steered")
    base = models.JSONField(null=True)
    wanted = models.JSONField(null=True)
    blocked = models.BooleanField(default=False)
    since = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["orchestrator", "team", "model"], name="one_steered_route")]
