"""A small lake with figures that can be added by hand: two teams, two providers, two months; for tests of what is read.

`publish_lake(...)` publishes roll-ups and owned usage as an attribution would; nothing else of it is needed here.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from attribution.lake import catalogue
from attribution.lake.partitions import PartitionKey
from attribution.lake.schemas import ROLLUP_DAILY, USAGE_OWNED
from attribution.models import BillingAccount
from attribution.vocabulary import Dataset

ROLLUP_DEFAULTS: dict[str, Any] = {
    "scope": "test",
    "provider": "aws",
    "billing_account_id": "111",
    "billing_period": "2026-05",
    "currency": "USD",
    "region": "us-east-1",
    "service": "Amazon Bedrock",
    "charge_scope": "inference",
    "charge_category": "Usage",
    "model": "claude-sonnet-4.5",
    "publisher": "anthropic",
    "token_type": "output",
    "tier": "standard",
    "team": None,
    "project": None,
    "environment": None,
    "method": "token_share",
    "reason": None,
    "state": "billed",
    "billed_unknown": 0,
    "effective_unknown": 0,
    "list_unknown": 0,
    "contracted_unknown": 0,
    "metered_tokens": None,
    "parts": 1,
}
USAGE_DEFAULTS: dict[str, Any] = {
    "provider": "aws",
    "billing_account_id": "111",
    "sub_account_id": None,
    "region": "us-east-1",
    "routing": None,
    "tier": "standard",
    "context_band": "base",
    "model": "claude-sonnet-4.5",
    "publisher": "anthropic",
    "project": None,
    "environment": None,
    "api_key": None,
    "owned": True,
    "requests": 1,
    "requests_without_usage": 0,
    "unpriced_requests": 0,
}


def rollup(day: str, cost: str | None, **fields: Any) -> dict[str, Any]:
    """A row of ROLLUP_DAILY that costs `cost` on all four bases."""
    amount = None if cost is None else Decimal(cost)
    unknown = {} if cost is not None else {f"{one}_unknown": 1 for one in ("billed", "effective", "list", "contracted")}
    bases = {f"{one}_cost": amount for one in ("billed", "effective", "list", "contracted")}
    return {**ROLLUP_DEFAULTS, **bases, **unknown, "day": date.fromisoformat(day), **fields}


def usage(day: str, team: str | None, cost: str | None, **fields: Any) -> dict[str, Any]:
    """A row of USAGE_OWNED that is estimated at `cost` dollars."""
    amount = None if cost is None else Decimal(cost)
    return {**USAGE_DEFAULTS, "day": date.fromisoformat(day), "team": team, "estimated_cost": amount, **fields}


def publish_lake(
    rollups: Iterable[Mapping[str, Any]] = (),
    used: Iterable[Mapping[str, Any]] = (),
    *,
    billed_through: Mapping[tuple[str, str], str | None],
) -> None:
    """Publish the rows, each in its partition, and the accounts' watermarks."""
    tables: dict[PartitionKey, list[Mapping[str, Any]]] = {}
    for row in rollups:
        key = PartitionKey(
            Dataset.ROLLUP_DAILY,
            scope=row["scope"],
            billing_account_id=row["billing_account_id"],
            billing_period=row["billing_period"],
            provider=row["provider"],
        )
        tables.setdefault(key, []).append(row)
    for row in used:
        tables.setdefault(PartitionKey(Dataset.USAGE_OWNED, provider=row["provider"], day=row["day"]), []).append(row)
    schemas = {Dataset.ROLLUP_DAILY: ROLLUP_DAILY, Dataset.USAGE_OWNED: USAGE_OWNED}
    staged = catalogue.stage_many(
        [(key, pa.Table.from_pylist([dict(row) for row in rows], schemas[key.dataset])) for key, rows in tables.items()]
    )
    catalogue.publish(staged)
    for (provider, account), through in billed_through.items():
        BillingAccount.objects.update_or_create(
            provider=provider,
            billing_account_id=account,
            defaults={"billed_through": None if through is None else date.fromisoformat(through)},
        )
