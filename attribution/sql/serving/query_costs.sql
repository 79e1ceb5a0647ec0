-- Costs of a period by bucket, currency and group, a page of them. Slots come from allow-lists in attribution/lake/serving.py.
-- Grain: {bucket}, currency, {groups}. Time: day. Money: DECIMAL(38,18) in `currency`.
with grouped as (
    select
        {bucket} as bucket,
        currency,
        {groups}
        sum({basis}_cost) filter (where counts) as cost,
        sum(estimated_cost) as estimated_cost,
        sum({basis}_cost) filter (where not counts) as uncounted_cost,
        coalesce(sum({basis}_unknown) filter (where counts), 0) as unknown_parts,
        sum({basis}_cost) filter (where counts and attributed) as attributed_cost,
        sum({basis}_cost) filter (where counts and not attributed) as unattributed_cost,
        sum(metered_tokens) filter (where counts) as metered_tokens
    from {table}
    where day >= $start and day < $end and {conditions}
    group by all
),

keyed as (
    select
        *,
        case
            when cost is not null or estimated_cost is not null then coalesce(cost, 0) + coalesce(estimated_cost, 0)
        end as total,
        concat_ws(chr(31), coalesce(cast(bucket as varchar), ''), cast(currency as varchar), {key}) as page_key
    from grouped
)

select
    bucket, cast(currency as varchar), {group_columns}
    cost, estimated_cost, uncounted_cost, total, unknown_parts, attributed_cost, unattributed_cost, metered_tokens, page_key
from keyed
where {after}
order by {order}
limit $limit
