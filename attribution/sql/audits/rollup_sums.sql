-- Law: the roll-up is the ledger, summed. Offending groups only. Inputs: ledger, rollup.
with parts as (
    select
        scope, billing_account_id, billing_period, day, currency, method, reason,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        count(*) as parts
    from ledger
    group by scope, billing_account_id, billing_period, day, currency, method, reason
),

cubes as (
    select
        scope, billing_account_id, billing_period, day, currency, method, reason,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        cast(sum(parts) as bigint) as parts
    from rollup
    group by scope, billing_account_id, billing_period, day, currency, method, reason
)

select
    coalesce(p.scope, c.scope) as scope, coalesce(p.billing_account_id, c.billing_account_id) as billing_account_id,
    coalesce(p.billing_period, c.billing_period) as billing_period, coalesce(p.day, c.day) as day,
    p.billed as ledger_billed, c.billed as rollup_billed, p.parts as ledger_parts, c.parts as rollup_parts
from parts as p
full outer join cubes as c
    on p.scope is not distinct from c.scope
    and p.billing_account_id is not distinct from c.billing_account_id
    and p.billing_period is not distinct from c.billing_period
    and p.day = c.day
    and p.currency is not distinct from c.currency
    and p.method = c.method
    and p.reason is not distinct from c.reason
where p.billed is distinct from c.billed
    or p.effective is distinct from c.effective
    or p.listed is distinct from c.listed
    or p.contracted is distinct from c.contracted
    or p.parts is distinct from c.parts
