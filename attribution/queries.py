"""What can be asked of the costs, as values: dimensions, filters, periods, order. Pure.

`attribution.api.grammar` reads a question from a URL, for the API and the pages; `attribution.selectors` answers it.
"""

from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from attribution.vocabulary import Basis, ChargeScope

MAX_GROUPS = 4
MAX_ROWS = 5000
DEFAULT_ROWS = 1000


class Dimension(StrEnum):
    """What costs can be grouped and filtered by. The value is the column's name in the serving file."""

    PROVIDER = "provider"
    BILLING_ACCOUNT = "billing_account_id"
    BILLING_PERIOD = "billing_period"
    REGION = "region"
    SERVICE = "service"
    CHARGE_SCOPE = "charge_scope"
    CHARGE_CATEGORY = "charge_category"
    MODEL = "model"
    PUBLISHER = "publisher"
    TOKEN_TYPE = "token_type"  # noqa: S105
    TIER = "tier"
    TEAM = "team"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    METHOD = "method"
    REASON = "reason"
    STATE = "state"
    CURRENCY = "currency"


class Granularity(StrEnum):
    """The length of a bucket of time; TOTAL is the whole period."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


class Operator(StrEnum):
    """How a filter compares. A row without a value matches `not` and `null`, never the others."""

    IN = "in"
    NOT = "not"
    PREFIX = "prefix"
    NULL = "null"
    NOT_NULL = "not_null"


class Order(StrEnum):
    """KEY: by bucket, currency and group. TOTAL: dearest first."""

    KEY = "key"
    TOTAL = "-total"
    TOTAL_ASCENDING = "total"


@dataclass(frozen=True)
class Filter:
    """One condition; several conditions must all hold. `values` are alternatives, empty for NULL and NOT_NULL."""

    dimension: Dimension
    operator: Operator = Operator.IN
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class CostQuery:
    """Costs of the days [start, end), grouped. Costs of two currencies never meet in one row.

    Without a filter on charge_scope it asks for what inference costs: inference and platform, not the other cloud.
    """

    start: date
    end: date
    group_by: tuple[Dimension, ...] = ()
    filters: tuple[Filter, ...] = ()
    granularity: Granularity = Granularity.TOTAL
    basis: Basis = Basis.EFFECTIVE
    order_by: Order = Order.KEY
    limit: int = DEFAULT_ROWS
    # Where the page begins: the last row of the page before, as the selector gave it out.
    after: str | None = None

    @property
    def conditions(self) -> tuple[Filter, ...]:
        """The filters, with the default on charge_scope where none is given."""
        if any(one.dimension is Dimension.CHARGE_SCOPE for one in self.filters):
            return self.filters
        return (*self.filters, Filter(Dimension.CHARGE_SCOPE, Operator.IN, INFERENCE_SCOPES))

    def with_filter(self, dimension: Dimension, *values: str) -> "CostQuery":
        """The same question for fewer rows, from its first page on."""
        return replace(self, filters=(*self.filters, Filter(dimension, Operator.IN, values)), after=None)


INFERENCE_SCOPES = (ChargeScope.INFERENCE.value, ChargeScope.PLATFORM.value)


@dataclass(frozen=True)
class UnitCostQuery:
    """Attributed cost per token in the days [start, end): only days that are billed, never estimates."""

    start: date
    end: date
    group_by: tuple[Dimension, ...] = ()
    filters: tuple[Filter, ...] = ()
    granularity: Granularity = Granularity.TOTAL
    basis: Basis = Basis.EFFECTIVE
    limit: int = DEFAULT_ROWS
    after: str | None = None
    # Always in this order; a field so that both queries page alike.
    order_by: Order = field(default=Order.KEY, init=False)
