-- The daily cube that pages read. Grain: the columns above the sums. Inputs: ledger. Time: day. Money: DECIMAL(38,18) in currency.
select
    scope, day, provider, billing_account_id, billing_period, currency, region, service, charge_scope, charge_category, model,
    publisher, token_type, tier, team, project, environment, method, reason, state,
    sum(billed_cost) as billed_cost,
    sum(effective_cost) as effective_cost,
    sum(list_cost) as list_cost,
    sum(contracted_cost) as contracted_cost,
    count(*) - count(billed_cost) as billed_unknown,
    count(*) - count(effective_cost) as effective_unknown,
    count(*) - count(list_cost) as list_unknown,
    count(*) - count(contracted_cost) as contracted_unknown,
    cast(sum(metered_tokens) as bigint) as metered_tokens,
    count(*) as parts
from ledger
group by
    scope, day, provider, billing_account_id, billing_period, currency, region, service, charge_scope, charge_category, model,
    publisher, token_type, tier, team, project, environment, method, reason, state
