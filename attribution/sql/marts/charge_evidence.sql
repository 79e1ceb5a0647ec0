-- The distinct sets of what ownership rules may look at on bill lines. Grain: a set and an epoch of the rules. Inputs: charge_days.
select distinct
    epoch,
    billing_account_id,
    sub_account_id,
    sub_account_name,
    service_name,
    service_code,
    sku_meter,
    description as charge_description,
    charge_category,
    region as region_id,
    resource_id,
    resource_name,
    resource_type,
    publisher_name,
    invoice_issuer_name,
    principal,
    tags
from charge_days
