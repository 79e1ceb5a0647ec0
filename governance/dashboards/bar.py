"""The analytic bar: what a page shows, read from its URL and nowhere else, and the links that change one part of it.

Pure: takes the query and `today`. A part that can't be read falls back to its default and is named in `ignored`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import quote, urlencode

from attribution.vocabulary import Basis

PERIODS = {
    "this-month": "This month",
    "last-month": "Last month",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "13m": "Last 13 months",
    "custom": "Custom",
}
COMPARISONS = {"previous": "Previous period", "none": "Nothing"}
BASES = {
    Basis.EFFECTIVE: "commitments and discounts spread over the usage they cover (effective_cost)",
    Basis.BILLED: "what is on the invoice (billed_cost)",
    Basis.LIST: "the public price, before any discount (list_cost)",
    Basis.CONTRACTED: "the negotiated price, before commitments (contracted_cost)",
}
# What a page can be grouped by: the grammar's name -> (label, plural).
DIMENSIONS = {
    "model": ("Model", "Models"),
    "team": ("Team", "Teams"),
    "project": ("Project", "Projects"),
    "provider": ("Provider", "Providers"),
    "token_type": ("Token type", "Token types"),
    "region": ("Region", "Regions"),
    "method": ("Method", "Methods"),
}
# One level down from each dimension: provider -> model -> token type, team -> project -> model.
DRILL = {
    "provider": ("model", "token_type"),
    "team": ("project", "model", "token_type"),
    "project": ("model", "token_type"),
    "model": ("token_type", "provider"),
    "region": ("model", "token_type"),
    "method": ("model", "token_type"),
    "token_type": ("model",),
}
# A filter for rows that name nothing in that dimension.
NOTHING_NAMED = "null"
FIRST_DAY = date(2000, 1, 1)


@dataclass(frozen=True)
class Span:
    """Days [start, end)."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days


@dataclass(frozen=True)
class Filter:
    dimension: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """One state of the bar. `span` is what the period comes to today."""

    period: str
    span: Span
    compare: str = "previous"
    basis: Basis = Basis.EFFECTIVE
    group_by: str = "model"
    filters: tuple[Filter, ...] = ()
    sort: str = "-cost"
    currency: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def against(self) -> Span | None:
        """The span that `compare` names."""
        return None if self.compare == "none" else previous(self.period, self.span)

    @property
    def granularity(self) -> str:
        """Bars of a day; of a month where days would be too thin to see."""
        return "day" if self.span.days <= 92 else "month"

    def filtered(self, dimension: str) -> tuple[str, ...]:
        return next((each.values for each in self.filters if each.dimension == dimension), ())

    def query(self) -> str:
        """The query string that reproduces this page; keys and values in one fixed order."""
        pairs = [("period", self.period)]
        if self.period == "custom":
            # The last day, inclusive, as people write it.
            pairs += [("from", f"{self.span.start}"), ("to", f"{self.span.end - timedelta(days=1)}")]
        pairs += [("compare", self.compare), ("basis", self.basis.value), ("group_by", self.group_by)]
        pairs += [(f"filter[{each.dimension}]", ",".join(map(_escape, each.values))) for each in self.filters]
        if self.sort != "-cost":
            pairs.append(("sort", self.sort))
        if self.currency:
            pairs.append(("currency", self.currency))
        return urlencode(pairs, safe="[],", quote_via=quote)

    def with_filter(self, dimension: str, *values: str) -> "Bar":
        """This bar with exactly `values` of a dimension; without a filter on it when there are none."""
        kept = tuple(each for each in self.filters if each.dimension != dimension)
        return replace(self, filters=(*kept, Filter(dimension, values)) if values else kept)

    def without_value(self, dimension: str, value: str) -> "Bar":
        return self.with_filter(dimension, *(each for each in self.filtered(dimension) if each != value))

    def drilled(self, value: str | None) -> "Bar | None":
        """One level down into a row: filtered to it, grouped by the next dimension; None at the lowest level."""
        narrowed = self.with_filter(self.group_by, NOTHING_NAMED if value is None else value)
        down = next((each for each in DRILL[self.group_by] if len(self.filtered(each)) != 1), None)
        return None if down is None else replace(narrowed, group_by=down, sort="-cost")

    def sorted_by(self, column: str) -> "Bar":
        """Sorted by `column`: the largest first, then, chosen again, the smallest; names the other way round."""
        first, second = (column, f"-{column}") if column == "name" else (f"-{column}", column)
        return replace(self, sort=second if self.sort == first else first)


