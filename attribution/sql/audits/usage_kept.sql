-- Law: ownership and bindings neither lose nor invent usage. Offending days only. Inputs: usage_hourly, usage_owned.
with counted as (
    select
        day, sum(requests) as requests, sum(input_uncached) as input_uncached, sum(cache_read) as cache_read,
        sum(cache_write_5m) as cache_write_5m, sum(cache_write_1h) as cache_write_1h, sum(output) as output,
        sum(estimated_cost) as estimated_cost
    from usage_hourly
    where provider = $provider
    group by day
),

kept as (
    select
        day, sum(requests) as requests, sum(input_uncached) as input_uncached, sum(cache_read) as cache_read,
        sum(cache_write_5m) as cache_write_5m, sum(cache_write_1h) as cache_write_1h, sum(output) as output,
        sum(estimated_cost) as estimated_cost
    from usage_owned
    group by day
)

select coalesce(c.day, k.day) as day, c.requests as counted_requests, k.requests as kept_requests
from counted as c
full outer join kept as k on c.day = k.day
where c.requests is distinct from k.requests
    or c.input_uncached is distinct from k.input_uncached
    or c.cache_read is distinct from k.cache_read
    or c.cache_write_5m is distinct from k.cache_write_5m
    or c.cache_write_1h is distinct from k.cache_write_1h
    or c.output is distinct from k.output
    or c.estimated_cost is distinct from k.estimated_cost
