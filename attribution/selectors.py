"""What pages and the API read, always within a `TeamScope`. Reads only; amounts are exact decimals, unknown is None.

Costs come from the newest serving file. Reconciliation, quarantine and imports speak of the whole organisation: their
selectors raise NotAllowed for a reader who does not see everything, because a total tells the rest by difference.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum

from attribution.lake import serving
from attribution.lake.serving_sql import (
    PageStart,
    Statement,
    costs_statement,
    providers_statement,
    reconciliation_statement,
    unit_costs_statement,
)
from attribution.models import (
    BillingAccount,
    Delivery,
    ImportedFile,
    QuarantinedRow,
    Revision,
    ServingFile,
)
from attribution.money import exact_sum
from attribution.queries import CostQuery, Granularity, Order, UnitCostQuery
from attribution.reconcile import billed_totals
from attribution.scope import TeamScope
from attribution.vocabulary import TOKEN_BUCKETS, Dataset

# The named boundary of unit costs: the only place where they are rounded, half-even.
UNIT_COST_SCALE = 12
_UNIT = Decimal(1).scaleb(-UNIT_COST_SCALE)
_MILLION = Decimal(1_000_000)
# 38 digits of money over 19 of tokens, and room.
_ZERO = Decimal(0)
_Place = tuple[str, str, str, str]  # provider, billing account, document month, currency
_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)
_PLACE = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?")


class NotAllowed(Exception):
    """The reader's scope does not cover what was asked for. Never retryable; carries no figure and no name."""

    retryable = False


class UnknownPage(Exception):
    """`after` is not what an answer to the same question gave out. Never retryable."""

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
    return _snapshot_of(serving.newest())


def costs(scope: TeamScope, query: CostQuery) -> CostTable:
    """The costs that `query` asks for, within `scope`: a page of rows, and the totals of all of them.

    Raises UnknownPage.
    """
    after = _page_start(query)
    whole = replace(query, group_by=(), granularity=Granularity.TOTAL, order_by=Order.KEY, after=None)
    file, page, sums = _answer(
        scope, costs_statement(scope, query, after, query.limit + 1), costs_statement(scope, whole, None, 1000)
    )
    read = [_cost_row(row, query.granularity) for row in page[: query.limit]]
    return CostTable(
        query=query,
        snapshot=_snapshot_of(file),
        rows=tuple(read),
        totals=tuple(CurrencyTotal(row[1], _amounts(row[2:])) for row in sums),
        next_after=_next(query, page, total=read[-1].amounts.total if read else None),
    )


def unit_costs(scope: TeamScope, query: UnitCostQuery) -> UnitCostTable:
    """Cost per token of what is attributed and settled, within `scope`. Raises UnknownPage."""
    after = _page_start(query)
    file, page = _answer(scope, unit_costs_statement(scope, query, after, query.limit + 1))
    return UnitCostTable(
        query=query,
        snapshot=_snapshot_of(file),
        rows=tuple(_unit_cost_row(row, query.granularity) for row in page[: query.limit]),
        next_after=_next(query, page, total=None),
    )


def freshness(scope: TeamScope) -> tuple[ProviderFreshness, ...]:
    """How far each provider's figures reach, by provider.

    A reader of teams learns it of the providers that the teams use, and no share: it would tell of everybody's tokens.
    """
    _, seen = _answer(scope, providers_statement(scope))
    shares = {provider: _captured(cost, missed) for provider, cost, missed in seen}
    billed = dict(
        BillingAccount.objects.filter(billed_through__isnull=False)
        .values_list("provider")
        .annotate(through=Min("billed_through"))
    )
    used = dict(
        Revision.objects.filter(dataset=Dataset.USAGE_OWNED, current=True, rows__gt=0)
        .values_list("provider")
        .annotate(through=Max("day"))
    )
    providers = {*shares, *billed, *used} if scope.everything else set(shares)
    return tuple(
        ProviderFreshness(
            provider=provider,
            billed_through=billed.get(provider),
            estimated_through=used.get(provider),
            captured_share=shares.get(provider) if scope.everything else None,
        )
        for provider in sorted(providers)
    )


