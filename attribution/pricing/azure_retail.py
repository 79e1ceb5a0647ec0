"""Azure's own prices: data zones and service tiers, which the general list lacks. Rows of a small file below here."""

import csv
from decimal import Decimal
from importlib.resources import files

from attribution.pricing.book import PriceRow

SOURCE = "azure-retail"
VERSION = "litellm-1.106.2"


def read_rows() -> list[PriceRow]:
    """All rows of data/azure_retail.csv, undated."""
    text = files(__package__).joinpath("data/azure_retail.csv").read_text(encoding="utf-8")
    return [
        PriceRow(
            provider="azure",
            model=row["model"],
            routing=row["routing"],
            tier=row["tier"],
            context_from=int(row["context_from"]),
            token_type=row["token_type"],
            usd_per_token=Decimal(row["usd_per_token"]),
            valid_from=None,
            valid_to=None,
            source=SOURCE,
            version=VERSION,
        )
        for row in csv.DictReader(text.splitlines())
    ]
