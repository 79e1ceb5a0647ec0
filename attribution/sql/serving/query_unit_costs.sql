-- Attributed, settled cost and tokens by bucket, currency and group, a page of them. Slots: attribution/lake/serving.py.
-- Grain: {bucket}, currency, {groups}. Time: day. Money: DECIMAL(38,18) in `currency`.
with chosen as (
    select *, {basis}_cost as cost, cast(token_type as varchar) as kind
    from {table}
    where day >= $start and day < $end and counts and attributed and not estimate and {conditions}
),

grouped as (
    select
        {bucket} as bucket,
        currency,
        {groups}
        sum(cost) as attributed_cost,
        sum(metered_tokens) as all_tokens,
        sum(output_tokens) as output_tokens,
        sum(cost) filter (where kind = 'input_uncached' and metered_tokens is not null) as input_uncached_cost,
        sum(metered_tokens) filter (where kind = 'input_uncached') as input_uncached,
        sum(cost) filter (where kind = 'cache_read' and metered_tokens is not null) as cache_read_cost,
        sum(metered_tokens) filter (where kind = 'cache_read') as cache_read,
        sum(cost) filter (where kind = 'cache_write_5m' and metered_tokens is not null) as cache_write_5m_cost,
        sum(metered_tokens) filter (where kind = 'cache_write_5m') as cache_write_5m,
        sum(cost) filter (where kind = 'cache_write_1h' and metered_tokens is not null) as cache_write_1h_cost,
        sum(metered_tokens) filter (where kind = 'cache_write_1h') as cache_write_1h,
        sum(cost) filter (where kind = 'output' and metered_tokens is not null) as output_cost,
        sum(metered_tokens) filter (where kind = 'output') as output
    from chosen
    group by all
),

keyed as (
    select
        *,
        concat_ws(chr(31), coalesce(cast(bucket as varchar), ''), cast(currency as varchar), {key}) as page_key
    from grouped
)

select
    bucket, cast(currency as varchar), {group_columns}
    attributed_cost, all_tokens, output_tokens,
    input_uncached_cost, input_uncached, cache_read_cost, cache_read, cache_write_5m_cost, cache_write_5m,
    cache_write_1h_cost, cache_write_1h, output_cost, output, page_key
from keyed
where {after}
order by page_key
limit $limit