def sources(scope: TeamScope) -> tuple[SourceRow, ...]:
    """Every source that has delivered, by name. Raises NotAllowed."""
    _whole_organisation(scope)
    counted = (
        Delivery.objects.values("kind", "source")
        .annotate(
            newest=Max("id"),
            deliveries=Count("id", distinct=True),
            last_success=Max("finished_at", filter=Q(status=Delivery.Status.DONE)),
            provider=Max("files__provider"),
            kept=Sum("files__rows_kept"),
            quarantined=Sum("files__rows_quarantined"),
        )
        .order_by("kind", "source")
    )
    newest = Delivery.objects.in_bulk([one["newest"] for one in counted])
    return tuple(
        SourceRow(
            source=one["source"],
            kind=one["kind"],
            provider=one["provider"] or "",
            status=newest[one["newest"]].status,
            last_success=one["last_success"],
            last_started=newest[one["newest"]].started_at,
            error=newest[one["newest"]].error,
            deliveries=one["deliveries"],
            rows_kept=one["kept"] or 0,
            rows_quarantined=one["quarantined"] or 0,
        )
        for one in counted
    )


def imports(scope: TeamScope, *, limit: int = 100) -> tuple[ImportRow, ...]:
    """The newest imported files, newest first. Raises NotAllowed."""
    _whole_organisation(scope)
    files = ImportedFile.objects.select_related("delivery").order_by("-delivery__started_at", "-id")[:limit]
    return tuple(
        ImportRow(
            id=one.pk,
            delivery_id=one.delivery.pk,
            source=one.delivery.source,
            kind=one.delivery.kind,
            path=one.path,
            format=one.format,
            provider=one.provider,
            started_at=one.delivery.started_at,
            finished_at=one.delivery.finished_at,
            status=one.delivery.status,
            changes=one.delivery.changes,
            rows_read=one.rows_read,
            rows_created=one.rows_created,
            rows_kept=one.rows_kept,
            rows_quarantined=one.rows_quarantined,
            rows_dropped=one.rows_dropped,
            duplicates=one.duplicates,
            rounding_residue=one.rounding_residue,
            error=one.delivery.error,
        )
        for one in files
    )


def quarantine(scope: TeamScope, *, limit: int = 100) -> tuple[QuarantineRow, ...]:
    """The newest rows that were kept out, newest delivery first. Raises NotAllowed."""
    _whole_organisation(scope)
    rows = QuarantinedRow.objects.select_related("file__delivery").order_by(
        "-file__delivery__started_at", "file", "line"
    )
    return tuple(
        QuarantineRow(
            id=one.pk,
            path=one.file.path,
            provider=one.file.provider,
            line=one.line,
            field=one.field,
            value=one.value,
            reason=one.reason,
            count=one.count,
            delivered_at=one.file.delivery.started_at,
        )
        for one in rows[:limit]
    )


def reconciliation(scope: TeamScope) -> tuple[ReconciliationRow, ...]:
    """Per provider, account, period and currency: the bill, its parts and the difference. Raises NotAllowed."""
    _whole_organisation(scope)
    billed = billed_totals()
    parts: dict[_Place, dict[str | None, Decimal]] = {place: {} for place in billed}
    _, rows = _answer(scope, reconciliation_statement())
    for *names, reason, amount in rows:
        parts.setdefault(tuple(names), {})[reason] = amount
    return tuple(
        _reconciled(place, billed.get(place, _ZERO), of_place)
        for place, of_place in sorted(parts.items(), key=_by_place)
    )


def _by_place(item: tuple[_Place, object]) -> _Place:
    return item[0]


def _reconciled(place: _Place, billed: Decimal, parts: dict[str | None, Decimal]) -> ReconciliationRow:
    return ReconciliationRow(
        *place,
        billed=billed,
        attributed=parts.get(None, _ZERO),
        unattributed={reason: amount for reason, amount in sorted(parts.items(), key=str) if reason is not None},
        difference=exact_sum([billed, *(-amount for amount in parts.values())]),
    )


def _whole_organisation(scope: TeamScope) -> None:
    if not scope.everything:
        raise NotAllowed("only readers of the whole organisation see this: an owner can make you a viewer")


