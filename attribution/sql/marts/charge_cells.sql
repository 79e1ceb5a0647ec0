-- What each bill line is to attribution, gathered to the ledger's cells.
-- Grain: one row a (cell, proven owner, route). `route` says how the row gets its owner: direct, manual, unattributed (with a reason),
-- tokens, capacity, platform. cell_id is an md5 over the cell's columns (LEDGER 7), the pricing unit and which amounts are known, so
-- that an unknown cost stays NULL in every part and quantities of two units never add up.
-- Inputs: charge_days, meters (charge_meters with what recognition says), evidence (charge_evidence with its owner), pools (capacity
-- pools that telemetry names), closed (billing periods that the provider has closed). Time: day. Money: DECIMAL(38,18) in currency.
with understood as (
    select
        c.*,
        coalesce(case when e.is_platform then 'platform' end, m.charge_scope, 'inference') as charge_scope,
        coalesce(m.understood, false) as understood,
        coalesce(e.is_platform, false) as is_platform,
        m.model,
        m.publisher,
        m.token_type,
        m.tier,
        m.context_band,
        m.routing,
        m.hardware,
        m.tokens_per_unit,
        e.team,
        e.project,
        e.environment,
        e.owner_kind,
        e.owner_rules,
        coalesce(by_tag.pool, by_name.pool, by_id.pool) as pool,
        case when closed.billing_period is null then 'billed' else 'final' end as state
    from charge_days as c
    left join meters as m
        on c.provider is not distinct from m.provider
        and c.service_name is not distinct from m.service_name
        and c.service_code is not distinct from m.service_code
        and c.operation is not distinct from m.operation
        and c.sku_meter is not distinct from m.sku_meter
        and c.description is not distinct from m.description
        and c.pricing_unit is not distinct from m.pricing_unit
        and c.charge_category is not distinct from m.charge_category
        and c.billing_entity is not distinct from m.billing_entity
        and c.resource_type is not distinct from m.resource_type
        and c.native_type is not distinct from m.native_type
    left join evidence as e
        on c.epoch = e.epoch
        and c.billing_account_id is not distinct from e.billing_account_id
        and c.sub_account_id is not distinct from e.sub_account_id
        and c.sub_account_name is not distinct from e.sub_account_name
        and c.service_name is not distinct from e.service_name
        and c.service_code is not distinct from e.service_code
        and c.sku_meter is not distinct from e.sku_meter
        and c.description is not distinct from e.charge_description
        and c.charge_category is not distinct from e.charge_category
        and c.region is not distinct from e.region_id
        and c.resource_id is not distinct from e.resource_id
        and c.resource_name is not distinct from e.resource_name
        and c.resource_type is not distinct from e.resource_type
        and c.publisher_name is not distinct from e.publisher_name
        and c.invoice_issuer_name is not distinct from e.invoice_issuer_name
        and c.principal is not distinct from e.principal
        and c.tags is not distinct from e.tags
    left join pools as by_tag on m.token_type = 'capacity' and e.pool = by_tag.pool
    left join pools as by_name on m.token_type = 'capacity' and c.resource_name = by_name.pool
    left join pools as by_id on m.token_type = 'capacity' and c.resource_id = by_id.pool
    left join closed
        on c.billing_account_id = closed.billing_account_id
        and c.billing_period = closed.billing_period
),

routed as (
    select
        *,
        case
            when charge_scope = 'other' then 'unattributed'
            when owner_kind = 'proof' then 'direct'
            when owner_kind = 'manual' then 'manual'
            when commitment_discount_status = 'Unused' or not understood then 'unattributed'
            when is_platform then 'platform'
            when charge_category is distinct from 'Usage' then 'unattributed'
            when charge_scope = 'platform' then 'platform'
            when token_type in ('input_uncached', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'output') and model is not null
                then 'tokens'
            when token_type = 'capacity' then 'capacity'
            else 'unattributed'
        end as route,
        case
            when charge_scope = 'other' then 'other_scope'
            when owner_kind is not null then null
            when commitment_discount_status = 'Unused' then 'commitment_unused'
            when not understood then 'not_understood'
            when is_platform then null
            when charge_category is distinct from 'Usage' then 'shared_unassigned'
            else 'bypass'
        end as reason
    from understood
),

