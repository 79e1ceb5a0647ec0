-- The rows of REQUESTS, with the day and its own series number.
-- grain: request (or usage bucket). time column: completed_at. money: USD, decimal(38,18).
-- inputs: requests (rows of rate_requests), numbered (rows of number_series).
select
    q.day, q.request_key, q.completed_at, n.series_id, q.requests, q.input_uncached, q.cache_read, q.cache_write_5m,
    q.cache_write_1h, q.output, q.reasoning, q.estimated_cost, q.latency_ms, q.ttft_ms, q.error
from requests as q
inner join numbered as n
    on q.day = n.day
    and q.series = n.series
    and coalesce(q.context_band, '') = coalesce(n.context_band, '')
    and coalesce(q.price_version, '') = coalesce(n.price_version, '')
    and q.price_status = n.price_status
