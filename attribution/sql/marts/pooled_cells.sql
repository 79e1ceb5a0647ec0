-- Cells with the set of weights that splits them. Grain: as charge_cells. Inputs: cells (charge_cells), fields (pool_fields).
-- A pool of tokens is (day, provider, model, token type) and those of account, region, tier, routing, context band and sub-account that
-- both sides know; direct lines stand in it too, so that their tokens can be taken off. Capacity meets the telemetry of its pool (whose
-- models its parts carry, unless the line names one), else of its model and region. Rows with no set keep their route's own answer.
select
    c.*,
    f.dropped,
    case
        when c.route = 'tokens' or (c.route in ('direct', 'manual') and c.tokens is not null) then concat(
            'tokens', chr(31), cast(c.day as varchar), chr(31), c.provider, chr(31), c.model, chr(31), c.token_type, chr(31),
            case when f.no_sub_account then '' else c.sub_account_id end, chr(31),
            case when f.no_context_band then '' else c.context_band end, chr(31),
            case when f.no_routing then '' else c.routing end, chr(31),
            case when f.no_tier then '' else c.tier end, chr(31),
            case when f.no_region then '' else c.region end, chr(31),
            case when f.no_account then '' else c.billing_account_id end
        )
        when c.route = 'capacity' and c.pool is not null then concat(
            case when c.model is null then 'pool' else 'pool of a model' end, chr(31), cast(c.day as varchar), chr(31), c.pool
        )
        when c.route = 'capacity' and c.model is not null and c.region is not null
            then concat('model', chr(31), cast(c.day as varchar), chr(31), c.model, chr(31), c.region)
        when c.route = 'platform' then concat('platform', chr(31), cast(c.day as varchar), chr(31), coalesce(c.currency, ''))
    end as weight_set
from cells as c
left join fields as f
    on c.provider = f.provider
    and c.model = f.model
    and c.token_type = f.token_type
    and c.day = f.day
