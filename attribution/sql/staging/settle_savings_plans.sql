-- Grain: the rows of one partition (account, period, day) of a CUR, changed where savings plan lines cancel.
-- Input: staged (base.PARTITION). Output: the same rows. Money: DECIMAL(38,18), sums only.
-- AWS bills covered usage at its on-demand price and takes it off by negation lines. Where a group (plan, account, meter)
-- sums to zero, the negations are dropped and the covered lines are billed 0. Where it doesn't (a line is missing), nothing
-- is dropped and both stay as billed, so that the sum is still the bill's.
with paired as (
    select
        x_settle_key as pair_key,
        sum(x_settle_amount) = 0
            and count(*) filter (where x_native_type = 'SavingsPlanNegation') > 0
            and count(*) filter (where x_native_type = 'SavingsPlanCoveredUsage') > 0 as cancels
    from staged
    where x_settle_key is not null
    group by x_settle_key
),

marked as (
    select staged.*, coalesce(paired.cancels, false) as cancels
    from staged
    left join paired on staged.x_settle_key = paired.pair_key
)

select
    * exclude (cancels) replace (
        case when cancels and x_native_type = 'SavingsPlanNegation' then 'dropped' else fate end as fate,
        case
            when cancels and x_native_type = 'SavingsPlanNegation' then 'cancels the savings plan usage that it belongs to'
            else fate_reason
        end as fate_reason,
        case when cancels then cast(0 as decimal(38, 18)) else billed_cost end as billed_cost
    )
from marked
