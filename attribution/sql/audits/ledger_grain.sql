-- Law: one row a cell, served model, owner, method and reason. Offending groups only. Inputs: ledger.
select cell_id, model, publisher, team, project, environment, api_key, method, reason, count(*) as rows_found
from ledger
group by cell_id, model, publisher, team, project, environment, api_key, method, reason
having count(*) > 1
