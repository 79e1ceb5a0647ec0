"""The tiles of the Overview: a figure, its change against the comparison in words, and a sparkline. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from attribution.queries import Granularity
from attribution.selectors import Amounts, CostTable
from governance.dashboards import figures, formats
from governance.dashboards.context import Context, against_days, buckets_of
from governance.dashboards.shown import NO_BILL_BASIS, Shown, exact_money

NO_TOKENS = "No telemetry counted tokens here"
NO_UNIT = "Unit prices are of attributed, billed parts with known tokens"


@dataclass(frozen=True)
class Tile:
    label: str
    meaning: str
    figure: Shown
    unit: str
    change: Shown | None  # the change in words' first part: "+6.9 %"
    words: str
    spark: str
    spark_label: str


def tiles(page: Context) -> tuple[Tile, ...]:
    """Spend, its estimated part, price of output, attributed share (for readers of everything), tokens."""
    shown = [_spend_tile(page), _estimated_tile(page), _price_tile(page)]
    if page.everything:
        # Parts without an owner are in nobody's team, so a share of them would always read 100 %.
        shown.append(_share_tile(page))
    return (*shown, _tokens_tile(page))


def _spend_tile(page: Context) -> Tile:
    now, before = page.total(page.facts.groups), page.total(page.facts.against)
    total, earlier = now.total if now else None, before.total if before else None
    return Tile(
        "Spend to date",
        f"{page.bar.basis.value}_cost of inference and platform: billed days, plus the estimate of days not yet billed",
        Shown(formats.tile_money(total, page.currency), exact_money(total, page.currency, NO_BILL_BASIS)),
        page.currency,
        _percent_change(total, earlier, coloured=True),
        _versus(page, formats.tile_money(earlier, page.currency) if earlier is not None else None),
        _spark(page, lambda amounts: amounts.total),
        _per_bucket(page),
    )


def _estimated_tile(page: Context) -> Tile:
    now = page.total(page.facts.groups)
    estimated = now.estimated_cost if now else None
    before = page.total(page.facts.against)
    earlier = before.estimated_cost if before else None
    amount = estimated if estimated is not None else (Decimal(0) if now else None)
    words = "every day is billed" if now else ""
    if now and amount:
        words = f"{formats.percent(amount, now.total)} % of spend"
        if page.bar.against:
            words += f" vs {formats.tile_money(earlier, page.currency) if earlier else 'none'} in {against_days(page)}"
        if now.uncounted_cost:
            words += f"; the open bill has {formats.tile_money(now.uncounted_cost, page.currency)} of it, not added"
    return Tile(
        "Estimated part",
        "telemetry priced by the price book, for days that no settled bill covers; retired when the bill arrives",
        Shown(formats.tile_money(amount, page.currency), exact_money(amount, page.currency, "Nothing is known here")),
        page.currency,
        None,
        words,
        _spark(page, lambda amounts: amounts.estimated_cost or Decimal(0)),
        _per_bucket(page),
    )


def _price_tile(page: Context) -> Tile:
    units = page.facts.units
    now = page.unit(units.total if units else None)
    before = page.unit(units.against if units else None)
    price = now.micros_per_output_token if now else None
    earlier = before.micros_per_output_token if before else None
    by_bucket = {row.bucket: row for row in (units.buckets.rows if units else ()) if row.currency == page.currency}
    values = [
        by_bucket[bucket].micros_per_output_token if bucket in by_bucket else None
        for bucket in buckets_of(page.bar.span, page.bar.granularity)
    ]
    return Tile(
        f"{formats.symbol(page.currency).strip()} per 1M output tokens",
        f"attributed {page.bar.basis.value}_cost / output tokens × 1,000,000, all models, billed days only",
        Shown(formats.unit_price(price), exact_money(price, page.currency, NO_UNIT)),
        "",
        _percent_change(price, earlier, coloured=True),
        _versus(page, formats.unit_price(earlier) if earlier is not None else None),
        figures.sparkline(values),
        _per_bucket(page),
    )


def _share_tile(page: Context) -> Tile:
    amounts = page.total(page.facts.shares)
    share, earlier = _share(amounts), _share(page.total(page.facts.shares_against))
    change = None
    if share is not None and earlier is not None:
        points = ((share - earlier) * 100).quantize(Decimal("0.01"))
        sign = "+" if points > 0 else formats.MINUS if points < 0 else ""
        change = Shown(f"{sign}{abs(points)} points", css="down" if points > 0 else "up" if points < 0 else "")
    without = amounts.unattributed_cost if amounts else None
    words = _versus(page, f"{earlier * 100:.2f} %" if earlier is not None else None)
    if without:
        words = "; ".join(filter(None, [words, f"{formats.tile_money(without, page.currency)} without an owner"]))
    return Tile(
        "Attributed share",
        "attributed / billed cost of inference and platform, effective basis, billed days",
        Shown(
            formats.UNKNOWN if share is None else f"{share * 100:.2f}",
            f"{formats.exact(share * 100)} %" if share is not None else NO_BILL_BASIS,
        ),
        "%" if share is not None else "",
        change,
        words,
        _spark_of(page, page.facts.shares, _share),
        _per_bucket(page),
    )


def _tokens_tile(page: Context) -> Tile:
    now, before = page.total(page.facts.groups), page.total(page.facts.against)
    tokens, earlier = now.metered_tokens if now else None, before.metered_tokens if before else None
    text, unit = formats.compact(tokens)
    return Tile(
        "Tokens",
        "tokens that telemetry counted for these costs, input, cache and output",
        Shown(text, f"{tokens:,} tokens" if tokens is not None else NO_TOKENS),
        {"M": "million", "B": "billion", "T": "trillion"}.get(unit, ""),
        _percent_change(_decimal(tokens), _decimal(earlier), coloured=False),
        _versus(page, " ".join(formats.compact(earlier)).strip() if earlier is not None else None),
        _spark(page, lambda amounts: _decimal(amounts.metered_tokens)),
        _per_bucket(page),
    )


def _share(amounts: Amounts | None) -> Decimal | None:
    if amounts is None or not amounts.cost or amounts.attributed_cost is None:
        return None
    return amounts.attributed_cost / amounts.cost


def _percent_change(now: Decimal | None, before: Decimal | None, *, coloured: bool) -> Shown | None:
    if now is None or before is None:
        return None
    text = formats.change(now, before)
    return Shown(
        text if text in ("new", "gone", formats.UNKNOWN) else f"{text} %",
        css=formats.direction(now, before) if coloured else "",
    )


def _versus(page: Context, earlier: str | None) -> str:
    """'vs $195,052 in 1–23 Oct'; says so when there is nothing to compare with."""
    if page.bar.against is None:
        return ""
    return f"vs {earlier} in {against_days(page)}" if earlier else f"nothing known for {against_days(page)}"


def _per_bucket(page: Context) -> str:
    return "per day" if page.bar.granularity is Granularity.DAY else "per month"


def _spark(page: Context, value: Callable[[Amounts], Decimal | None]) -> str:
    return _spark_of(page, page.facts.buckets, value)


def _spark_of(page: Context, table: CostTable, value: Callable[[Amounts], Decimal | None]) -> str:
    by_bucket = {row.bucket: row.amounts for row in page.of(table)}
    buckets = buckets_of(page.bar.span, page.bar.granularity)
    return figures.sparkline([value(by_bucket[each]) if each in by_bucket else None for each in buckets])


def _decimal(count: int | None) -> Decimal | None:
    return None if count is None else Decimal(count)
