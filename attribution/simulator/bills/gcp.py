"""Google Cloud: the detailed usage cost export, flattened, one file an invoice month.

The invoice month is Pacific: the first hours of a UTC month bill to the month before. Contract discounts and committed
use are credits on a row; a correction carries a later invoice month.
"""

import json
from datetime import date, timedelta

from attribution.simulator.bills.lines import (
    Bill,
    Reading,
    atto,
    instant,
    month_of,
    month_start,
    post_whole,
    token,
    usd,
)
from attribution.simulator.books import Books, Cell
from attribution.simulator.company import BUCKETS, OUTPUT, Company, columns

COLUMNS = tuple(row["name"] for row in columns("gcp_columns.csv"))
SPAN = 6 * 3600  # seconds of usage in one row
_PROMOTED, _PROMOTION_DAY = "gemini-flash", 6

_VERTEX = ("C7E2-9256-1C43", "Vertex AI")
_COMPUTE = ("6F81-5844-456A", "Compute Engine")
# Daily lines of the rest of the company: unit, service, sku, unit of price, price, quantity, percent off by commitment.
_OTHER = (
    ("insurance", _COMPUTE, "N2 Instance Core running in Americas", "hour", "0.031611", 192, 37),
    ("insurance", _COMPUTE, "Network Internet Egress from Americas to EMEA", "gibibyte", "0.12", 22, 0),
    (
        "technology",
        ("95FF-2EF5-5EA1", "Cloud Storage"),
        "Standard Storage US Multi-region",
        "gibibyte month",
        "0.026",
        410,
        0,
    ),
    ("banking", ("24E6-581D-38E5", "BigQuery"), "Analysis", "tebibyte", "6.25", 2, 0),
)


def invoice_month(day: date, start: int) -> str:
    """The billing period of a row that starts at `start` seconds of a UTC day: the Pacific month."""
    return month_of(day - timedelta(days=1) if start < SPAN else day)