def _answer(scope: TeamScope, *statements: Statement) -> tuple[Any, ...]:
    """The newest serving file (None before the first) and the rows of each statement, all of that one file."""
    nothing: tuple[serving.Row, ...] = ()
    if scope.is_empty:
        return (serving.newest(), *(nothing for _ in statements))
    for attempt in range(2):
        file = serving.newest()
        if file is None:
            break
        try:
            return (file, *(serving.fetch(file, statement) for statement in statements))
        except FileNotFoundError:
            # It aged out between the look-up and the opening; the second look finds its successor.
            if attempt:
                raise
    return (None, *(nothing for _ in statements))


def _snapshot_of(file: ServingFile | None) -> Snapshot:
    if file is None:
        return Snapshot(Availability.EMPTY)
    return Snapshot(Availability.READY, file.fingerprint, file.commit_seq, file.built_at)


def _cost_row(row: serving.Row, granularity: Granularity) -> CostRow:
    bucket = None if granularity is Granularity.TOTAL else row[0]
    return CostRow(bucket=bucket, currency=row[1], group=tuple(row[2:-9]), amounts=_amounts(row[-9:]))


def _amounts(figures: Sequence[Any]) -> Amounts:
    cost, estimated, uncounted, total, unknown, attributed, unattributed, tokens, _ = figures
    return Amounts(
        cost=cost,
        estimated_cost=estimated,
        uncounted_cost=uncounted,
        total=total,
        unknown_parts=unknown,
        attributed_cost=attributed,
        unattributed_cost=unattributed,
        metered_tokens=tokens,
    )


def _unit_cost_row(row: serving.Row, granularity: Granularity) -> UnitCostRow:
    attributed, all_tokens, output_tokens = row[-14:-11]
    by_bucket = dict(zip(TOKEN_BUCKETS, zip(row[-11:-1:2], row[-10:-1:2], strict=True), strict=True))
    return UnitCostRow(
        bucket=None if granularity is Granularity.TOTAL else row[0],
        currency=row[1],
        group=tuple(row[2:-14]),
        attributed_cost=attributed,
        tokens={bucket.value: tokens for bucket, (_, tokens) in by_bucket.items()},
        output_tokens=output_tokens,
        all_tokens=all_tokens,
        micros_per_token={bucket.value: per_million(cost, tokens) for bucket, (cost, tokens) in by_bucket.items()},
        micros_per_output_token=per_million(attributed, output_tokens),
        per_million_tokens=per_million(attributed, all_tokens),
    )


def per_million(cost: Decimal | None, tokens: int | None) -> Decimal | None:
    """cost / tokens x 10^6: currency units per million tokens, which is micro-units per token.

    Quantised half-even at UNIT_COST_SCALE places. None where the cost is unknown or the tokens are 0 or unknown.
    """
    if cost is None or not tokens:
        return None
    return _WIDE.quantize(_WIDE.divide(_WIDE.multiply(cost, _MILLION), Decimal(tokens)), _UNIT)


def _captured(cost: Decimal | None, missed: Decimal | None) -> Decimal | None:
    if not cost or missed is None or cost < 0:
        return None
    return _WIDE.quantize(1 - _WIDE.divide(missed, cost), _UNIT)


def _question(query: CostQuery | UnitCostQuery) -> str:
    """A short name of the question, whatever its page, so that an `after` of another question is refused."""
    return hashlib.sha256(repr(replace(query, after=None, limit=1)).encode()).hexdigest()[:16]


def _next(query: CostQuery | UnitCostQuery, page: Sequence[serving.Row], *, total: Decimal | None) -> str | None:
    """The place of a page's last row, for the reader to send back; None where no row follows."""
    if len(page) <= query.limit:
        return None
    place = [_question(query), None if total is None else f"{total:f}", page[query.limit - 1][-1]]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _page_start(query: CostQuery | UnitCostQuery) -> PageStart | None:
    """Where the page begins. A place is only compared with, always within the scope: a forged one shows no more."""
    if query.after is None:
        return None
    try:
        padded = query.after + "=" * (-len(query.after) % 4)
        question, total, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError) as error:
        raise UnknownPage("'after' is not the place of a page") from error
    if question != _question(query):
        raise UnknownPage("'after' belongs to another question")
    if not isinstance(key, str) or not (total is None or (isinstance(total, str) and _PLACE.fullmatch(total))):
        raise UnknownPage("'after' is not the place of a page")
    return total, key
