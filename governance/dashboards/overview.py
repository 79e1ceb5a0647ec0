"""The Overview: the selectors' tables in, what the template prints out. Pure; every figure is written by `formats`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from attribution.queries import Dimension, Granularity
from attribution.selectors import Amounts, CostTable, UnitCostRow
from attribution.vocabulary import TOKEN_BUCKETS, TokenType
from governance.dashboards import changed, figures, formats, labels, palette
from governance.dashboards.bar import Bar
from governance.dashboards.context import Context, against_days, buckets_of
from governance.dashboards.reading import OverviewFacts
from governance.dashboards.shown import Shown, exact_money, shown_money
from governance.dashboards.tiles import NO_TOKENS, NO_UNIT, Tile, tiles

MAX_TABLE_ROWS = 60


@dataclass(frozen=True)
class TableRow:
    key: str | None
    label: str
    meaning: str
    slot: int
    link: str  # the query of the page one level down; '' at the lowest level
    cost: Shown
    estimated: Shown
    share: Shown
    change: Shown
    tokens: Shown
    price: Shown
    cache: Shown


@dataclass(frozen=True)
class ReasonRow:
    label: str
    meaning: str
    link: str
    amount: Shown
    share: str


@dataclass(frozen=True)
class Attribution:
    """The billed part: who owns it, and why the rest has no owner. The rows add up to `billed`."""

    billed: Shown
    attributed: Shown
    attributed_share: str
    per_mille: int
    reasons: tuple[ReasonRow, ...]


@dataclass(frozen=True)
class DailyRow:
    label: str
    amounts: tuple[Shown, ...]
    total: Shown
    estimated: Shown


@dataclass(frozen=True)
class Overview:
    currency: str
    other_currencies: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    figure: figures.Figure
    legend: tuple[tuple[int, str], ...]
    has_estimates: bool
    rows: tuple[TableRow, ...]
    total: TableRow | None
    daily_heads: tuple[str, ...]
    daily: tuple[DailyRow, ...]
    attribution: Attribution | None
    changed: changed.Waterfall | None
    ahead: tuple[DailyRow, ...]
    unknown_parts: int
    cut: bool


def build(
    facts: OverviewFacts,
    bar: Bar,
    *,
    names: dict[str, str],
    everything: bool,
    slots: Callable[[str, Sequence[str]], dict[str, int]],
    ahead: figures.Ahead | None = None,
    marks: Sequence[figures.Mark] = (),
) -> Overview:
    """The page. ahead, marks: what the figure shows beside the costs.

    names: slug -> catalogue's name; slots: as `palette.slots_of`; everything: does the reader see all."""
    currency = main_currency(facts.groups)
    page = Context(bar, facts, currency, names, everything)
    ranked = [row.group[0] for row in page.of(facts.groups)]
    slot_of = slots(bar.group_by.value, [key or "" for key in ranked])
    drawn = palette.shown([key or "" for key in ranked], slot_of)
    series = _series(page, drawn, slot_of)
    buckets = buckets_of(bar.span, bar.granularity)
    total = page.total(facts.groups)
    rows = _rows(page, slot_of, set(drawn))
    others = tuple(
        (each.currency, bar.with_filter(Dimension.CURRENCY, each.currency).query())
        for each in facts.groups.totals
        if each.currency != currency
    )
    return Overview(
        currency=currency,
        other_currencies=others,
        tiles=tiles(page),
        figure=figures.stacked_bars(
            buckets,
            series,
            currency=currency,
            monthly=bar.granularity is Granularity.MONTH,
            ahead=ahead,
            marks=marks,
        ),
        legend=tuple((each.slot, each.label) for each in series),
        has_estimates=any(amount is not None for each in series for amount in each.estimated),
        rows=rows,
        total=_row(page, None, total, page.total(facts.against), slot=0, label="Total", link="") if total else None,
        daily_heads=tuple(each.label for each in series),
        daily=_daily(page, buckets, series),
        attribution=_attribution(page) if everything else None,
        changed=_changed(page),
        ahead=_ahead_rows(ahead, currency),
        unknown_parts=total.unknown_parts if total else 0,
        cut=facts.series.next_after is not None or facts.groups.next_after is not None,
    )


def main_currency(table: CostTable) -> str:
    """Currencies never add up, so a page shows one: US dollars if there are any, else the largest amount's."""
    totals = sorted(table.totals, key=lambda each: (each.currency != "USD", -abs(each.amounts.total or Decimal(0))))
    return totals[0].currency if totals else "USD"


