-- Tokens and requests of some days by whom and where: what quotas are shown with.
-- Grain: day, provider, model, team, key. Inputs: usage_owned. Time: day (UTC). Tokens are NULL where none is known.
select
    day, provider, model, team, api_key,
    cast(sum(requests) as bigint) as requests,
    cast(sum(
        case
            when coalesce(input_uncached, cache_read, cache_write_5m, cache_write_1h, output) is not null
                then coalesce(input_uncached, 0) + coalesce(cache_read, 0) + coalesce(cache_write_5m, 0)
                    + coalesce(cache_write_1h, 0) + coalesce(output, 0)
        end
    ) as bigint) as tokens
from usage_owned
group by day, provider, model, team, api_key
