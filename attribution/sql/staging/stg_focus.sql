-- Grain: one row a FOCUS row. Input: raw (columns of attribution/sources/billing/focus.py). Output: base.STAGED.
-- Time: billing_period is the document's. Money: DECIMAL(38,18), passed through.
-- Casts and renames only; what the providers' exports leave out is filled where the row itself says it.
with issued as (
    select
        *,
        -- Who bills decides where no ProviderName stands (1.4): a cloud's marketplace bills what others provide.
        case
            when lower(invoice_issuer_name) like '%amazon%' or lower(invoice_issuer_name) like 'aws%' then 'aws'
            when lower(invoice_issuer_name) like '%microsoft%' then 'azure'
            when lower(invoice_issuer_name) like '%google%' then 'gcp'
            -- Google's own FOCUS export names nobody on tax rows; its cost types and account ids are its own.
            when x_native_type in ('regular', 'tax', 'adjustment', 'rounding_error')
                and billing_account_id like '______-______-______' then 'gcp'
        end as issuer_slug
    from raw
),

named as (
    select
        *,
        lower(trim(coalesce(provider_name, issuer_slug, service_provider_name, host_provider_name, invoice_issuer_name)))
            as provider_text,
        trim(charge_class) as class_text
    from issued
),

slugged as (
    select
        *,
        case
            when provider_text = 'aws' or provider_text like '%amazon%' then 'aws'
            when provider_text in ('azure', 'microsoft azure') or provider_text like '%microsoft%' then 'azure'
            when provider_text in ('gcp', 'google cloud') or provider_text like '%google%' then 'gcp'
            else nullif(trim(regexp_replace(provider_text, '[^a-z0-9]+', '-', 'g'), '-'), '')
        end as provider
    from named
)

select
    row,
    case when provider is null then 'quarantined' else 'kept' end as fate,
    case when provider is null then 'provider_name' end as fate_field,
    cast(null as varchar) as fate_value,
    case when provider is null then 'no column names the provider' end as fate_reason,
    provider,
    billing_account_id,
    billing_account_name,
    sub_account_id,
    sub_account_name,
    substr(cast(billing_period_start as varchar), 1, 7) as billing_period,
    billing_period_start,
    billing_period_end,
    charge_period_start,
    charge_period_end,
    invoice_id,
    invoice_issuer_name,
    coalesce(publisher_name, service_provider_name) as publisher_name,
    upper(billing_currency) as billing_currency,
    billed_cost,
    effective_cost,
    -- Azure writes 0 for a price that it doesn't know (reservations, Marketplace): unknown is NULL, never 0.
    case when provider = 'azure' and list_cost = 0 and (billed_cost <> 0 or effective_cost <> 0) then null else list_cost end
        as list_cost,
    case
        when provider = 'azure' and contracted_cost = 0 and (billed_cost <> 0 or effective_cost <> 0) then null
        else contracted_cost
    end as contracted_cost,
    charge_category,
    case when lower(class_text) in ('correction', 'refund') then 'Correction' end as charge_class,
    charge_description,
    charge_frequency,
    service_category,
    service_name,
    lower(region_id) as region_id,
    availability_zone,
    resource_id,
    resource_name,
    resource_type,
    sku_id,
    sku_price_id,
    sku_meter,
    pricing_category,
    pricing_quantity,
    pricing_unit,
    consumed_quantity,
    consumed_unit,
    list_unit_price,
    contracted_unit_price,
    commitment_discount_id,
    commitment_discount_type,
    commitment_discount_category,
    commitment_discount_status,
    tags,
    x_service_code,
    x_operation,
    x_billing_entity,
    cast(null as varchar) as x_principal,
    x_native_type,
    case
        when provider = 'azure' and (list_cost = 0 or contracted_cost = 0) and (billed_cost <> 0 or effective_cost <> 0)
            then '[{"code":"unknown_written_as_zero","column":"'
                || case when list_cost = 0 then 'list_cost' else 'contracted_cost' end || '","original":"0"}]'
    end as x_repairs,
    cast(null as varchar) as x_settle_key,
    cast(null as decimal(38, 18)) as x_settle_amount
from slugged
