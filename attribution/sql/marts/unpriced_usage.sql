-- Usage that the price book does not know. grain: (provider, model, routing, tier, pool). inputs: usage (USAGE_HOURLY).
select
    provider, model, routing, tier, pool,
    cast(sum(unpriced_requests) as bigint) as requests,
    cast(coalesce(sum(input_uncached), 0) + coalesce(sum(cache_read), 0) + coalesce(sum(cache_write_5m), 0)
        + coalesce(sum(cache_write_1h), 0) + coalesce(sum(output), 0) as decimal(38, 0)) as tokens,
    min(day) as first_day,
    max(day) as last_day
from usage
where price_status = 'unpriced'
group by provider, model, routing, tier, pool
order by requests desc, provider, model, routing, tier, pool
