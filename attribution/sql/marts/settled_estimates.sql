-- What bills said of usage that the book had estimated: the numbers behind the learned ratio.
-- Grain: provider, day, model. Inputs: rollup_daily, usage_owned, watermarks (provider, settled_through). Time: day.
-- Money: DECIMAL(38,18); estimates and bills in USD. A bill's line is comparable where telemetry estimated its model that
-- day, it is priced by tokens, and telemetry saw it (neither bypass nor unmetered).
-- params: $days, how many settled days to look back.
with estimated as (
    select u.provider, u.day, u.model, sum(u.estimated_cost) as estimated_cost
    from usage_owned as u
    inner join watermarks as w
        on u.provider = w.provider
        and u.day < w.settled_through
        and u.day >= w.settled_through - cast($days as integer)
    group by u.provider, u.day, u.model
    having sum(u.estimated_cost) > 0
)

select
    e.provider,
    e.day,
    e.model,
    e.estimated_cost,
    coalesce(sum(r.billed_cost), 0) as billed_cost,
    coalesce(sum(r.effective_cost), 0) as effective_cost,
    coalesce(sum(r.list_cost), 0) as list_cost,
    coalesce(sum(r.contracted_cost), 0) as contracted_cost,
    cast(coalesce(sum(r.billed_unknown), 0) as bigint) as billed_unknown,
    cast(coalesce(sum(r.effective_unknown), 0) as bigint) as effective_unknown,
    cast(coalesce(sum(r.list_unknown), 0) as bigint) as list_unknown,
    cast(coalesce(sum(r.contracted_unknown), 0) as bigint) as contracted_unknown
from estimated as e
left join rollup_daily as r
    on e.provider = r.provider
    and e.day = r.day
    and e.model is not distinct from r.model
    and r.currency = 'USD'
    and r.charge_scope = 'inference'
    and r.charge_category = 'Usage'
    and r.token_type not in ('capacity', 'other')
    and coalesce(r.reason, '') not in ('bypass', 'unmetered')
group by e.provider, e.day, e.model, e.estimated_cost
order by e.provider, e.day, e.model
