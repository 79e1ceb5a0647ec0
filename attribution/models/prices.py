"""The price book's rows: what a token of one bucket costs where, from when to when, and who says so.

A row is never changed. When its source says something else about the same days, the row is retired and another one
stands; an estimate names the version of the row that it used.
"""

from datetime import date

from django.db import models
from django.db.models.functions import Coalesce

from .fields import MoneyField


class Price(models.Model):
    """US dollars for one token, in [valid_from, valid_to) of UTC days; NULL = open."""

    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=200)  # slug
    routing = models.CharField(max_length=16, blank=True)  # '' = whatever has no row of its own
    tier = models.CharField(max_length=16)
    # Applies to requests whose input, cached tokens included, is at least this long. 0 = base band.
    context_from = models.PositiveBigIntegerField(default=0)
    token_type = models.CharField(max_length=32)  # one of vocabulary.TOKEN_BUCKETS
    usd_per_token = MoneyField()
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    source = models.CharField(max_length=64)  # genai-prices, azure-retail, contract, ...
    version = models.CharField(max_length=64)  # the source's version that first said it
    # The source's version that no longer says it; '' while it stands.
    retired_by = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes = [models.Index(fields=["source", "retired_by"])]
        constraints = [
            models.UniqueConstraint(
                "source",
                "provider",
                "model",
                "routing",
                "tier",
                "context_from",
                "token_type",
                Coalesce("valid_from", date.min),
                condition=models.Q(retired_by=""),
                name="one_standing_price",
            )
        ]
