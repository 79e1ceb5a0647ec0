"""The Forecasts page: what is expected, how wrong it was before, what people know of. Reads what the fit stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from attribution.actors import Action, Forbidden
from attribution.models import Team
from attribution.scope import TeamScope
from governance import forecast_fits, forecasts, known_events
from governance.budget_drafts import Invalid
from governance.dashboards import formats, labels
from governance.dashboards.frame import actor_of, frame, scope_of, today_of
from governance.dashboards.shown import Shown, shown_money
from governance.forecasting.values import ForecastScope, StoredForecast, UnknownDimension
from governance.known_events import EventConflict, EventDraft, EventView, MissingEvent
from governance.models import ForecastEvent
from governance.selectors import catalogue_names

METHODS = {
    "bets": "Weir",
    "seasonal_naive": "As last week",
    "koku_ols": "Koku's line",
    "run_rate": "Run rate",
}
_SAID_MONTHS = timedelta(days=200)
_DAYS_SHOWN = 14


@dataclass(frozen=True)
class PeriodRow:
    """One month that is running or to come."""

    name: str
    spent: Shown
    low: Shown
    middle: Shown
    high: Shown
    low95: Shown
    high95: Shown


@dataclass(frozen=True)
class AccuracyRow:
    """One horizon or day of the month: texts by method, in the order of METHODS; the best has `is_best`."""

    name: str
    cells: tuple[tuple[str, bool], ...]
    shown: str


@dataclass(frozen=True)
class SaidRow:
    """What was foretold of the rest of a month, and what came."""

    month: str
    said_on: str
    low: Shown
    middle: Shown
    high: Shown
    actual: Shown | None
    error: str
    inside: str


@dataclass(frozen=True)
class EventRow:
    id: int
    version: int
    title: str
    kind: str
    covers: str
    when: str
    effect: str
    by: str
    may_edit: bool


class EventForm(forms.Form):
    """What a person knows; empty fields of the scope are open."""

    kind = forms.ChoiceField(choices=ForecastEvent.Kind.choices, label="What")
    title = forms.CharField(max_length=known_events.MAX_TITLE, label="In a few words")
    team = forms.ChoiceField(label="Whose", required=False)
    model = forms.CharField(max_length=200, label="Model", required=False)
    provider = forms.CharField(max_length=64, label="Provider", required=False)
    starts_on = forms.DateField(label="From", widget=forms.DateInput({"type": "date"}))
    ends_on = forms.DateField(
        label="Until",
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text="The first day after it; empty: it lasts.",
    )
    percent = forms.DecimalField(
        label="Changes by, %",
        required=False,
        min_value=-100,
        max_value=9900,
        help_text="Usage, or the price: 20 is a fifth more, -20 a fifth less. Of a migration: the price there.",
    )
    amount = forms.DecimalField(
        label="Adds a day, USD", required=False, min_value=0, max_digits=24, help_text="Of a launch."
    )
    moved = forms.DecimalField(
        label="Moves, %", required=False, min_value=0, max_value=100, help_text="Of a migration; empty: all."
    )
    target_model = forms.CharField(max_length=200, label="To model", required=False)
    target_provider = forms.CharField(max_length=64, label="To provider", required=False)
    ramp_days = forms.IntegerField(
        label="Days until it fully holds", required=False, min_value=0, max_value=known_events.MAX_RAMP_DAYS
    )

    def __init__(self, data: Any = None, *, teams: list[tuple[str, str]]) -> None:
        super().__init__(data, auto_id="event_%s")
        team: Any = self.fields["team"]
        team.choices = teams
        team.required = all(slug for slug, _ in teams)
        for field in self.fields.values():
            field.widget.attrs |= {"class": "input", "autocomplete": "off"}

    def draft(self) -> EventDraft:
        """What was typed. Only after is_valid()."""
        given = self.cleaned_data
        dims = {name: given[name].strip() for name in ("team", "model", "provider") if given[name]}
        target = {name: given[f"target_{name}"].strip() for name in ("model", "provider") if given[f"target_{name}"]}
        return EventDraft(
            kind=given["kind"],
            title=given["title"],
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            dims=tuple(sorted(dims.items())),
            factor_ppm=None if given["percent"] is None else int(1_000_000 + given["percent"] * 10_000),
            amount_per_day=given["amount"],
            currency="USD" if given["amount"] is not None else "",
            moved_ppm=None if given["moved"] is None else int(given["moved"] * 10_000),
            target=tuple(sorted(target.items())),
            ramp_days=given["ramp_days"] or 0,
        )


# Where the form shows what a service says of a draft's field.
_FIELDS = {"factor_ppm": "percent", "amount_per_day": "amount", "moved_ppm": "moved", "target": "target_model"}


@never_cache
@login_required
@require_safe
def forecasts_page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@never_cache
@login_required
@require_POST
def add_event(request: HttpRequest) -> HttpResponseBase:
    """Adds an event and goes back; what is wrong is shown at its field."""
    form = EventForm(request.POST, teams=_teams(request))
    if form.is_valid():
        try:
            known_events.add_event(form.draft(), actor=actor_of(request), now=timezone.now())
            return redirect(f"{reverse('forecasts')}?done=said#events")
        except Invalid as invalid:
            for each in invalid.mistakes:
                name = _FIELDS.get(each.field, each.field)
                form.add_error(name if name in form.fields else None, f"{each.message.capitalize()}: {each.fix}.")
        except Forbidden as refused:
            raise PermissionDenied(str(refused)) from refused
    return _page(request, form=form, status=400)


@never_cache
@login_required
@require_POST
def withdraw_event(request: HttpRequest, event_id: int) -> HttpResponseBase:
    version = request.POST.get("version", "")
    try:
        known_events.withdraw_event(
            event_id,
            int(version) if version.isdigit() and len(version) < 10 else 0,
            actor=actor_of(request),
            now=timezone.now(),
        )
    except MissingEvent as missing:
        raise Http404 from missing
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    except EventConflict:
        return redirect(f"{reverse('forecasts')}?done=conflict#events")
    return redirect(f"{reverse('forecasts')}?done=withdrawn#events")


def _page(request: HttpRequest, *, form: EventForm | None = None, status: int = 200) -> HttpResponse:
    reader, names, today = scope_of(request), catalogue_names(), today_of()
    currencies = forecasts.currencies()
    currency = request.GET.get("currency", "")
    if currency not in currencies:
        currency = currencies[0] if currencies else "USD"
    choices = [one for one in forecasts.scopes(currency) if reader.everything or reader.allows(one.team)]
    chosen = _chosen(request.GET.get("scope", ""), choices, reader)
    stored = None if chosen is None else forecasts.forecast_for(chosen, currency=currency)
    verdict = forecasts.newest_verdict(currency)
    teams = _teams(request)
    context = frame(request, page="forecasts") | {
        "currency": currency,
        "currencies": currencies,
        "choices": [(one.key, scope_words(one, names)) for one in choices],
        "chosen": "" if chosen is None else chosen.key,
        "chosen_words": "" if chosen is None else scope_words(chosen, names),
        "stored": stored,
        "made": "" if stored is None else formats.moment(stored.made_at, today),
        "rows": [] if stored is None else _periods(stored, today),
        "days": [] if stored is None else _days(stored),
        "verdict": verdict,
        "verdict_made": "" if verdict is None else formats.moment(verdict.made_at, today),
        "methods": list(METHODS.values()),
        "months": [] if verdict is None else month_rows(verdict.result),
        "horizons": [] if verdict is None else horizon_rows(verdict.result),
        "coverage": None if verdict is None else coverage_words(verdict.result),
        "said": [] if stored is None else _said(stored, today),
        "events": [
            _event_row(each, names, actor_of(request).may(Action.EDIT_EVENT, each.team))
            for each in known_events.events(reader)
        ],
        "form": (form or EventForm(teams=teams)) if teams else None,
        "opened": form is not None,
        "done": request.GET.get("done", ""),
    }
    return render(request, "governance/forecasts.html", context, status=status)


def _chosen(text: str, choices: list[ForecastScope], reader: TeamScope) -> ForecastScope | None:
    """What is asked for, else the widest that the reader may see."""
    try:
        asked = ForecastScope.parse(text) if text else None
    except UnknownDimension:
        asked = None
    if asked is not None and (reader.everything or reader.allows(asked.team)):
        return asked
    return choices[0] if choices else None


def _teams(request: HttpRequest) -> list[tuple[str, str]]:
    """Whose events the reader may say; '' is the whole organisation."""
    actor = actor_of(request)
    named = Team.objects.order_by("name", "slug").values_list("slug", "name")
    mine = [(slug, name or slug) for slug, name in named if actor.may(Action.EDIT_EVENT, slug)]
    return [*([("", "The whole organisation")] if actor.may(Action.EDIT_EVENT, None) else []), *mine]


def scope_words(scope: ForecastScope, names: Mapping[str, str]) -> str:
    """A scope as people say it."""
    return ", ".join(labels.entity(name, value, dict(names)) for name, value in scope.dims) or "All spend"


def _periods(stored: StoredForecast, today: date) -> list[PeriodRow]:
    """The month that is running and the two after it."""
    rows, start = [], max(stored.first_day, today).replace(day=1)
    for ahead in range(3):
        end = (start + timedelta(days=32)).replace(day=1)
        spent = forecast_fits.spent_of(stored.scope, stored, start) if not ahead else Decimal(0)
        total = stored.period_total(start, end, spent)
        amounts = (spent, total.p10, total.p50, total.p90, total.p2_5, total.p97_5)
        rows.append(PeriodRow(f"{start:%B %Y}", *(shown_money(each, stored.currency) for each in amounts)))
        start = end
    return rows


def _days(stored: StoredForecast) -> list[tuple[str, Shown, Shown, Shown]]:
    def shown(amount: Decimal) -> Shown:
        return shown_money(amount, stored.currency)

    return [
        (f"{day.day:%a} {formats.day(day.day)}", shown(day.p10), shown(day.p50), shown(day.p90))
        for day in stored.days[:_DAYS_SHOWN]
    ]


def month_rows(result: Mapping[str, Any]) -> list[AccuracyRow]:
    """The median error of a month's total, by the day on which it was foretold."""
    shown = result.get("shown", {}).get("month", {})
    return [
        AccuracyRow(f"On day {int(day) + 1}", _cells(methods, percent=True), _percent(shown.get(day)))
        for day, methods in result.get("month", {}).items()
    ]


