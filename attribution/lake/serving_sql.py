"""From a question to the SQL that answers it from a serving file: which table, which columns, which conditions.

Text that goes into SQL comes from closed lists (`Dimension`, `Basis`, `Granularity`, `Order`) and the models below
`attribution/sql/serving`; every value that a reader sent is a parameter. The team scope is a condition like the others,
added here and nowhere else, so that no question can be asked without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from attribution.lake.engine import model_sql
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator, Order, UnitCostQuery
from attribution.scope import TeamScope

# The columns that the day and month tables of the overview keep; the full tables keep every dimension.
NARROW = (
    Dimension.CURRENCY,
    Dimension.CHARGE_SCOPE,
    Dimension.PROVIDER,
    Dimension.MODEL,
    Dimension.TEAM,
    Dimension.TOKEN_TYPE,
    Dimension.METHOD,
    Dimension.REASON,
)
EVERY = tuple(Dimension)


@dataclass(frozen=True)
class ServingTable:
    """A table of a serving file: what can be asked of it. `monthly` tables know whole months only."""

    name: str
    dimensions: tuple[Dimension, ...]
    monthly: bool


# Smallest first: a question goes to the first that can answer it.
TABLES = (
    ServingTable("costs_narrow_by_month", NARROW, True),
    ServingTable("costs_narrow", NARROW, False),
    ServingTable("costs_by_month", EVERY, True),
    ServingTable("costs", EVERY, False),
)
# A page begins after this: the sort value (text of a decimal, None where it was unknown) and the key of a row.
PageStart = tuple[str | None, str]

_BUCKETS = {
    Granularity.TOTAL: "cast(null as date)",
    Granularity.DAY: "day",
    Granularity.MONTH: "cast(date_trunc('month', day) as date)",
}
_ORDERS = {
    Order.KEY: ("page_key", "page_key > $after_key"),
    Order.TOTAL: (
        "total desc nulls last, page_key",
        "(case when $after_total is null then total is null and page_key > $after_key"
        " else total is null or total < cast($after_total as decimal(38, 18))"
        " or (total = cast($after_total as decimal(38, 18)) and page_key > $after_key) end)",
    ),
    Order.TOTAL_ASCENDING: (
        "total nulls last, page_key",
        "(case when $after_total is null then total is null and page_key > $after_key"
        " else total is null or total > cast($after_total as decimal(38, 18))"
        " or (total = cast($after_total as decimal(38, 18)) and page_key > $after_key) end)",
    ),
}


@dataclass(frozen=True)
class Statement:
    """SQL for a serving file, with its values."""

    sql: str
    parameters: Mapping[str, object]

    @property
    def key(self) -> tuple[str, str]:
        """Equal for equal questions; what results are cached by, beside the file."""
        return self.sql, repr(sorted(self.parameters.items()))


def costs_statement(scope: TeamScope, query: CostQuery, after: PageStart | None, limit: int) -> Statement:
    """A page of `query`'s rows: bucket, currency, group..., the eight figures of Amounts, page_key."""
    order, page = _ORDERS[query.order_by]
    needed = {*query.group_by, Dimension.CURRENCY}
    slots = _grouping(query.group_by, query.granularity) | {"basis": query.basis.value, "order": order}
    parameters: dict[str, object] = {"limit": limit}
    if after is not None:
        parameters["after_key"] = after[1]
        if query.order_by is not Order.KEY:
            parameters["after_total"] = after[0]
    slots["after"] = "true" if after is None else page
    return _statement("serving/query_costs", scope, query, query.conditions, needed, slots, parameters)


def unit_costs_statement(scope: TeamScope, query: UnitCostQuery, after: PageStart | None, limit: int) -> Statement:
    """A page of `query`'s rows: bucket, currency, group..., costs and tokens, page_key."""
    needed = {*query.group_by, Dimension.CURRENCY, Dimension.TOKEN_TYPE}
    slots = _grouping(query.group_by, query.granularity) | {"basis": query.basis.value}
    parameters: dict[str, object] = {"limit": limit}
    if after is not None:
        parameters["after_key"] = after[1]
    slots["after"] = "true" if after is None else "page_key > $after_key"
    return _statement("serving/query_unit_costs", scope, query, query.filters, needed, slots, parameters)


