-- Grain: one row a charge of one partition (account, period, day). Inputs: actual, amortized (both CHARGES; either may be
-- empty). Params: $has_actual, $has_amortized (whether that side of the period was ever delivered). Output: CHARGES.
-- Money: DECIMAL(38,18), passed through; nothing is added up.
--
-- Where only one side was delivered, its lines stand as they are. With both:
--   plain lines (no commitment) are equal on both sides and are matched whole, as multisets;
--   covered usage is matched by everything but its cost: billed is the actual side's (0), effective the amortised side's;
--   a commitment's purchase is on the actual side only: its effective cost is 0, since the usage carries it;
--   covered and unused lines that the amortised side has alone are billed 0.
-- Nothing is lost where the sides disagree. A plain line of the amortised side alone stays, with billed NULL. One of the actual
-- side alone is effective at its cost (nothing amortises it), unless the amortised side has the same line with other amounts:
-- then NULL, so that one thing never counts twice. So billed sums to the actual file, and effective to the amortised file plus
-- what the actual file has alone.
with lines as (
    select 'actual' as side, * from actual
    union all
    select 'amortized' as side, * from amortized
),

named as (
    select
        *,
        case
            when commitment_discount_type is null then 'plain'
            when charge_category = 'Usage' then 'covered'
            else 'bought'
        end as line_kind,
        md5(concat(
            coalesce(cast(charge_period_start as varchar), chr(30)), chr(31), coalesce(sub_account_id, chr(30)), chr(31),
            coalesce(billing_currency, chr(30)), chr(31), coalesce(charge_category, chr(30)), chr(31),
            coalesce(charge_class, chr(30)), chr(31), coalesce(x_native_type, chr(30)), chr(31),
            coalesce(service_name, chr(30)), chr(31), coalesce(x_operation, chr(30)), chr(31), coalesce(sku_id, chr(30)),
            chr(31), coalesce(sku_meter, chr(30)), chr(31), coalesce(charge_description, chr(30)), chr(31),
            coalesce(resource_id, chr(30)), chr(31), coalesce(region_id, chr(30)), chr(31),
            coalesce(availability_zone, chr(30)), chr(31), coalesce(invoice_id, chr(30)), chr(31), coalesce(tags, chr(30))
        )) as line_key,
        md5(concat(
            coalesce(cast(pricing_quantity as varchar), chr(30)), chr(31), coalesce(commitment_discount_id, chr(30))
        )) as use_key,
        md5(concat(
            coalesce(cast(billed_cost as varchar), chr(30)), chr(31), coalesce(cast(effective_cost as varchar), chr(30)),
            chr(31), coalesce(cast(list_cost as varchar), chr(30)), chr(31),
            coalesce(cast(contracted_cost as varchar), chr(30)), chr(31),
            coalesce(cast(contracted_unit_price as varchar), chr(30)), chr(31),
            coalesce(cast(pricing_quantity as varchar), chr(30)), chr(31), coalesce(pricing_unit, chr(30)), chr(31),
            coalesce(cast(consumed_quantity as varchar), chr(30)), chr(31), coalesce(resource_type, chr(30)), chr(31),
            coalesce(resource_name, chr(30)), chr(31), coalesce(sku_price_id, chr(30)), chr(31),
            coalesce(publisher_name, chr(30)), chr(31), coalesce(x_billing_entity, chr(30)), chr(31),
            coalesce(billing_account_name, chr(30)), chr(31), coalesce(sub_account_name, chr(30)), chr(31),
            coalesce(charge_frequency, chr(30)), chr(31), coalesce(service_category, chr(30))
        )) as content_key
    from lines
),

keyed as (
    select *, concat(line_kind, line_key, case when line_kind = 'plain' then content_key else use_key end) as pair_key
    from named
),

numbered as (
    select
        *,
        row_number() over (partition by side, pair_key order by coalesce(effective_cost, billed_cost), content_key) as pair_number
    from keyed
),

paired as (
    select
        *,
        count(*) filter (where side = 'actual') over pair > 0 as on_actual,
        count(*) filter (where side = 'amortized') over pair > 0 as on_amortized,
        max(case when side = 'actual' then billed_cost end) over pair as actual_billed
    from numbered
    window pair as (partition by pair_key, pair_number)
),

judged as (
    select
        *,
        -- The amortised side has this line, but not in the form that the actual side has.
        count(*) filter (where side = 'amortized' and line_kind = 'plain' and not on_actual) over (partition by line_key) > 0
            as is_disputed
    from paired
)

select
    scope, provider, billing_account_id, billing_account_name, sub_account_id, sub_account_name, billing_period,
    billing_period_start, billing_period_end, charge_period_start, charge_period_end, day, invoice_id, invoice_issuer_name,
    publisher_name, billing_currency,
    case
        when side = 'actual' or not cast($has_actual as boolean) then billed_cost
        when on_actual then actual_billed
        when line_kind = 'covered' then cast(0 as decimal(38, 18))
    end as billed_cost,
    case
        when side = 'amortized' or not cast($has_amortized as boolean) then effective_cost
        when line_kind = 'bought' then cast(0 as decimal(38, 18))
        when line_kind = 'plain' and not is_disputed then effective_cost
    end as effective_cost,
    list_cost, contracted_cost, charge_category, charge_class, charge_description, charge_frequency, service_category,
    service_name, region_id, availability_zone, resource_id, resource_name, resource_type, sku_id, sku_price_id, sku_meter,
    pricing_category, pricing_quantity, pricing_unit, consumed_quantity, consumed_unit, list_unit_price,
    contracted_unit_price, commitment_discount_id, commitment_discount_type, commitment_discount_category,
    commitment_discount_status, tags, x_service_code, x_operation, x_billing_entity, x_principal, x_native_type, x_repairs
from judged
where side = 'amortized' or not on_amortized
