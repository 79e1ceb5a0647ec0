-- What each file added: for the summary of an import. grain: file. money: USD, decimal(38,18).
-- inputs: requests (rows of rate_requests).
select
    file,
    cast(count(*) as bigint) as kept,
    cast(coalesce(sum(requests), 0) as bigint) as requests,
    cast(sum(input_uncached) as decimal(38, 0)) as input_uncached,
    cast(sum(cache_read) as decimal(38, 0)) as cache_read,
    cast(sum(cache_write_5m) as decimal(38, 0)) as cache_write_5m,
    cast(sum(cache_write_1h) as decimal(38, 0)) as cache_write_1h,
    cast(sum(output) as decimal(38, 0)) as output,
    cast(sum(reasoning) as decimal(38, 0)) as reasoning,
    cast(sum(estimated_cost) as decimal(38, 18)) as estimated_cost,
    cast(sum(case when price_status = 'unpriced' then coalesce(requests, 0) else 0 end) as bigint) as unpriced_requests
from requests
where file >= 0
group by file
