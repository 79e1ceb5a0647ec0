-- Grain: one row a line of Azure cost details. Input: raw (columns of attribution/sources/billing/azure.py, and `side`,
-- `pricing_quantity`). Output: base.STAGED. Time: Azure writes days and inclusive period ends; both become exclusive.
-- Money: DECIMAL(38,18). One cost is both billed and effective unless the line belongs to a commitment: then the actual side
-- knows what is billed, the amortised side what is effective, and the other stays NULL until merge_azure.sql meets both.
with named as (
    select
        *,
        lower(trim(coalesce(charge_type, 'Usage'))) as charge_kind,
        lower(replace(coalesce(pricing_model, ''), ' ', '')) as model_kind,
        lower(coalesce(benefit_id, reservation_id)) as commitment_id
    from raw
),

marked as (
    select
        *,
        charge_kind like 'unused%' as is_unused,
        charge_kind in ('unusedreservation', 'unusedsavingsplan')
            or model_kind in ('reservation', 'savingsplan')
            or commitment_id is not null as is_committed,
        charge_kind = 'unusedsavingsplan'
            or model_kind = 'savingsplan'
            or lower(coalesce(commitment_id, '')) like '%savingsplan%' as is_savings_plan,
        coalesce(lower(publisher_type), 'azure') = 'marketplace' as is_marketplace
    from named
),

sorted as (
    select
        *,
        case
            when charge_kind in ('usage', 'unusedreservation', 'unusedsavingsplan') then 'Usage'
            when charge_kind in ('purchase', 'refund') then 'Purchase'
            when charge_kind = 'tax' then 'Tax'
            when charge_kind = 'credit' then 'Credit'
            else 'Adjustment'
        end as category
    from marked
)

select
    row,
    'kept' as fate,
    cast(null as varchar) as fate_field,
    cast(null as varchar) as fate_value,
    cast(null as varchar) as fate_reason,
    'azure' as provider,
    billing_account_id,
    billing_account_name,
    subscription_id as sub_account_id,
    subscription_name as sub_account_name,
    substr(cast(billing_period_start_date as varchar), 1, 7) as billing_period,
    billing_period_start_date as billing_period_start,
    billing_period_end_date + interval '1' day as billing_period_end,
    date_trunc('day', date) as charge_period_start,
    date_trunc('day', date) + interval '1' day as charge_period_end,
    invoice_id,
    'Microsoft' as invoice_issuer_name,
    coalesce(publisher_name, case when is_marketplace then null else 'Microsoft' end) as publisher_name,
    upper(billing_currency) as billing_currency,
    case when side = 'amortized' and is_committed then null else cost_in_billing_currency end as billed_cost,
    case when side = 'actual' and is_committed then null else cost_in_billing_currency end as effective_cost,
    -- Azure writes 0 for a list price that it doesn't know (reservations, Marketplace): unknown is NULL, never 0.
    case when payg_cost_in_billing_currency = 0 and cost_in_billing_currency <> 0 then null else payg_cost_in_billing_currency end
        as list_cost,
    case when category = 'Usage' and not is_committed and not is_marketplace then cost_in_billing_currency end as contracted_cost,
    category as charge_category,
    case when charge_kind = 'refund' then 'Correction' end as charge_class,
    product_name as charge_description,
    case lower(frequency) when 'usagebased' then 'Usage-Based' when 'onetime' then 'One-Time' when 'recurring' then 'Recurring' end
        as charge_frequency,
    case lower(service_family)
        when 'ai + machine learning' then 'AI and Machine Learning'
        when 'analytics' then 'Analytics'
        when 'compute' then 'Compute'
        when 'databases' then 'Databases'
        when 'networking' then 'Networking'
        when 'storage' then 'Storage'
        when 'security' then 'Security'
        when 'integration' then 'Integration'
    end as service_category,
    meter_category as service_name,
    nullif(nullif(replace(lower(resource_location), ' ', ''), 'unassigned'), 'unknown') as region_id,
    availability_zone,
    lower(resource_id) as resource_id,
    coalesce(resource_name, nullif(regexp_extract(resource_id, '([^/]+)$', 1), '')) as resource_name,
    coalesce(
        nullif(regexp_extract(additional_info, '"ServiceType"\s*:\s*"([^"]+)"', 1), ''),
        nullif(regexp_extract(lower(resource_id), '/providers/([^/]+/[^/]+)/[^/]+', 1), ''),
        lower(consumed_service)
    ) as resource_type,
    meter_id as sku_id,
    product_id as sku_price_id,
    meter_name as sku_meter,
    case
        when category not in ('Usage', 'Purchase') then null
        when is_committed then 'Committed'
        when model_kind = 'spot' then 'Dynamic'
        else 'Standard'
    end as pricing_category,
    case when category in ('Usage', 'Purchase') then pricing_quantity end as pricing_quantity,
    case when category in ('Usage', 'Purchase') then unit_of_measure end as pricing_unit,
    case when category = 'Usage' and not is_unused then quantity end as consumed_quantity,
    case when category = 'Usage' and not is_unused then unit_of_measure end as consumed_unit,
    cast(null as decimal(38, 18)) as list_unit_price,
    unit_price as contracted_unit_price,
    commitment_id as commitment_discount_id,
    case when is_committed and is_savings_plan then 'Savings Plan' when is_committed then 'Reservation' end
        as commitment_discount_type,
    case when is_committed and is_savings_plan then 'Spend' when is_committed then 'Usage' end as commitment_discount_category,
    case when is_committed and is_unused then 'Unused' when is_committed and category = 'Usage' then 'Used' end
        as commitment_discount_status,
    tags,
    meter_category as x_service_code,
    meter_sub_category as x_operation,
    publisher_type as x_billing_entity,
    cast(null as varchar) as x_principal,
    charge_type as x_native_type,
    case
        when payg_cost_in_billing_currency = 0 and cost_in_billing_currency <> 0
            then '[{"code":"unknown_written_as_zero","column":"list_cost","original":"0"}]'
    end as x_repairs,
    cast(null as varchar) as x_settle_key,
    cast(null as decimal(38, 18)) as x_settle_amount
from sorted
