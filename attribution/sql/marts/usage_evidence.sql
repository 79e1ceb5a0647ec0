-- The distinct sets of what ownership rules and bindings look at in telemetry. Grain: a set and an epoch. Inputs: usage_hourly, days.
-- Columns that no rule and no binding looks at are NULL (parameters use_*), to keep the sets few.
select distinct
    days.epoch,
    u.endpoint,
    u.billing_account_id,
    u.sub_account_id,
    u.region,
    u.model,
    u.pool,
    u.team,
    u.project,
    u.environment,
    case when $use_api_key then u.api_key end as api_key,
    case when $use_principal then u.principal end as principal,
    u.service
from usage_hourly as u
inner join days on u.day = days.day
where u.provider = $provider
