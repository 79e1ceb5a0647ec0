"""Closing a month: freeze what it cost, the exchange rates, the forecasts that stood and the budgets' outcome.

    readiness(scope, month, now)      what is not in order yet, in words
    close_month                       one transaction; refuses while something is open, unless told to close despite it
    closed_months, closed_month       what was frozen, and beside it, apart, what changed since

Nothing that a close froze is ever changed; the lake's revisions that it was made from are pinned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from attribution import audit, selectors, spend
from attribution.actors import Action, Actor
from attribution.lake import catalogue
from attribution.models import Revision
from attribution.money import exact_sum
from attribution.periods import Period, first_day, next_month
from attribution.queries import Dimension
from attribution.scope import EVERYTHING, TeamScope
from attribution.vocabulary import Basis, Dataset
from governance.budget_figures import Asked, calendar_of, consumptions, rule_of, spent_by_period
from governance.budget_forecasts import forecast_as_of
from governance.budgets import Consumption, LocalSpan
from governance.forecasting.values import ForecastScope
from governance.forecasts import forecast_for
from governance.models import Budget, BudgetOutcome, ClosedFigure, ClosedPeriod, ExchangeRate
from governance.notifications.events import Event, Kind
from governance.notifications.outbox import enqueue
from governance.team_tree import TeamTree

OBJECT = "period"
_PINNED = (Dataset.ROLLUP_DAILY, Dataset.LEDGER)
_DAY = timedelta(days=1)
_BY = (Dimension.PROVIDER, Dimension.TEAM, Dimension.PROJECT)
_Place = tuple[str, str, str | None, str | None]  # currency, provider, team, project


class NotReady(Exception):
    """The month can't be closed as it is; `points` say what is open. Retry when they are in order, or close despite."""

    retryable = True

    def __init__(self, points: Sequence[str]) -> None:
        self.points = tuple(points)
        super().__init__("; ".join(points))


class NotOver(Exception):
    """The month is not over, or is no month. Never retryable before its end."""

    retryable = False


class AlreadyClosed(Exception):
    """It is closed: a close is never repeated. Later adjustments are shown beside it. Never retryable."""

    retryable = False


