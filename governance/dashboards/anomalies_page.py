"""The Anomalies pages: the list, one anomaly, and what somebody says of it. Thin over `governance.anomalies`."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from attribution import audit
from attribution.actors import Forbidden
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator
from attribution.scope import TeamScope
from governance import anomalies
from governance.anomalies import MAX_NOTE, TRANSITIONS, AnomalyView, Outdated, Refused, State
from governance.dashboards import anomalies_shown, figures, formats, palette, reading
from governance.dashboards.bar import Bar, Span
from governance.dashboards.frame import actor_of, frame, scope_of, today_of
from governance.selectors import catalogue_names

SHOWN = 200
# Days before the anomaly, and after it, that its figure shows.
BEFORE, AFTER = timedelta(days=35), timedelta(days=10)
MUTE_DAYS = (7, 30, 90)
# Actions on a page: state -> (the button's words, what it means).
CHOICES = {
    State.EXPLAINED: ("It was to be expected", anomalies_shown.MEANINGS["explained"]),
    State.MUTED: ("Mute it", "found again it is kept, and nobody is told, until the end of the days below"),
    State.RESOLVED: ("It is over", anomalies_shown.MEANINGS["resolved"]),
    State.OPEN: ("Open it again", anomalies_shown.MEANINGS["open"]),
}


@never_cache
@login_required
@require_safe
def anomaly_list(request: HttpRequest) -> HttpResponse:
    """The open ones by dollars; others by the day on which they were found."""
    scope = scope_of(request)
    wanted = request.GET.get("state", State.OPEN)
    state = wanted if wanted in State.values else "all"
    every = anomalies.anomalies(scope, limit=SHOWN)
    shown = [view for view in every if state in ("all", view.state)]
    if state == State.OPEN:
        shown = anomalies.by_excess(shown)
    names = catalogue_names()
    counts = {each: sum(view.state == each for view in every) for each in State.values}
    context = frame(request, page="anomalies") | {
        "lead": anomalies_shown.headline(every),
        "rows": anomalies_shown.rows(shown, names),
        "currencies": sorted({view.currency for view in shown}),
        "state": state,
        "states": [
            *((each, anomalies_shown.STATES[each], counts[each]) for each in anomalies_shown.STATES),
            ("all", "All", len(every)),
        ],
        "meaning": anomalies_shown.MEANINGS.get(state, ""),
        "cut": len(every) == SHOWN,
    }
    return render(request, "governance/anomalies/list.html", context)


@never_cache
@login_required
@require_safe
def anomaly_detail(request: HttpRequest, anomaly_id: int) -> HttpResponse:
    """One anomaly: what it cost, why, whose it is, what was said."""
    return _detail(request, anomaly_id)


@never_cache
@login_required
@require_POST
def anomaly_triage(request: HttpRequest, anomaly_id: int) -> HttpResponse:
    """Says what became of it, and goes back to it."""
    given, now = request.POST, timezone.now()
    state = given.get("state", "")
    days = given.get("days", "")
    until = now + timedelta(days=int(days)) if state == State.MUTED and days in map(str, MUTE_DAYS) else None
    version = given.get("version", "")
    try:
        anomalies.triage(
            actor_of(request),
            anomaly_id,
            state,
            version=int(version) if version.isdigit() and len(version) < 10 else 0,
            note=given.get("note", "").strip(),
            muted_until=until,
            now=now,
        )
    except anomalies.NotFound as error:
        raise Http404 from error
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except Refused as error:
        problem = {"field": error.field, "words": f"{error.message}: {error.fix}."}
        return _detail(request, anomaly_id, status=400, problem=problem, chosen=state, note=given.get("note", ""))
    except Outdated as error:
        problem = {"field": "", "words": f"{error}. Nothing was changed: look at it again."}
        return _detail(request, anomaly_id, status=409, problem=problem, note=given.get("note", ""))
    return redirect("anomaly", anomaly_id)


def _detail(request: HttpRequest, anomaly_id: int, *, status: int = 200, **more: Any) -> HttpResponse:
    scope, names = scope_of(request), catalogue_names()
    try:
        view = anomalies.anomaly(scope, anomaly_id)
    except anomalies.NotFound as error:
        raise Http404 from error
    entries = [] if view.is_share else audit.entries(scope, object_type="anomaly", object_id=anomaly_id)[:20]
    context = frame(request, page="anomalies") | {
        "view": view,
        "row": anomalies_shown.row(view, names),
        "drivers": anomalies_shown.driver_rows(view.drivers, view.currency),
        "parts": anomalies_shown.part_rows(view, names),
        "days": anomalies_shown.day_rows(view),
        "figure": _figure(scope, view, today_of()),
        "explore": _explore(view),
        "entries": entries,
        "may_triage": anomalies.may_triage(actor_of(request), anomaly_id),
        "choices": [(state, *words) for state, words in CHOICES.items() if state in TRANSITIONS[view.state]],
        "mute_days": MUTE_DAYS,
        "max_note": MAX_NOTE,
        **more,
    }
    return render(request, "governance/anomalies/detail.html", context, status=status)


def _filters(view: AnomalyView) -> tuple[Filter, ...]:
    return tuple(
        Filter(Dimension(name), Operator.NULL if value is None else Operator.IN, () if value is None else (value,))
        for name, value in view.cause
    )


def _explore(view: AnomalyView) -> str:
    """The Overview of the anomaly's own costs, by project, on its days."""
    span = Span(view.first_day, view.last_day + timedelta(days=1))
    named = {name for name, _ in view.cause}
    group_by = Dimension.PROJECT if "team" in named else Dimension.TEAM
    return Bar("custom", span, filters=_filters(view), group_by=group_by).query()


