"""Closed months on the Data page, and the page of one month: close it, or what was frozen and what changed since."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from attribution.actors import Action, Forbidden
from attribution.scope import TeamScope
from governance import closing
from governance.closing import Adjustment, ClosedMonth, Outcome
from governance.dashboards import formats, labels
from governance.dashboards.frame import actor_of, frame, scope_of
from governance.dashboards.shown import Shown, shown_money
from governance.selectors import catalogue_names

SHOWN_MONTHS = 6


@dataclass(frozen=True)
class MonthLine:
    """One month of the table on the Data page; `closed` is '' while it is open."""

    month: str
    name: str
    closed: str
    frozen: tuple[Shown, ...]
    adjusted: tuple[Shown, ...]
    budgets: str
    exceeded: int


@dataclass(frozen=True)
class AdjustmentLine:
    where: str
    detail: str
    frozen: Shown
    now: Shown
    by: Shown


@dataclass(frozen=True)
class OutcomeLine:
    id: int
    name: str
    period: str
    limit: Shown
    consumed: Shown
    used: str
    kept: bool
    forecast: str
    adjusted: Shown | None


def month_lines(scope: TeamScope, now: datetime) -> tuple[MonthLine, ...]:
    """Months that are over, the newest first: those to close, and those that are closed."""
    today = now.date()
    to_close = [MonthLine(each, formats.month(each), "", (), (), "", 0) for each in closing.months_to_close(now)]
    closed = [_line(each, today) for each in closing.closed_months(scope, now, limit=SHOWN_MONTHS)]
    newest = sorted([*to_close, *closed], key=lambda each: each.month, reverse=True)
    return tuple(newest[:SHOWN_MONTHS])


def context(request: HttpRequest) -> dict[str, object]:
    """What the Data page shows of closed months."""
    may_close = actor_of(request).may(Action.CLOSE_PERIOD, None)
    return {"periods": month_lines(scope_of(request), timezone.now()), "may_close": may_close}


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def period(request: HttpRequest, month: str) -> HttpResponseBase:
    """One month: what is open and the button that closes it, or what was frozen."""
    scope, now = scope_of(request), timezone.now()
    if not scope.everything:
        raise PermissionDenied("Closed months speak of the whole organisation.")
    if request.method == "POST":
        return _close(request, month, now)
    try:
        found = closing.closed_month(scope, month, now)
    except closing.NotClosed:
        return _open_month(request, month, now)
    return render(request, "governance/periods/closed.html", frame(request, page="data") | _shown(found, now.date()))


def _close(request: HttpRequest, month: str, now: datetime) -> HttpResponse:
    try:
        closing.close_month(
            month,
            actor=actor_of(request),
            now=now,
            reason=request.POST.get("reason", "").strip()[:1000],
            despite_open_points=request.POST.get("despite") == "yes",
        )
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except closing.NotOver as error:
        raise Http404 from error
    except closing.NotReady:
        return _open_month(request, month, now, refused=True)
    except closing.AlreadyClosed:
        return redirect(reverse("period", args=[month]) + "?done=before")
    return redirect(reverse("period", args=[month]) + "?done=closed")


def _open_month(request: HttpRequest, month: str, now: datetime, *, refused: bool = False) -> HttpResponse:
    try:
        points = closing.readiness(scope_of(request), month, now)
    except closing.NotOver as error:
        raise Http404 from error
    context = frame(request, page="data") | {
        "month": month,
        "name": formats.month(month),
        "points": points,
        "refused": refused,
        "reason": request.POST.get("reason", ""),
        "may_close": actor_of(request).may(Action.CLOSE_PERIOD, None),
    }
    return render(request, "governance/periods/open.html", context, status=409 if refused else 200)


def _shown(found: ClosedMonth, today: date) -> dict[str, object]:
    names = catalogue_names()
    return {
        "line": _line(found, today),
        "closed": found,
        "reason": found.reason,
        "rates": [_rate(each) for each in found.exchange_rates],
        "adjustments": [_adjustment(each, names) for each in found.adjustments],
        "outcomes": [_outcome(each) for each in found.outcomes],
    }


def _rate(one: dict[str, str]) -> tuple[str, str, str, str]:
    return one["currency"], one["into"], formats.exact(Decimal(one["rate"])), one["day"]


def _line(one: ClosedMonth, today: date) -> MonthLine:
    exceeded = sum(1 for each in one.outcomes if not each.kept)
    return MonthLine(
        month=one.month,
        name=formats.month(one.month),
        closed=f"{formats.moment(one.closed_at, today)} by {one.closed_by}",
        frozen=_sums(one.frozen),
        adjusted=_sums(one.adjusted, signed=True),
        budgets=f"{exceeded} of {len(one.outcomes)} exceeded" if one.outcomes else "none ended",
        exceeded=exceeded,
    )


def _sums(amounts: dict[str, Decimal], *, signed: bool = False) -> tuple[Shown, ...]:
    return tuple(
        _signed(amount, currency)
        if signed
        else Shown(f"{formats.money(amount, currency)} {currency}", f"{formats.exact(amount)} {currency}")
        for currency, amount in amounts.items()
    )


def _signed(amount: Decimal, currency: str) -> Shown:
    return Shown(f"{formats.signed_money(amount, currency)} {currency}", f"{formats.exact(amount)} {currency}")


def _adjustment(one: Adjustment, names: dict[str, str]) -> AdjustmentLine:
    team = "No owner" if one.team is None else names.get(one.team, one.team)
    project = "" if one.project is None else names.get(one.project, one.project)
    return AdjustmentLine(
        where=team,
        detail=", ".join(each for each in (project, labels.provider(one.provider)) if each),
        frozen=shown_money(one.frozen, one.currency),
        now=shown_money(one.now, one.currency),
        by=_signed(one.by, one.currency),
    )


def _outcome(one: Outcome) -> OutcomeLine:
    zone = ZoneInfo(one.zone)
    first, end = one.period_start.astimezone(zone).date(), one.period_end.astimezone(zone).date()
    return OutcomeLine(
        id=one.budget_id,
        name=one.name,
        period=formats.span(first, end),
        limit=shown_money(one.limit, one.currency),
        consumed=shown_money(one.consumed, one.currency),
        used=f"{formats.percent(one.consumed, one.limit, 0)} %" if one.limit else "",
        kept=one.kept,
        forecast=_forecast_words(one),
        adjusted=_signed(one.adjusted_by, one.currency) if one.adjusted_by else None,
    )


def _forecast_words(one: Outcome) -> str:
    """What the forecast in the middle of the period had said: '412.00, 80 % 380.00 to 450.00'."""
    middle = (one.forecast or {}).get("middle")
    if not middle:
        return formats.UNKNOWN
    p10, p50, p90 = (formats.money(Decimal(middle[name]), one.currency) for name in ("p10", "p50", "p90"))
    return f"{p50} ({p10} to {p90})"
