-- Grain: one row an export row, and one created Credit row for a promotion on it. Input: raw (columns of
-- attribution/sources/billing/gcp.py and what its `prepare` adds). Output: base.STAGED.
-- Time: usage times are UTC; billing_period is the invoice's month, never the usage's. Money: DECIMAL(38,18), sums only:
-- billed = cost + credits, never clamped. Google bills what it amortises (commitments are hourly fees): effective = billed.
with named as (
    select
        *,
        lower(coalesce(cost_type, 'regular')) as kind,
        "sku.description" like 'Commitment %' as is_commitment_fee,
        case when regexp_matches("invoice.month", '^[0-9]{6}$')
            then concat(substr("invoice.month", 1, 4), '-', substr("invoice.month", 5, 2))
        end as month_text,
        coalesce(credits_issue, tags_issue) as issue
    from raw
),

dated as (
    select
        *,
        -- A month that is none (13) gives NULL, and the row is quarantined by the checks that every format shares.
        try_cast(concat(month_text, '-01 00:00:00+00') as timestamp with time zone) as month_start,
        case
            when kind = 'tax' then 'Tax'
            when kind <> 'regular' then 'Adjustment'
            when is_commitment_fee then 'Purchase'
            else 'Usage'
        end as category
    from named
),

charges as (
    select
        row,
        case when issue is null then 'kept' else 'quarantined' end as fate,
        case when credits_issue is not null then 'credits' when tags_issue is not null then 'labels' end as fate_field,
        case when credits_issue is not null then credits when tags_issue is not null then labels end as fate_value,
        issue as fate_reason,
        billing_account_id,
        "project.id",
        "project.name",
        month_text,
        month_start,
        usage_start_time,
        usage_end_time,
        currency,
        cost + discount as billed_cost,
        cost_at_list as list_cost,
        cost as contracted_cost,
        category,
        case when "adjustment_info.type" is not null or "adjustment_info.id" is not null then 'Correction' end as charge_class,
        "sku.description" as description,
        case when category = 'Usage' then 'Usage-Based' when category = 'Purchase' then 'Recurring' end as frequency,
        "service.id",
        "service.description",
        "sku.id",
        "sku.description",
        lower(coalesce("location.region", "location.location")) as region,
        "location.zone",
        "resource.name",
        "resource.global_name",
        case when category in ('Usage', 'Purchase') then "usage.amount_in_pricing_units" end as pricing_quantity,
        case when category in ('Usage', 'Purchase') then "usage.pricing_unit" end as pricing_unit,
        case when category = 'Usage' then "usage.amount" end as consumed_quantity,
        case when category = 'Usage' then "usage.unit" end as consumed_unit,
        "price.effective_price" as unit_price,
        "subscription.instance_id" as commitment_id,
        seller_name,
        all_tags,
        cost_type
    from dated

    union all

    select
        row,
        'created' as fate,
        null as fate_field,
        null as fate_value,
        null as fate_reason,
        billing_account_id,
        "project.id",
        "project.name",
        month_text,
        month_start,
        usage_start_time,
        usage_end_time,
        currency,
        promotion as billed_cost,
        cast(0 as decimal(38, 18)) as list_cost,
        cast(0 as decimal(38, 18)) as contracted_cost,
        'Credit' as category,
        null as charge_class,
        promotion_name as description,
        null as frequency,
        "service.id",
        "service.description",
        "sku.id",
        "sku.description",
        lower(coalesce("location.region", "location.location")) as region,
        "location.zone",
        "resource.name",
        "resource.global_name",
        null as pricing_quantity,
        null as pricing_unit,
        null as consumed_quantity,
        null as consumed_unit,
        null as unit_price,
        null as commitment_id,
        seller_name,
        all_tags,
        'promotion' as cost_type
    from dated
    where promotion <> 0 and issue is null
)

select
    row,
    fate,
    fate_field,
    fate_value,
    fate_reason,
    'gcp' as provider,
    billing_account_id,
    cast(null as varchar) as billing_account_name,
    "project.id" as sub_account_id,
    "project.name" as sub_account_name,
    case when month_start is not null then month_text end as billing_period,
    month_start as billing_period_start,
    month_start + interval '1' month as billing_period_end,
    usage_start_time as charge_period_start,
    usage_end_time as charge_period_end,
    cast(null as varchar) as invoice_id,
    'Google Cloud' as invoice_issuer_name,
    coalesce(seller_name, 'Google') as publisher_name,
    upper(currency) as billing_currency,
    billed_cost,
    billed_cost as effective_cost,
    list_cost,
    contracted_cost,
    category as charge_category,
    charge_class,
    description as charge_description,
    frequency as charge_frequency,
    cast(null as varchar) as service_category,
    "service.description" as service_name,
    region as region_id,
    "location.zone" as availability_zone,
    "resource.global_name" as resource_id,
    "resource.name" as resource_name,
    cast(null as varchar) as resource_type,
    "sku.id" as sku_id,
    cast(null as varchar) as sku_price_id,
    "sku.description" as sku_meter,
    case when category = 'Purchase' then 'Committed' when category = 'Usage' then 'Standard' end as pricing_category,
    pricing_quantity,
    pricing_unit,
    consumed_quantity,
    consumed_unit,
    cast(null as decimal(38, 18)) as list_unit_price,
    unit_price as contracted_unit_price,
    commitment_id as commitment_discount_id,
    cast(null as varchar) as commitment_discount_type,
    cast(null as varchar) as commitment_discount_category,
    cast(null as varchar) as commitment_discount_status,
    all_tags as tags,
    "service.id" as x_service_code,
    cast(null as varchar) as x_operation,
    seller_name as x_billing_entity,
    cast(null as varchar) as x_principal,
    cost_type as x_native_type,
    cast(null as varchar) as x_repairs,
    cast(null as varchar) as x_settle_key,
    cast(null as decimal(38, 18)) as x_settle_amount
from charges