def _figure(scope: TeamScope, view: AnomalyView, today: date) -> figures.Figure:
    """What its cause cost on the days around it, what was foreseen on its own, and where it is."""
    start = view.first_day - BEFORE
    end = max(start + timedelta(days=1), min(today, view.last_day + AFTER))
    query = CostQuery(start, end, filters=_filters(view), granularity=Granularity.DAY)
    found = {row.bucket: row.amounts for row in reading.every_row(scope, query).rows if row.currency == view.currency}
    days = [start + timedelta(days=ahead) for ahead in range((end - start).days)]
    bars = figures.Series(
        "Cost",
        _slot(view),
        [found[day].cost if day in found else None for day in days],
        [found[day].estimated_cost if day in found else None for day in days],
    )
    # Only the parts: where a group's other leaves didn't rise, the bars hold more than the anomaly.
    marks = [
        figures.Mark(day.day, anomalies_shown.day_title(day.day, day.excess, view.currency))
        for day in sorted(view.days, key=lambda each: -each.excess)
    ]
    figure = figures.stacked_bars(days, [bars], currency=view.currency, monthly=False, marks=marks)
    figure["data"].append(_expected(view, found))
    return figure


def _expected(view: AnomalyView, found: dict[date | None, Any]) -> figures.Figure:
    """A dash at what each day of it would have cost: its bar less the excess."""
    points: list[tuple[date, Decimal]] = []
    for day in view.days:
        amounts = found.get(day.day)
        if amounts is not None and amounts.total is not None:
            points.append((day.day, amounts.total - day.excess))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Expected",
        "x": [f"{day}" for day, _ in points],
        "y": [formats.exact(amount) for _, amount in points],
        "customdata": [
            f"{formats.day(day)}, expected: {formats.money(amount, view.currency)} {view.currency}"
            for day, amount in points
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {
            "symbol": "line-ew",
            "size": 16,
            "color": "token:ink",
            "line": {"color": "token:ink", "width": 2},
        },
    }


def _slot(view: AnomalyView) -> int:
    for name, value in view.cause:
        if value is not None:
            return palette.slots_of(name, [value])[value]
    return palette.UNNAMED
