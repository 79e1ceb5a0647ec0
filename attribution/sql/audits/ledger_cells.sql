-- Law: per cell and per basis that is known, sum of parts = the cell; an unknown one is NULL in every part. Offending cells only.
-- Inputs: cells (charge_cells), ledger.
with expected as (
    select
        cell_id,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        sum(billed_quantity) as quantity
    from cells
    group by cell_id
),

found as (
    select
        cell_id,
        sum(billed_cost) as billed, sum(effective_cost) as effective, sum(list_cost) as listed, sum(contracted_cost) as contracted,
        sum(billed_quantity) as quantity,
        count(*) as parts,
        count(billed_cost) as known_billed, count(effective_cost) as known_effective, count(list_cost) as known_list,
        count(contracted_cost) as known_contracted
    from ledger
    group by cell_id
)

select
    coalesce(e.cell_id, f.cell_id) as cell_id,
    e.billed as cell_billed, f.billed as parts_billed,
    e.effective as cell_effective, f.effective as parts_effective,
    f.parts, f.known_billed, f.known_effective, f.known_list, f.known_contracted
from expected as e
full outer join found as f on e.cell_id = f.cell_id
where e.billed is distinct from f.billed
    or e.effective is distinct from f.effective
    or e.listed is distinct from f.listed
    or e.contracted is distinct from f.contracted
    or e.quantity is distinct from f.quantity
    or f.known_billed not in (0, f.parts)
    or f.known_effective not in (0, f.parts)
    or f.known_list not in (0, f.parts)
    or f.known_contracted not in (0, f.parts)
