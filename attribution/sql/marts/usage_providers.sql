-- Which providers some usage speaks of. Grain: a provider. Inputs: usage_hourly.
select distinct provider
from usage_hourly
where provider is not null