def providers_statement(scope: TeamScope) -> Statement:
    """Rows of (provider, effective cost of token lines, the part of it that no telemetry explains)."""
    conditions, parameters = _conditions(scope, ())
    sql = model_sql("serving/query_providers").format(table="costs_narrow", conditions=conditions)
    return Statement(sql, parameters)


def reconciliation_statement() -> Statement:
    """Rows of (provider, account, period, currency, reason or None, billed); of the whole organisation."""
    return Statement(model_sql("serving/query_reconciliation"), {})


def _statement(
    model: str,
    scope: TeamScope,
    query: CostQuery | UnitCostQuery,
    filters: Sequence[Filter],
    needed: set[Dimension],
    slots: Mapping[str, str],
    parameters: Mapping[str, object],
) -> Statement:
    conditions, values = _conditions(scope, filters)
    needed = needed | {one.dimension for one in filters} | {Dimension.TEAM}
    table = _table_for(needed, query.start, query.end, query.granularity)
    sql = model_sql(model).format(table=table.name, conditions=conditions, **slots)
    return Statement(sql, {**parameters, **values, "start": query.start, "end": query.end})


def _table_for(needed: set[Dimension], start: date, end: date, granularity: Granularity) -> ServingTable:
    whole_months = start.day == 1 and end.day == 1 and granularity is not Granularity.DAY
    return next(one for one in TABLES if needed <= set(one.dimensions) and (whole_months or not one.monthly))


def _grouping(groups: Sequence[Dimension], granularity: Granularity) -> dict[str, str]:
    # In the key a value begins with 0 and no value is 1: it sorts last and can't be mistaken for the text of a value.
    keys = [f"case when {one} is null then '1' else concat('0', cast({one} as varchar)) end" for one in groups]
    return {
        "bucket": _BUCKETS[granularity],
        "groups": "".join(f"{one}, " for one in groups if one is not Dimension.CURRENCY),
        "group_columns": "".join(f"cast({one} as varchar), " for one in groups),
        "key": ", ".join(keys) or "''",
    }


def _conditions(scope: TeamScope, filters: Sequence[Filter]) -> tuple[str, dict[str, object]]:
    parameters: dict[str, object] = {}
    parts = []
    if not scope.everything:
        parts.append(_among(Dimension.TEAM, "teams"))
        parameters["teams"] = sorted(scope.teams)
    for number, one in enumerate(filters):
        name = f"values_{number}"
        if one.values:
            parameters[name] = list(one.values)
        parts.append(_condition(one, name))
    return " and ".join(parts) or "true", parameters


def _condition(one: Filter, name: str) -> str:
    column = one.dimension.value
    match one.operator:
        case Operator.IN:
            return _among(one.dimension, name)
        case Operator.NOT:
            return f"({column} is null or not {_among(one.dimension, name)})"
        case Operator.PREFIX:
            matching = (
                f"select word from (select unnest(enum_range(cast(null as {column}_words))) as word) as words, "  # noqa: S608
                f"(select unnest(cast(${name} as varchar[])) as begin) as begins "
                "where starts_with(cast(word as varchar), begin)"
            )
            return f"coalesce({column} in ({matching}), false)"
        case Operator.NULL:
            return f"{column} is null"
        case Operator.NOT_NULL:
            return f"{column} is not null"


def _among(dimension: Dimension, name: str) -> str:
    # A word that the file doesn't know becomes NULL and is left out: it matches nothing, and says nothing.
    words = f"select try_cast(unnest(cast(${name} as varchar[])) as {dimension}_words) as word"
    return f"coalesce({dimension} in (select word from ({words}) as words where word is not null), false)"  # noqa: S608
