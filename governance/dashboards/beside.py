"""What stands beside the Overview's figures: budgets at risk, changes that wait, anomalies, months not reconciled.

Read here, within the reader's scope, and made into short lines; each line links to the page that has the whole.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.urls import reverse

from attribution import selectors
from attribution.scope import TeamScope
from attribution.selectors import ProviderFreshness, ReconciliationRow
from governance import anomalies
from governance.anomalies import AnomalyView, State
from governance.budgeting import BudgetView
from governance.budgets import BudgetStatus
from governance.dashboards import anomalies_shown, formats, labels
from governance.dashboards.shown import Shown, exact_money
from routing import selectors as routing

MOST = 3
LIKELY = 0.5


@dataclass(frozen=True)
class Line:
    """One line of a list: what, how much, and a second line in grey."""

    name: str
    link: str
    amount: Shown
    detail: str


@dataclass(frozen=True)
class Panel:
    """A short list and where the whole is. `empty`: what is said where there is nothing."""

    title: str
    sub: str
    link: str
    link_words: str
    lines: tuple[Line, ...]
    empty: str


def panels(
    scope: TeamScope, found: Sequence[ProviderFreshness], budgets: Sequence[BudgetView], names: Mapping[str, str]
) -> tuple[Panel, ...]:
    """All of them, in the order in which they need somebody."""
    made = (
        budgets_panel(budgets),
        changes_panel(scope),
        anomalies_panel(scope, names),
        reconciliation_panel(scope, found),
    )
    return tuple(each for each in made if each is not None)


def budgets_panel(views: Sequence[BudgetView]) -> Panel:
    """Those that are over, or whose forecast is more likely over than not; the largest overrun first."""
    risky = [view for view in views if not view.archived and at_risk(view)]
    ordered = sorted(risky, key=lambda view: -_over(view))
    return Panel(
        "Budgets at risk",
        "",
        reverse("budgets"),
        f"All {len(views)}" if views else "Budgets",
        tuple(_budget_line(view) for view in ordered[:MOST]),
        "No budget is set." if not views else "None is likely to be exceeded.",
    )


def at_risk(view: BudgetView) -> bool:
    if view.state is BudgetStatus.EXCEEDED or view.consumed > view.limit:
        return True
    return view.crossing is not None and view.crossing.probability >= LIKELY


def changes_panel(scope: TeamScope) -> Panel:
    """Changes that wait for somebody's yes, the newest first."""
    waiting = routing.changes(scope, statuses=("proposed",), limit=MOST).rows
    return Panel(
        "Waiting for approval",
        "",
        reverse("changes"),
        "Changes",
        tuple(
            Line(row.title, reverse("change", args=[row.id]), Shown(""), _since(row.words, row.proposed_at))
            for row in waiting
        ),
        "No change waits.",
    )


def anomalies_panel(scope: TeamScope, names: Mapping[str, str]) -> Panel:
    """The open ones, by dollars."""
    views = anomalies.by_excess(anomalies.anomalies(scope, states=[State.OPEN]))
    return Panel(
        "Anomalies",
        "by dollars",
        reverse("anomalies"),
        f"All {len(views)}" if len(views) > MOST else "Anomalies",
        tuple(_anomaly_line(view, names) for view in views[:MOST]),
        "Nothing unusual is open.",
    )


def reconciliation_panel(scope: TeamScope, found: Sequence[ProviderFreshness]) -> Panel | None:
    """Months whose parts depart from the bill, and those whose bill isn't whole yet; for readers of everything."""
    if not scope.everything:
        return None
    return Panel(
        "Not yet reconciled",
        "",
        reverse("data"),
        "Data",
        months_open(selectors.reconciliation(scope), found),
        "Every month on a bill is reconciled.",
    )


def months_open(rows: Sequence[ReconciliationRow], found: Sequence[ProviderFreshness]) -> tuple[Line, ...]:
    """The newest first. A month is open until the bill of every provider in it reaches its end."""
    through = {one.provider: one.billed_through for one in found}
    months: dict[str, list[ReconciliationRow]] = defaultdict(list)
    for row in rows:
        months[row.billing_period].append(row)
    lines = []
    for month in sorted(months, reverse=True):
        off = [row for row in months[month] if row.difference]
        late = sorted({row.provider for row in months[month] if not _is_whole(month, through.get(row.provider))})
        if off:
            amount = formats.difference(off[0].difference)
            words = f"{labels.provider(off[0].provider)} departs from its bill"
            lines.append(Line(formats.month(month), reverse("data"), Shown(amount, css="is-bad"), words))
        elif late:
            words = ", ".join(labels.provider(one) for one in late)
            lines.append(Line(formats.month(month), reverse("data"), Shown("open"), f"bill not whole yet: {words}"))
    return tuple(lines[:MOST])


def _is_whole(month: str, billed_through: date | None) -> bool:
    year, number = map(int, month.split("-"))
    following = (date(year, number, 1) + timedelta(days=32)).replace(day=1)
    return billed_through is not None and billed_through >= following


def _budget_line(view: BudgetView) -> Line:
    over = _over(view)
    if view.consumed > view.limit:
        words = f"{formats.percent(view.consumed, view.limit, 0)} % of {_money(view.limit, view)} is spent"
    elif view.forecast is not None:
        share = formats.percent(view.forecast.p50, view.limit, 0)
        words = f"forecast {share} % of {_money(view.limit, view)}"
        if view.crossing is not None and view.crossing.date is not None:
            words += f"; reaches it {formats.day(view.crossing.date, view.crossing.date)}"
        elif view.crossing is not None:
            words += f"; {view.crossing.probability * 100:.0f} % likely over"
    else:
        words = f"limit {_money(view.limit, view)}"
    shown = Shown(formats.signed_money(over, view.currency), exact_money(over, view.currency), "up" if over > 0 else "")
    return Line(view.name, reverse("budget", args=[view.id]), shown, words)


def _over(view: BudgetView) -> Decimal:
    """How much more than the limit is spent, or is expected to be."""
    reached = view.consumed if view.forecast is None else max(view.consumed, view.forecast.p50)
    return reached - view.limit


def _money(amount: Decimal, view: BudgetView) -> str:
    return formats.tile_money(amount, view.currency)


def _anomaly_line(view: AnomalyView, names: Mapping[str, str]) -> Line:
    row = anomalies_shown.row(view, names)
    detail = f"{row.days}; {row.why.lower()}" if row.why != formats.UNKNOWN else row.days
    return Line(row.name, reverse("anomaly", args=[view.id]), row.excess, detail)


def _since(words: str, at: datetime) -> str:
    short = words if len(words) <= 110 else f"{words[:109]}…"
    return f"{short}; since {formats.moment(at, at.date())}" if short else f"since {formats.moment(at, at.date())}"
