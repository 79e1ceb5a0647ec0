"""The Quotas pages: a table with use, a form, a person who was second told so."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from attribution.actors import Action, Forbidden
from governance import quotas as service
from governance.budget_drafts import Invalid
from governance.dashboards import formats, labels
from governance.dashboards.budget_form import WHOLE_ORGANISATION, Choices
from governance.dashboards.frame import actor_of, frame, scope_of
from governance.models import Quota
from governance.quotas import MissingQuota, QuotaConflict, QuotaDraft, QuotaState, QuotaView
from governance.selectors import catalogue_names

TAGS = {
    QuotaState.OK: ("ok", "Within"),
    QuotaState.NEAR: ("warn", "Near"),
    QuotaState.EXHAUSTED: ("bad", "Used up"),
    QuotaState.UNKNOWN: ("", "Not known"),
}
ENFORCED = {
    Quota.Window.MINUTE.value: "at the orchestrator",
    Quota.Window.DAY.value: "a block until the day ends",
    Quota.Window.MONTH.value: "a block until the month ends",
}


@dataclass(frozen=True)
class QuotaRow:
    """One line of the table. bar: 0 to 100."""

    id: int
    covers: str
    limit: str
    exact: str
    used: str
    peak: str
    bar: str
    tag: str
    state: str
    resets: str
    enforced: str


class QuotaForm(forms.Form):
    """The fields of a quota; an empty one is open."""

    team = forms.ChoiceField(label="Team", required=False)
    key = forms.CharField(max_length=200, label="Key", required=False)
    model = forms.CharField(max_length=200, label="Model", required=False)
    provider = forms.CharField(max_length=64, label="Provider", required=False)
    limit = forms.IntegerField(min_value=1, max_value=10**15, label="At most")
    unit = forms.ChoiceField(choices=Quota.Unit.choices, label="Of", initial=Quota.Unit.TOKENS.value)
    window = forms.ChoiceField(choices=Quota.Window.choices, label="In", initial=Quota.Window.DAY.value)

    def __init__(self, data: Any = None, *, choices: Choices, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        everyone = [(WHOLE_ORGANISATION, "The whole organisation")] if choices.organisation else []
        team: Any = self.fields["team"]
        team.choices = [*choices.teams, *everyone]
        team.required = not choices.organisation
        for field in self.fields.values():
            field.widget.attrs |= {"class": "input", "autocomplete": "off"}
        self.fields["limit"].widget = forms.TextInput(attrs={"class": "input num", "inputmode": "numeric"})

    def draft(self) -> QuotaDraft:
        """What was typed. Only after is_valid()."""
        found = self.cleaned_data
        return QuotaDraft(
            unit=found["unit"],
            window=found["window"],
            limit=found["limit"],
            team=found["team"] or None,
            key=found["key"].strip() or None,
            model=found["model"].strip() or None,
            provider=found["provider"].strip() or None,
        )


@never_cache
@login_required
@require_safe
def quota_list(request: HttpRequest) -> HttpResponse:
    """Every quota that the reader may see, with its use."""
    now = timezone.now()
    names = catalogue_names()
    actor = actor_of(request)
    found = service.quotas(scope_of(request), now)
    context = frame(request, page="budgets") | {
        "rows": [(_row(each, names, now), actor.may(Action.EDIT_QUOTA, each.team)) for each in found],
        "may_edit": actor.may_somewhere(Action.EDIT_QUOTA),
        "done": request.GET.get("done", ""),
    }
    return render(request, "governance/budgets/quotas.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def quota_new(request: HttpRequest) -> HttpResponseBase:
    """The form of a new quota."""
    choices = _choices(request)
    if request.method != "POST":
        initial = {"team": choices.teams[0][0] if choices.teams else WHOLE_ORGANISATION}
        return _form_page(request, QuotaForm(choices=choices, initial=initial))
    form = QuotaForm(request.POST, choices=choices)
    if form.is_valid():
        try:
            service.create_quota(form.draft(), actor=actor_of(request), now=timezone.now())
            return redirect(f"{reverse('quotas')}?done=saved")
        except Invalid as invalid:
            _add_mistakes(form, invalid)
        except Forbidden as refused:
            raise PermissionDenied(str(refused)) from refused
    return _form_page(request, form, status=400)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def quota_edit(request: HttpRequest, quota_id: int) -> HttpResponseBase:
    """The form of a quota that stands."""
    view = _seen_by(request, quota_id)
    if not actor_of(request).may(Action.EDIT_QUOTA, view.team):
        raise PermissionDenied("This quota is not yours to change.")
    choices = _choices(request)
    if request.method != "POST":
        return _form_page(request, QuotaForm(choices=choices, initial=_initial(view)), view=view)
    form = QuotaForm(request.POST, choices=choices)
    if not form.is_valid():
        return _form_page(request, form, view=view, status=400)
    version = int(request.POST.get("version", "0") or 0) if request.POST.get("version", "").isdigit() else 0
    try:
        service.edit_quota(quota_id, version, form.draft(), actor=actor_of(request), now=timezone.now())
    except QuotaConflict as conflict:
        return _form_page(request, form, view=conflict.current, status=409, conflict=_row_of(conflict.current))
    except Invalid as invalid:
        _add_mistakes(form, invalid)
        return _form_page(request, form, view=view, status=400)
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    return redirect(f"{reverse('quotas')}?done=saved")


@login_required
@require_POST
def quota_archive(request: HttpRequest, quota_id: int) -> HttpResponseBase:
    """Take a quota out of use."""
    view = _seen_by(request, quota_id)
    version = request.POST.get("version", "")
    try:
        service.archive_quota(
            view.id, int(version) if version.isdigit() else 0, actor=actor_of(request), now=timezone.now()
        )
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    except QuotaConflict:
        return redirect(f"{reverse('quotas')}?done=conflict")
    return redirect(f"{reverse('quotas')}?done=archived")


def _seen_by(request: HttpRequest, quota_id: int) -> QuotaView:
    try:
        return service.quota(scope_of(request), quota_id, timezone.now())
    except MissingQuota as missing:
        raise Http404 from missing


def _choices(request: HttpRequest) -> Choices:
    return Choices.of(actor_of(request), Action.EDIT_QUOTA, "Quotas are set by owners and by leads of teams.")


def _form_page(
    request: HttpRequest,
    form: QuotaForm,
    *,
    view: QuotaView | None = None,
    status: int = 200,
    conflict: QuotaRow | None = None,
) -> HttpResponse:
    context = frame(request, page="budgets") | {"form": form, "view": view, "conflict": conflict}
    return render(request, "governance/budgets/quota_form.html", context, status=status)


def _initial(view: QuotaView) -> dict[str, Any]:
    return {
        "team": view.team or WHOLE_ORGANISATION,
        "key": view.key,
        "model": view.model,
        "provider": view.provider,
        "limit": view.limit,
        "unit": view.unit,
        "window": view.window,
    }


def _row_of(view: QuotaView) -> QuotaRow:
    return _row(view, catalogue_names(), timezone.now())


def _row(view: QuotaView, names: dict[str, str], now: datetime) -> QuotaRow:
    tag, state = TAGS[view.state]
    share = min(100.0, (view.used_ppm or 0) / 10_000)
    seconds = (view.resets_at - now).total_seconds()
    return QuotaRow(
        id=view.id,
        covers=_covers(view, names),
        limit=f"{' '.join(formats.compact(view.limit)).strip()} {view.unit} {Quota.Window(view.window).label}",
        exact=f"{view.limit:,} {view.unit} {Quota.Window(view.window).label}",
        used=formats.whole(view.used),
        peak=f"at most {formats.whole(view.peak)} in a minute of the last hour" if view.peak is not None else "",
        bar=f"{share * 4.2:.1f}",
        tag=tag,
        state=state,
        resets="" if view.window == Quota.Window.MINUTE else f"resets in {formats.duration(max(0.0, seconds))}",
        enforced=ENFORCED[view.window],
    )


def _covers(view: QuotaView, names: dict[str, str]) -> str:
    parts = []
    if view.team:
        parts.append(f"team {names.get(view.team, view.team)}")
    if view.key:
        parts.append(f"key {view.key}")
    if view.model:
        parts.append(labels.model(view.model))
    parts.append(labels.provider(view.provider) if view.provider else "all clouds")
    return ", ".join(parts) if view.team or view.key or view.model or view.provider else "everything, all clouds"


def _add_mistakes(form: QuotaForm, invalid: Invalid) -> None:
    for each in invalid.mistakes:
        form.add_error(each.field if each.field in form.fields else None, f"{each.message.capitalize()}: {each.fix}.")
