"""Arrow schemas of the lake's datasets: the columns, their units and their order.

Money and rates are DECIMAL(38,18) in the row's currency; tokens are int64; times are UTC microseconds; `day` is the UTC
day. NULL means unknown, never zero. JSON texts have sorted keys and no spaces, so that equal content is equal text.
"""

import pyarrow as pa

from attribution.vocabulary import Dataset

MONEY = pa.decimal128(38, 18)
QUANTITY = pa.decimal128(38, 18)
TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.string()
TOKENS = pa.int64()

# A charge as FOCUS names it (snake_case), then what the native export says beyond FOCUS (`x_`).
CHARGES = pa.schema(
    [
        ("scope", TEXT),  # delivery scope
        ("provider", TEXT),  # slug: aws, azure, gcp, openai, anthropic, or the slug of ProviderName
        ("billing_account_id", TEXT),
        ("billing_account_name", TEXT),
        ("sub_account_id", TEXT),
        ("sub_account_name", TEXT),
        ("billing_period", TEXT),  # YYYY-MM of the document, never derived from the usage time
        ("billing_period_start", TIME),
        ("billing_period_end", TIME),  # exclusive
        ("charge_period_start", TIME),
        ("charge_period_end", TIME),  # exclusive
        ("day", pa.date32()),  # UTC day of charge_period_start
        ("invoice_id", TEXT),
        ("invoice_issuer_name", TEXT),
        ("publisher_name", TEXT),
        ("billing_currency", TEXT),
        ("billed_cost", MONEY),
        ("effective_cost", MONEY),
        ("list_cost", MONEY),
        ("contracted_cost", MONEY),
        ("charge_category", TEXT),  # Usage, Purchase, Tax, Credit, Adjustment
        ("charge_class", TEXT),  # NULL or Correction
        ("charge_description", TEXT),
        ("charge_frequency", TEXT),
        ("service_category", TEXT),
        ("service_name", TEXT),
        ("region_id", TEXT),  # lower case, provider's own code; NULL where the bill names none
        ("availability_zone", TEXT),
        ("resource_id", TEXT),
        ("resource_name", TEXT),
        ("resource_type", TEXT),
        ("sku_id", TEXT),
        ("sku_price_id", TEXT),
        ("sku_meter", TEXT),  # the meter's name: CUR usage type, Azure MeterName, GCP sku.description
        ("pricing_category", TEXT),
        ("pricing_quantity", QUANTITY),  # in pricing_unit
        ("pricing_unit", TEXT),
        ("consumed_quantity", QUANTITY),  # in consumed_unit
        ("consumed_unit", TEXT),
        ("list_unit_price", QUANTITY),
        ("contracted_unit_price", QUANTITY),
        ("commitment_discount_id", TEXT),
        ("commitment_discount_type", TEXT),
        ("commitment_discount_category", TEXT),
        ("commitment_discount_status", TEXT),  # NULL, Used, Unused
        ("tags", TEXT),  # JSON object text -> text; keys keep their case; NULL where the bill has none
        ("x_service_code", TEXT),  # CUR product code, Azure MeterCategory, GCP service.id
        ("x_operation", TEXT),  # CUR operation, Azure MeterSubCategory
        ("x_billing_entity", TEXT),  # CUR bill/BillingEntity, Azure PublisherType, GCP seller_name
        ("x_principal", TEXT),  # who called, where the bill says so (CUR 2.0 IAM principal)
        ("x_native_type", TEXT),  # the export's own line type: lineItem/LineItemType, ChargeType, cost_type
        ("x_repairs", TEXT),  # JSON list of {column, original, code}: values changed on the way to FOCUS
    ]
)

# What recognition makes of a meter; joined to charges by the attribution, never stored with them.
RECOGNIZED = pa.schema(
    [
        ("sku_key", TEXT),
        ("charge_scope", TEXT),  # vocabulary.ChargeScope
        ("understood", pa.bool_()),
        ("model", TEXT),  # normalised slug, see attribution/recognition
        ("publisher", TEXT),
        ("token_type", TEXT),  # vocabulary.TokenType; NULL where the line is not a meter of inference
        ("tier", TEXT),
        ("context_band", TEXT),
        ("routing", TEXT),
        ("hardware", TEXT),
        ("tokens_per_unit", QUANTITY),  # tokens in one pricing unit; NULL where the line isn't priced by tokens
    ]
)

# One row a request (or a usage bucket). Everything that repeats stands once in SERIES.
REQUESTS = pa.schema(
    [
        ("request_key", TEXT),  # dedupe key, unique within (source, day)
        ("completed_at", TIME),
        ("series_id", pa.int32()),  # local to the partition
        ("requests", TOKENS),  # 1, or the bucket's count
        ("input_uncached", TOKENS),
        ("cache_read", TOKENS),
        ("cache_write_5m", TOKENS),
        ("cache_write_1h", TOKENS),
        ("output", TOKENS),
        ("reasoning", TOKENS),  # part of output
        ("estimated_cost", MONEY),  # USD; NULL = unpriced or no usage
        ("latency_ms", pa.int64()),
        ("ttft_ms", pa.int64()),
        ("error", pa.bool_()),
    ]
)