def read(query: Mapping[str, str], today: date, newest: date | None = None) -> Bar:
    """The bar that a URL's query asks for.

    newest: the last day with figures; where the query names no period and this month has none, its month is shown.
    """
    ignored: list[str] = []
    period = _choice(query, "period", PERIODS, "this-month", ignored)
    span = _span(period, today)
    if "period" not in query and newest is not None and newest < span.start:
        period, span = "custom", Span(newest.replace(day=1), _next_month(newest))
    elif period == "custom":
        custom = _custom(query, ignored)
        period, span = ("custom", custom) if custom else ("this-month", _span("this-month", today))
    basis = Basis(_choice(query, "basis", {each.value: "" for each in Basis}, Basis.EFFECTIVE.value, ignored))
    return Bar(
        period=period,
        span=span,
        compare=_choice(query, "compare", COMPARISONS, "previous", ignored),
        basis=basis,
        group_by=_choice(query, "group_by", DIMENSIONS, "model", ignored),
        filters=_filters(query, ignored),
        sort=query.get("sort", "-cost"),
        currency=query.get("currency", "")[:8],
        ignored=tuple(ignored),
    )


def previous(period: str, span: Span) -> Span:
    """What a span is compared with: the same days one month (or 13) before, else as many days just before it."""
    if period in ("this-month", "last-month") or _is_whole_month(span):
        start = _months_before(span.start, 1)
        if span.end.day == 1:
            return Span(start, span.start)
        # 1-30 March against February: what February has.
        return Span(start, min(start + timedelta(days=span.days), span.start))
    if period == "13m":
        return Span(_months_before(span.start, 13), span.start)
    return Span(max(FIRST_DAY, span.start - timedelta(days=span.days)), span.start)


def _span(period: str, today: date) -> Span:
    """A named period, of complete days: today is not over, so it counts only where there would be nothing else."""
    this_month = today.replace(day=1)
    if period == "last-month":
        return Span(_months_before(this_month, 1), this_month)
    if period in ("30d", "90d"):
        return Span(today - timedelta(days=int(period[:-1])), today)
    start = _months_before(this_month, 12) if period == "13m" else this_month
    return Span(start, today if today > start else today + timedelta(days=1))


def _custom(query: Mapping[str, str], ignored: list[str]) -> Span | None:
    try:
        start, last = date.fromisoformat(query.get("from", "")), date.fromisoformat(query.get("to", ""))
    except ValueError:
        ignored.append("the dates of the period: they are written as 2026-11-24")
        return None
    if not FIRST_DAY <= start <= last or (last - start).days > 3 * 366 or last.year > 2100:
        ignored.append(f"the period {start} to {last}: it must run forward, over at most three years")
        return None
    return Span(start, last + timedelta(days=1))


def _filters(query: Mapping[str, str], ignored: list[str]) -> tuple[Filter, ...]:
    found = []
    for name, text in query.items():
        if not name.startswith("filter["):
            continue
        dimension = name[len("filter[") : -1]
        values = tuple(dict.fromkeys(each for each in _split(text) if each))[:50]
        if dimension not in DIMENSIONS or not values:
            ignored.append(f"{name}={text[:60]}")
        else:
            found.append(Filter(dimension, values))
    return tuple(found)


def _choice(query: Mapping[str, str], name: str, known: Mapping[str, object], default: str, ignored: list[str]) -> str:
    value = query.get(name, default)
    if value in known:
        return value
    ignored.append(f"{name}={value[:60]}")
    return default


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,")


def _split(text: str) -> Sequence[str]:
    """Values at commas; a comma or backslash of a value stands behind a backslash."""
    values, current, escaped = [], "", False
    for character in text:
        if escaped or character not in "\\,":
            current, escaped = current + character, False
        elif character == "\\":
            escaped = True
        else:
            values.append(current)
            current = ""
    return [*values, current]


def _is_whole_month(span: Span) -> bool:
    return span.start.day == 1 and span.end == _next_month(span.start)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _months_before(day: date, months: int) -> date:
    """The first day of the month, `months` before that of `day`."""
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, 1)
