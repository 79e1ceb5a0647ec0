"""AWS Cost and Usage Reports: legacy CUR (slash or snake_case names) and CUR 2.0 (CSV, gzip, Parquet), mapped to FOCUS.

Source: AWS Data Exports user guide, "Cost and Usage Report (CUR) 2.0" and "Legacy CUR data dictionary".
"""

import json
import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.engine import Engine
from attribution.vocabulary import Basis

from .base import BillingFormat, Column, Head, Kind
from .cells import canonical_json

_DECIMAL, _TIME, _MAP = Kind.DECIMAL, Kind.TIME, Kind.MAP


def tag_key(key: str) -> str:
    """The tag's key as its owner wrote it: legacy `user:team`, CUR 2.0 and Athena `user_team` -> `user:team`."""
    for prefix in ("user", "aws"):
        if key.startswith(prefix + "_"):
            return f"{prefix}:{key[len(prefix) + 1 :]}"
    return key


COLUMNS = (
    Column("bill_billing_entity"),
    Column("bill_billing_period_start_date", _TIME, required=True, filled=True),
    Column("bill_billing_period_end_date", _TIME),
    Column("bill_invoice_id"),
    Column("bill_invoicing_entity"),
    Column("bill_payer_account_id", required=True, filled=True),
    Column("bill_payer_account_name"),
    Column("line_item_availability_zone"),
    Column("line_item_currency_code", filled=True),
    Column("line_item_iam_principal"),
    Column("line_item_legal_entity"),
    Column("line_item_line_item_description"),
    Column("line_item_line_item_type", required=True, filled=True),
    Column("line_item_net_unblended_cost", _DECIMAL),
    Column("line_item_operation"),
    Column("line_item_product_code", required=True),
    Column("line_item_resource_id"),
    Column("line_item_tax_type"),
    Column("line_item_unblended_cost", _DECIMAL, required=True),
    Column("line_item_usage_account_id", required=True),
    Column("line_item_usage_account_name"),
    Column("line_item_usage_amount", _DECIMAL),
    Column("line_item_usage_end_date", _TIME),
    Column("line_item_usage_start_date", _TIME, required=True, filled=True),
    Column("line_item_usage_type"),
    Column("pricing_public_on_demand_cost", _DECIMAL),
    Column("pricing_public_on_demand_rate", _DECIMAL),
    Column("pricing_purchase_option"),
    Column("pricing_rate_code", aliases=("pricing/RateId",)),
    Column("pricing_term"),
    Column("pricing_unit"),
    Column("product", _MAP),
    Column("product_instance_type"),
    Column("product_product_family"),
    Column("product_product_name"),
    Column("product_region_code", aliases=("product/region",)),
    Column("product_sku"),
    Column("reservation_effective_cost", _DECIMAL),
    Column("reservation_net_effective_cost", _DECIMAL),
    Column("reservation_reservation_a_r_n", aliases=("reservation/SubscriptionId",)),
    Column("reservation_unused_amortized_upfront_fee_for_billing_period", _DECIMAL),
    Column("reservation_unused_recurring_fee", _DECIMAL),
    Column("reservation_net_unused_amortized_upfront_fee_for_billing_period", _DECIMAL),
    Column("reservation_net_unused_recurring_fee", _DECIMAL),
    Column("reservation_unused_quantity", _DECIMAL),
    Column("savings_plan_savings_plan_a_r_n"),
    Column("savings_plan_savings_plan_effective_cost", _DECIMAL),
    Column("savings_plan_net_savings_plan_effective_cost", _DECIMAL),
    Column("savings_plan_total_commitment_to_date", _DECIMAL),
    Column("savings_plan_used_commitment", _DECIMAL),
    Column("split_line_item_parent_resource_id"),
    Column("resource_tags", _MAP, prefixes=("resourceTags/", "resource_tags_"), key=tag_key),
    # CUR 2.0's other tags: iamPrincipal/<key>, accountTag/<key>, ...
    Column("tags", _MAP),
)


def _detect(head: Head) -> bool:
    return head.has("lineItem/UsageStartDate", "lineItem/UnblendedCost", "lineItem/LineItemType", "bill/PayerAccountId")


def _prepare(raw: pa.Table) -> pa.Table:
    """Tags of both columns in one object with the owner's keys; the product's name and region out of CUR 2.0's map."""
    tags = _distinct_pairs(raw.column("resource_tags"), raw.column("tags"), _joined_tags)
    raw = raw.set_column(raw.schema.get_field_index("tags"), "tags", tags)
    for column, key in (
        ("product_product_name", "product_name"),
        ("product_region_code", "region"),
        ("product_instance_type", "instance_type"),
    ):
        raw = raw.set_column(
            raw.schema.get_field_index(column),
            column,
            pc.coalesce(raw.column(column), _distinct(raw.column("product"), _value_of(key))),
        )
    return raw


def _value_of(key: str) -> Callable[[str], str | None]:
    def value(text: str) -> str | None:
        found: str | None = json.loads(text).get(key)
        return found

    return value


def _distinct(column: pa.ChunkedArray, make: Callable[[str], str | None]) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    values = pa.array([make(text) for text in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([values.take(coded.indices)])


def _distinct_pairs(
    first: pa.ChunkedArray, second: pa.ChunkedArray, make: Callable[[str], str | None]
) -> pa.ChunkedArray:
    joined = pc.binary_join_element_wise(first, second, "\x1f", null_handling="replace", null_replacement="")
    both_null = pc.and_(pc.is_null(first), pc.is_null(second))
    return _distinct(pc.if_else(both_null, pa.scalar(None, pa.string()), joined), make)


def _joined_tags(text: str) -> str | None:
    resource, other = (json.loads(part) if part else {} for part in text.split("\x1f"))
    merged = {tag_key(key): value for key, value in {**other, **resource}.items() if value}
    return canonical_json(merged) if merged else None


def _settle(partition: pa.Table, engine: Engine) -> pa.Table:
    """Savings plan negations go where they cancel the lines that they cover; else both stay as the bill has them."""
    if partition.column("x_settle_key").null_count == partition.num_rows:
        return partition
    return engine.run("staging/settle_savings_plans", inputs={"staged": partition})


AWS_CUR = BillingFormat(
    name="aws-cur",
    family="cur",
    columns=COLUMNS,
    detect=_detect,
    model="staging/stg_aws_cur",
    # Net columns exist where the payer has private discounts; they are what the invoice sums.
    controls={Basis.BILLED: ("line_item_net_unblended_cost", "line_item_unblended_cost")},
    prepare=_prepare,
    settle=_settle,
    # Legacy names carry their category, so a header cell that is no column shows.
    header_cell=re.compile(
        r"(identity|bill|lineItem|product|pricing|reservation|savingsPlan|discount|costCategory|resourceTags|splitLineItem)/.+"
    ),
)
