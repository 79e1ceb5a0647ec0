"""The analytic bar: what a page shows, read from its URL and nowhere else, and links that change one part of it.

Filters, basis and grouping are the API's words, read by its grammar; the bar adds named periods and a comparison.
Pure: takes the query and `today`. A part that can't be read falls back to its default and is named in `ignored`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import quote, urlencode

from attribution.api import grammar
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator
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
# What a page can be grouped and filtered by: (label, plural).
DIMENSIONS = {
    Dimension.MODEL: ("Model", "Models"),
    Dimension.TEAM: ("Team", "Teams"),
    Dimension.PROJECT: ("Project", "Projects"),
    Dimension.PROVIDER: ("Provider", "Providers"),
    Dimension.TOKEN_TYPE: ("Token type", "Token types"),
    Dimension.REGION: ("Region", "Regions"),
    Dimension.METHOD: ("Method", "Methods"),
}
# Reached by drilling only.
DEEPER = {Dimension.REASON: ("Reason", "Reasons")}
# One level down from each dimension: provider -> model -> token type, team -> project -> model.
DRILL = {
    Dimension.PROVIDER: (Dimension.MODEL, Dimension.TOKEN_TYPE),
    Dimension.TEAM: (Dimension.PROJECT, Dimension.MODEL, Dimension.TOKEN_TYPE),
    Dimension.PROJECT: (Dimension.MODEL, Dimension.TOKEN_TYPE),
    Dimension.MODEL: (Dimension.TOKEN_TYPE,),
    Dimension.REGION: (Dimension.MODEL, Dimension.TOKEN_TYPE),
    Dimension.METHOD: (Dimension.REASON, Dimension.MODEL),
    Dimension.REASON: (Dimension.MODEL, Dimension.TOKEN_TYPE),
    Dimension.TOKEN_TYPE: (),
}
SORTS = ("name", "cost", "estimated", "change", "tokens", "price", "cache")
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
class Bar:
    """One state of the bar. `span` is what the period comes to today."""

    period: str
    span: Span
    compare: str = "previous"
    basis: Basis = Basis.EFFECTIVE
    group_by: Dimension = Dimension.MODEL
    filters: tuple[Filter, ...] = ()
    sort: str = "-cost"
    ignored: tuple[str, ...] = ()

    @property
    def against(self) -> Span | None:
        """The span that `compare` names."""
        return None if self.compare == "none" else previous(self.period, self.span)

    @property
    def granularity(self) -> Granularity:
        """Bars of a day; of a month where days would be too thin to see."""
        return Granularity.DAY if self.span.days <= 92 else Granularity.MONTH

    @property
    def label(self) -> str:
        """The dimension in the singular."""
        return label_of(self.group_by)

    def costs(self, span: Span | None = None, *, basis: Basis | None = None) -> CostQuery:
        """The question that this bar asks, ungrouped, for its own span or another."""
        days = span or self.span
        return CostQuery(days.start, days.end, filters=self.filters, basis=basis or self.basis)

    def query(self) -> str:
        """The query string that reproduces this page; keys and values in one fixed order."""
        pairs = [("period", self.period)]
        if self.period == "custom":
            # The last day, inclusive, as people write it.
            pairs += [("from", f"{self.span.start}"), ("to", f"{self.span.end - timedelta(days=1)}")]
        pairs += [("compare", self.compare), ("basis", self.basis.value), ("group_by", self.group_by.value)]
        pairs += [pair for pair in grammar.to_parameters(self.costs()) if pair[0].startswith("filter[")]
        if self.sort != "-cost":
            pairs.append(("sort", self.sort))
        return urlencode(pairs, safe="[],", quote_via=quote)

    def with_filter(self, dimension: Dimension, *values: str | None) -> "Bar":
        """This bar with only `values` of a dimension; None is 'no value'. No filter on it when there are no values."""
        kept = tuple(each for each in self.filters if each.dimension is not dimension)
        if not values:
            return replace(self, filters=kept)
        named = tuple(each for each in values if each is not None)
        wanted = Filter(dimension, Operator.IN, named) if named else Filter(dimension, Operator.NULL)
        return replace(self, filters=(*kept, wanted))

    def without_dimension(self, dimension: Dimension) -> "Bar":
        return self.with_filter(dimension)

    def without(self, unwanted: Filter) -> "Bar":
        return replace(self, filters=tuple(each for each in self.filters if each != unwanted))

    def drilled(self, value: str | None) -> "Bar | None":
        """One level down into a row: filtered to it, grouped by the next dimension; None at the lowest level."""
        fixed = {each.dimension for each in self.filters if _names_one(each)}
        down = next((each for each in DRILL[self.group_by] if each not in fixed), None)
        if down is None:
            return None
        return replace(self.with_filter(self.group_by, value), group_by=down, sort="-cost")

    def sorted_by(self, column: str) -> "Bar":
        """Sorted by `column`: the largest first, then, chosen again, the smallest; names the other way round."""
        first, second = (column, f"-{column}") if column == "name" else (f"-{column}", column)
        return replace(self, sort=second if self.sort == first else first)


def label_of(dimension: Dimension) -> str:
    known = DIMENSIONS.get(dimension) or DEEPER.get(dimension)
    return known[0] if known else dimension.value.replace("_id", "").replace("_", " ").capitalize()


def read(query: Mapping[str, Sequence[str]], today: date, newest: date | None = None) -> Bar:
    """The bar that a URL's query asks for.

    newest: the last day with figures; where the query names no period and this month has none, its month is shown.
    """
    last = {name: values[-1] for name, values in query.items() if values}
    ignored: list[str] = []
    period = _choice(last, "period", PERIODS, "this-month", ignored)
    span = _span(period, today)
    if "period" not in last and newest is not None and newest < span.start:
        period, span = "custom", month_of(newest)
    elif period == "custom":
        custom = _custom(last, ignored)
        period, span = ("custom", custom) if custom else ("this-month", _span("this-month", today))
    return Bar(
        period=period,
        span=span,
        compare=_choice(last, "compare", COMPARISONS, "previous", ignored),
        basis=Basis(_choice(last, "basis", {each.value: "" for each in Basis}, Basis.EFFECTIVE.value, ignored)),
        group_by=Dimension(_choice(last, "group_by", DIMENSIONS | DEEPER, Dimension.MODEL.value, ignored)),
        filters=_filters(query, span, ignored),
        sort=_choice(last, "sort", {sign + each: "" for sign in ("", "-") for each in SORTS}, "-cost", ignored),
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


def month_of(day: date) -> Span:
    """The whole month of a day."""
    return Span(day.replace(day=1), _next_month(day))


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


def _filters(query: Mapping[str, Sequence[str]], span: Span, ignored: list[str]) -> tuple[Filter, ...]:
    """The filters as the API's grammar reads them; one that it refuses is left out."""
    wanted = {name: values for name, values in query.items() if name.startswith("filter[")}
    dates = {"start": [f"{span.start}"], "end": [f"{span.end}"]}
    try:
        return grammar.parse_costs({**dates, **wanted}).filters
    except grammar.NotUnderstood as error:
        refused = {mistake.field for mistake in error.mistakes}
        ignored += [f"{mistake.field}: {mistake.message}" for mistake in error.mistakes]
        kept = {name: values for name, values in wanted.items() if name not in refused}
        # Each round drops at least one name, so this ends; a mistake that names no parameter drops them all.
        return _filters(kept, span, []) if len(kept) < len(wanted) else ()


def _names_one(condition: Filter) -> bool:
    one_value = condition.operator is Operator.IN and len(condition.values) == 1
    return one_value or condition.operator is Operator.NULL


def _choice(
    query: Mapping[str, str],
    name: str,
    known: Iterable[str],
    default: str,
    ignored: list[str],
) -> str:
    value = query.get(name, default)
    if value in known:
        return value
    ignored.append(f"{name}={value[:60]}")
    return default


def _is_whole_month(span: Span) -> bool:
    return span.start.day == 1 and span.end == _next_month(span.start)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _months_before(day: date, months: int) -> date:
    """The first day of the month, `months` before that of `day`."""
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, 1)
