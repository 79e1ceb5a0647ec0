-- Usage of one provider with its owner and the account that it bills to, a day. Grain: a day, place, model, pool and owner.
-- Inputs: usage_days, evidence (usage_evidence with its owner and its binding). Time: day. Money: USD, DECIMAL(38,18).
with owned as (
    select
        u.*,
        coalesce(u.billing_account_id, e.bound_account_id) as account_id,
        coalesce(u.sub_account_id, e.bound_sub_account_id) as sub_id,
        e.owner_team,
        e.owner_project,
        e.owner_environment
    from usage_days as u
    left join evidence as e
        on u.epoch = e.epoch
        and u.endpoint is not distinct from e.endpoint
        and u.billing_account_id is not distinct from e.billing_account_id
        and u.sub_account_id is not distinct from e.sub_account_id
        and u.region is not distinct from e.region
        and u.model is not distinct from e.model
        and u.pool is not distinct from e.pool
        and u.team is not distinct from e.team
        and u.project is not distinct from e.project
        and u.environment is not distinct from e.environment
        and case when $use_api_key then u.api_key end is not distinct from e.api_key
        and u.principal is not distinct from e.principal
        and u.service is not distinct from e.service
)

select
    provider,
    day,
    account_id as billing_account_id,
    sub_id as sub_account_id,
    region,
    routing,
    tier,
    context_band,
    model,
    publisher,
    pool,
    owner_team as team,
    owner_project as project,
    owner_environment as environment,
    key_or_principal as api_key,
    owner_team is not null or owner_project is not null as owned,
    cast(sum(requests) as bigint) as requests,
    cast(sum(requests_without_usage) as bigint) as requests_without_usage,
    cast(sum(input_uncached) as bigint) as input_uncached,
    cast(sum(cache_read) as bigint) as cache_read,
    cast(sum(cache_write_5m) as bigint) as cache_write_5m,
    cast(sum(cache_write_1h) as bigint) as cache_write_1h,
    cast(sum(output) as bigint) as output,
    cast(sum(reasoning) as bigint) as reasoning,
    sum(estimated_cost) as estimated_cost,
    cast(sum(unpriced_requests) as bigint) as unpriced_requests
from owned
group by
    provider, day, account_id, sub_id, region, routing, tier, context_band, model, publisher, pool, owner_team, owner_project,
    owner_environment, key_or_principal
