-- The distinct meters of some charge days, for recognition. Grain: a meter. Inputs: charge_days.
select distinct
    provider,
    service_name,
    service_code,
    operation,
    sku_meter,
    description,
    pricing_unit,
    charge_category,
    billing_entity,
    resource_type,
    native_type
from charge_days
