-- Numbers the series of each day by their content, so that equal content gives equal partitions.
-- grain: (day, series, context band, price). inputs: requests (rows of rate_requests), series_order (series -> place).
with combinations as (
    select distinct day, series, context_band, price_version, price_status
    from requests
)

select
    c.day, c.series, c.context_band, c.price_version, c.price_status,
    cast(
        row_number() over (
            partition by c.day
            order by o.place, c.context_band nulls first, c.price_version nulls first, c.price_status nulls first
        ) as integer
    ) as series_id
from combinations as c
inner join series_order as o on c.series = o.series
