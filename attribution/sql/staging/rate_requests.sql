-- What each request costs by the price book: pricing/book.py's `rate`, for many requests. Held rows keep their estimate.
-- grain: request (or usage bucket). time column: day. money: USD, decimal(38,18), exact: tokens x USD a token.
-- A row that doesn't count exactly one request is a bucket: priced at the base band, or at the one that its source states.
-- inputs: requests (rows of dedupe_requests), quotes (day, series, quote),
--   rates (quote, band_number, bands, context_from, context_to, context_band, price_version, and USD a token of each
--   bucket or NULL; context_to NULL = no limit).
-- A rate has at most 18 decimals and is below 10 USD; a count has at most 13 digits: their product is an exact
-- decimal(33,18) on every engine.
with measured as (
    select
        q.*,
        coalesce(q.requests, 0) <> 1 as bucket,
        q.context_band as stated_band,
        q.file < 0 as is_held,
        coalesce(q.input_uncached, 0) + coalesce(q.cache_read, 0) + coalesce(q.cache_write_5m, 0)
            + coalesce(q.cache_write_1h, 0) as context
    from requests as q
),

priced as (
    select
        m.*,
        r.quote is not null as has_price,
        r.context_band as rate_band,
        r.price_version as rate_version,
        r.input_uncached as usd_input_uncached,
        r.cache_read as usd_cache_read,
        r.cache_write_5m as usd_cache_write_5m,
        r.cache_write_1h as usd_cache_write_1h,
        r.output as usd_output
    from measured as m
    left join quotes as q on m.day = q.day and m.series = q.series and not m.is_held
    left join rates as r
        on q.quote = r.quote
        and case
            when m.bucket and m.stated_band = 'long' then r.band_number = case when r.bands > 1 then 1 else 0 end
            when m.bucket then r.band_number = 0
            else m.context >= r.context_from and (r.context_to is null or m.context < r.context_to)
        end
),

judged as (
    select
        *,
        case
            when input_uncached is null and output is null then 'no_usage'
            when not has_price then 'unpriced'
            when input_uncached is null or (output is null and usd_output is not null) then 'no_usage'
            when (input_uncached > 0 and usd_input_uncached is null)
                or (cache_read > 0 and usd_cache_read is null)
                or (cache_write_5m > 0 and usd_cache_write_5m is null)
                or (cache_write_1h > 0 and usd_cache_write_1h is null)
                or (output > 0 and usd_output is null) then 'unpriced'
            when bucket and stated_band is null then 'aggregate'
            else 'priced'
        end as status
    from priced
)

select
    day, request_key, completed_at, series, requests, input_uncached, cache_read, cache_write_5m, cache_write_1h,
    output, reasoning, latency_ms, ttft_ms, error, file,
    case
        when is_held then estimated_cost
        when status in ('priced', 'aggregate') then cast(
            cast(coalesce(input_uncached, 0) as decimal(13, 0)) * coalesce(usd_input_uncached, cast(0 as decimal(19, 18)))
            + cast(coalesce(cache_read, 0) as decimal(13, 0)) * coalesce(usd_cache_read, cast(0 as decimal(19, 18)))
            + cast(coalesce(cache_write_5m, 0) as decimal(13, 0)) * coalesce(usd_cache_write_5m, cast(0 as decimal(19, 18)))
            + cast(coalesce(cache_write_1h, 0) as decimal(13, 0)) * coalesce(usd_cache_write_1h, cast(0 as decimal(19, 18)))
            + cast(coalesce(output, 0) as decimal(13, 0)) * coalesce(usd_output, cast(0 as decimal(19, 18)))
            as decimal(38, 18)
        )
    end as estimated_cost,
    case when is_held then context_band when bucket then stated_band else rate_band end as context_band,
    case when is_held then price_version else rate_version end as price_version,
    case when is_held then price_status else status end as price_status
from judged