class NotClosed(Exception):
    """The month isn't closed. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class Figure:
    """What a provider, team and project cost in a month, by basis; `estimated` had no settled bill. None: not known."""

    currency: str
    provider: str
    team: str | None
    project: str | None
    costs: dict[Basis, Decimal | None]
    estimated: Decimal | None

    @property
    def place(self) -> _Place:
        return self.currency, self.provider, self.team, self.project

    @property
    def total(self) -> Decimal:
        """Effective cost with what was estimated."""
        return (self.costs[Basis.EFFECTIVE] or Decimal(0)) + (self.estimated or Decimal(0))


@dataclass(frozen=True)
class Adjustment:
    """What changed since the close at one place, effective cost with estimates: now - frozen."""

    currency: str
    provider: str
    team: str | None
    project: str | None
    frozen: Decimal
    now: Decimal

    @property
    def by(self) -> Decimal:
        return self.now - self.frozen


@dataclass(frozen=True)
class Outcome:
    """How a budget ended; `consumed_now`: what the same days come to with what arrived since."""

    budget_id: int
    name: str
    team: str | None
    scope_key: str
    currency: str
    basis: str
    zone: str
    period_start: datetime
    period_end: datetime
    limit: Decimal
    consumed: Decimal
    billed: Decimal
    estimated: Decimal
    forecast: dict[str, Any] | None
    consumed_now: Decimal

    @property
    def adjusted_by(self) -> Decimal:
        return self.consumed_now - self.consumed

    @property
    def kept(self) -> bool:
        """Did it stay within its limit?"""
        return self.consumed <= self.limit


@dataclass(frozen=True)
class ClosedMonth:
    """A closed month as a reader may see it: of a team, only its figures, adjustments and budgets."""

    month: str
    closed_at: datetime
    closed_by: str
    reason: str
    open_points: tuple[str, ...]
    commit_seq: int
    exchange_rates: tuple[dict[str, str], ...]
    forecasts: tuple[dict[str, Any], ...]
    pinned_revisions: int
    frozen: dict[str, Decimal]  # currency -> effective cost with what was estimated
    adjusted: dict[str, Decimal]  # currency -> what changed since
    adjustments: tuple[Adjustment, ...]
    outcomes: tuple[Outcome, ...]


# --- closing ---------------------------------------------------------------------------------------------------------


def readiness(scope: TeamScope, month: str, now: datetime) -> tuple[str, ...]:
    """What is not in order yet for closing `month`, in words; empty: ready. Raises NotAllowed, NotOver."""
    period = _month(month, now)
    reconciled = selectors.reconciliation(scope)
    last = period.end.date()
    points = [
        f"{provider}: billed to {through:%Y-%m-%d} only, {(last - through).days} days are missing"
        for provider, through in sorted(spend.settled_through().items())
        if through < last
    ]
    points += [
        f"{row.provider} account {row.billing_account_id}: {row.difference:f} {row.currency} of the bill "
        "are not in the ledger"
        for row in reconciled
        if row.billing_period == month and row.difference
    ]
    estimated = exact_sum(
        row.estimated_cost or Decimal(0) for row in spend.daily(period.start.date(), last, (), Basis.EFFECTIVE)
    )
    if estimated:
        points.append(f"{estimated:,.2f} USD of the month are estimates without a settled bill")
    return tuple(points)


def close_month(
    month: str, *, actor: Actor, now: datetime, reason: str = "", despite_open_points: bool = False
) -> ClosedMonth:
    """Close a UTC month. Raises Forbidden, NotOver, AlreadyClosed, NotReady."""
    actor.require(Action.CLOSE_PERIOD, None)
    period = _month(month, now)
    if ClosedPeriod.objects.filter(month=month).exists():
        raise AlreadyClosed(f"{month} is closed already; what changes later is shown beside it")
    points = readiness(EVERYTHING, month, now)
    if points and not despite_open_points:
        raise NotReady(points)
    figures = _figures(period)
    outcomes = list(_outcomes(month, now))
    try:
        with transaction.atomic():
            closed = _freeze(month, period, figures, outcomes, points, actor, now, reason)
    except IntegrityError:
        raise AlreadyClosed(f"{month} was closed by somebody else just now") from None
    return closed_month(EVERYTHING, closed.month, now)


def _month(month: str, now: datetime) -> Period:
    try:
        period = Period.of_month(month)
    except ValueError as error:
        raise NotOver(f"{month[:20]!r} is no month: write it as 2026-05") from error
    if now < period.end:
        raise NotOver(f"{month} ends at {period.end:%Y-%m-%d %H:%M} UTC; it can be closed after that")
    return period


def _freeze(
    month: str,
    period: Period,
    figures: Sequence[Figure],
    outcomes: Sequence[BudgetOutcome],
    points: Sequence[str],
    actor: Actor,
    now: datetime,
    reason: str,
) -> ClosedPeriod:
    pinned = _pin(month)
    closed = ClosedPeriod.objects.create(
        month=month,
        closed_at=now,
        closed_by=actor.name,
        reason=reason,
        open_points=list(points),
        commit_seq=spend.commit_seq(),
        fingerprint=spend.fingerprint(),
        exchange_rates=_rates_of(period),
        forecasts=_forecasts_of(period),
        pinned_revisions=pinned,
    )
    ClosedFigure.objects.bulk_create(
        ClosedFigure(
            period=closed,
            currency=one.currency,
            provider=one.provider,
            team=one.team,
            project=one.project,
            **_amounts(one),
        )
        for one in figures
    )
    for one in outcomes:
        one.period = closed
    BudgetOutcome.objects.bulk_create(outcomes)
    totals = _totals((one.currency, one.total) for one in figures)
    facts = {"month": month, "totals": totals, "budgets": len(outcomes), "open_points": list(points)}
    audit.record(
        actor,
        "period.close",
        OBJECT,
        month,
        after=facts,
        inputs={"commit_seq": closed.commit_seq, "figures": closed.fingerprint, "pinned": pinned},
        reason=reason,
        now=now,
    )
    _tell_closed(month, totals, outcomes, actor, now)
    return closed


def _amounts(one: Figure) -> dict[str, Any]:
    return {f"{basis.value}_cost": one.costs[basis] for basis in Basis} | {"estimated_cost": one.estimated}


def _pin(month: str) -> int:
    held = Revision.objects.filter(dataset__in=_PINNED, current=True, billing_period=month, rows__gt=0).order_by("pk")
    count = 0
    for revision in held:
        catalogue.pin(revision, f"period {month}")
        count += 1
    return count


def _rates_of(period: Period) -> list[dict[str, str]]:
    last = period.end.date() - _DAY
    newest = {(row.currency, row.into): row for row in ExchangeRate.objects.filter(day__lte=last).order_by("day", "id")}
    return [
        {"currency": row.currency, "into": row.into, "rate": f"{row.rate:f}", "day": f"{row.day}", "source": row.source}
        for _, row in sorted(newest.items())
    ]


def _forecasts_of(period: Period) -> list[dict[str, Any]]:
    """The forecasts of the month as they stood when it began and when it ended, of all and of every team's scope."""
    scopes = {ForecastScope()} | {
        ForecastScope(tuple((str(name), str(value)) for name, value in one.dims))
        for one in Budget.objects.filter(archived_at__isnull=True)
    }
    found = []
    for scope in sorted(scopes):
        for when, as_of in (("begin", period.start + _DAY), ("end", period.end)):
            stored = forecast_for(scope, currency="USD", as_of=as_of)
            if stored is None:
                continue
            total = stored.period_total(max(period.start.date(), stored.first_day), period.end.date(), Decimal(0))
            found.append(
                {
                    "scope": scope.key,
                    "when": when,
                    "currency": stored.currency,
                    "basis": stored.basis,
                    "made_at": stored.made_at.astimezone(UTC).isoformat(),
                    "inputs_revision": stored.inputs_revision,
                    "from": max(period.start.date(), stored.first_day).isoformat(),
                    "p10": f"{total.p10:f}",
                    "p50": f"{total.p50:f}",
                    "p90": f"{total.p90:f}",
                }
            )
    return found


