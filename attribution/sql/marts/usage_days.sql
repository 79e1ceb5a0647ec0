-- Usage of one provider summed to the day, with everything that ownership, bindings and pools look at.
-- Grain: one row a distinct set of these columns. Inputs: usage_hourly, days (day -> epoch of the rules).
-- Time: day (UTC). Money: USD, DECIMAL(38,18). `endpoint` and `service` are NULL where nothing looks at them (parameters use_*).
with hours as (
    select
        u.*,
        days.epoch,
        case when $use_endpoint then u.endpoint end as seen_endpoint,
        case when $use_service then u.service end as seen_service,
        coalesce(u.api_key, u.principal) as key_or_principal,
        case when $use_principal then u.principal end as seen_principal
    from usage_hourly as u
    inner join days on u.day = days.day
    where u.provider = $provider
)

select
    provider,
    day,
    epoch,
    seen_endpoint as endpoint,
    billing_account_id,
    sub_account_id,
    region,
    routing,
    tier,
    context_band,
    model,
    publisher,
    pool,
    team,
    project,
    environment,
    api_key,
    seen_principal as principal,
    key_or_principal,
    seen_service as service,
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
from hours
group by
    provider, day, epoch, seen_endpoint, billing_account_id, sub_account_id, region, routing, tier, context_band, model, publisher,
    pool, team, project, environment, api_key, seen_principal, key_or_principal, seen_service
