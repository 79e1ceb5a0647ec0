-- Which fields bill and telemetry can be joined on: a field that is unknown on either side, anywhere in the group, is dropped for it.
-- Grain: provider, model, token type, day. Inputs: cells (charge_cells), usage (usage_by_owner). Time: day.
-- `dropped` names them in the declared order of coarsening: sub_account, context_band, routing, tier, region, account.
with metered as (
    select u.*, t.token_type
    from usage as u
    cross join (
        select 'input_uncached' as token_type
        union all select 'cache_read'
        union all select 'cache_write_5m'
        union all select 'cache_write_1h'
        union all select 'output'
    ) as t
    where u.pool is null and u.model is not null
        and case t.token_type
            when 'input_uncached' then u.input_uncached
            when 'cache_read' then u.cache_read
            when 'cache_write_5m' then u.cache_write_5m
            when 'cache_write_1h' then u.cache_write_1h
            else u.output
        end > 0
),

unknown as (
    select
        provider, model, token_type, day,
        sub_account_id is null as no_sub_account,
        context_band is null as no_context_band,
        routing is null as no_routing,
        tier is null as no_tier,
        region is null as no_region,
        billing_account_id is null as no_account
    from cells
    where route = 'tokens' or (route in ('direct', 'manual') and tokens is not null)
    union all
    select
        provider, model, token_type, day,
        sub_account_id is null,
        context_band is null,
        routing is null,
        tier is null,
        region is null,
        billing_account_id is null
    from metered
),

fields as (
    select
        provider, model, token_type, day,
        bool_or(no_sub_account) as no_sub_account,
        bool_or(no_context_band) as no_context_band,
        bool_or(no_routing) as no_routing,
        bool_or(no_tier) as no_tier,
        bool_or(no_region) as no_region,
        bool_or(no_account) as no_account
    from unknown
    group by provider, model, token_type, day
)

select
    *,
    concat(
        case when no_sub_account then ' sub_account' else '' end,
        case when no_context_band then ' context_band' else '' end,
        case when no_routing then ' routing' else '' end,
        case when no_tier then ' tier' else '' end,
        case when no_region then ' region' else '' end,
        case when no_account then ' account' else '' end
    ) as dropped
from fields