def _figures(period: Period) -> list[Figure]:
    costs: dict[_Place, dict[Basis, Decimal | None]] = {}
    estimated: dict[_Place, Decimal | None] = {}
    for basis in Basis:
        for row in spend.daily(period.start.date(), period.end.date(), _BY, basis):
            provider, team, project = row.group
            place = (row.currency, provider or "", team, project)
            held = costs.setdefault(place, dict.fromkeys(Basis))
            held[basis] = _plus(held[basis], row.cost)
            if basis is Basis.EFFECTIVE:
                estimated[place] = _plus(estimated.get(place), row.estimated_cost)
    return [Figure(*place, costs[place], estimated.get(place)) for place in sorted(costs, key=str)]


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return exact_sum([one, other])


def _outcomes(month: str, now: datetime) -> Iterable[BudgetOutcome]:
    """How every budget ended each of its periods whose last local day is in `month`."""
    first, end = first_day(month), next_month(first_day(month))
    tree = TeamTree.read()
    known = set(BudgetOutcome.objects.values_list("budget_id", "period_start"))
    for one in Budget.objects.order_by("id"):
        calendar, rule = calendar_of(one), rule_of(one)
        spans = [span for span in calendar.spans(end) if span.end <= end]
        ended = [span for span in spans if span.last >= first and not _gone(one, calendar.period(span))]
        if not ended:
            continue
        asked = {span.number: Asked.of(one, calendar.period(span)) for span in spans}
        wanted = spans if one.rollover != Budget.Rollover.NONE else ended
        used = consumptions([asked[span.number] for span in wanted], now, tree=tree)
        outcomes = BudgetOutcome.objects.filter(budget=one)
        frozen = {(one.pk, each.period_start): each.consumed for each in outcomes}
        before = spent_by_period(one, [asked[span.number] for span in spans], used, frozen)
        for span in ended:
            period = asked[span.number].period
            if (one.pk, period.start) in known:
                continue
            yield _outcome(one, span, period, rule.limit(span.number, before), used[asked[span.number]])


