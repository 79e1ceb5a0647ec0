-- Law: attributed + unattributed = billed, on every basis, per what the raw charges themselves say. Offending rows only.
-- Grouped by the charges' own columns, so that recognition, ownership and cells can't hide a loss. Inputs: charges, ledger.
with billed as (
    select
        scope, billing_account_id, sub_account_id, billing_period, invoice_id, day, billing_currency as currency, region_id as region,
        service_name as service, charge_category, charge_class,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        sum(pricing_quantity) as quantity
    from charges
    where provider = $provider
    group by
        scope, billing_account_id, sub_account_id, billing_period, invoice_id, day, billing_currency, region_id, service_name,
        charge_category, charge_class
),

attributed as (
    select
        scope, billing_account_id, sub_account_id, billing_period, invoice_id, day, currency, region, service, charge_category,
        charge_class,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        sum(billed_quantity) as quantity
    from ledger
    group by
        scope, billing_account_id, sub_account_id, billing_period, invoice_id, day, currency, region, service, charge_category,
        charge_class
)

select
    coalesce(b.scope, a.scope) as scope,
    coalesce(b.billing_account_id, a.billing_account_id) as billing_account_id,
    coalesce(b.billing_period, a.billing_period) as billing_period,
    coalesce(b.day, a.day) as day,
    coalesce(b.service, a.service) as service,
    coalesce(b.charge_category, a.charge_category) as charge_category,
    coalesce(b.currency, a.currency) as currency,
    b.billed as charge_billed, a.billed as ledger_billed,
    b.effective as charge_effective, a.effective as ledger_effective,
    b.listed as charge_list, a.listed as ledger_list,
    b.contracted as charge_contracted, a.contracted as ledger_contracted,
    b.quantity as charge_quantity, a.quantity as ledger_quantity
from billed as b
full outer join attributed as a
    on b.scope is not distinct from a.scope
    and b.billing_account_id is not distinct from a.billing_account_id
    and b.sub_account_id is not distinct from a.sub_account_id
    and b.billing_period is not distinct from a.billing_period
    and b.invoice_id is not distinct from a.invoice_id
    and b.day = a.day
    and b.currency is not distinct from a.currency
    and b.region is not distinct from a.region
    and b.service is not distinct from a.service
    and b.charge_category is not distinct from a.charge_category
    and b.charge_class is not distinct from a.charge_class
where b.billed is distinct from a.billed
    or b.effective is distinct from a.effective
    or b.listed is distinct from a.listed
    or b.contracted is distinct from a.contracted
    or b.quantity is distinct from a.quantity