SERIES_COLUMNS = [
    ("provider", TEXT),
    ("endpoint", TEXT),  # endpoint, deployment or inference profile, as the source names it
    ("billing_account_id", TEXT),  # as the event says; bindings fill it at attribution
    ("sub_account_id", TEXT),
    ("region", TEXT),
    ("routing", TEXT),
    ("tier", TEXT),
    ("context_band", TEXT),
    ("model", TEXT),  # normalised slug, as in RECOGNIZED
    ("publisher", TEXT),
    ("pool", TEXT),  # self-hosted capacity pool
    ("team", TEXT),  # as the event says; ownership rules decide
    ("project", TEXT),
    ("environment", TEXT),
    ("api_key", TEXT),  # the key's name or id, never the secret
    ("principal", TEXT),
    ("service", TEXT),  # service.name
    ("price_version", TEXT),
    ("price_status", TEXT),  # priced, unpriced, no_usage, aggregate (base tier used on a bucket)
]
SERIES = pa.schema([("series_id", pa.int32()), *SERIES_COLUMNS])

_BUCKETS = [
    ("input_uncached", TOKENS),
    ("cache_read", TOKENS),
    ("cache_write_5m", TOKENS),
    ("cache_write_1h", TOKENS),
    ("output", TOKENS),
    ("reasoning", TOKENS),
]
USAGE_HOURLY = pa.schema(
    [
        ("source", TEXT),
        ("day", pa.date32()),
        ("hour", TIME),
        *SERIES_COLUMNS,
        ("requests", TOKENS),
        ("requests_without_usage", TOKENS),
        ("errors", TOKENS),
        *_BUCKETS,
        ("estimated_cost", MONEY),
        ("unpriced_requests", TOKENS),
    ]
)

_OWNER = [("team", TEXT), ("project", TEXT), ("environment", TEXT), ("api_key", TEXT)]

_CELL = [
    ("cell_id", TEXT),  # md5 of the cell's columns
    ("scope", TEXT),
    ("provider", TEXT),
    ("billing_account_id", TEXT),
    ("sub_account_id", TEXT),
    ("billing_period", TEXT),
    ("invoice_id", TEXT),
    ("day", pa.date32()),
    ("charge_period_start", TIME),  # of the cell's first line
    ("charge_period_end", TIME),  # of its last line; month-long lines stay on their first day
    ("currency", TEXT),
    ("region", TEXT),
    ("routing", TEXT),
    ("service", TEXT),
    ("charge_scope", TEXT),
    ("model", TEXT),
    ("publisher", TEXT),
    ("token_type", TEXT),
    ("tier", TEXT),
    ("context_band", TEXT),
    ("hardware", TEXT),
    ("charge_category", TEXT),
    ("charge_class", TEXT),
]

LEDGER = pa.schema(
    [
        *_CELL,
        *_OWNER,
        ("method", TEXT),
        ("reason", TEXT),
        ("method_version", TEXT),  # names rules, weights and the coarsening used
        ("billed_cost", MONEY),
        ("effective_cost", MONEY),
        ("list_cost", MONEY),
        ("contracted_cost", MONEY),
        ("billed_quantity", QUANTITY),  # the part's share of the cell's pricing quantity
        ("billed_unit", TEXT),
        ("metered_tokens", TOKENS),  # what telemetry counted for this owner in this cell
        ("requests", TOKENS),
        ("lines", TOKENS),  # bill lines in the cell (the same in each of its parts)
        ("state", TEXT),
    ]
)

USAGE_OWNED = pa.schema(
    [
        ("provider", TEXT),
        ("day", pa.date32()),
        ("billing_account_id", TEXT),
        ("sub_account_id", TEXT),
        ("region", TEXT),
        ("routing", TEXT),
        ("tier", TEXT),
        ("context_band", TEXT),
        ("model", TEXT),
        ("publisher", TEXT),
        *_OWNER,
        ("owned", pa.bool_()),
        ("requests", TOKENS),
        ("requests_without_usage", TOKENS),
        *_BUCKETS,
        ("estimated_cost", MONEY),  # USD
        ("unpriced_requests", TOKENS),
    ]
)

ROLLUP_DAILY = pa.schema(
    [
        ("scope", TEXT),
        ("day", pa.date32()),
        ("provider", TEXT),
        ("billing_account_id", TEXT),
        ("billing_period", TEXT),
        ("currency", TEXT),
        ("region", TEXT),
        ("service", TEXT),
        ("charge_scope", TEXT),
        ("charge_category", TEXT),
        ("model", TEXT),
        ("publisher", TEXT),
        ("token_type", TEXT),
        ("tier", TEXT),
        *_OWNER[:3],
        ("method", TEXT),
        ("reason", TEXT),
        ("state", TEXT),
        ("billed_cost", MONEY),
        ("effective_cost", MONEY),
        ("list_cost", MONEY),
        ("contracted_cost", MONEY),
        ("billed_unknown", TOKENS),  # ledger rows whose cost is unknown on that basis: a sum says what it leaves out
        ("effective_unknown", TOKENS),
        ("list_unknown", TOKENS),
        ("contracted_unknown", TOKENS),
        ("metered_tokens", TOKENS),
        ("parts", TOKENS),  # ledger rows
    ]
)

SCHEMAS: dict[Dataset, pa.Schema] = {
    Dataset.CHARGES: CHARGES,
    Dataset.CHARGES_ACTUAL: CHARGES,
    Dataset.CHARGES_AMORTIZED: CHARGES,
    Dataset.REQUESTS: REQUESTS,
    Dataset.SERIES: SERIES,
    Dataset.USAGE_HOURLY: USAGE_HOURLY,
    Dataset.LEDGER: LEDGER,
    Dataset.USAGE_OWNED: USAGE_OWNED,
    Dataset.ROLLUP_DAILY: ROLLUP_DAILY,
}
