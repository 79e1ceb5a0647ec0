-- How platform lines are split: by the inference spend (effective, in millionths of the currency, at most 10^12 of it) that the same
-- day attributed to each owner, the unit's month where the day has none. Grain: weight_set, owner.
-- Inputs: cells (pooled_cells), parts (ledger rows).
with spend as (
    select
        day,
        currency,
        team, project, environment,
        sum(effective_cost) as effective_cost
    from parts
    where charge_scope = 'inference' and method <> 'unattributed' and method <> 'platform_share'
    group by day, currency, team, project, environment
),

by_day as (
    select
        day, currency, team, project, environment,
        cast(round(greatest(least(effective_cost, 1000000000000), 0) * cast(1000000 as bigint)) as bigint) as weight
    from spend
    where effective_cost > 0
),

by_month as (
    select
        currency, team, project, environment,
        cast(round(greatest(least(sum(effective_cost), 1000000000000), 0) * cast(1000000 as bigint)) as bigint) as weight
    from spend
    group by currency, team, project, environment
    having sum(effective_cost) > 0
),

sets as (
    select distinct day, currency, weight_set
    from cells
    where route = 'platform'
),

weighted as (
    select sets.weight_set, d.team, d.project, d.environment, 'platform-1 by inference of the day' as method_version, d.weight
    from sets
    inner join by_day as d on sets.day = d.day and sets.currency is not distinct from d.currency
    where d.weight > 0
),

fallback as (
    select sets.weight_set, m.team, m.project, m.environment, 'platform-1 by inference of the month' as method_version, m.weight
    from sets
    inner join by_month as m on sets.currency is not distinct from m.currency
    where m.weight > 0 and sets.weight_set not in (select weight_set from weighted)
)

select
    weight_set,
    cast(null as varchar) as model,
    cast(null as varchar) as publisher,
    team, project, environment,
    cast(null as varchar) as api_key,
    concat(
        coalesce(team, chr(30)), chr(31), coalesce(project, chr(30)), chr(31), coalesce(environment, chr(30)), chr(31), chr(30)
    ) as owner_key,
    'platform_share' as method,
    cast(null as varchar) as reason,
    method_version,
    weight,
    cast(null as bigint) as metered_tokens,
    cast(null as bigint) as requests
from (
    select * from weighted
    union all
    select * from fallback
) as both_ways
