-- Which record of a request counts: the arrived ones and those that the lake holds, one row a (day, request_key).
-- grain: request (or usage bucket) of a UTC day. time column: completed_at. No money is computed here.
-- inputs: incoming (normalize.INCOMING and `file`), requests (REQUESTS of the days and their neighbours),
--   held_series (day, series_id -> series and price of a held row), series_order (series -> place by content),
--   days (day, whole: its rows are returned; else it is a neighbour of which only the edge at midnight is read;
--   first_hour_end, last_hour_start).
-- The winner does not depend on the order or number of arrivals: usage known, then latest, then larger counts, then the
-- series' content; of equal records the held one. Two records of a request on the two sides of midnight, each within an
-- hour of it, are one request: the one with usage, else the earlier day's.
-- `beaten` rows: held rows of a neighbour day that lost, so that day must be done too.
with arrived as (
    select
        i.day, i.request_key, i.completed_at, i.series, o.place, i.requests, i.input_uncached, i.cache_read,
        i.cache_write_5m, i.cache_write_1h, i.output, i.reasoning, i.latency_ms, i.ttft_ms, i.error, i.file,
        cast(null as decimal(38, 18)) as estimated_cost, i.context_band,
        cast(null as varchar) as price_version, cast(null as varchar) as price_status
    from incoming as i
    inner join series_order as o on i.series = o.series
),

held as (
    select
        d.day, r.request_key, r.completed_at, s.series, o.place, r.requests, r.input_uncached, r.cache_read,
        r.cache_write_5m, r.cache_write_1h, r.output, r.reasoning, r.latency_ms, r.ttft_ms, r.error,
        cast(-1 as integer) as file, r.estimated_cost, s.context_band, s.price_version, s.price_status
    from requests as r
    inner join days as d on cast(r.completed_at as date) = d.day
    inner join held_series as s on s.day = d.day and r.series_id = s.series_id
    inner join series_order as o on s.series = o.series
    where d.whole or r.completed_at < d.first_hour_end or r.completed_at >= d.last_hour_start
),

united as (
    select * from arrived
    union all
    select * from held
),

-- Ranking all rows would sort them all; only the repeated keys are ranked.
repeated as (
    select day, request_key
    from united
    group by day, request_key
    having count(*) > 1
),

ranked as (
    select
        *,
        row_number() over (
            partition by day, request_key
            order by
                input_uncached is not null or output is not null desc,
                completed_at desc,
                requests desc nulls last,
                input_uncached desc nulls last,
                output desc nulls last,
                cache_read desc nulls last,
                cache_write_5m desc nulls last,
                cache_write_1h desc nulls last,
                reasoning desc nulls last,
                latency_ms desc nulls last,
                ttft_ms desc nulls last,
                error desc nulls last,
                context_band desc nulls last,
                place desc,
                file asc
        ) as position
    from united as u
    where exists (select 1 from repeated as p where u.day = p.day and u.request_key = p.request_key)
),

winners as (
    select
        u.*, u.input_uncached is not null or u.output is not null as has_usage
    from united as u
    where not exists (select 1 from repeated as p where u.day = p.day and u.request_key = p.request_key)
    union all
    select
        day, request_key, completed_at, series, place, requests, input_uncached, cache_read, cache_write_5m,
        cache_write_1h, output, reasoning, latency_ms, ttft_ms, error, file, estimated_cost, context_band,
        price_version, price_status, input_uncached is not null or output is not null as has_usage
    from ranked
    where position = 1
),

edges as (
    select
        w.day, w.request_key, w.has_usage,
        w.completed_at < d.first_hour_end as is_early,
        w.completed_at >= d.last_hour_start as is_late
    from winners as w
    inner join days as d on w.day = d.day
    where w.completed_at < d.first_hour_end or w.completed_at >= d.last_hour_start
),

losers as (
    select
        late.request_key,
        case when late.has_usage or not early.has_usage then early.day else late.day end as day
    from edges as late
    inner join edges as early on late.request_key = early.request_key and early.day = late.day + 1
    where late.is_late and early.is_early
)

select
    w.day, w.request_key, w.completed_at, w.series, w.requests, w.input_uncached, w.cache_read, w.cache_write_5m,
    w.cache_write_1h, w.output, w.reasoning, w.latency_ms, w.ttft_ms, w.error, w.file, w.estimated_cost,
    w.context_band, w.price_version, w.price_status, l.day is not null as beaten
from winners as w
inner join days as d on w.day = d.day
left join losers as l on w.day = l.day and w.request_key = l.request_key
where (d.whole and l.day is null) or (not d.whole and l.day is not null)