# Figure and its daily table


def _series(page: Context, drawn: Sequence[str], slot_of: dict[str, int]) -> list[figures.Series]:
    """A series for each drawn entity, and `Other` for the rest, with its number of entities."""
    buckets = buckets_of(page.bar.span, page.bar.granularity)
    cells: dict[tuple[str, date | None], list[Amounts]] = defaultdict(list)
    rest: set[str] = set()
    for row in page.of(page.facts.series):
        key = row.group[0] or ""
        if key not in drawn:
            rest.add(key)
        cells[key if key in drawn else "\0other", row.bucket].append(row.amounts)
    wanted = [(key, page.label(key or None), slot_of[key]) for key in drawn]
    if rest:
        wanted.append(("\0other", f"Other ({len(rest)})", palette.OTHER))
    return [
        figures.Series(
            label,
            slot,
            [_sum(each.cost for each in cells[key, bucket]) for bucket in buckets],
            [_sum(each.estimated_cost for each in cells[key, bucket]) for bucket in buckets],
        )
        for key, label, slot in wanted
    ]


def _daily(page: Context, buckets: Sequence[date], series: Sequence[figures.Series]) -> tuple[DailyRow, ...]:
    by_bucket = {row.bucket: row.amounts for row in page.of(page.facts.buckets)}
    monthly = page.bar.granularity is Granularity.MONTH
    rows = []
    for index, bucket in enumerate(buckets):
        amounts = by_bucket.get(bucket)
        rows.append(
            DailyRow(
                formats.month(f"{bucket:%Y-%m}") if monthly else formats.day(bucket),
                tuple(shown_money(_sum((each.billed[index], each.estimated[index])), page.currency) for each in series),
                shown_money(amounts.total if amounts else None, page.currency),
                shown_money(amounts.estimated_cost if amounts else None, page.currency, "Billed, or nothing known"),
            )
        )
    return tuple(rows)


def _ahead_rows(ahead: figures.Ahead | None, currency: str) -> tuple[DailyRow, ...]:
    """The numbers of the band: 10th percentile, middle, 90th."""
    if ahead is None:
        return ()
    why = "Nothing is foreseen"
    return tuple(
        DailyRow(
            formats.day(day),
            (shown_money(low, currency, why), shown_money(high, currency, why)),
            shown_money(middle, currency, why),
            shown_money(None, currency, "A forecast is no estimate of what was used"),
        )
        for day, low, middle, high in zip(ahead.days, ahead.low, ahead.middle, ahead.high, strict=True)
    )


def _changed(page: Context) -> changed.Waterfall | None:
    if page.facts.changed is None:
        return None
    found = changed.changed(*page.facts.changed, page.currency)
    return changed.waterfall(found, page.bar, page.currency, page.names) if found else None


# Table


def _rows(page: Context, slot_of: dict[str, int], drawn: set[str]) -> tuple[TableRow, ...]:
    before = {row.group[0]: row.amounts for row in page.of(page.facts.against)}
    facts = [(row.group[0], row.amounts) for row in page.of(page.facts.groups)]
    ordered = sorted(facts, key=lambda each: _sort_key(page, each[0], each[1], before.get(each[0])))
    if page.bar.sort.startswith("-"):
        ordered.reverse()
    rows = []
    for key, amounts in ordered[:MAX_TABLE_ROWS]:
        down = page.bar.drilled(key)
        rows.append(
            _row(
                page,
                key,
                amounts,
                before.get(key, _nothing() if before else None),
                slot=slot_of[key or ""] if (key or "") in drawn else palette.OTHER,
                label=page.label(key),
                link=down.query() if down else "",
            )
        )
    return tuple(rows)


def _row(
    page: Context, key: str | None, now: Amounts, before: Amounts | None, *, slot: int, label: str, link: str
) -> TableRow:
    total = page.total(page.facts.groups)
    unit = _unit_row(page, key) if label != "Total" else page.unit(page.facts.units.total if page.facts.units else None)
    price = _price(page, key, unit) if label != "Total" else (unit.micros_per_output_token if unit else None)
    earlier = before.total if before else None
    if before is not None and earlier is None:
        earlier = Decimal(0)
    return TableRow(
        key=key,
        label=label,
        meaning=labels.meaning(page.bar.group_by.value, key) if label != "Total" else "",
        slot=slot,
        link=link,
        cost=shown_money(now.total, page.currency),
        estimated=shown_money(now.estimated_cost, page.currency, "All days are billed"),
        share=Shown(formats.percent(now.total, total.total if total else None)),
        change=Shown(
            formats.change(now.total, earlier),
            f"{formats.exact(earlier)} {page.currency} in {against_days(page)}" if earlier is not None else "",
            formats.direction(now.total, earlier),
        ),
        tokens=Shown(
            formats.millions(now.metered_tokens), f"{now.metered_tokens:,}" if now.metered_tokens else NO_TOKENS
        ),
        price=Shown(formats.unit_price(price), exact_money(price, page.currency, NO_UNIT)),
        cache=_cache(unit),
    )


