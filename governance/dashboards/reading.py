"""What the Overview asks of the selectors: a bar in, the tables out. No figure is made here."""

from dataclasses import dataclass, replace

from attribution import selectors
from attribution.queries import CostQuery, Dimension, Filter, Operator, Order, UnitCostQuery
from attribution.scope import TeamScope
from attribution.selectors import CostTable, UnitCostTable
from attribution.vocabulary import Basis, Method
from governance.dashboards.bar import Bar, Span

PAGE = 5000
MAX_PAGES = 6
# A cell of "What changed": a team's project on one provider's model.
CELL_DIMENSIONS = (Dimension.PROVIDER, Dimension.MODEL, Dimension.TEAM, Dimension.PROJECT)
# Unit costs are those of attributed parts, so they can't be narrowed by what only tells parts apart.
NOT_FOR_UNIT_COSTS = frozenset({Dimension.METHOD, Dimension.REASON, Dimension.STATE, Dimension.TOKEN_TYPE})


@dataclass(frozen=True)
class UnitCosts:
    """Cost per token over the span, the comparison, the bar's groups and its buckets; None where it can't be asked."""

    total: UnitCostTable
    against: UnitCostTable | None
    groups: UnitCostTable | None
    buckets: UnitCostTable


@dataclass(frozen=True)
class OverviewFacts:
    """The answers that one Overview is made of."""

    groups: CostTable
    buckets: CostTable
    series: CostTable
    against: CostTable | None
    shares: CostTable  # effective basis, by bucket: what the attributed share is defined on
    shares_against: CostTable | None
    reasons: CostTable
    units: UnitCosts | None
    # Both sides of "What changed", by its cells; None where nothing is compared.
    changed: tuple[CostTable, CostTable] | None = None


def overview_facts(scope: TeamScope, bar: Bar) -> OverviewFacts:
    """Everything the page shows, within `scope`."""
    query, against = bar.costs(), bar.against
    grouped = replace(query, group_by=(bar.group_by,), order_by=Order.TOTAL)
    shares = replace(query, granularity=bar.granularity, basis=Basis.EFFECTIVE)
    no_owner = Filter(Dimension.METHOD, Operator.IN, (Method.UNATTRIBUTED.value,))
    return OverviewFacts(
        groups=every_row(scope, grouped),
        buckets=every_row(scope, replace(query, granularity=bar.granularity)),
        series=every_row(scope, replace(query, granularity=bar.granularity, group_by=(bar.group_by,))),
        against=every_row(scope, _moved(grouped, against)) if against else None,
        shares=every_row(scope, shares),
        shares_against=every_row(scope, bar.costs(against, basis=Basis.EFFECTIVE)) if against else None,
        reasons=every_row(
            scope,
            replace(query, group_by=(Dimension.REASON,), filters=(*query.filters, no_owner), order_by=Order.TOTAL),
        ),
        units=_unit_costs(scope, bar),
        changed=changed_facts(scope, bar),
    )


def changed_facts(scope: TeamScope, bar: Bar) -> tuple[CostTable, CostTable] | None:
    """(the comparison, the span), by the cells that have one price per token."""
    if bar.against is None:
        return None
    query = replace(bar.costs(), group_by=CELL_DIMENSIONS)
    return every_row(scope, _moved(query, bar.against)), every_row(scope, query)


def every_row(scope: TeamScope, query: CostQuery) -> CostTable:
    """All pages of an answer, up to MAX_PAGES; the totals are over all rows in any case."""
    table = selectors.costs(scope, replace(query, limit=PAGE))
    rows, following = list(table.rows), table.next_after
    for _ in range(MAX_PAGES - 1):
        if following is None:
            break
        page = selectors.costs(scope, replace(query, limit=PAGE, after=following))
        rows, following = [*rows, *page.rows], page.next_after
    return replace(table, rows=tuple(rows), next_after=following)


def values_of(scope: TeamScope, bar: Bar, dimension: Dimension) -> CostTable:
    """The values of a dimension in the bar's span, dearest first: what a filter can be set to."""
    query = replace(bar.without_dimension(dimension).costs(), group_by=(dimension,), order_by=Order.TOTAL, limit=30)
    return selectors.costs(scope, query)


def _unit_costs(scope: TeamScope, bar: Bar) -> UnitCosts | None:
    if any(each.dimension in NOT_FOR_UNIT_COSTS for each in bar.filters):
        return None
    against = bar.against
    query = UnitCostQuery(bar.span.start, bar.span.end, filters=bar.filters, basis=bar.basis, limit=PAGE)
    by_group = replace(query, group_by=(bar.group_by,))
    return UnitCosts(
        total=selectors.unit_costs(scope, query),
        against=selectors.unit_costs(scope, replace(query, start=against.start, end=against.end)) if against else None,
        groups=selectors.unit_costs(scope, by_group) if bar.group_by not in NOT_FOR_UNIT_COSTS else None,
        buckets=selectors.unit_costs(scope, replace(query, granularity=bar.granularity)),
    )


def _moved(query: CostQuery, span: Span) -> CostQuery:
    return replace(query, start=span.start, end=span.end)
