"""What changed: the difference to the comparison as a waterfall of its drivers, and by entity. Pure.

The arithmetic is `forecasting.drivers`; here its cells are made of the selectors' rows, and its parts are drawn and
named. A cell is a team's project on one provider's model: what has one price per token.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from attribution.money import EXACT, exact_sum
from attribution.queries import Dimension
from attribution.selectors import CostTable
from governance.anomaly_words import DRIVERS
from governance.dashboards import formats, labels
from governance.dashboards.bar import DIMENSIONS, Bar
from governance.dashboards.reading import CELL_DIMENSIONS
from governance.dashboards.shown import Shown, exact_money
from governance.forecasting.drivers import Cell, Drivers, split

Key = tuple[str | None, ...]
# The drawing's units of width.
WIDTH = 400


@dataclass(frozen=True)
class Step:
    """A driver's bar, from where the one before it ended; or, at the foot, the whole difference from nothing."""

    driver: str
    name: str
    meaning: str
    amount: Shown
    x: int
    width: int
    start: int  # where it begins, for the line down from the bar above
    words: str
    link: str


@dataclass(frozen=True)
class Waterfall:
    """The parts sum to the difference exactly. zero: where nothing is, in units of width."""

    steps: tuple[Step, ...]
    total: Step
    before: Shown
    after: Shown
    zero: int


@dataclass(frozen=True)
class EntityRow:
    """What one entity of the page's dimension adds to each driver."""

    label: str
    link: str
    before: Shown
    after: Shown
    difference: Shown
    parts: tuple[Shown, ...]


@dataclass(frozen=True)
class ByEntity:
    heads: tuple[tuple[str, str, str], ...]  # driver, name, meaning
    rows: tuple[EntityRow, ...]
    total: EntityRow


@dataclass(frozen=True)
class Changed:
    """The comparison's cells, the span's, and each cell's parts of the difference, in one currency."""

    before: Mapping[Key, Cell]
    after: Mapping[Key, Cell]
    parts: Mapping[Key, Drivers]

    @property
    def total(self) -> Drivers:
        return sum(self.parts.values(), Drivers())


def changed(before: CostTable, after: CostTable, currency: str) -> Changed | None:
    """None where one side is unknown, or too long to be read whole: a part of a split is none."""
    if before.next_after is not None or after.next_after is not None:
        return None
    old, new = _cells(before, currency), _cells(after, currency)
    return Changed(old, new, split(old, new)) if old and new else None


def dimension_of(bar: Bar) -> Dimension:
    """By what contributions are named: the page's grouping where cells have it, else the model."""
    return bar.group_by if bar.group_by in CELL_DIMENSIONS else Dimension.MODEL


def waterfall(found: Changed, bar: Bar, currency: str, names: Mapping[str, str]) -> Waterfall:
    """The drivers that moved something, in the order in which people read them, and their sum."""
    amounts = {name: amount for name, amount in found.total.parts().items() if amount or name != "unmetered"}
    ends = [Decimal(0)]
    for amount in amounts.values():
        ends.append(EXACT.add(ends[-1], amount))
    low, high = min(ends), max(ends)
    scale = (WIDTH - 4) / (high - low) if high > low else Decimal(0)

    def place(value: Decimal) -> int:
        return 2 + int((value - low) * scale)

    steps = tuple(
        _step(name, amount, place(start), place(EXACT.add(start, amount)), currency)
        for (name, amount), start in zip(amounts.items(), ends, strict=False)
    )
    by = dimension_of(bar)
    named = tuple(_named(step, _contributions(found, by, step.driver, currency, names), bar) for step in steps)
    before, after = _sum(found.before), _sum(found.after)
    whole = _step("", EXACT.subtract(after, before), place(Decimal(0)), place(ends[-1]), currency)
    return Waterfall(
        steps=named,
        total=whole,
        before=Shown(formats.money(before, currency), exact_money(before, currency)),
        after=Shown(formats.money(after, currency), exact_money(after, currency)),
        zero=place(Decimal(0)),
    )


