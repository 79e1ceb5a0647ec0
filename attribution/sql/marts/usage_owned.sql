-- Usage with its owner and its estimate, as the lake keeps it. Grain: a day, place, model and owner (capacity pools folded in).
-- Inputs: usage_by_owner. Time: day. Money: USD, DECIMAL(38,18).
select
    provider,
    day,
    billing_account_id,
    sub_account_id,
    region,
    routing,
    tier,
    context_band,
    model,
    publisher,
    team,
    project,
    environment,
    api_key,
    owned,
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
from usage_by_owner
group by
    provider, day, billing_account_id, sub_account_id, region, routing, tier, context_band, model, publisher, team, project,
    environment, api_key, owned
