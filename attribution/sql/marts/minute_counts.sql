-- Tokens and requests a minute, as telemetry names who asked: what quotas a minute are shown with.
-- Grain: UTC minute, provider, model, team, key. Inputs: requests, series (of one source and day). Time: completed_at.
-- Tokens are NULL where none is known. params: $since, $until (instants).
select
    cast(date_trunc('minute', utc_clock(r.completed_at)) as timestamp with time zone) as minute,
    s.provider, s.model, s.team, s.api_key,
    cast(sum(r.requests) as bigint) as requests,
    cast(sum(
        case
            when coalesce(r.input_uncached, r.cache_read, r.cache_write_5m, r.cache_write_1h, r.output) is not null
                then coalesce(r.input_uncached, 0) + coalesce(r.cache_read, 0) + coalesce(r.cache_write_5m, 0)
                    + coalesce(r.cache_write_1h, 0) + coalesce(r.output, 0)
        end
    ) as bigint) as tokens
from requests as r
inner join series as s on r.series_id = s.series_id
where r.completed_at >= $since and r.completed_at < $until
group by date_trunc('minute', utc_clock(r.completed_at)), s.provider, s.model, s.team, s.api_key
