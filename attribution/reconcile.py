"""Holds the ledger against the raw files: billed (control totals, taken before mapping) = attributed + unattributed.

A difference means that rows are missing or counted twice: quarantined, not yet attributed, or a fault of ours. It is
never rounded.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from attribution.lake import catalogue
from attribution.models import ControlTotal, QuarantinedRow
from attribution.money import exact_sum
from attribution.sources.billing.registry import format_named
from attribution.vocabulary import Basis, Dataset

_ZERO = Decimal(0)

Place = tuple[str, str, str, str]  # provider, billing account, period, currency


@dataclass(frozen=True)
class Reconciled:
    """One account, document month and currency. `difference` = billed - attributed - unattributed; 0 or something is
    wrong."""

    provider: str
    billing_account_id: str
    billing_period: str
    currency: str
    billed: Decimal
    attributed: Decimal
    unattributed: dict[str, Decimal] = field(default_factory=dict)

    @property
    def difference(self) -> Decimal:
        return exact_sum([self.billed, -self.attributed, *(-amount for amount in self.unattributed.values())])


def reconcile() -> list[Reconciled]:
    """Every account, period and currency that a bill or the ledger speaks of, in order."""
    billed = billed_totals()
    attributed: dict[Place, Decimal] = {}
    unattributed: dict[Place, dict[str, Decimal]] = {}
    with catalogue.open_engine() as engine:
        rows = engine.run("marts/reconcile", inputs={"ledger": catalogue.files(Dataset.LEDGER)}).to_pylist()
    for row in rows:
        place = (row["provider"], row["billing_account_id"], row["billing_period"], row["currency"])
        amount = row["billed_cost"] if row["billed_cost"] is not None else _ZERO
        if row["reason"] is None:
            attributed[place] = amount
        else:
            unattributed.setdefault(place, {})[row["reason"]] = amount
    return [
        Reconciled(
            *place,
            billed=billed.get(place, _ZERO),
            attributed=attributed.get(place, _ZERO),
            unattributed=dict(sorted(unattributed.get(place, {}).items())),
        )
        for place in sorted({*billed, *attributed, *unattributed})
    ]


def billed_totals() -> dict[Place, Decimal]:
    """What the raw files bill, per place.

    A bill in two files states its plain lines twice: the amortised side's total counts only where no actual side came.
    """
    sides: dict[Place, dict[bool, Decimal]] = {}
    for row in ControlTotal.objects.filter(current=True, basis=Basis.BILLED).select_related("file"):
        place = (row.provider, row.billing_account_id, row.billing_period, row.currency)
        of_place = sides.setdefault(place, {})
        is_amortized = format_named(row.file.format).dataset == Dataset.CHARGES_AMORTIZED
        of_place[is_amortized] = exact_sum([of_place.get(is_amortized, _ZERO), row.amount])
    return {place: of_place[min(of_place)] for place, of_place in sides.items()}


def quarantined_rows() -> int:
    """Rows of the current bills that are kept out; those whose cost can't be read are in no total."""
    current = QuarantinedRow.objects.filter(file__control_totals__current=True).distinct()
    return sum(row.count for row in current)


def plain(amount: Decimal) -> str:
    """Full precision without trailing zeros or an exponent: what programs get."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
