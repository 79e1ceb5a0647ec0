"""What the bar's template prints: its choices, the filter chips, what a filter can be set to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

from attribution.queries import Dimension, Filter, Granularity, Operator
from attribution.selectors import CostTable
from governance.dashboards import formats, labels
from governance.dashboards.bar import BASES, COMPARISONS, DEEPER, DIMENSIONS, DRILL, PERIODS, Bar, label_of, month_of

MAX_NAMED = 3
_PERIOD = ("period", "from", "to")


@dataclass(frozen=True)
class Chip:
    """A filter that holds; `without` is the query of the page without it."""

    label: str
    words: str
    without: str


@dataclass(frozen=True)
class Choice:
    label: str
    amount: str
    query: str
    is_chosen: bool


@dataclass(frozen=True)
class Choices:
    label: str
    values: tuple[Choice, ...]


def bar_context(bar: Bar, names: Mapping[str, str], newest: date | None) -> dict[str, Any]:
    """The context of the bar and of what refers to it. newest: the last day with figures."""
    plural = (DIMENSIONS | DEEPER)[bar.group_by][1]
    next_level = next(iter(DRILL[bar.group_by]), None)
    by_token_type = bar.group_by is Dimension.TOKEN_TYPE
    return {
        "bar": bar,
        "against": bar.against,
        "chips": chips(bar, names),
        "periods": [(key, label) for key, label in PERIODS.items() if key != "custom"],
        "comparisons": COMPARISONS.items(),
        "bases": BASES.items(),
        "dimensions": [(dimension, label) for dimension, (label, _) in DIMENSIONS.items()],
        "last_day": bar.span.end - timedelta(days=1),
        # What the form of own dates carries on: all but the period itself.
        "carried": [("period", "custom"), *(pair for pair in parse_qsl(bar.query()) if pair[0] not in _PERIOD)],
        "plural": plural,
        "next_label": label_of(next_level).lower() + "s" if next_level else "",
        "monthly": bar.granularity is Granularity.MONTH,
        "price_head": "$ / 1M" if by_token_type else "$ / 1M out",
        "price_meaning": (
            "attributed cost of this token type / its tokens × 1,000,000, billed days"
            if by_token_type
            else "attributed cost / output tokens × 1,000,000, billed days"
        ),
        "top_query": replace(bar, filters=()).query(),
        "newest": newest,
        "newest_query": replace(bar, period="custom", span=month_of(newest)).query() if newest else "",
    }


def chips(bar: Bar, names: Mapping[str, str]) -> tuple[Chip, ...]:
    return tuple(Chip(label_of(each.dimension), _words(each, names), bar.without(each).query()) for each in bar.filters)


def choices(bar: Bar, dimension: Dimension, found: CostTable, names: Mapping[str, str]) -> Choices:
    """The values of a dimension, dearest first; choosing one that holds takes it away, another is added to it."""
    held = next((each for each in bar.filters if each.dimension is dimension and each.operator is Operator.IN), None)
    chosen = set(held.values) if held else set()
    values: dict[str | None, Choice] = {}
    for row in found.rows:
        value = row.group[0]
        if value in values:
            continue
        wanted: tuple[str | None, ...] = (None,) if value is None else tuple(sorted(chosen ^ {value}))
        values[value] = Choice(
            labels.entity(dimension.value, value, dict(names)),
            f"{formats.tile_money(row.amounts.total, row.currency)}",
            bar.with_filter(dimension, *wanted).query(),
            value in chosen,
        )
    return Choices(label_of(dimension), tuple(values.values()))


def _words(condition: Filter, names: Mapping[str, str]) -> str:
    if condition.operator is Operator.NULL:
        return labels.entity(condition.dimension.value, None)
    if condition.operator is Operator.NOT_NULL:
        return "any"
    shown = [labels.entity(condition.dimension.value, each, dict(names)) for each in condition.values[:MAX_NAMED]]
    more = len(condition.values) - len(shown)
    words = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return {Operator.NOT: f"not {words}", Operator.PREFIX: f"{words}…"}.get(condition.operator, words)