def by_entity(found: Changed, bar: Bar, driver: str, currency: str, names: Mapping[str, str]) -> ByEntity:
    """Every entity of the page's dimension, by how much it moves `driver` ('' is the whole difference)."""
    by = dimension_of(bar)
    place = CELL_DIMENSIONS.index(by)
    sums: dict[str | None, Drivers] = defaultdict(Drivers)
    for key, drivers in found.parts.items():
        sums[key[place]] = sums[key[place]] + drivers
    shown = [name for name, amount in found.total.parts().items() if amount or name != "unmetered"]

    def amount_of(drivers: Drivers) -> Decimal:
        return drivers.parts()[driver] if driver else drivers.total

    ordered = sorted(sums, key=lambda each: (-abs(amount_of(sums[each])), str(each)))
    rows = tuple(
        _entity_row(
            labels.entity(by.value, entity, dict(names)),
            bar.with_filter(by, entity).query(),
            [found.before[key].cost for key in found.before if key[place] == entity],
            [found.after[key].cost for key in found.after if key[place] == entity],
            [sums[entity].parts()[name] for name in shown],
            currency,
        )
        for entity in ordered
    )
    total = _entity_row(
        "All",
        bar.query(),
        [cell.cost for cell in found.before.values()],
        [cell.cost for cell in found.after.values()],
        [found.total.parts()[name] for name in shown],
        currency,
    )
    return ByEntity(tuple((name, DRIVERS[name].name, DRIVERS[name].meaning) for name in shown), rows, total)


def label_of(bar: Bar) -> tuple[str, str]:
    """The dimension of `by_entity` in the singular and the plural."""
    return DIMENSIONS[dimension_of(bar)]


def _cells(table: CostTable, currency: str) -> dict[Key, Cell]:
    return {
        row.group: Cell(row.amounts.total, row.amounts.metered_tokens)
        for row in table.rows
        if row.currency == currency and row.amounts.total is not None
    }


def _step(name: str, amount: Decimal, start: int, end: int, currency: str) -> Step:
    css = "up" if amount > 0 else "down" if amount < 0 else ""
    words = DRIVERS[name] if name else None
    return Step(
        driver=name,
        name=words.name if words else "Difference",
        meaning=words.meaning if words else "",
        amount=Shown(formats.signed_money(amount, currency), exact_money(amount, currency), css),
        x=min(start, end),
        width=max(1, abs(end - start)) if amount else 0,
        start=start,
        words="",
        link="",
    )


def _named(step: Step, words: str, bar: Bar) -> Step:
    return Step(**{**vars(step), "words": words, "link": f"{bar.query()}&driver={step.driver}"})


def _contributions(found: Changed, by: Dimension, driver: str, currency: str, names: Mapping[str, str]) -> str:
    """'mostly Claims, +12,300.00': who moved it most, in the direction in which it moved."""
    place = CELL_DIMENSIONS.index(by)
    sums: dict[str | None, Decimal] = defaultdict(Decimal)
    for key, drivers in found.parts.items():
        sums[key[place]] = EXACT.add(sums[key[place]], getattr(drivers, driver))
    whole = exact_sum(sums.values())
    mine = [each for each in sums if sums[each] and (sums[each] > 0) == (whole > 0)] if whole else []
    if not mine:
        return ""
    most = max(sorted(mine, key=str), key=lambda each: abs(sums[each]))
    alone = "only" if len(mine) == 1 else "mostly"
    return f"{alone} {labels.entity(by.value, most, dict(names))}, {formats.signed_money(sums[most], currency)}"


def _entity_row(
    label: str, link: str, before: Sequence[Decimal], after: Sequence[Decimal], parts: Sequence[Decimal], currency: str
) -> EntityRow:
    old, new = exact_sum(before), exact_sum(after)
    return EntityRow(
        label=label,
        link=link,
        before=Shown(formats.money(old, currency), exact_money(old, currency)),
        after=Shown(formats.money(new, currency), exact_money(new, currency)),
        difference=_signed(EXACT.subtract(new, old), currency),
        parts=tuple(_signed(part, currency) for part in parts),
    )


def _signed(amount: Decimal, currency: str) -> Shown:
    css = "up" if amount > 0 else "down" if amount < 0 else "muted"
    return Shown(formats.signed_money(amount, currency) if amount else "0", exact_money(amount, currency), css)


def _sum(cells: Mapping[Key, Cell]) -> Decimal:
    return exact_sum(cell.cost for cell in cells.values())
