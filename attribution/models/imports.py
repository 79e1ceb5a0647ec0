"""What came in: deliveries, their files, the control totals of the raw files, and the rows that were kept out."""

from django.db import models

from .fields import MoneyField


class Delivery(models.Model):
    """All files of one command or one fetched manifest; it replaces what its scopes held for its billing periods."""

    class Kind(models.TextChoices):
        BILLING = "billing"
        TELEMETRY = "telemetry"

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    # What the operator calls it: --scope, else made from the files.
    source = models.CharField(max_length=300)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    changes = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)


class ImportedFile(models.Model):
    """One file of a delivery. rows_read + rows_created = rows_kept + rows_quarantined + rows_dropped."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="files")
    # As the operator named it; never an absolute path of the machine.
    path = models.CharField(max_length=1000)
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=64)
    provider = models.CharField(max_length=64)
    rows_read = models.PositiveBigIntegerField(default=0)
    rows_created = models.PositiveBigIntegerField(default=0)
    rows_kept = models.PositiveBigIntegerField(default=0)
    rows_quarantined = models.PositiveBigIntegerField(default=0)
    rows_dropped = models.PositiveBigIntegerField(default=0)
    duplicates = models.PositiveBigIntegerField(default=0)
    rounding_residue = models.CharField(max_length=64, default="0")
    # The file's summary as `--json` prints it.
    summary = models.JSONField(default=dict)


class ControlTotal(models.Model):
    """One cost basis of one raw file, summed before mapping. `current` until a later delivery replaces the period."""

    file = models.ForeignKey(ImportedFile, on_delete=models.CASCADE, related_name="control_totals")
    scope = models.CharField(max_length=300)
    provider = models.CharField(max_length=64)
    billing_account_id = models.CharField(max_length=200)
    billing_period = models.CharField(max_length=7)
    currency = models.CharField(max_length=8)
    basis = models.CharField(max_length=16)  # vocabulary.Basis
    amount = MoneyField()
    rows = models.PositiveBigIntegerField()
    current = models.BooleanField(default=True)

    class Meta:
        indexes = [models.Index(fields=["provider", "billing_account_id", "billing_period", "current"])]


class QuarantinedRow(models.Model):
    """A row that was kept out of the ledger, or several of one kind: where, what and why. Never a prompt."""

    file = models.ForeignKey(ImportedFile, on_delete=models.CASCADE, related_name="quarantine")
    line = models.PositiveBigIntegerField()  # the first such line; 1 is the first line of the file
    field = models.CharField(max_length=200)
    value = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    count = models.PositiveBigIntegerField(default=1)
