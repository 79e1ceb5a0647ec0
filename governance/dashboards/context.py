"""What the parts of the Overview share. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta

from attribution.queries import Granularity
from attribution.selectors import Amounts, CostRow, CostTable, UnitCostRow, UnitCostTable
from governance.dashboards import formats, labels
from governance.dashboards.bar import Bar, Span
from governance.dashboards.reading import OverviewFacts


@dataclass(frozen=True)
class Context:
    """The answers, the bar that asked, and the one currency that the page shows."""

    bar: Bar
    facts: OverviewFacts
    currency: str
    names: dict[str, str]
    everything: bool

    def of(self, table: CostTable | None) -> list[CostRow]:
        return [row for row in table.rows if row.currency == self.currency] if table else []

    def total(self, table: CostTable | None) -> Amounts | None:
        found = [total.amounts for total in table.totals if total.currency == self.currency] if table else []
        return found[0] if found else None

    def unit(self, table: UnitCostTable | None) -> UnitCostRow | None:
        found = [row for row in table.rows if row.currency == self.currency] if table else []
        return found[0] if found else None

    def label(self, key: str | None) -> str:
        return labels.entity(self.bar.group_by.value, key, self.names)


def buckets_of(span: Span, granularity: Granularity) -> list[date]:
    """The first days of all buckets in a span, also of those without a figure."""
    if granularity is Granularity.DAY:
        return [span.start + timedelta(days=index) for index in range(span.days)]
    months = sorted({(span.start + timedelta(days=index)).replace(day=1) for index in range(span.days)})
    return months


def against_days(page: Context) -> str:
    against = page.bar.against
    return (
        formats.span(against.start, against.end, year=against.start.year != page.bar.span.start.year) if against else ""
    )
