"""A figure as a page prints it. Pure."""

from dataclasses import dataclass
from decimal import Decimal

from governance.dashboards import formats

NO_BILL_BASIS = "The bill does not say this cost on the chosen basis"


@dataclass(frozen=True)
class Shown:
    """The text that is printed; `title` has every digit, or says why there is no figure."""

    text: str
    title: str = ""
    css: str = ""


def shown_money(amount: Decimal | None, currency: str, why: str = NO_BILL_BASIS) -> Shown:
    """An amount in a cell; `why` explains an unknown one."""
    return Shown(formats.money(amount, currency), exact_money(amount, currency, why), "muted" if amount is None else "")


def exact_money(amount: Decimal | None, currency: str, why: str = NO_BILL_BASIS) -> str:
    """Every digit and the currency, or `why` for an unknown amount."""
    return why if amount is None else f"{formats.exact(amount)} {currency}"
