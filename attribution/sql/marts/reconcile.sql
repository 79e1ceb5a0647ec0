-- What the ledger holds, per account, period and currency. Grain: provider, account, period, currency, reason (NULL: attributed).
-- Inputs: ledger. Money: DECIMAL(38,18) in currency.
select
    provider,
    billing_account_id,
    billing_period,
    currency,
    case when method = 'unattributed' then reason end as reason,
    sum(billed_cost) as billed_cost
from ledger
group by provider, billing_account_id, billing_period, currency, case when method = 'unattributed' then reason end
