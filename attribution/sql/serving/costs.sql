-- What pages and the API read: settled bills, moving bills beside them, and estimates of the days that no bill covers yet.
-- Grain: that of rollup_daily, and for estimates a day, account, place, model and owner.
-- Inputs: rollup_daily, usage_owned, accounts (provider, billing_account_id, billed_through). Time: day.
-- Money: DECIMAL(38,18) in `currency`. `counts`: the row belongs in totals. A bill's row counts before its account's
-- watermark; an account without one has no usage on its bill that an estimate could meet, so all of it counts.
with billed as (
    select
        r.*,
        coalesce(r.day < a.billed_through, true) as counts
    from rollup_daily as r
    left join accounts as a on r.provider = a.provider and r.billing_account_id = a.billing_account_id
),

-- How much of an owner's tokens is output: what a capacity line served is known in tokens of all kinds only.
mix_by_model as (
    select
        provider, day, model, region, team, project, environment,
        sum(coalesce(input_uncached, 0) + coalesce(cache_read, 0) + coalesce(cache_write_5m, 0)
            + coalesce(cache_write_1h, 0) + coalesce(output, 0)) as tokens,
        sum(output) as output
    from usage_owned
    group by provider, day, model, region, team, project, environment
),

mix_by_owner as (
    select provider, day, team, project, environment, sum(tokens) as tokens, sum(output) as output
    from mix_by_model
    group by provider, day, team, project, environment
),

bill_rows as (
    select
        b.*,
        case
            when b.token_type = 'output' then b.metered_tokens
            when b.token_type <> 'capacity' or b.metered_tokens is null then null
            when m.tokens > 0 then cast(cast(b.metered_tokens as hugeint) * m.output // m.tokens as bigint)
            when (b.model is null or (b.method = 'capacity_share' and m.tokens is null)) and o.tokens > 0
                then cast(cast(b.metered_tokens as hugeint) * o.output // o.tokens as bigint)
        end as output_tokens
    from billed as b
    left join mix_by_model as m
        on b.token_type = 'capacity'
        and b.provider = m.provider
        and b.day = m.day
        and b.model = m.model
        and b.region is not distinct from m.region
        and b.team is not distinct from m.team
        and b.project is not distinct from m.project
        and b.environment is not distinct from m.environment
    left join mix_by_owner as o
        on b.token_type = 'capacity'
        and b.provider = o.provider
        and b.day = o.day
        and b.team is not distinct from o.team
        and b.project is not distinct from o.project
        and b.environment is not distinct from o.environment
),

newest as (
    select provider, max(billed_through) as billed_through
    from accounts
    group by provider
),

-- Usage of no known account retires with its provider's newest bill: an estimate must never stand beside its own bill.
unbilled as (
    select u.*
    from usage_owned as u
    left join accounts as a on u.provider = a.provider and u.billing_account_id = a.billing_account_id
    left join newest as n on u.provider = n.provider
    where coalesce(
        u.day >= case when a.provider is not null then a.billed_through else n.billed_through end,
        true
    )
)

select
    day, provider, billing_account_id, billing_period, currency, region, service, charge_scope, charge_category, model, publisher,
    token_type, tier, team, project, environment, method, reason, state,
    counts,
    method <> 'unattributed' as attributed,
    false as estimate,
    billed_cost, effective_cost, list_cost, contracted_cost,
    billed_unknown, effective_unknown, list_unknown, contracted_unknown,
    cast(null as decimal(38, 18)) as estimated_cost,
    metered_tokens,
    output_tokens
from bill_rows
union all
select
    day, provider, billing_account_id, null, 'USD', region, null, 'inference', 'Usage', model, publisher,
    null, tier, team, project, environment,
    case when not owned then 'unattributed' end,
    case when not owned then 'unowned' end,
    'estimated',
    true,
    owned,
    true,
    null, null, null, null,
    0, 0, 0, 0,
    estimated_cost,
    case
        when coalesce(input_uncached, cache_read, cache_write_5m, cache_write_1h, output) is not null
            then coalesce(input_uncached, 0) + coalesce(cache_read, 0) + coalesce(cache_write_5m, 0)
                + coalesce(cache_write_1h, 0) + coalesce(output, 0)
    end,
    output
from unbilled