def _gone(one: Budget, period: Period) -> bool:
    """Was it archived before the period ended?"""
    return one.archived_at is not None and one.archived_at < period.end


def _outcome(one: Budget, span: LocalSpan, period: Period, limit: Decimal, used: Consumption) -> BudgetOutcome:
    values: dict[str, Any] = {
        "budget": one,
        "name": one.name,
        "team": one.team,
        "scope_key": one.scope_key,
        "version": one.version,
        "currency": one.currency,
        "basis": one.basis,
        "zone": one.zone,
        "number": span.number,
        "period_start": period.start,
        "period_end": period.end,
        "limit": limit,
        "consumed": used.consumed,
        "billed": used.billed,
        "estimated": used.estimated + used.carried,
        "forecast": forecast_as_of(one, period, used),
    }
    return BudgetOutcome(**values)


def _tell_closed(
    month: str, totals: dict[str, Decimal], outcomes: Sequence[BudgetOutcome], actor: Actor, now: datetime
) -> None:
    over = sum(1 for one in outcomes if one.consumed > one.limit)
    amounts = ", ".join(f"{amount:,.2f} {currency}" for currency, amount in totals.items()) or "nothing"
    enqueue(
        Event(
            kind=Kind.PERIOD_CLOSED,
            team=None,
            budget_id=None,
            subject=f"{month} is closed",
            figures={
                "words": f"{actor.name} closed {month}: {amounts}; {over} of {len(outcomes)} budgets were exceeded.",
                "month": month,
            },
            link_path="/data",
            once_key=f"period.closed:{month}",
        ),
        now,
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def closed_months(scope: TeamScope, now: datetime, *, before: str | None = None, limit: int = 100) -> list[ClosedMonth]:
    """The closed months before `before`, newest first, as a reader may see them."""
    if scope.is_empty:
        return []
    rows = ClosedPeriod.objects.order_by("-month")
    return [_read(row, scope, now) for row in (rows.filter(month__lt=before) if before else rows)[:limit]]


def closed_month(scope: TeamScope, month: str, now: datetime) -> ClosedMonth:
    """One closed month. Raises NotClosed."""
    row = ClosedPeriod.objects.filter(month=month).first()
    if row is None or scope.is_empty:
        raise NotClosed(f"{month[:20]} is not closed")
    return _read(row, scope, now)


def months_to_close(now: datetime, *, count: int = 12) -> list[str]:
    """Months with figures that are over and not closed, newest first."""
    closed = set(ClosedPeriod.objects.values_list("month", flat=True))
    held = Revision.objects.filter(dataset=Dataset.ROLLUP_DAILY, current=True, rows__gt=0).exclude(billing_period="")
    months = set(held.values_list("billing_period", flat=True).distinct())
    this = f"{now.astimezone(UTC):%Y-%m}"
    return sorted((month for month in months if month < this and month not in closed), reverse=True)[:count]


def _read(row: ClosedPeriod, scope: TeamScope, now: datetime) -> ClosedMonth:
    frozen = {
        (one.currency, one.provider, one.team, one.project): Figure(
            one.currency,
            one.provider,
            one.team,
            one.project,
            {basis: getattr(one, f"{basis.value}_cost") for basis in Basis},
            one.estimated_cost,
        )
        for one in row.figures.all()
        if scope.allows(one.team)
    }
    current = {one.place: one for one in _figures(Period.of_month(row.month)) if scope.allows(one.team)}
    adjustments = _adjustments(frozen, current)
    mine = [one for one in row.outcomes.order_by("name", "id") if scope.allows(one.team)]
    keys = {ForecastScope.parse(one.scope_key).key for one in mine}
    return ClosedMonth(
        month=row.month,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        reason=row.reason if scope.everything else "",
        open_points=tuple(row.open_points) if scope.everything else (),
        commit_seq=row.commit_seq,
        exchange_rates=tuple(row.exchange_rates),
        forecasts=tuple(each for each in row.forecasts if scope.everything or each["scope"] in keys),
        pinned_revisions=row.pinned_revisions,
        frozen=_totals((one.currency, one.total) for one in frozen.values()),
        adjusted=_totals((one.currency, one.by) for one in adjustments),
        adjustments=adjustments,
        outcomes=_outcomes_read(mine, now),
    )


def _adjustments(frozen: dict[_Place, Figure], current: dict[_Place, Figure]) -> tuple[Adjustment, ...]:
    found = []
    for place in sorted({*frozen, *current}, key=str):
        then = frozen[place].total if place in frozen else Decimal(0)
        now = current[place].total if place in current else Decimal(0)
        if then != now:
            found.append(Adjustment(*place, frozen=then, now=now))
    return tuple(sorted(found, key=lambda one: (-abs(one.by), str(one))))


def _outcomes_read(rows: Sequence[BudgetOutcome], now: datetime) -> tuple[Outcome, ...]:
    budgets = Budget.objects.in_bulk([one.budget_id for one in rows])
    asked = {
        one.pk: Asked(
            dims=ForecastScope.parse(one.scope_key).dims,
            basis=Basis(one.basis),
            currency=one.currency,
            period=Period(one.period_start, one.period_end),
        )
        for one in rows
        if one.budget_id in budgets
    }
    used = consumptions(list(asked.values()), now)
    return tuple(
        Outcome(
            budget_id=one.budget_id,
            name=one.name,
            team=one.team,
            scope_key=one.scope_key,
            currency=one.currency,
            basis=one.basis,
            zone=one.zone,
            period_start=one.period_start,
            period_end=one.period_end,
            limit=one.limit,
            consumed=one.consumed,
            billed=one.billed,
            estimated=one.estimated,
            forecast=one.forecast,
            consumed_now=used[asked[one.pk]].consumed,
        )
        for one in rows
    )


def _totals(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for currency, amount in amounts:
        found[currency] = exact_sum([found.get(currency, Decimal(0)), amount])
    return dict(sorted(found.items()))


# --- exchange rates --------------------------------------------------------------------------------------------------


def set_rate(
    currency: str, into: str, day: date, rate: Decimal, *, source: str, actor: Actor, now: datetime
) -> ExchangeRate:
    """Say what one unit of `currency` is worth from `day` on, and the inverse. Raises Forbidden, ValueError.

    A rate of a closed month changes nothing there: its rates are frozen.
    """
    actor.require(Action.CLOSE_PERIOD, None)
    if currency == into or any(len(each) != 3 or each != each.upper() for each in (currency, into)):
        raise ValueError(f"{currency} into {into}: give two different upper-case codes, like EUR and USD")
    if not rate.is_finite() or not Decimal("1e-9") <= rate <= Decimal(10) ** 9:
        raise ValueError(f"{rate} is no exchange rate")
    inverse = (Decimal(1) / rate).quantize(Decimal("1e-15"))
    with transaction.atomic():
        for one, other, value in ((currency, into, rate), (into, currency, inverse)):
            before = ExchangeRate.objects.filter(currency=one, into=other, day=day).first()
            said: dict[str, Any] = {"rate": value, "source": source}
            held, _ = ExchangeRate.objects.update_or_create(currency=one, into=other, day=day, defaults=said)
            audit.record(
                actor,
                "exchange_rate.set",
                "exchange_rate",
                f"{one}/{other}/{day}",
                before={"rate": before.rate} if before else None,
                after={"rate": value, "source": source},
                now=now,
            )
    return held