def _unit_row(page: Context, key: str | None) -> UnitCostRow | None:
    units = page.facts.units
    table = units.groups if units else None
    found = [row for row in table.rows if row.group == (key,) and row.currency == page.currency] if table else []
    return found[0] if found else None


def _price(page: Context, key: str | None, unit: UnitCostRow | None) -> Decimal | None:
    """$ per 1M output tokens of a group; of a token type, per 1M of its own tokens."""
    if page.bar.group_by is not Dimension.TOKEN_TYPE:
        return unit.micros_per_output_token if unit else None
    overall = page.unit(page.facts.units.total if page.facts.units else None)
    return overall.micros_per_token.get(key or "") if overall else None


def _cache_share(unit: UnitCostRow | None) -> Decimal | None:
    """Cache reads of all input tokens."""
    read, inputs = _cache_counts(unit)
    return Decimal(read) / inputs if read is not None and inputs else None


def _cache_counts(unit: UnitCostRow | None) -> tuple[int | None, int]:
    """Tokens read from a cache, and all input tokens that are known."""
    tokens = unit.tokens if unit else {}
    known = [
        count for each in TOKEN_BUCKETS if each is not TokenType.OUTPUT and (count := tokens.get(each)) is not None
    ]
    return tokens.get(TokenType.CACHE_READ), sum(known)


def _cache(unit: UnitCostRow | None) -> Shown:
    if unit is None:
        return Shown(formats.UNKNOWN, NO_UNIT)
    read, inputs = _cache_counts(unit)
    if read is None or not inputs:
        return Shown(formats.UNKNOWN, "Cache reads are not known here")
    return Shown(formats.percent(Decimal(read), Decimal(inputs), 0), f"{read:,} of {inputs:,} input tokens")


def _sort_key(page: Context, key: str | None, now: Amounts, before: Amounts | None) -> tuple[Any, ...]:
    """Sorts a row; unknown sorts as the smallest."""
    column = page.bar.sort.lstrip("-")
    if column == "name":
        return (page.label(key).lower(),)
    value: Decimal | int | None = now.total
    if column == "estimated":
        value = now.estimated_cost
    elif column == "tokens":
        value = now.metered_tokens
    elif column == "price":
        value = _price(page, key, _unit_row(page, key))
    elif column == "change":
        earlier = before.total if before and before.total else None
        value = (now.total - earlier) / abs(earlier) if now.total is not None and earlier else None
    elif column == "cache":
        value = _cache_share(_unit_row(page, key))
    return (value is not None, value or 0, now.total or 0)


# Attributed and unattributed


def _attribution(page: Context) -> Attribution | None:
    amounts = page.total(page.facts.groups)
    if amounts is None or amounts.cost is None:
        return None
    owned = amounts.attributed_cost or Decimal(0)
    reasons = []
    for row in page.of(page.facts.reasons):
        reason = row.group[0]
        narrowed = page.bar.with_filter(Dimension.REASON, reason)
        down = replace(narrowed, group_by=Dimension.MODEL, sort="-cost")
        reasons.append(
            ReasonRow(
                labels.entity("reason", reason) if reason else "No reason given",
                labels.meaning("reason", reason),
                down.query(),
                shown_money(row.amounts.cost, page.currency),
                formats.percent(row.amounts.cost, amounts.cost, 2),
            )
        )
    share = owned / amounts.cost if amounts.cost else Decimal(0)
    return Attribution(
        billed=shown_money(amounts.cost, page.currency),
        attributed=shown_money(owned, page.currency),
        attributed_share=formats.percent(owned, amounts.cost, 2),
        per_mille=int(max(Decimal(0), min(Decimal(1), share)) * 1000),
        reasons=tuple(reasons),
    )


# Small parts


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _nothing() -> Amounts:
    """A group that the comparison does not have."""
    return Amounts(Decimal(0), None, None, Decimal(0), 0, None, None, None)
