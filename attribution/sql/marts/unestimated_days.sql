-- What no estimate foretells (capacity, platform, usage without telemetry), on each account's last settled week.
-- Grain: account, age of the day (1 = the last settled one), model, owner. Inputs: rollup_daily, usage_owned, accounts
-- (provider, billing_account_id, billed_through; live ones only). Time: day. Money: DECIMAL(38,18) in `currency`.
with estimated as (
    select provider, day, model
    from usage_owned
    group by provider, day, model
    having sum(estimated_cost) > 0
)

select
    r.provider,
    r.billing_account_id,
    a.billed_through,
    cast(a.billed_through - r.day as integer) as age,
    r.currency,
    r.model,
    r.team,
    r.project,
    r.environment,
    sum(r.billed_cost) as billed_cost,
    sum(r.effective_cost) as effective_cost,
    sum(r.list_cost) as list_cost,
    sum(r.contracted_cost) as contracted_cost
from rollup_daily as r
inner join accounts as a
    on r.provider = a.provider
    and r.billing_account_id = a.billing_account_id
    and r.day < a.billed_through
    and r.day >= a.billed_through - 7
left join estimated as e
    on r.provider = e.provider
    and r.day = e.day
    and r.model is not distinct from e.model
where
    r.charge_scope in ('inference', 'platform')
    and r.charge_category = 'Usage'
    and (
        e.provider is null
        or r.charge_scope <> 'inference'
        or coalesce(r.token_type, 'other') in ('capacity', 'other')
        or coalesce(r.reason, '') in ('bypass', 'unmetered')
    )
group by
    r.provider, r.billing_account_id, a.billed_through, r.day, r.currency, r.model, r.team, r.project, r.environment
order by
    r.provider, r.billing_account_id, r.day, r.currency, r.model, r.team, r.project, r.environment
