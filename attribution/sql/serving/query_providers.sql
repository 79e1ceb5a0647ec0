-- What a reader's rows say of each provider. Slots: attribution/lake/serving_sql.py. Grain: provider. Money: effective; NULL
-- where a provider bills in several currencies, because those are never added, not even for a share.
with tokens as (
    select
        provider,
        currency,
        effective_cost,
        coalesce(cast(reason as varchar) in ('bypass', 'unmetered'), false) as missed,
        counts and cast(token_type as varchar) not in ('capacity', 'other') as of_tokens
    from {table}
    where {conditions}
)

select
    cast(provider as varchar),
    case when count(distinct currency) filter (where of_tokens) = 1 then sum(effective_cost) filter (where of_tokens) end,
    case
        when count(distinct currency) filter (where of_tokens) = 1
            then coalesce(sum(effective_cost) filter (where of_tokens and missed), 0)
    end
from tokens
group by provider
order by 1
