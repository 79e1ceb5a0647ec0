-- How each pool of tokens is split. Grain: weight_set, owner, method, reason. Inputs: cells (pooled_cells), metered (metered_pools).
-- 1. What direct lines already gave a team (and project) is taken off its telemetry, exactly (telescoping, as allocation.take_off).
-- 2. The rest is compared with the tokens of the pool's other lines, over all billing periods of the day: inside the tolerance
--    (parts per million of the billed tokens) -> token_share; bill above it -> token_share and the rest `unmetered`; telemetry above
--    it -> over_metered. Same rules as allocation.judge_volume.
with billed as (
    select
        weight_set,
        cast(sum(tokens) as bigint) as billed_tokens
    from cells
    where route = 'tokens'
    group by weight_set
),

proven as (
    select
        weight_set,
        team,
        project,
        cast(sum(tokens) as bigint) as tokens
    from cells
    where route in ('direct', 'manual') and weight_set is not null
    group by weight_set, team, project
    having sum(tokens) > 0
),

-- Only pools that other lines wait for; and of these, only pools with proven tokens need any taking off.
awaited as (
    select
        m.*,
        b.billed_tokens,
        m.weight_set in (select weight_set from proven) as has_proven
    from metered as m
    inner join billed as b on m.weight_set = b.weight_set
),

of_project as (
    select
        m.*,
        p.tokens as proven_tokens,
        cast(sum(m.tokens) over (partition by m.weight_set, m.team, m.project) as bigint) as total,
        cast(sum(m.tokens) over (
            partition by m.weight_set, m.team, m.project
            order by m.owner_key
            rows between unbounded preceding and current row
        ) as bigint) as upto
    from awaited as m
    left join proven as p
        on m.weight_set = p.weight_set
        and m.project = p.project
        and m.team is not distinct from p.team
    where m.has_proven
),

off_project as (
    select
        *,
        case when proven_tokens is null then 0 else cast(
            exact_div(cast(least(proven_tokens, total) as decimal(38, 0)) * upto, total)
            - exact_div(cast(least(proven_tokens, total) as decimal(38, 0)) * (upto - tokens), total)
            as bigint)
        end as taken
    from of_project
),

proven_team as (
    select weight_set, team, cast(sum(tokens) as bigint) as tokens
    from proven
    where team is not null
    group by weight_set, team
),

of_team as (
    select
        o.weight_set, o.team, o.project, o.environment, o.api_key, o.owner_key, o.owned, o.dropped, o.requests, o.billed_tokens,
        o.tokens - o.taken as kept,
        t.tokens - cast(sum(o.taken) over (partition by o.weight_set, o.team) as bigint) as proven_tokens,
        cast(sum(o.tokens - o.taken) over (partition by o.weight_set, o.team) as bigint) as total,
        cast(sum(o.tokens - o.taken) over (
            partition by o.weight_set, o.team
            order by o.owner_key
            rows between unbounded preceding and current row
        ) as bigint) as upto
    from off_project as o
    left join proven_team as t
        on o.weight_set = t.weight_set
        and o.team = t.team
),

left_over as (
    select
        weight_set, team, project, environment, api_key, owner_key, owned, dropped, requests, billed_tokens,
        case when proven_tokens > 0 and total > 0 then kept - cast(
            exact_div(cast(least(proven_tokens, total) as decimal(38, 0)) * upto, total)
            - exact_div(cast(least(proven_tokens, total) as decimal(38, 0)) * (upto - kept), total)
            as bigint)
        else kept end as weight
    from of_team
    union all
    select weight_set, team, project, environment, api_key, owner_key, owned, dropped, requests, billed_tokens, tokens
    from awaited
    where not has_proven
),

judged as (
    select
        weight_set,
        billed_tokens,
        cast(sum(weight) as bigint) as metered_tokens,
        min(dropped) as dropped,
        case
            when sum(weight) = 0 then 'unmetered'
            when billed_tokens is null
                or abs(cast(billed_tokens as decimal(38, 0)) - cast(sum(weight) as bigint)) * 1000000
                <= cast(greatest(billed_tokens, 0) as decimal(38, 0)) * cast($tolerance_ppm as bigint) then 'close'
            when billed_tokens > sum(weight) then 'unmetered'
            else 'over_metered'
        end as verdict
    from left_over
    group by weight_set, billed_tokens
),

versioned as (
    select
        *,
        concat(
            'tokens-1 tolerance_ppm=', cast($tolerance_ppm as varchar), case when dropped = '' then '' else concat(' without', dropped) end
        ) as method_version
    from judged
)

select
    o.weight_set,
    cast(null as varchar) as model,  -- the cell's own
    cast(null as varchar) as publisher,
    o.team, o.project, o.environment, o.api_key,
    concat(o.owner_key, chr(31), case when o.owned then 'owned' else 'unowned' end) as owner_key,
    case when not o.owned then 'unattributed' when v.verdict = 'over_metered' then 'over_metered' else 'token_share' end as method,
    case when not o.owned then 'unowned' end as reason,
    v.method_version,
    o.weight,
    o.weight as metered_tokens,
    o.requests
from left_over as o
inner join versioned as v on o.weight_set = v.weight_set
where o.weight > 0
union all
select
    weight_set,
    null, null, null, null, null, null,
    concat(chr(30), chr(31), chr(30), chr(31), chr(30), chr(31), chr(30), chr(31), 'unmetered'),
    'unattributed',
    'unmetered',
    method_version,
    greatest(coalesce(billed_tokens, 1) - metered_tokens, 1),
    null,
    null
from versioned
where verdict = 'unmetered'
