-- The ledger: every cell's costs and quantity in parts that sum to it exactly. Grain: cell, served model,
-- owner, method, reason. A part of capacity carries the model that it served; idle capacity and every other part has its cell's.
-- Inputs: cells (pooled_cells), weights (token_, capacity_ or platform_weights). Parameter platform: whether this run splits the platform
-- cells (their weights need the other cells' parts) or all the others. Time: day. Money: DECIMAL(38,18) in currency.
-- Telescoping (allocation.split_units): owners of a set ordered by key, S their running weight, W the total, c an amount in units of
-- 1e-18; part = f(S) - f(S - w), f(x) = (c // W) * x + ((c % W) * x) // W on |c|, negated for a negative c. One set of weights for all
-- four costs and the quantity. Where W < 3037000500, (c % W) * x fits 64 bits, which is many times faster than 128.
with chosen as (
    select *
    from cells
    where (route = 'platform') = $platform
),

runs as (
    select
        *,
        cast(sum(weight) over (
            partition by weight_set
            order by owner_key
            rows between unbounded preceding and current row
        ) as bigint) as upto
    from weights
),

totals as (
    select weight_set, cast(sum(weight) as bigint) as total
    from weights
    group by weight_set
),

-- Rows that nothing splits.
whole as (
    select
        c.*,
        case
            when c.route in ('direct', 'manual', 'unattributed') then c.route
            else 'unattributed'
        end as method,
        case c.route
            when 'tokens' then 'bypass'
            when 'capacity' then 'idle'
            when 'platform' then 'shared_unassigned'
            else c.reason
        end as settled_reason
    from chosen as c
    left join totals as t on c.weight_set = t.weight_set
    where c.route in ('direct', 'manual', 'unattributed') or t.weight_set is null
),

shared as (
    select
        c.*,
        t.total,
        greatest(coalesce(c.tokens, 0), 0) as cell_tokens,
        row_number() over (
            partition by c.weight_set
            order by c.cell_id
        ) as place,
        cast(sum(greatest(coalesce(c.tokens, 0), 0)) over (partition by c.weight_set) as bigint) as set_tokens
    from chosen as c
    inner join totals as t on c.weight_set = t.weight_set
    where c.route in ('tokens', 'capacity', 'platform')
),

-- A pool may hold several cells (accounts, corrections): what telemetry counted is spread over them by their tokens, never repeated.
spread as (
    select
        *,
        case when set_tokens > 0 then cell_tokens when place = 1 then 1 else 0 end as cell_weight,
        greatest(set_tokens, 1) as set_weight,
        cast(sum(case when set_tokens > 0 then cell_tokens when place = 1 then 1 else 0 end) over (
            partition by weight_set
            order by cell_id
            rows between unbounded preceding and current row
        ) as bigint) as cell_upto
    from shared
),

units as (
    select
        *,
        cast(floor(abs(billed_cost)) as decimal(38, 0)) * 1000000000000000000
        + cast((abs(billed_cost) - floor(abs(billed_cost))) * 1000000000000000000 as decimal(38, 0)) as billed,
        cast(floor(abs(effective_cost)) as decimal(38, 0)) * 1000000000000000000
        + cast((abs(effective_cost) - floor(abs(effective_cost))) * 1000000000000000000 as decimal(38, 0)) as effective,
        cast(floor(abs(list_cost)) as decimal(38, 0)) * 1000000000000000000
        + cast((abs(list_cost) - floor(abs(list_cost))) * 1000000000000000000 as decimal(38, 0)) as listed,
        cast(floor(abs(contracted_cost)) as decimal(38, 0)) * 1000000000000000000
        + cast((abs(contracted_cost) - floor(abs(contracted_cost))) * 1000000000000000000 as decimal(38, 0)) as contracted,
        cast(floor(abs(billed_quantity)) as decimal(38, 0)) * 1000000000000000000
        + cast((abs(billed_quantity) - floor(abs(billed_quantity))) * 1000000000000000000 as decimal(38, 0)) as quantity
    from spread
),

divided as (
    select
        *,
        cast(exact_div(billed, total) as decimal(38, 0)) as billed_q,
        cast(exact_mod(billed, total) as bigint) as billed_r,
        cast(exact_div(effective, total) as decimal(38, 0)) as effective_q,
        cast(exact_mod(effective, total) as bigint) as effective_r,
        cast(exact_div(listed, total) as decimal(38, 0)) as listed_q,
        cast(exact_mod(listed, total) as bigint) as listed_r,
        cast(exact_div(contracted, total) as decimal(38, 0)) as contracted_q,
        cast(exact_mod(contracted, total) as bigint) as contracted_r,
        cast(exact_div(quantity, total) as decimal(38, 0)) as quantity_q,
        cast(exact_mod(quantity, total) as bigint) as quantity_r
    from units
),

joined as (
    select
        d.*,
        r.model as served_model,
        r.publisher as served_publisher,
        r.team as owner_team,
        r.project as owner_project,
        r.environment as owner_environment,
        r.api_key as owner_key,
        r.method,
        r.reason as settled_reason,
        r.method_version,
        r.weight,
        r.upto,
        r.upto - r.weight as below,
        r.metered_tokens,
        r.requests
    from divided as d
    inner join runs as r on d.weight_set = r.weight_set
),

parts as (
    select
        *,
        billed_q * weight + case
            when total < 3037000500 then cast(billed_r * upto // total - billed_r * below // total as decimal(38, 0))
            else cast(
                exact_div(cast(billed_r as decimal(38, 0)) * upto, total) - exact_div(cast(billed_r as decimal(38, 0)) * below, total)
                as decimal(38, 0))
        end as billed_part,
        effective_q * weight + case
            when total < 3037000500 then cast(effective_r * upto // total - effective_r * below // total as decimal(38, 0))
            else cast(
                exact_div(cast(effective_r as decimal(38, 0)) * upto, total) - exact_div(cast(effective_r as decimal(38, 0)) * below, total)
                as decimal(38, 0))
        end as effective_part,
        listed_q * weight + case
            when total < 3037000500 then cast(listed_r * upto // total - listed_r * below // total as decimal(38, 0))
            else cast(
                exact_div(cast(listed_r as decimal(38, 0)) * upto, total) - exact_div(cast(listed_r as decimal(38, 0)) * below, total)
                as decimal(38, 0))
        end as listed_part,
        contracted_q * weight + case
            when total < 3037000500 then cast(contracted_r * upto // total - contracted_r * below // total as decimal(38, 0))
            else cast(
                exact_div(cast(contracted_r as decimal(38, 0)) * upto, total) - exact_div(cast(contracted_r as decimal(38, 0)) * below, total)
                as decimal(38, 0))
        end as contracted_part,
        quantity_q * weight + case
            when total < 3037000500 then cast(quantity_r * upto // total - quantity_r * below // total as decimal(38, 0))
            else cast(
                exact_div(cast(quantity_r as decimal(38, 0)) * upto, total) - exact_div(cast(quantity_r as decimal(38, 0)) * below, total)
                as decimal(38, 0))
        end as quantity_part
    from joined
)

select
    cell_id, scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day, charge_period_start,
    charge_period_end, currency, region, routing, service, charge_scope,
    coalesce(model, served_model) as model,
    case when model is null then coalesce(publisher, served_publisher) else publisher end as publisher,
    token_type, tier, context_band, hardware,
    charge_category, charge_class,
    owner_team as team,
    owner_project as project,
    owner_environment as environment,
    owner_key as api_key,
    method,
    settled_reason as reason,
    method_version,
    case when billed_cost < 0 then -billed_part else billed_part end * 0.000000000000000001 as billed_cost,
    case when effective_cost < 0 then -effective_part else effective_part end * 0.000000000000000001 as effective_cost,
    case when list_cost < 0 then -listed_part else listed_part end * 0.000000000000000001 as list_cost,
    case when contracted_cost < 0 then -contracted_part else contracted_part end * 0.000000000000000001 as contracted_cost,
    case when billed_quantity < 0 then -quantity_part else quantity_part end * 0.000000000000000001 as billed_quantity,
    billed_unit,
    case when cell_weight = set_weight then metered_tokens else cast(
        exact_div(cast(metered_tokens as decimal(38, 0)) * cell_upto, set_weight)
        - exact_div(cast(metered_tokens as decimal(38, 0)) * (cell_upto - cell_weight), set_weight) as bigint) end as metered_tokens,
    case when cell_weight = set_weight then requests else cast(
        exact_div(cast(requests as decimal(38, 0)) * cell_upto, set_weight)
        - exact_div(cast(requests as decimal(38, 0)) * (cell_upto - cell_weight), set_weight) as bigint) end as requests,
    lines,
    state
from parts
union all
select
    cell_id, scope, provider, billing_account_id, sub_account_id, billing_period, invoice_id, day, charge_period_start,
    charge_period_end, currency, region, routing, service, charge_scope, model, publisher, token_type, tier, context_band, hardware,
    charge_category, charge_class,
    team,
    project,
    environment,
    api_key,
    method,
    settled_reason,
    case when method in ('direct', 'manual') then owner_rules else 'bill-1' end,
    billed_cost,
    effective_cost,
    list_cost,
    contracted_cost,
    billed_quantity,
    billed_unit,
    -- A line that proves its owner is its own meter.
    case when method in ('direct', 'manual') then tokens end,
    cast(null as bigint),
    lines,
    state
from whole
