-- Bill lines of one unit, summed to the day with everything that recognition, ownership and the ledger's cell look at.
-- Grain: one row a distinct set of these columns, and of which amounts are known. Inputs: charges, days (day -> epoch of the rules).
-- Time: day (UTC). Money: DECIMAL(38,18) in billing_currency. Evidence that no rule looks at is NULL (parameters use_*).
with lines as (
    select
        charges.*,
        (case when billed_cost is null then 0 else 1 end)
        + (case when effective_cost is null then 0 else 2 end)
        + (case when list_cost is null then 0 else 4 end)
        + (case when contracted_cost is null then 0 else 8 end)
        + (case when pricing_quantity is null then 0 else 16 end) as known,
        case when $use_tags then tags end as seen_tags,
        case when $use_sub_account_name then sub_account_name end as seen_sub_account_name,
        case when $use_resource_id then resource_id end as seen_resource_id,
        case when $use_resource_name then resource_name end as seen_resource_name,
        case when $use_publisher_name then publisher_name end as seen_publisher_name,
        case when $use_invoice_issuer_name then invoice_issuer_name end as seen_invoice_issuer_name
    from charges
)

select
    lines.scope,
    lines.provider,
    lines.billing_account_id,
    lines.sub_account_id,
    lines.billing_period,
    lines.invoice_id,
    lines.day,
    days.epoch,
    lines.billing_currency as currency,
    lines.region_id as region,
    lines.charge_class,
    lines.commitment_discount_status,
    -- The meter, by the names of recognition.
    lines.service_name,
    lines.x_service_code as service_code,
    lines.x_operation as operation,
    lines.sku_meter,
    lines.charge_description as description,
    lines.pricing_unit,
    lines.charge_category,
    lines.x_billing_entity as billing_entity,
    lines.resource_type,
    lines.x_native_type as native_type,
    -- Evidence of the owner.
    lines.seen_tags as tags,
    lines.seen_sub_account_name as sub_account_name,
    lines.seen_resource_id as resource_id,
    lines.seen_resource_name as resource_name,
    lines.seen_publisher_name as publisher_name,
    lines.seen_invoice_issuer_name as invoice_issuer_name,
    lines.x_principal as principal,
    lines.known,
    sum(lines.billed_cost) as billed_cost,
    sum(lines.effective_cost) as effective_cost,
    sum(lines.list_cost) as list_cost,
    sum(lines.contracted_cost) as contracted_cost,
    sum(lines.pricing_quantity) as pricing_quantity,
    count(*) as lines,
    min(lines.charge_period_start) as charge_period_start,
    max(lines.charge_period_end) as charge_period_end
from lines
inner join days on lines.day = days.day
where lines.provider = $provider
group by
    lines.scope, lines.provider, lines.billing_account_id, lines.sub_account_id, lines.billing_period, lines.invoice_id, lines.day,
    days.epoch, lines.billing_currency, lines.region_id, lines.charge_class, lines.commitment_discount_status, lines.service_name,
    lines.x_service_code, lines.x_operation, lines.sku_meter, lines.charge_description, lines.pricing_unit, lines.charge_category,
    lines.x_billing_entity, lines.resource_type, lines.x_native_type, lines.seen_tags, lines.seen_sub_account_name,
    lines.seen_resource_id, lines.seen_resource_name, lines.seen_publisher_name, lines.seen_invoice_issuer_name, lines.x_principal,
    lines.known
