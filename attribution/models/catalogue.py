"""The company as Weir knows it: teams, projects, billing accounts, ownership rules, bindings of endpoints to accounts.

Everything that changes meaning over time is dated, half-open: valid in [valid_from, valid_to), NULL = open.
"""

from django.db import models


class Team(models.Model):
    """A business unit or a team; `slug` is what the lake stores."""

    class Kind(models.TextChoices):
        BUSINESS_UNIT = "business_unit"
        TEAM = "team"

    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.TEAM)
    # Found in tags or telemetry by a rule that maps a value to the team of that name; nobody has confirmed it yet.
    discovered = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    """What a team works on; `slug` is what the lake stores."""

    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    discovered = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class Placement(models.Model):
    """A dated membership in the tree: a team in a business unit (or team), or a project in a team."""

    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="placements")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="placements")
    parent = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="children")
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)


class BillingAccount(models.Model):
    """An account that receives invoices, and how far its bill reaches."""

    provider = models.CharField(max_length=64)
    billing_account_id = models.CharField(max_length=200)
    name = models.CharField(max_length=200, blank=True)
    # Days before this one are settled on the bill; the estimate counts from it on. NULL: nothing billed yet.
    billed_through = models.DateField(null=True, blank=True)
    # How many of the newest billed days are still moving, where the delivery itself doesn't say.
    settle_lag_days = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "billing_account_id"], name="one_billing_account")]


class Authority(models.Model):
    """The one delivery scope that feeds a billing account's period."""

    provider = models.CharField(max_length=64)
    billing_account_id = models.CharField(max_length=200)
    billing_period = models.CharField(max_length=7)
    scope = models.CharField(max_length=300)
    # A closed period is `final`: the provider says that it will not change.
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "billing_account_id", "billing_period"], name="one_authority"),
        ]


class OwnershipRule(models.Model):
    """`field` matches `value` -> an owner. The first valid rule by `position` wins; see attribution/ownership.py."""

    class Operator(models.TextChoices):
        EQUALS = "equals"
        PREFIX = "prefix"
        # Any non-empty value; the value itself is the owner's slug.
        VALUE = "value"

    class Kind(models.TextChoices):
        # The line or the event itself proves its owner (tag, project, resource, key).
        PROOF = "proof"
        # A person says whose such lines are (service, meter, description).
        MANUAL = "manual"
        # Lines of this kind serve inference: platform scope, shared by inference spend.
        PLATFORM = "platform"

    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PROOF)
    # tag:<key>, sub_account_id, resource_id, principal, service_name, sku_meter ... or event:<column of a series>
    field = models.CharField(max_length=200)
    operator = models.CharField(max_length=16, choices=Operator.choices, default=Operator.EQUALS)
    value = models.CharField(max_length=300, blank=True)
    # Which part of the owner it names; a rule may name several.
    team = models.CharField(max_length=100, blank=True)
    project = models.CharField(max_length=100, blank=True)
    environment = models.CharField(max_length=100, blank=True)
    # With VALUE: which part takes the matched value.
    takes = models.CharField(max_length=16, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]


class Binding(models.Model):
    """An endpoint or deployment bills to an account, in [valid_from, valid_to)."""

    provider = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=300)
    billing_account_id = models.CharField(max_length=200)
    sub_account_id = models.CharField(max_length=200, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
