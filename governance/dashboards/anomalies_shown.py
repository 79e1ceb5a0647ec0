"""Anomalies as a page prints them: views in, what the template prints out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from governance.anomalies import AnomalyView, PartView
from governance.anomaly_words import DRIVERS, cause_words, why
from governance.dashboards import formats, labels
from governance.dashboards.shown import Shown, exact_money
from governance.forecasting.drivers import Drivers

STATES = {"open": "Open", "explained": "Expected", "muted": "Muted", "resolved": "Resolved"}
MEANINGS = {
    "open": "nobody has said yet what became of it",
    "explained": "it was to be expected; its like must be worse to be told again",
    "muted": "kept, and not told",
    "resolved": "over; the next one is told",
}
TAGS = {"open": "warn", "explained": "", "muted": "", "resolved": "ok"}


@dataclass(frozen=True)
class Row:
    """One anomaly in a list."""

    id: int
    name: str
    days: str
    excess: Shown
    actual: Shown
    expected: Shown
    times: str
    why: str
    state: str
    tag: str
    said: str
    is_share: bool


@dataclass(frozen=True)
class DriverRow:
    name: str
    meaning: str
    amount: Shown
    # Of 200 units of width, the middle is nothing; 0 wide where there is nothing to see.
    x: int
    width: int


@dataclass(frozen=True)
class DayRow:
    day: str
    actual: Shown
    expected: Shown
    excess: Shown


@dataclass(frozen=True)
class PartRow:
    name: str
    scope: str
    excess: Shown
    actual: Shown
    expected: Shown
    why: str


def rows(views: Sequence[AnomalyView], names: Mapping[str, str]) -> tuple[Row, ...]:
    return tuple(row(view, names) for view in views)


def row(view: AnomalyView, names: Mapping[str, str]) -> Row:
    ratio = view.actual / view.expected if view.expected > 0 else None
    return Row(
        id=view.id,
        name=name_of(view, names),
        days=days_of(view),
        excess=signed(view.excess, view.currency),
        actual=Shown(formats.money(view.actual, view.currency), exact_money(view.actual, view.currency)),
        expected=Shown(formats.money(view.expected, view.currency), exact_money(view.expected, view.currency)),
        times=f"{formats.significant(ratio, 2)} × expected" if ratio is not None else "nothing was expected",
        why=why(view.drivers, view.excess),
        state=STATES[view.state],
        tag=TAGS[view.state],
        said=_said(view),
        is_share=view.is_share,
    )


def name_of(view: AnomalyView, names: Mapping[str, str]) -> str:
    """'Claims, Claude Sonnet 4.5 on AWS'. A share is named after the reader's own teams alone."""
    return cause_words(view.cause, len(view.teams), names, view.reason)


def days_of(view: AnomalyView) -> str:
    return formats.span(view.first_day, view.last_day + timedelta(days=1))


def driver_rows(drivers: Drivers, currency: str) -> tuple[DriverRow, ...]:
    """Every part that is not nothing, as a bar from the middle."""
    parts = {name: amount for name, amount in drivers.parts().items() if amount}
    most = max((abs(amount) for amount in parts.values()), default=Decimal(1))
    found = []
    for name, amount in parts.items():
        width = max(1, int(abs(amount) / most * 98))
        x = 100 if amount > 0 else 100 - width
        found.append(DriverRow(DRIVERS[name].name, DRIVERS[name].meaning, signed(amount, currency), x, width))
    return tuple(found)


def part_rows(view: AnomalyView, names: Mapping[str, str]) -> tuple[PartRow, ...]:
    return tuple(_part(part, view.currency, names) for part in view.parts)


def day_rows(view: AnomalyView) -> tuple[DayRow, ...]:
    return tuple(
        DayRow(
            formats.day(each.day),
            Shown(formats.money(each.actual, view.currency), exact_money(each.actual, view.currency)),
            Shown(formats.money(each.expected, view.currency), exact_money(each.expected, view.currency)),
            signed(each.excess, view.currency),
        )
        for each in view.days
    )


def signed(amount: Decimal, currency: str) -> Shown:
    """A difference in money, with its sign; red and green mean costs more and costs less."""
    css = "up" if amount > 0 else "down" if amount < 0 else ""
    return Shown(formats.signed_money(amount, currency), exact_money(amount, currency), css)


def headline(views: Sequence[AnomalyView]) -> str:
    """'3 open, $4,212 above expected together': the one sentence on top of the page."""
    open_ones = [view for view in views if view.state == "open"]
    if not open_ones:
        return "None is open."
    sums: dict[str, Decimal] = {}
    for view in open_ones:
        sums[view.currency] = sums.get(view.currency, Decimal(0)) + view.excess
    amounts = " and ".join(formats.tile_money(amount, currency) for currency, amount in sums.items())
    return f"{len(open_ones)} open, {amounts} above expected."


def day_title(day: date, excess: Decimal, currency: str) -> str:
    """'18 Nov: +$2,914 above expected'."""
    return f"{formats.day(day, day)}: +{formats.tile_money(excess, currency)} above expected"


def _part(part: PartView, currency: str, names: Mapping[str, str]) -> PartRow:
    model = labels.entity("model", part.model)
    provider = labels.entity("provider", part.provider)
    return PartRow(
        name=labels.entity("team", part.team, dict(names)),
        scope=f"{model} on {provider}",
        excess=signed(part.excess, currency),
        actual=Shown(formats.money(part.actual, currency), exact_money(part.actual, currency)),
        expected=Shown(formats.money(part.expected, currency), exact_money(part.expected, currency)),
        why=why(part.drivers, part.excess),
    )


def _said(view: AnomalyView) -> str:
    """What somebody said of it; of an open one, nothing."""
    if view.state == "open":
        return ""
    if view.muted_until is not None:
        return f"until {formats.moment(view.muted_until)}"
    return view.note
