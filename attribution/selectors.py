"""What pages and the API read, always within a `TeamScope`. Reads only; amounts are exact decimals, unknown is None.

Costs come from the newest serving file. Reconciliation, quarantine and imports speak of the whole organisation: their
selectors raise NotAllowed for a reader who does not see everything, because a total tells the rest by difference.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from attribution.queries import CostQuery, UnitCostQuery
from attribution.scope import TeamScope


class NotAllowed(Exception):
    """The reader's scope does not cover what was asked for. Never retryable; carries no figure and no name."""

    retryable = False


class Availability(StrEnum):
    """EMPTY: nothing was attributed yet, or nothing at all came in. READY: the figures are those of a serving file."""

    EMPTY = "empty"
    READY = "ready"


@dataclass(frozen=True)
class Snapshot:
    """Which figures an answer is made of. `fingerprint` changes exactly when the figures may have; '' when EMPTY."""

    availability: Availability
    fingerprint: str = ""
    commit_seq: int | None = None
    built_at: datetime | None = None


@dataclass(frozen=True)
class Amounts:
    """The figures of one row, in its currency, on the query's basis.

    total = cost + estimated_cost where either is known. `uncounted_cost` is shown beside it and never added.
    """

    cost: Decimal | None  # settled bill; None: not known on this basis for any part
    estimated_cost: Decimal | None  # usage priced by the book, days that no bill covers yet
    uncounted_cost: Decimal | None  # what a still moving bill says of those days
    total: Decimal | None
    unknown_parts: int  # ledger parts that `cost` leaves out, because the bill doesn't say it on this basis
    attributed_cost: Decimal | None  # the part of `cost` that has an owner
    unattributed_cost: Decimal | None
    metered_tokens: int | None


@dataclass(frozen=True)
class CostRow:
    """One group in one bucket of time. `group` stands in the order of the query's group_by; None is 'no value'."""

    bucket: date | None  # first day; None when the granularity is total
    currency: str
    group: tuple[str | None, ...]
    amounts: Amounts


@dataclass(frozen=True)
class CurrencyTotal:
    """The sum over all rows of a query (not of the page) in one currency."""

    currency: str
    amounts: Amounts


@dataclass(frozen=True)
class CostTable:
    query: CostQuery
    snapshot: Snapshot
    rows: tuple[CostRow, ...]
    totals: tuple[CurrencyTotal, ...]  # by currency; empty when there is nothing
    next_after: str | None  # `after` of the next page; None on the last


@dataclass(frozen=True)
class UnitCostRow:
    """What a token cost. Micro-units are millionths of the currency: a micro-dollar a token is a dollar a million.

    Every rate is attributed cost / tokens over the parts whose tokens are known, quantised once, half-even, at
    UNIT_COST_SCALE places; None where the tokens are 0 or unknown.
    """

    bucket: date | None
    currency: str
    group: tuple[str | None, ...]
    attributed_cost: Decimal | None  # all of it, with and without tokens
    tokens: dict[str, int | None]  # by token bucket (vocabulary.TOKEN_BUCKETS)
    output_tokens: int | None
    all_tokens: int | None
    micros_per_token: dict[str, Decimal | None]  # by token bucket: the cost of that bucket's lines / its tokens
    micros_per_output_token: Decimal | None  # all attributed cost / output tokens
    per_million_tokens: Decimal | None  # blended: all attributed cost / all tokens x 10^6, in the currency


@dataclass(frozen=True)
class UnitCostTable:
    query: UnitCostQuery
    snapshot: Snapshot
    rows: tuple[UnitCostRow, ...]
    next_after: str | None


@dataclass(frozen=True)
class ReconciliationRow:
    """One account, document month and currency: billed is the raw file's control total."""

    provider: str
    billing_account_id: str
    billing_period: str
    currency: str
    billed: Decimal
    attributed: Decimal
    unattributed: dict[str, Decimal]  # by reason
    difference: Decimal


@dataclass(frozen=True)
class ProviderFreshness:
    """How far a provider's figures reach. For a team reader: only providers that the team uses, no captured share."""

    provider: str
    billed_through: date | None  # days before it are settled, in every account of the provider; None: no bill yet
    estimated_through: date | None  # newest day with telemetry, inclusive; None: none
    captured_share: Decimal | None  # telemetry tokens / billed tokens of settled days; None: not known or not yours


@dataclass(frozen=True)
class SourceRow:
    """A source as the operator knows it: the newest delivery's state and what came in so far."""

    source: str
    kind: str
    provider: str
    status: str
    last_success: datetime | None
    last_started: datetime
    error: str
    deliveries: int
    rows_kept: int
    rows_quarantined: int


@dataclass(frozen=True)
class ImportRow:
    """One imported file."""

    id: int
    delivery_id: int
    source: str
    kind: str
    path: str
    format: str
    provider: str
    started_at: datetime
    finished_at: datetime | None
    status: str
    changes: int
    rows_read: int
    rows_created: int
    rows_kept: int
    rows_quarantined: int
    rows_dropped: int
    duplicates: int
    rounding_residue: str
    error: str


@dataclass(frozen=True)
class QuarantineRow:
    """Rows of one file that were kept out for one reason."""

    id: int
    path: str
    provider: str
    line: int
    field: str
    value: str
    reason: str
    count: int
    delivered_at: datetime


def snapshot() -> Snapshot:
    """Which figures are served now."""
    raise NotImplementedError


def costs(scope: TeamScope, query: CostQuery) -> CostTable:
    """The costs that `query` asks for, within `scope`."""
    raise NotImplementedError


def unit_costs(scope: TeamScope, query: UnitCostQuery) -> UnitCostTable:
    """Cost per token, within `scope`."""
    raise NotImplementedError


def reconciliation(scope: TeamScope) -> tuple[ReconciliationRow, ...]:
    """Per provider, account, period and currency: the bill, its parts and the difference. Raises NotAllowed."""
    raise NotImplementedError


def freshness(scope: TeamScope) -> tuple[ProviderFreshness, ...]:
    """How far each provider's figures reach, by provider."""
    raise NotImplementedError


def sources(scope: TeamScope) -> tuple[SourceRow, ...]:
    """Every source that has delivered, by name. Raises NotAllowed."""
    raise NotImplementedError


def imports(scope: TeamScope, *, limit: int = 100) -> tuple[ImportRow, ...]:
    """The newest imported files. Raises NotAllowed."""
    raise NotImplementedError


def quarantine(scope: TeamScope, *, limit: int = 100) -> tuple[QuarantineRow, ...]:
    """The newest rows that were kept out. Raises NotAllowed."""
    raise NotImplementedError