class GcpBill(Bill):
    """Collects the billing account's rows."""

    def __init__(self, company: Company) -> None:
        super().__init__()
        self._account = company.accounts["gcp"]
        self._promoted: set[str] = set()

    def day(self, books: Books, day: date, readings: list[Reading]) -> None:
        for reading in readings:
            self._tokens(books, day, reading)
        for unit, service, sku, unit_name, price, quantity, discount in _OTHER:
            cost = atto(price) * quantity
            credit = -cost * discount // 100
            row = self._base(day, unit, service, sku, SPAN, 2 * SPAN)
            row |= self._amount(cost, quantity, unit_name, quantity, unit_name)
            if credit:
                row["credits"] = _credits("COMMITTED_USAGE_DISCOUNT", "Committed usage discount: CPU", credit)
            self._whole(books, day, row, cost + credit, "other_scope")
        if day.day % 13 == 0:  # a SKU that nobody has a rule for yet
            row = self._base(day, "technology", _VERTEX, "Orrery Reasoning Answer Unit", SPAN, 2 * SPAN)
            row |= self._amount(atto("0.019") * 23, 23, "count", 23, "count")
            self._whole(books, day, row, atto("0.019") * 23, "not_understood")

    def month(self, books: Books, period: str, *, final: bool) -> None:
        day = month_start(period) + timedelta(days=4)
        fee = self._base(day, "insurance", _COMPUTE, "Commitment v1: N2 Cpu in Americas for 1 Year", SPAN, 2 * SPAN)
        fee |= self._amount(atto("86.4"), 4464, "hour", 4464, "hour")
        self._whole(books, day, fee, atto("86.4"), "other_scope")
        if not final:
            return
        tax = self._base(day, "technology", _VERTEX, "Tax", SPAN, 2 * SPAN)
        tax |= self._amount(atto("3.91"), 0, "", 0, "") | {"cost_type": "tax", "project.id": "", "project.name": ""}
        self._whole(books, day, tax, atto("3.91"), "shared_unassigned")
        rounding = self._base(day, "technology", _VERTEX, "Rounding error", SPAN, 2 * SPAN)
        rounding |= self._amount(atto("-0.003"), 0, "", 0, "") | {
            "cost_type": "rounding_error",
            "project.id": "",
            "project.name": "",
        }
        self._whole(books, day, rounding, atto("-0.003"), "shared_unassigned")

    def correction(self, day: date, cell: Cell, unit: str, into: str) -> None:
        """Money back for a tenth of a day's generated tokens, on the invoice of a later month."""
        price = cell.band.prices[OUTPUT]
        tokens = sum(counts[OUTPUT] for counts in cell.billed.values())
        if price is None or tokens < 10:
            return
        amount = -(tokens // 10) * price
        row = self._base(day, unit, _VERTEX, cell.band.meters[OUTPUT], 2 * SPAN, 3 * SPAN)
        row |= self._amount(amount, 0, "count", 0, "count") | {"invoice.month": into.replace("-", "")}
        row |= _place("us-central1")
        self.add(into, row, amount, amount)
        cell.adjustments.append((OUTPUT, into, amount, amount))

    def _tokens(self, books: Books, day: date, reading: Reading) -> None:
        offer, band = reading.offer, reading.offer.bands[reading.band]
        lines = [(bucket, band.meters[bucket], tokens) for bucket, tokens in enumerate(reading.tokens)]
        if band.thinking_meter and reading.reasoning:
            lines[OUTPUT] = (OUTPUT, band.meters[OUTPUT], reading.tokens[OUTPUT] - reading.reasoning)
            lines.append((OUTPUT, band.thinking_meter, reading.reasoning))
        for bucket, meter, tokens in lines:
            listed, price = band.list_prices[bucket], band.prices[bucket]
            if not tokens or listed is None or price is None:
                continue
            row = self._base(day, reading.unit, _VERTEX, meter, reading.start, reading.end)
            row |= self._amount(tokens * listed, tokens, "count", tokens, "count") | _place(offer.region)
            row["credits"] = _credits("DISCOUNT", "Vertex AI contract discount", tokens * (price - listed))
            if reading.owner is not None:
                row["labels"] = _labels(reading.owner)
            promotion = self._promotion(books, day, reading) if bucket == 0 else 0
            if promotion:
                row["credits"] = _json([*_read(row["credits"]), _credit("PROMOTION", "Free trial credit", promotion)])
            amount = tokens * price + promotion
            self.add(invoice_month(day, reading.start), row, amount, amount)

    def _promotion(self, books: Books, day: date, reading: Reading) -> int:
        """Once a month a promotional credit on an unlabelled row: its own Credit line, nobody's until a rule says."""
        period = invoice_month(day, reading.start)
        unlabelled = reading.offer.id == _PROMOTED and not reading.resource
        if day.day < _PROMOTION_DAY or period in self._promoted or not unlabelled:
            return 0
        self._promoted.add(period)
        amount = atto("-0.5")
        post_whole(books, "gcp", period, "shared_unassigned", amount, amount, reading.offer.model, BUCKETS[0])
        return amount

    def _whole(self, books: Books, day: date, row: dict[str, str], amount: int, reason: str) -> None:
        self.add(month_of(day), row, amount, amount)
        post_whole(books, "gcp", month_of(day), reason, amount, amount)

    def _amount(self, cost: int, amount: int, unit: str, priced: int, pricing_unit: str) -> dict[str, str]:
        return {
            "cost": usd(cost),
            "usage.amount": str(amount),
            "usage.unit": unit,
            "usage.amount_in_pricing_units": str(priced),
            "usage.pricing_unit": pricing_unit,
        }

    def _base(self, day: date, unit: str, service: tuple[str, str], sku: str, start: int, end: int) -> dict[str, str]:
        project, name = self._account.sub_accounts[unit]
        return {
            "billing_account_id": self._account.billing,
            "service.id": service[0],
            "service.description": service[1],
            "sku.id": "-".join(
                (token("sku", sku, length=4), token(sku, "a", length=4), token(sku, "b", length=4))
            ).upper(),
            "sku.description": sku,
            "usage_start_time": f"{instant(day, start):%Y-%m-%d %H:%M:%S}+00:00",
            "usage_end_time": f"{instant(day, end):%Y-%m-%d %H:%M:%S}+00:00",
            "project.id": project,
            "project.name": name,
            "project.labels": "[]",
            "project.ancestry_numbers": f"/{int(token('org', length=10), 16)}/",
            "labels": "[]",
            "system_labels": "[]",
            **_place("us-central1"),
            "export_time": f"{instant(day + timedelta(days=1), 4215):%Y-%m-%d %H:%M:%S}+00:00",
            "currency": "USD",
            "currency_conversion_rate": "1.0",
            "credits": "[]",
            "invoice.month": invoice_month(day, start).replace("-", ""),
            "cost_type": "regular",
            "partition_date": day.isoformat(),
        }


def _place(region: str) -> dict[str, str]:
    country = "NL" if region.startswith("europe") else "US"
    return {"location.location": region, "location.country": country, "location.region": region, "location.zone": ""}


def _labels(owner: tuple[str, str]) -> str:
    return json.dumps([{"key": "project", "value": owner[1]}, {"key": "team", "value": owner[0]}])


def _credits(kind: str, name: str, amount: int) -> str:
    return _json([_credit(kind, name, amount)] if amount else [])


def _credit(kind: str, name: str, amount: int) -> dict[str, str]:
    return {"id": name, "full_name": name, "type": kind, "name": name, "amount": usd(amount)}


def _read(credits: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(credits, parse_float=str, parse_int=str)
    return found


def _json(credits: list[dict[str, str]]) -> str:
    """JSON with the amounts as numbers, every digit of them."""
    texts = []
    for credit in credits:
        head = json.dumps({key: value for key, value in credit.items() if key != "amount"})
        texts.append(f'{head[:-1]}, "amount": {credit["amount"]}}}')
    return f"[{', '.join(texts)}]"
