-- How far each account's bill reaches. Grain: billing account. Inputs: charges (the newest periods are enough). Time: day.
-- The newest day with usage, and whether it is the last day of its billing period.
with usage_days as (
    select billing_account_id, day, max(billing_period_end) as billing_period_end
    from charges
    where charge_category = 'Usage' and provider = $provider
    group by billing_account_id, day
)

select
    billing_account_id,
    day as newest_day,
    cast(day as timestamp) + interval 1 day >= cast(billing_period_end as timestamp) as ends_period
from usage_days
qualify row_number() over (
    partition by billing_account_id
    order by day desc
) = 1
