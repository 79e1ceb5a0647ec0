-- Grain: one row a CUR line, plus one `created` Unused row a commitment fee that was not fully used. Input: raw (columns of
-- attribution/sources/billing/aws_cur.py). Output: base.STAGED. Money: DECIMAL(38,18); sums and differences only.
-- Law: over one file, sum(billed_cost of kept and created rows) = sum(net unblended, else unblended) of the lines.
-- Source of the mapping: AWS "FOCUS 1.2 with AWS columns" and the CUR data dictionary, see docs of each line type below.
with typed as (
    select
        *,
        coalesce(line_item_net_unblended_cost, line_item_unblended_cost) as line_cost,
        line_item_line_item_type as line_type,
        -- A CUR names the reservation on every line that it touches; the empty ARN of some exports is no reservation.
        nullif(reservation_reservation_a_r_n, '') as reservation_arn,
        coalesce(
            reservation_net_unused_amortized_upfront_fee_for_billing_period,
            reservation_unused_amortized_upfront_fee_for_billing_period,
            cast(0 as decimal(38, 18))
        ) + coalesce(
            reservation_net_unused_recurring_fee, reservation_unused_recurring_fee, cast(0 as decimal(38, 18))
        ) as reservation_unused_cost,
        coalesce(savings_plan_total_commitment_to_date, cast(0 as decimal(38, 18)))
            - coalesce(savings_plan_used_commitment, cast(0 as decimal(38, 18))) as savings_plan_unused_cost
    from raw
),

classed as (
    select
        *,
        case
            when line_type in ('RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee') then 'Purchase'
            when line_type = 'Fee' then 'Purchase'
            when line_type = 'Tax' then 'Tax'
            when line_type = 'Credit' then 'Credit'
            when line_type like '%Discount' then 'Credit'
            when line_type = 'Refund' and line_item_tax_type is not null then 'Tax'
            when line_type = 'Refund' and line_item_usage_type is not null then 'Usage'
            when line_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage', 'SavingsPlanNegation') then 'Usage'
            else 'Adjustment'
        end as category,
        case
            when line_type in ('DiscountedUsage', 'RIFee') or (line_type = 'Fee' and reservation_arn is not null)
                then 'Reservation'
            when line_type like 'SavingsPlan%' then 'Savings Plan'
        end as commitment_type,
        -- A fee that pays for coming usage has no effective cost: the usage under the commitment and its Unused row have.
        case
            when line_type in ('RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee') then cast(0 as decimal(38, 18))
            when line_type = 'Fee' and reservation_arn is not null then cast(0 as decimal(38, 18))
            when line_type = 'SavingsPlanNegation' then cast(0 as decimal(38, 18))
            when line_type = 'SavingsPlanCoveredUsage'
                then coalesce(savings_plan_net_savings_plan_effective_cost, savings_plan_savings_plan_effective_cost)
            when line_type = 'DiscountedUsage'
                then coalesce(reservation_net_effective_cost, reservation_effective_cost)
            else line_cost
        end as effective
    from typed
),

fated as (
    select
        *,
        case
            when line_cost is null and split_line_item_parent_resource_id is not null then 'dropped'
            when line_cost is null then 'quarantined'
            else 'kept'
        end as line_fate,
        case
            when line_cost is null and split_line_item_parent_resource_id is not null
                then 'a split of a line that is in the bill with its cost'
            when line_cost is null then 'empty; every row of a bill has it'
        end as line_fate_reason,
        case
            when line_type = 'RIFee' then reservation_unused_cost
            when line_type = 'SavingsPlanRecurringFee' then savings_plan_unused_cost
            else cast(0 as decimal(38, 18))
        end as unused_cost
    from classed
),

lines as (
    select
        *,
        line_fate as fate,
        line_cost as billed,
        cast(null as varchar) as unused
    from fated
    union all
    select
        *,
        'created' as fate,
        cast(0 as decimal(38, 18)) as billed,
        'Unused' as unused
    from fated
    where unused_cost > 0 and line_fate = 'kept'
)

