-- Grain: one row an export row, and one created Credit row for a promotion on it. Input: raw (columns of
-- attribution/sources/billing/gcp.py and what its `prepare` adds). Output: base.STAGED.
-- Time: usage times are UTC; billing_period is the invoice's month, never the usage's. Money: DECIMAL(38,18), sums only:
-- billed = cost + credits, never clamped. Google bills what it amortises (commitments are hourly fees): effective = billed.
with named as (
    select
        *,
        case
            when lower(coalesce(cost_type, 'regular')) = 'tax' then 'Tax'
            when lower(coalesce(cost_type, 'regular')) <> 'regular' then 'Adjustment'
            when "sku.description" like 'Commitment %' then 'Purchase'
            else 'Usage'
        end as row_category,
        case
            when regexp_matches("invoice.month", '^[0-9]{6}$')
                then concat(substr("invoice.month", 1, 4), '-', substr("invoice.month", 5, 2))
        end as month_text,
        coalesce(credits_issue, tags_issue) as issue
    from raw
),

dated as (
    select
        *,
        -- A month that is none (13) gives NULL, and the row is quarantined by the checks that every format shares.
        try_cast(concat(month_text, '-01 00:00:00+00') as timestamp with time zone) as month_start
    from named
),

parted as (
    select *, false as is_promotion, row_category as category
    from dated
    union all
    select *, true as is_promotion, 'Credit' as category
    from dated
    where promotion <> 0 and issue is null
)

select
    row,
    case when is_promotion then 'created' when issue is null then 'kept' else 'quarantined' end as fate,
    case when credits_issue is not null then 'credits' when tags_issue is not null then 'labels' end as fate_field,
    case when credits_issue is not null then credits when tags_issue is not null then labels end as fate_value,
    issue as fate_reason,
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
    case when is_promotion then promotion else cost + discount end as billed_cost,
    case when is_promotion then promotion else cost + discount end as effective_cost,
    -- A promotion is in neither: both are before credits.
    case when is_promotion then cast(0 as decimal(38, 18)) else cost_at_list end as list_cost,
    case when is_promotion then cast(0 as decimal(38, 18)) else cost end as contracted_cost,
    category as charge_category,
    case when not is_promotion and coalesce("adjustment_info.type", "adjustment_info.id") is not null then 'Correction' end
        as charge_class,
    case when is_promotion then promotion_name else "sku.description" end as charge_description,
    case category when 'Usage' then 'Usage-Based' when 'Purchase' then 'Recurring' end as charge_frequency,
    cast(null as varchar) as service_category,
    "service.description" as service_name,
    lower(coalesce("location.region", "location.location")) as region_id,
    "location.zone" as availability_zone,
    "resource.global_name" as resource_id,
    "resource.name" as resource_name,
    cast(null as varchar) as resource_type,
    "sku.id" as sku_id,
    cast(null as varchar) as sku_price_id,
    "sku.description" as sku_meter,
    case category when 'Purchase' then 'Committed' when 'Usage' then 'Standard' end as pricing_category,
    case when category in ('Usage', 'Purchase') then "usage.amount_in_pricing_units" end as pricing_quantity,
    case when category in ('Usage', 'Purchase') then "usage.pricing_unit" end as pricing_unit,
    case when category = 'Usage' then "usage.amount" end as consumed_quantity,
    case when category = 'Usage' then "usage.unit" end as consumed_unit,
    cast(null as decimal(38, 18)) as list_unit_price,
    case when not is_promotion then "price.effective_price" end as contracted_unit_price,
    case when not is_promotion then "subscription.instance_id" end as commitment_discount_id,
    cast(null as varchar) as commitment_discount_type,
    cast(null as varchar) as commitment_discount_category,
    cast(null as varchar) as commitment_discount_status,
    all_tags as tags,
    "service.id" as x_service_code,
    cast(null as varchar) as x_operation,
    seller_name as x_billing_entity,
    cast(null as varchar) as x_principal,
    case when is_promotion then 'promotion' else cost_type end as x_native_type,
    cast(null as varchar) as x_repairs,
    cast(null as varchar) as x_settle_key,
    cast(null as decimal(38, 18)) as x_settle_amount
from parted
