-- The ledger by owner, for comparison with a known truth. Grain: provider, billing period, team, project, model, token type, reason.
-- Input: ledger. Time: billing_period. Money: DECIMAL(38,18) in the rows' currency; unknown costs are counted beside the sums.
select
    provider,
    billing_period,
    currency,
    coalesce(team, '') as team,
    coalesce(project, '') as project,
    coalesce(model, '') as model,
    coalesce(token_type, '') as token_type,
    coalesce(reason, '') as reason,
    sum(billed_cost) as billed_cost,
    sum(effective_cost) as effective_cost,
    cast(sum(case when billed_cost is null then 1 else 0 end) as bigint) as billed_unknown,
    cast(sum(case when effective_cost is null then 1 else 0 end) as bigint) as effective_unknown
from ledger
group by
    provider, billing_period, currency, coalesce(team, ''), coalesce(project, ''), coalesce(model, ''), coalesce(token_type, ''),
    coalesce(reason, '')
