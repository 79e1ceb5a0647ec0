-- A smaller table of the same figures. Grain: {time}, the columns in {columns} and the three flags. Inputs: costs.
-- Slots come from attribution/lake/serving.py only. Money: DECIMAL(38,18) in `currency`.
select
    {time} as day, {columns}, counts, attributed, estimate,
    sum(billed_cost) as billed_cost,
    sum(effective_cost) as effective_cost,
    sum(list_cost) as list_cost,
    sum(contracted_cost) as contracted_cost,
    cast(sum(billed_unknown) as bigint) as billed_unknown,
    cast(sum(effective_unknown) as bigint) as effective_unknown,
    cast(sum(list_unknown) as bigint) as list_unknown,
    cast(sum(contracted_unknown) as bigint) as contracted_unknown,
    sum(estimated_cost) as estimated_cost,
    cast(sum(metered_tokens) as bigint) as metered_tokens,
    cast(sum(output_tokens) as bigint) as output_tokens
from costs
group by {time}, {columns}, counts, attributed, estimate
