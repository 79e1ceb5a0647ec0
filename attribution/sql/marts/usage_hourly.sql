-- Hourly usage of one telemetry source: what attribution reads instead of requests.
-- grain: (source, hour, series). time column: hour, the UTC hour of completion (of a bucket: of its start).
-- money: USD, decimal(38,18); NULL where no request of the group has an estimate. Tokens are NULL where none is known.
-- inputs: requests (REQUESTS), series (SERIES and its day). params: $source.
-- Grouped by the series' number alone, then named: ten million requests meet two integers, not twenty texts.
with hourly as (
    select
        date_trunc('hour', utc_clock(completed_at)) as hour,
        series_id,
        sum(requests) as requests,
        sum(case when input_uncached is null and output is null then requests else 0 end) as requests_without_usage,
        sum(case when error then requests else 0 end) as errors,
        sum(input_uncached) as input_uncached,
        sum(cache_read) as cache_read,
        sum(cache_write_5m) as cache_write_5m,
        sum(cache_write_1h) as cache_write_1h,
        sum(output) as output,
        sum(reasoning) as reasoning,
        sum(estimated_cost) as estimated_cost
    from requests
    group by date_trunc('hour', utc_clock(completed_at)), series_id
)

select
    $source as source, s.day, cast(h.hour as timestamp with time zone) as hour,
    s.provider, s.endpoint, s.billing_account_id, s.sub_account_id, s.region, s.routing, s.tier, s.context_band,
    s.model, s.publisher, s.pool, s.team, s.project, s.environment, s.api_key, s.principal, s.service,
    s.price_version, s.price_status,
    cast(coalesce(h.requests, 0) as bigint) as requests,
    cast(h.requests_without_usage as bigint) as requests_without_usage,
    cast(h.errors as bigint) as errors,
    cast(h.input_uncached as bigint) as input_uncached,
    cast(h.cache_read as bigint) as cache_read,
    cast(h.cache_write_5m as bigint) as cache_write_5m,
    cast(h.cache_write_1h as bigint) as cache_write_1h,
    cast(h.output as bigint) as output,
    cast(h.reasoning as bigint) as reasoning,
    cast(h.estimated_cost as decimal(38, 18)) as estimated_cost,
    cast(case when s.price_status = 'unpriced' then coalesce(h.requests, 0) else 0 end as bigint) as unpriced_requests
from hourly as h
inner join series as s on cast(h.hour as date) = s.day and h.series_id = s.series_id