def horizon_rows(result: Mapping[str, Any]) -> list[AccuracyRow]:
    """The scaled error of daily forecasts, by how far ahead."""
    shown = result.get("shown", {}).get("horizons", {})
    return [
        AccuracyRow(
            f"{days} days ahead",
            _cells({method: each["mase"] for method, each in result[days].items()}, percent=False),
            _scaled(shown.get(days, {}).get("mase")),
        )
        for days in sorted((key for key in result if key.isdigit()), key=int)
    ]


def coverage_words(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(interval, share of months inside, what was promised)."""
    return [
        (f"{level} % interval", _percent(result.get(f"coverage{level}")), f"promised {level} %")
        for level in ("80", "95")
    ]


def _cells(values: Mapping[str, float], *, percent: bool) -> tuple[tuple[str, bool], ...]:
    best = min(values.values(), default=None)
    written = _percent if percent else _scaled
    return tuple((written(values.get(method)), values.get(method) == best) for method in METHODS)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _scaled(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _said(stored: StoredForecast, today: date) -> list[SaidRow]:
    rows = []
    for each in forecasts.said(stored.scope, currency=stored.currency, since=today - _SAID_MONTHS):
        following = (each.month + timedelta(days=32)).replace(day=1)
        actual = None
        if following <= stored.first_day:
            actual = forecast_fits.spent_between(stored.scope, stored, each.said_on, following)
        rows.append(
            SaidRow(
                month=f"{each.month:%B %Y}",
                said_on=formats.day(each.said_on),
                low=shown_money(each.p10, stored.currency),
                middle=shown_money(each.p50, stored.currency),
                high=shown_money(each.p90, stored.currency),
                actual=None if actual is None else shown_money(actual, stored.currency),
                error="" if not actual else _percent(abs(float(each.p50 / actual) - 1)),
                inside="" if actual is None else ("inside" if each.p10 <= actual <= each.p90 else "outside"),
            )
        )
    return rows[::-1]


def _event_row(view: EventView, names: Mapping[str, str], may_edit: bool) -> EventRow:
    until = "" if view.ends_on is None else f" to {formats.day(view.ends_on - timedelta(days=1))}"
    return EventRow(
        id=view.id,
        version=view.version,
        title=view.title,
        kind=ForecastEvent.Kind(view.kind).label,
        covers=scope_words(ForecastScope(view.dims), names),
        when=f"{'' if until else 'from '}{formats.day(view.starts_on)}{until}",
        effect=_effect(view, names),
        by=view.made_by,
        may_edit=may_edit,
    )


def _effect(view: EventView, names: Mapping[str, str]) -> str:
    """What it does, in words."""
    what = "price" if view.kind in (ForecastEvent.Kind.PRICE_CHANGE, ForecastEvent.Kind.MIGRATION) else "usage"
    parts = []
    if view.kind == ForecastEvent.Kind.MIGRATION:
        share = "all" if view.moved_ppm is None else f"{Decimal(view.moved_ppm) / 10_000:.4g} %"
        parts.append(f"moves {share} to {scope_words(ForecastScope(view.target), names)}")
    if view.factor_ppm is not None:
        parts.append(f"{what} {Decimal(view.factor_ppm - 1_000_000) / 10_000:+.4g} %")
    if view.amount_per_day is not None:
        parts.append(f"adds {formats.money(view.amount_per_day, view.currency)} {view.currency} a day")
    if view.ramp_days:
        parts.append(f"over {view.ramp_days} days")
    return ", ".join(parts)
