"""FOCUS 1.0 to 1.4 from anybody: the providers' own FOCUS exports, other vendors, a hand-made cost sheet.

Source: FOCUS specification 1.0 to 1.4, focus.finops.org.
"""

from attribution.vocabulary import Basis

from .base import BillingFormat, Column, Head, Kind

_DECIMAL, _TIME, _MAP = Kind.DECIMAL, Kind.TIME, Kind.MAP

COLUMNS = (
    Column("billed_cost", _DECIMAL, required=True, filled=True),
    Column("effective_cost", _DECIMAL),
    Column("list_cost", _DECIMAL),
    Column("contracted_cost", _DECIMAL),
    Column("billing_currency", required=True, filled=True),
    Column("billing_account_id", required=True, filled=True),
    Column("billing_account_name"),
    Column("billing_period_start", _TIME, required=True, filled=True),
    Column("billing_period_end", _TIME),
    Column("charge_period_start", _TIME, required=True, filled=True),
    Column("charge_period_end", _TIME, required=True, filled=True),
    Column("charge_category", required=True, filled=True),
    # ChargeSubcategory: the preview of 1.0, as Azure still exports it.
    Column("charge_class", aliases=("ChargeSubcategory",)),
    Column("charge_description"),
    Column("charge_frequency"),
    # 1.4 has no ProviderName: the row's provider is made from these, see stg_focus.sql.
    Column("provider_name", aliases=("Provider",)),
    Column("publisher_name", aliases=("Publisher",)),
    Column("invoice_issuer_name", aliases=("InvoiceIssuer",)),
    Column("service_provider_name"),
    Column("host_provider_name"),
    Column("invoice_id", aliases=("x_InvoiceId",)),
    Column("sub_account_id"),
    Column("sub_account_name"),
    Column("service_category"),
    Column("service_name"),
    Column("region_id", aliases=("Region", "x_Region")),
    Column("availability_zone"),
    Column("resource_id"),
    Column("resource_name"),
    Column("resource_type"),
    Column("sku_id"),
    Column("sku_price_id"),
    Column("sku_meter", aliases=("x_SkuMeterName",)),
    Column("pricing_category"),
    Column("pricing_quantity", _DECIMAL),
    Column("pricing_unit"),
    Column("consumed_quantity", _DECIMAL, aliases=("UsageQuantity",)),
    Column("consumed_unit", aliases=("UsageUnit",)),
    Column("list_unit_price", _DECIMAL),
    Column("contracted_unit_price", _DECIMAL),
    Column("commitment_discount_id"),
    Column("commitment_discount_type"),
    Column("commitment_discount_category"),
    Column("commitment_discount_status"),
    # Google's FOCUS export has labels instead of Tags.
    Column("tags", _MAP, aliases=("x_Labels",)),
    Column("x_service_code", aliases=("x_SkuMeterCategory", "x_ServiceId")),
    Column("x_operation", aliases=("x_SkuMeterSubcategory",)),
    Column("x_billing_entity", aliases=("x_PublisherCategory",)),
    Column("x_native_type", aliases=("x_CostType", "x_AmortizationClass")),
)


def _detect(head: Head) -> bool:
    return head.has("BilledCost", "BillingCurrency", "BillingAccountId", "ChargePeriodStart", "ChargeCategory")


FOCUS = BillingFormat(
    name="focus",
    family="focus",
    columns=COLUMNS,
    detect=_detect,
    model="staging/stg_focus",
    controls={
        Basis.BILLED: ("billed_cost",),
        Basis.EFFECTIVE: ("effective_cost",),
        Basis.LIST: ("list_cost",),
        Basis.CONTRACTED: ("contracted_cost",),
    },
    # Written out by exports that know no empty cell.
    null_words=("NULL", "null"),
)
