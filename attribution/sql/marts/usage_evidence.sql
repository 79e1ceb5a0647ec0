-- The distinct sets of what ownership rules and bindings look at in telemetry. Grain: a set and an epoch. Inputs: usage_days.
select distinct
    epoch,
    endpoint,
    billing_account_id,
    sub_account_id,
    region,
    model,
    pool,
    team,
    project,
    environment,
    case when $use_api_key then api_key end as api_key,
    principal,
    service
from usage_days
