-- Law: methods and reasons come from the closed lists; only unattributed rows have a reason, all others an owner; telemetry counts no
-- negative tokens (a corrected direct line may). Inputs: ledger.
select cell_id, team, project, method, reason
from ledger
where method not in (
        'direct', 'token_share', 'over_metered', 'capacity_share', 'platform_share', 'manual', 'unattributed'
    )
    or (method = 'unattributed') <> (reason is not null)
    or reason not in (
        'bypass', 'unmetered', 'unowned', 'not_understood', 'idle', 'commitment_unused', 'other_scope', 'shared_unassigned'
    )
    or (method = 'unattributed' and (team is not null or project is not null))
    or (method <> 'unattributed' and team is null and project is null)
    or (metered_tokens < 0 and method not in ('direct', 'manual'))