select
    row,
    fate,
    case when fate = 'quarantined' then 'line_item_unblended_cost' end as fate_field,
    cast(null as varchar) as fate_value,
    case when fate <> 'created' then line_fate_reason end as fate_reason,
    'aws' as provider,
    bill_payer_account_id as billing_account_id,
    bill_payer_account_name as billing_account_name,
    line_item_usage_account_id as sub_account_id,
    line_item_usage_account_name as sub_account_name,
    substr(cast(bill_billing_period_start_date as varchar), 1, 7) as billing_period,
    bill_billing_period_start_date as billing_period_start,
    bill_billing_period_end_date as billing_period_end,
    line_item_usage_start_date as charge_period_start,
    coalesce(line_item_usage_end_date, line_item_usage_start_date) as charge_period_end,
    bill_invoice_id as invoice_id,
    bill_invoicing_entity as invoice_issuer_name,
    line_item_legal_entity as publisher_name,
    upper(line_item_currency_code) as billing_currency,
    billed as billed_cost,
    case when unused is null then effective else unused_cost end as effective_cost,
    case
        when unused is not null or category = 'Purchase' then cast(null as decimal(38, 18))
        when category = 'Usage' and line_type <> 'SavingsPlanNegation' then pricing_public_on_demand_cost
        else line_cost
    end as list_cost,
    case
        -- What the line would cost without the commitment; a reservation's line doesn't say.
        when unused is not null or category = 'Purchase' or line_type = 'DiscountedUsage' then cast(null as decimal(38, 18))
        when line_type = 'SavingsPlanCoveredUsage' then line_item_unblended_cost
        else line_cost
    end as contracted_cost,
    case when unused is null then category else 'Usage' end as charge_category,
    -- Correction is about a period that was invoiced before.
    case
        when unused is null and line_type in ('Refund', 'Usage', 'Credit')
            and line_item_usage_start_date < bill_billing_period_start_date
            and coalesce(line_item_usage_end_date, line_item_usage_start_date) <= bill_billing_period_start_date
            then 'Correction'
    end as charge_class,
    line_item_line_item_description as charge_description,
    case
        when line_type in ('RIFee', 'SavingsPlanRecurringFee') then 'Recurring'
        when category in ('Usage', 'Tax') then 'Usage-Based'
        else 'One-Time'
    end as charge_frequency,
    case
        when line_item_product_code like 'AmazonBedrock%' or line_item_product_code like 'AmazonSageMaker%'
            then 'AI and Machine Learning'
    end as service_category,
    coalesce(product_product_name, line_item_product_code) as service_name,
    lower(
        coalesce(product_region_code, regexp_replace(line_item_availability_zone, '([0-9])[a-z]$', '\1'))
    ) as region_id,
    line_item_availability_zone as availability_zone,
    line_item_resource_id as resource_id,
    cast(null as varchar) as resource_name,
    product_instance_type as resource_type,
    product_sku as sku_id,
    pricing_rate_code as sku_price_id,
    line_item_usage_type as sku_meter,
    case
        when unused is not null or line_type in ('DiscountedUsage', 'SavingsPlanCoveredUsage') then 'Committed'
        when category = 'Tax' then cast(null as varchar)
        when line_item_usage_type like '%SpotUsage%' or pricing_purchase_option = 'Spot' then 'Dynamic'
        when category in ('Usage', 'Purchase') then 'Standard'
    end as pricing_category,
    case when unused is null and category in ('Usage', 'Purchase') then line_item_usage_amount end as pricing_quantity,
    case when unused is null and category in ('Usage', 'Purchase') then pricing_unit end as pricing_unit,
    case when unused is null and category = 'Usage' then line_item_usage_amount end as consumed_quantity,
    case when unused is null and category = 'Usage' then pricing_unit end as consumed_unit,
    case when category = 'Usage' and unused is null then pricing_public_on_demand_rate end as list_unit_price,
    cast(null as decimal(38, 18)) as contracted_unit_price,
    case
        when commitment_type = 'Reservation' then reservation_arn
        when commitment_type = 'Savings Plan' then savings_plan_savings_plan_a_r_n
    end as commitment_discount_id,
    commitment_type as commitment_discount_type,
    case when commitment_type = 'Reservation' then 'Usage' when commitment_type = 'Savings Plan' then 'Spend' end
        as commitment_discount_category,
    case
        when unused is not null then unused
        when line_type in ('DiscountedUsage', 'SavingsPlanCoveredUsage') then 'Used'
    end as commitment_discount_status,
    tags,
    line_item_product_code as x_service_code,
    line_item_operation as x_operation,
    bill_billing_entity as x_billing_entity,
    line_item_iam_principal as x_principal,
    line_type as x_native_type,
    cast(null as varchar) as x_repairs,
    case
        when line_type in ('SavingsPlanCoveredUsage', 'SavingsPlanNegation') and unused is null
            then coalesce(savings_plan_savings_plan_a_r_n, '') || '|' || coalesce(line_item_usage_account_id, '') || '|'
                || coalesce(line_item_usage_type, '') || '|' || coalesce(line_item_operation, '') || '|'
                || upper(line_item_currency_code)
    end as x_settle_key,
    case when line_type in ('SavingsPlanCoveredUsage', 'SavingsPlanNegation') and unused is null then billed end
        as x_settle_amount
from lines
