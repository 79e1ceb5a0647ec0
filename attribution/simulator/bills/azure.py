"""Azure: actual and amortised cost details of one enrolment (c360-2025-04 columns), with reserved throughput.

As Microsoft writes them: US dates, periods that end on their last day, tags without braces, tokens as Quantity beside
a unit of 1K or 1M, a purchase on the actual side, its amortisation and unused hours on the other. Tax is not in these
exports.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from attribution.simulator.bills.lines import (
    Bill,
    Reading,
    Row,
    atto,
    guid,
    month_end,
    month_of,
    month_start,
    post_whole,
    token,
    usd,
)
from attribution.simulator.books import Books, Pool, settle_capacity
from attribution.simulator.company import Company, columns

COLUMNS = tuple(row["name"] for row in columns("azure_columns.csv"))

_RESERVATION = "7d2f1c90-5a44-4b1e-8f07-93a1d2c4b6e8"
# Provisioned throughput: 15 units reserved, 13 deployed; on weekdays 4 more for eight hours at the hourly price.
_PTU_HOURLY, _PTU_RESERVED = atto("1"), atto("0.35")
_PTU_BOUGHT, _PTU_DEPLOYED = 15, 13
_PTU_EXTRA = 10 * 20  # hours of units on a weekday beyond the reservation

# Daily lines of the rest of the company: unit, category, sub category, meter, service, measure, price, quantity.
_OTHER = (
    ("banking", "Virtual Machines", "Dsv5 Series", "D4s v5", "Microsoft.Compute", "1 Hour", "0.192", 72),
    ("banking", "Storage", "Standard HDD Managed Disks", "S10 LRS Disk", "Microsoft.Compute", "1/Month", "5.888", 1),
    (
        "insurance",
        "SQL Database",
        "Single/Elastic Pool General Purpose",
        "vCore",
        "Microsoft.Sql",
        "1 Hour",
        "0.152",
        96,
    ),
    (
        "technology",
        "Bandwidth",
        "Rtn Preference: MGN",
        "Standard Data Transfer Out",
        "Microsoft.Network",
        "1 GB",
        "0.087",
        38,
    ),
)


@dataclass
class AzureBill(Bill):
    """Collects both sides; `rows` is the actual side, `amortized` the other."""

    company: Company | None = None
    amortized: dict[str, list[Row]] = field(default_factory=dict)

    def both(self, period: str, row: dict[str, str], cost: int) -> None:
        self.side(period, row, cost, cost)

    def side(self, period: str, row: dict[str, str], actual: int | None, amortised: int | None) -> None:
        """Writes the line on the sides that have it; None = this side doesn't show it."""
        if actual is not None:
            self.rows[period].append(row | {"Cost": usd(actual)})
        if amortised is not None:
            self.amortized.setdefault(period, []).append(row | {"Cost": usd(amortised)})
        self.billed[period] += actual or 0
        self.effective[period] += amortised or 0

    def day(self, books: Books, day: date, readings: list[Reading], pool: Pool) -> None:
        for reading in readings:
            self._tokens(day, reading)
        self._provisioned(books, day, pool)
        self._rest(books, day)

    def month(self, books: Books, period: str, *, final: bool) -> None:
        days = (month_end(period) - month_start(period)).days
        bought = days * 24 * _PTU_BOUGHT
        purchase = self._ptu_row(month_start(period)) | {
            "ChargeType": "Purchase",
            "Frequency": "Recurring",
            "Quantity": str(_PTU_BOUGHT),
            "UnitPrice": usd(days * 24 * _PTU_RESERVED),
            "EffectivePrice": usd(days * 24 * _PTU_RESERVED),
            "Product": "Provisioned Managed Throughput Unit, Global, 1 Month",
            "UnitOfMeasure": "1",
            "Tags": "",
            "ResourceId": "",
            "ResourceName": "",
        }
        self.side(period, purchase, bought * _PTU_RESERVED, None)
        post_whole(books, "azure", period, "shared_unassigned", bought * _PTU_RESERVED, 0, kind="capacity")
        saas = self._base(month_start(period), "technology") | {
            "MeterCategory": "SaaS",
            "MeterName": "Observability Pro - Monthly seat",
            "Product": "Observability Pro",
            "ChargeType": "Purchase",
            "Frequency": "Recurring",
            "PublisherType": "Marketplace",
            "PublisherName": "Lantern Software",
            "UnitOfMeasure": "1",
            "Quantity": "1",
            "UnitPrice": "149",
            "EffectivePrice": "149",
        }
        self._whole(books, period, saas, atto("149"), "other_scope")
        if final:
            refund = saas | {
                "ChargeType": "Refund",
                "Frequency": "OneTime",
                "Quantity": "-1",
                "UnitPrice": "49",
                "EffectivePrice": "49",
            }
            self._whole(books, period, refund, atto("-49"), "other_scope")

    def _tokens(self, day: date, reading: Reading) -> None:
        offer, band = reading.offer, reading.offer.bands[reading.band]
        resource = reading.resource or f"oai-{reading.unit}-{offer.region}"
        for bucket, tokens in enumerate(reading.tokens):
            price = band.prices[bucket]
            if not tokens or price is None:
                continue
            rate = usd(price * offer.tokens_per_unit)
            row = self._model_base(day, reading.unit, resource) | {
                "Product": f"{offer.product} - {band.meters[bucket]}",
                "MeterId": guid("meter", band.meters[bucket]),
                "MeterSubCategory": offer.product,
                "MeterName": band.meters[bucket],
                "MeterRegion": "" if offer.routing == "global" else offer.region,
                "Quantity": str(tokens),
                "UnitOfMeasure": offer.unit,
                "UnitPrice": rate,
                "EffectivePrice": rate,
                "ResourceLocation": offer.region,
                "Tags": _tags(reading.owner),
            }
            self.both(month_of(day), row, tokens * price)

    def _provisioned(self, books: Books, day: date, pool: Pool) -> None:
        period, used = month_of(day), 24 * _PTU_DEPLOYED
        unused = 24 * (_PTU_BOUGHT - _PTU_DEPLOYED)
        row = self._ptu_row(day) | {"Quantity": str(used)}
        amortised = used * _PTU_RESERVED
        self.side(period, row | {"EffectivePrice": "0"}, 0, None)
        self.side(period, row | {"EffectivePrice": usd(_PTU_RESERVED)}, None, amortised)
        settle_capacity(books, pool, period, (0, amortised))
        idle = self._ptu_row(day) | {
            "ChargeType": "UnusedReservation",
            "Quantity": str(unused),
            "EffectivePrice": usd(_PTU_RESERVED),
            "Tags": "",
            "ResourceId": "",
            "ResourceName": "",
        }
        self.side(period, idle, None, unused * _PTU_RESERVED)
        post_whole(books, "azure", period, "commitment_unused", 0, unused * _PTU_RESERVED, kind="capacity")
        if day.weekday() < 5:
            extra = _PTU_EXTRA
            row = self._ptu_row(day) | {
                "Quantity": str(extra),
                "EffectivePrice": "1",
                "ReservationId": "",
                "ReservationName": "",
                "Term": "",
            }
            self.both(period, row, extra * _PTU_HOURLY)
            settle_capacity(books, pool, period, (extra * _PTU_HOURLY, extra * _PTU_HOURLY))

    def _ptu_row(self, day: date) -> dict[str, str]:
        return self._model_base(day, "banking", "oai-advice-ptu") | {
            "Product": "Azure OpenAI Provisioned - Provisioned Managed Global Unit",
            "MeterId": guid("meter", "ptu-global"),
            "MeterSubCategory": "Azure OpenAI",
            "MeterName": "Provisioned Managed Global Unit",
            "UnitOfMeasure": "1/Hour",
            "UnitPrice": "1",
            "ResourceLocation": "eastus2",
            "ReservationId": _RESERVATION,
            "ReservationName": "ptu-global-15",
            "ProductOrderId": guid("order", "ptu"),
            "ProductOrderName": "Azure OpenAI Provisioned, Global, 1 Month",
            "Term": "1 Month",
            "Tags": '"pool": "ptu-advice"',
        }

    def _rest(self, books: Books, day: date) -> None:
        for unit, category, sub_category, meter, service, measure, price, quantity in _OTHER:
            row = self._base(day, unit) | {
                "MeterCategory": category,
                "MeterSubCategory": sub_category,
                "MeterName": meter,
                "MeterId": guid("meter", meter),
                "Product": f"{category} - {meter}",
                "ConsumedService": service,
                "UnitOfMeasure": measure,
                "Quantity": str(quantity),
                "UnitPrice": price,
                "EffectivePrice": price,
                "ResourceLocation": "swedencentral",
                "ResourceGroup": f"rg-{unit}",
            }
            self._whole(books, month_of(day), row, atto(price) * quantity, "other_scope")
        if day.day % 11 == 0:  # a meter that nobody has a rule for yet
            row = self._model_base(day, "technology", "oai-technology-eastus2") | {
                "MeterSubCategory": "Foundry Labs",
                "MeterName": "Orrery Preview Answer Unit",
                "MeterId": guid("meter", "orrery"),
                "Product": "Foundry Labs - Orrery Preview Answer Unit",
                "UnitOfMeasure": "1",
                "Quantity": "19",
                "UnitPrice": "0.021",
                "EffectivePrice": "0.021",
                "ResourceLocation": "eastus2",
            }
            self._whole(books, month_of(day), row, 19 * atto("0.021"), "not_understood")

    def _whole(self, books: Books, period: str, row: dict[str, str], amount: int, reason: str) -> None:
        self.both(period, row, amount)
        post_whole(books, "azure", period, reason, amount, amount)

    def _model_base(self, day: date, unit: str, resource: str) -> dict[str, str]:
        row = self._base(day, unit)
        group = f"rg-{unit}-ai"
        path = f"/subscriptions/{row['SubscriptionId']}/resourceGroups/{group}/providers/Microsoft.CognitiveServices"
        return row | {
            "MeterCategory": "Foundry Models",
            "ServiceFamily": "AI + Machine Learning",
            "ConsumedService": "Microsoft.CognitiveServices",
            "ResourceGroup": group,
            "ResourceId": f"{path}/accounts/{resource}",
            "ResourceName": resource,
        }

    def _base(self, day: date, unit: str) -> dict[str, str]:
        if self.company is None:
            raise ValueError("an Azure bill needs its company")
        account = self.company.accounts["azure"]
        subscription, name = account.sub_accounts[unit]
        period = month_of(day)
        return {
            "BillingAccountId": account.billing,
            "BillingAccountName": account.name,
            "BillingPeriodStartDate": _us(month_start(period)),
            "BillingPeriodEndDate": _us(month_end(period) - timedelta(days=1)),
            "BillingProfileId": account.billing,
            "BillingProfileName": account.name,
            "AccountOwnerId": "cloud@halden.example",
            "AccountName": "Halden Cloud",
            "SubscriptionId": subscription,
            "SubscriptionName": name,
            "Date": _us(day),
            "PartNumber": f"AAF-{token('part', unit, length=5).upper()}",
            "BillingCurrency": "USD",
            "InvoiceSection": unit,
            "InvoiceSectionId": guid("section", unit),
            "OfferId": "MS-AZR-0017P",
            "IsAzureCreditEligible": "True",
            "ChargeType": "Usage",
            "Frequency": "UsageBased",
            "PublisherType": "Azure",
            "PublisherName": "Microsoft",
        }


def _us(day: date) -> str:
    return f"{day:%m/%d/%Y}"


def _tags(owner: tuple[str, str] | None) -> str:
    return "" if owner is None else f'"team": "{owner[0]}","project": "{owner[1]}"'
