-- How capacity is split: by weighted tokens of the telemetry that used it. Grain: weight_set, model, owner, method, reason.
-- A pool's line names no model, so that its parts carry the model that the telemetry served. A line that names its own keeps it
-- (sets 'pool of a model' and 'model'): its parts carry none, or one owner would have two rows of one model.
-- Inputs: cells (pooled_cells), usage (usage_by_owner). Parameters: weights in tenths of a prompt token, and their version (capacity.py).
with sets as (
    select distinct weight_set
    from cells
    where route = 'capacity' and weight_set is not null
),

keyed as (
    select
        case
            when pool is not null then concat('pool', chr(31), cast(day as varchar), chr(31), pool)
            else concat('model', chr(31), cast(day as varchar), chr(31), model, chr(31), region)
        end as weight_set,
        case when pool is not null then model end as model,
        case when pool is not null then publisher end as publisher,
        team, project, environment, api_key, owned, requests,
        coalesce(input_uncached, 0) + coalesce(cache_write_5m, 0) + coalesce(cache_write_1h, 0) as prompt,
        coalesce(cache_read, 0) as cached,
        coalesce(output, 0) as generated
    from usage
    union all
    select
        concat('pool of a model', chr(31), cast(day as varchar), chr(31), pool),
        null, null,
        team, project, environment, api_key, owned, requests,
        coalesce(input_uncached, 0) + coalesce(cache_write_5m, 0) + coalesce(cache_write_1h, 0),
        coalesce(cache_read, 0),
        coalesce(output, 0)
    from usage
    where pool is not null
),

weighed as (
    select
        k.weight_set, k.model, k.publisher, k.team, k.project, k.environment, k.api_key,
        bool_or(k.owned) as owned,
        cast(sum(
            k.prompt * cast($prompt_weight as bigint) + k.cached * cast($cached_weight as bigint)
            + k.generated * cast($output_weight as bigint)
        ) as bigint) as weight,
        cast(sum(k.prompt + k.cached + k.generated) as bigint) as metered_tokens,
        cast(sum(k.requests) as bigint) as requests
    from keyed as k
    inner join sets on k.weight_set = sets.weight_set
    group by k.weight_set, k.model, k.publisher, k.team, k.project, k.environment, k.api_key
)

select
    weight_set,
    model,
    publisher,
    team, project, environment, api_key,
    concat(
        coalesce(team, chr(30)), chr(31), coalesce(project, chr(30)), chr(31), coalesce(environment, chr(30)), chr(31),
        coalesce(api_key, chr(30)), chr(31), case when owned then 'owned' else 'unowned' end,
        chr(31), coalesce(model, chr(30)), chr(31), coalesce(publisher, chr(30))
    ) as owner_key,
    case when owned then 'capacity_share' else 'unattributed' end as method,
    case when not owned then 'unowned' end as reason,
    $version as method_version,
    weight,
    metered_tokens,
    requests
from weighed
where weight > 0
