"""Small bills written by hand, and what the lake holds of them. Loaded by conftest.py."""

import csv
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from attribution.lake import catalogue
from attribution.vocabulary import Dataset

FOCUS_ROW: Mapping[str, str] = {
    "BilledCost": "1.25",
    "EffectiveCost": "1.00",
    "ListCost": "2.00",
    "ContractedCost": "1.25",
    "BillingCurrency": "USD",
    "BillingAccountId": "acct-1",
    "BillingAccountName": "Acme",
    "BillingPeriodStart": "2026-05-01T00:00:00Z",
    "BillingPeriodEnd": "2026-06-01T00:00:00Z",
    "ChargePeriodStart": "2026-05-02T00:00:00Z",
    "ChargePeriodEnd": "2026-05-03T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargeDescription": "tokens",
    "ProviderName": "AWS",
    "PublisherName": "AWS",
    "InvoiceIssuerName": "AWS",
    "ServiceName": "Amazon Bedrock",
    "ServiceCategory": "AI and Machine Learning",
    "PricingQuantity": "10",
    "PricingUnit": "1K tokens",
    "Tags": '{"team":"search"}',
}

CUR_ROW: Mapping[str, str] = {
    "bill/BillingEntity": "AWS",
    "bill/BillingPeriodStartDate": "2026-05-01T00:00:00Z",
    "bill/BillingPeriodEndDate": "2026-06-01T00:00:00Z",
    "bill/PayerAccountId": "111122223333",
    "bill/InvoiceId": "",
    "lineItem/UsageAccountId": "444455556666",
    "lineItem/LineItemType": "Usage",
    "lineItem/UsageStartDate": "2026-05-02T10:00:00Z",
    "lineItem/UsageEndDate": "2026-05-02T11:00:00Z",
    "lineItem/ProductCode": "AmazonBedrock",
    "lineItem/UsageType": "USE1-Claude4.5Sonnet-input-tokens",
    "lineItem/Operation": "InvokeModelInference",
    "lineItem/AvailabilityZone": "",
    "lineItem/ResourceId": "",
    "lineItem/UsageAmount": "10",
    "lineItem/CurrencyCode": "USD",
    "lineItem/UnblendedCost": "1",
    "lineItem/LineItemDescription": "",
    "lineItem/TaxType": "",
    "product/ProductName": "Amazon Bedrock",
    "product/regionCode": "us-east-1",
    "pricing/publicOnDemandCost": "1.5",
    "pricing/unit": "1K tokens",
    "reservation/EffectiveCost": "",
    "reservation/ReservationARN": "",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "",
    "reservation/UnusedRecurringFee": "",
    "savingsPlan/SavingsPlanARN": "",
    "savingsPlan/SavingsPlanEffectiveCost": "",
    "savingsPlan/TotalCommitmentToDate": "",
    "savingsPlan/UsedCommitment": "",
    "resourceTags/user:team": "search",
}


def table_text(base: Mapping[str, str], changes: Iterable[Mapping[str, str]]) -> str:
    """CSV text: one row for each of `changes`, laid over `base`."""
    rows = [{**base, **change} for change in changes]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines: list[str] = []
    writer = csv.writer(_Lines(lines), lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] for row in rows)
    return "".join(lines)


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, text: str) -> None:
        self._lines.append(text)


def focus_text(*changes: Mapping[str, str]) -> str:
    return table_text(FOCUS_ROW, changes or [{}])


def cur_text(*changes: Mapping[str, str]) -> str:
    return table_text(CUR_ROW, changes or [{}])


def charges(**only: Any) -> list[dict[str, Any]]:
    """The CHARGES rows that are current, in the order of day and description."""
    tables = [catalogue.read_table(revision) for revision in catalogue.current(Dataset.CHARGES, **only)]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return sorted(rows, key=lambda row: (row["day"], row["charge_description"] or "", row["billed_cost"] or 0))


def billed(**only: Any) -> dict[str, Decimal]:
    """The ledgered billed cost by currency."""
    sums: dict[str, Decimal] = {}
    for row in charges(**only):
        currency = row["billing_currency"]
        sums[currency] = sums.get(currency, Decimal(0)) + (row["billed_cost"] or Decimal(0))
    return sums


def writer_in(folder: Path) -> Callable[[str, str | bytes], str]:
    def write(name: str, content: str | bytes) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write
