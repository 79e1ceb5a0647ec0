-- Telemetry's tokens by pool and owner. Grain: weight_set (as pooled_cells), owner. Inputs: usage (usage_by_owner), fields (pool_fields).
-- Requests of self-hosted pools have no meter of tokens on a bill and are left to capacity.
with metered as (
    select
        u.*,
        t.token_type,
        case t.token_type
            when 'input_uncached' then u.input_uncached
            when 'cache_read' then u.cache_read
            when 'cache_write_5m' then u.cache_write_5m
            when 'cache_write_1h' then u.cache_write_1h
            else u.output
        end as tokens
    from usage as u
    cross join (
        select 'input_uncached' as token_type
        union all select 'cache_read'
        union all select 'cache_write_5m'
        union all select 'cache_write_1h'
        union all select 'output'
    ) as t
    where u.pool is null and u.model is not null
),

pooled as (
    select
        concat(
            'tokens', chr(31), cast(m.day as varchar), chr(31), m.provider, chr(31), m.model, chr(31), m.token_type, chr(31),
            case when f.no_sub_account then '' else m.sub_account_id end, chr(31),
            case when f.no_context_band then '' else m.context_band end, chr(31),
            case when f.no_routing then '' else m.routing end, chr(31),
            case when f.no_tier then '' else m.tier end, chr(31),
            case when f.no_region then '' else m.region end, chr(31),
            case when f.no_account then '' else m.billing_account_id end
        ) as weight_set,
        f.dropped,
        m.team, m.project, m.environment, m.api_key, m.owned, m.tokens, m.requests
    from metered as m
    inner join fields as f
        on m.provider = f.provider
        and m.model = f.model
        and m.token_type = f.token_type
        and m.day = f.day
    where m.tokens > 0
)

-- owner_key orders the owners of a pool: where the odd units of a split fall (allocation.Metered.key).
select
    weight_set,
    team, project, environment, api_key,
    concat(
        coalesce(team, chr(30)), chr(31), coalesce(project, chr(30)), chr(31), coalesce(environment, chr(30)), chr(31),
        coalesce(api_key, chr(30))
    ) as owner_key,
    bool_or(owned) as owned,
    min(dropped) as dropped,
    cast(sum(tokens) as bigint) as tokens,
    cast(sum(requests) as bigint) as requests
from pooled
group by weight_set, team, project, environment, api_key
