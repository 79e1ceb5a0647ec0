"""Exact decimals in any database: SQLite's NUMERIC loses digits past 15, so money is a scaled integer, kept as text."""

from decimal import Decimal
from typing import Any

from django.db import models

from attribution.money import from_units, to_units


class MoneyField(models.CharField):  # type: ignore[type-arg]
    """A Decimal with at most 18 decimals; stored as the integer amount x 10^18, in text. Sums are made in Python."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 48)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: str | None, *_: object) -> Decimal | None:
        return None if value is None else from_units(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, float):
            raise TypeError("money is never a float; pass a Decimal")
        return Decimal(value)

    def get_prep_value(self, value: Any) -> str | None:
        amount = self.to_python(value)
        return None if amount is None else str(to_units(amount))