settled as (
    select
        scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day, currency, region, routing,
        service_name as service,
        charge_scope, model, publisher, token_type, tier, context_band, hardware, charge_category, charge_class,
        pricing_unit as billed_unit,
        known,
        case when token_type = 'capacity' then pool end as pool,
        is_platform,
        state,
        route,
        case when route in ('direct', 'manual') then team end as team,
        case when route in ('direct', 'manual') then project end as project,
        case when route in ('direct', 'manual') then environment end as environment,
        case when route in ('direct', 'manual') then principal end as api_key,
        case when route = 'unattributed' then reason end as reason,
        case when route in ('direct', 'manual') then owner_rules end as owner_rules,
        case when charge_category = 'Usage' and charge_scope = 'inference' and understood and model is not null
            and token_type in ('input_uncached', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'output')
            then cast(round(pricing_quantity * cast(tokens_per_unit as bigint)) as bigint)
        end as tokens,
        billed_cost, effective_cost, list_cost, contracted_cost, pricing_quantity, lines, charge_period_start, charge_period_end
    from routed
),

cells as (
    select
        scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day, currency, region, routing, service,
        charge_scope, model, publisher, token_type, tier, context_band, hardware, charge_category, charge_class, billed_unit, known,
        pool, is_platform, state, route, team, project, environment, api_key, reason,
        min(owner_rules) as owner_rules,
        cast(sum(tokens) as bigint) as tokens,
        sum(billed_cost) as billed_cost,
        sum(effective_cost) as effective_cost,
        sum(list_cost) as list_cost,
        sum(contracted_cost) as contracted_cost,
        sum(pricing_quantity) as billed_quantity,
        sum(lines) as lines,
        min(charge_period_start) as charge_period_start,
        max(charge_period_end) as charge_period_end
    from settled
    group by
        scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day, currency, region, routing, service,
        charge_scope, model, publisher, token_type, tier, context_band, hardware, charge_category, charge_class, billed_unit, known,
        pool, is_platform, state, route, team, project, environment, api_key, reason
),

named as (
    select
        *,
        md5(concat(
            coalesce(scope, chr(30)), chr(31), coalesce(provider, chr(30)), chr(31), coalesce(billing_account_id, chr(30)), chr(31),
            coalesce(sub_account_id, chr(30)), chr(31), coalesce(billing_period, chr(30)), chr(31), coalesce(invoice_id, chr(30)),
            chr(31), cast(day as varchar), chr(31), coalesce(currency, chr(30)), chr(31), coalesce(region, chr(30)), chr(31),
            coalesce(routing, chr(30)), chr(31), coalesce(service, chr(30)), chr(31), charge_scope, chr(31),
            coalesce(model, chr(30)), chr(31), coalesce(publisher, chr(30)), chr(31), coalesce(token_type, chr(30)), chr(31),
            coalesce(tier, chr(30)), chr(31), coalesce(context_band, chr(30)), chr(31), coalesce(hardware, chr(30)), chr(31),
            coalesce(charge_category, chr(30)), chr(31), coalesce(charge_class, chr(30)), chr(31), coalesce(billed_unit, chr(30)),
            chr(31), cast(known as varchar), chr(31), coalesce(pool, chr(30)), chr(31), cast(is_platform as varchar)
        )) as cell_id
    from cells
)

select
    cell_id, scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day,
    min(charge_period_start) over by_cell as charge_period_start,
    max(charge_period_end) over by_cell as charge_period_end,
    currency, region, routing, service, charge_scope, model, publisher, token_type, tier, context_band, hardware, charge_category,
    charge_class, billed_unit, pool, state, route, team, project, environment, api_key, reason, owner_rules, tokens, billed_cost,
    effective_cost, list_cost, contracted_cost, billed_quantity,
    cast(sum(lines) over by_cell as bigint) as lines
from named
window by_cell as (partition by cell_id)
