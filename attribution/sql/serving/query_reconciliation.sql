-- What the ledger makes of each document: attributed (reason is null) and unattributed by reason, settled or not.
-- Grain: provider, account, period, currency, reason. Inputs: a month table. Money: billed, DECIMAL(38,18) in `currency`.
select
    cast(provider as varchar) as provider,
    cast(billing_account_id as varchar) as billing_account_id,
    cast(billing_period as varchar) as billing_period,
    cast(currency as varchar) as currency,
    case when not attributed then coalesce(cast(reason as varchar), 'unowned') end as why,
    coalesce(sum(billed_cost), 0) as billed_cost
from costs_by_month
where not estimate
group by 1, 2, 3, 4, 5
order by 1, 2, 3, 4, 5
