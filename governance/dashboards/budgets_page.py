"""The Budgets pages: list, one budget, the form with its ladder and what-if, conflict, copy, import, archive."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from attribution import audit
from attribution.actors import Action, Forbidden
from attribution.vocabulary import Basis
from governance import budgeting
from governance.budget_drafts import COLUMNS, Invalid
from governance.budget_imports import ImportRefused, import_csv
from governance.budgeting import BudgetView, Conflict, Missing
from governance.budgets import PeriodKind
from governance.dashboards import budgets_shown, formats, labels, whatif_shown
from governance.dashboards.budget_form import (
    HARMS,
    ZONES,
    BudgetForm,
    Choices,
    initial_of,
    initial_of_draft,
    with_parts_of,
)
from governance.dashboards.frame import actor_of, frame, scope_of, today_of
from governance.dashboards.shown import shown_money
from governance.enforcement import replaying
from governance.enforcement.codec import Unfit
from governance.enforcement.rungs import Disutility, Policy, Substitute
from governance.enforcement.whatif import Controller, Span
from governance.policies import (
    Seen,
    StalePolicy,
    change_budget,
    copy_budget,
    create_budget,
    default_policy,
    newest_decision,
    policy_history,
    policy_of,
    rungs_in_force,
)
from governance.replays import KnownPast, cheaper_models, known_past, replayed_spans, steerable, what_if
from governance.selectors import catalogue_names

MOST_MODELS = 5
MOST_SUBSTITUTES = 24
MAX_FILE_BYTES = 1_000_000
RECENT_AUDIT = 20


@never_cache
@login_required
@require_safe
def budget_list(request: HttpRequest) -> HttpResponse:
    """Every budget that the reader may see, the tightest first."""
    views = budgeting.budgets(scope_of(request), timezone.now())
    context = frame(request, page="budgets") | {
        "rows": budgets_shown.rows(views, catalogue_names(), today_of(), rungs_in_force(views)),
        "lead": budgets_shown.lead(views),
        "currencies": sorted({view.currency for view in views}),
        "exceeding": [view for view in views if view.exceeds_parent],
        "may_edit": actor_of(request).may_somewhere(Action.EDIT_BUDGET),
        "no_forecast": bool(views) and all(view.forecast is None for view in views),
        "done": request.GET.get("done", ""),
    }
    return render(request, "governance/budgets/list.html", context)


@never_cache
@login_required
@require_safe
def budget_export(request: HttpRequest) -> HttpResponse:
    """The budgets as the import takes them."""
    text = budgets_shown.csv_text(budgeting.budgets(scope_of(request), timezone.now()))
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="weir-budgets.csv"'
    return response


@never_cache
@login_required
@require_safe
def budget_detail(request: HttpRequest, budget_id: int) -> HttpResponse:
    """One budget: how it stands, its ladder, its periods, who changed it."""
    now, scope = timezone.now(), scope_of(request)
    view = _seen_by(request, budget_id)
    policy = policy_of(budget_id)
    names = catalogue_names()
    today = today_of()
    context = frame(request, page="budgets") | {
        "view": view,
        "row": budgets_shown.row(view, names, today, rungs_in_force([view]).get(view.id)),
        "covers": budgets_shown.covers(view.dims, names),
        "calendar": budgets_shown.calendar_words(view.draft),
        "facts": _facts(view, today),
        "steps": budgets_shown.steps(policy, hard=view.hard),
        "policy": policy,
        "decision": newest_decision(budget_id),
        "periods": _period_lines(request, budget_id),
        "entries": [
            budgets_shown.log_line(entry)
            for entry in audit.entries(scope, object_type=budgeting.OBJECT, object_id=budget_id)[:RECENT_AUDIT]
        ],
        "may_edit": actor_of(request).may(Action.EDIT_BUDGET, view.team) and not view.archived,
        "done": request.GET.get("done", ""),
        "now": now,
    }
    return render(request, "governance/budgets/detail.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def budget_new(request: HttpRequest) -> HttpResponseBase:
    """The form of a new budget; saving leads to it."""
    choices = _choices(request)
    if request.method != "POST":
        team = request.GET.get("team", choices.teams[0][0] if choices.teams else "")
        form = BudgetForm(choices=choices, today=today_of(), initial={"team": team})
        return _form_page(request, form, default_policy(), preview=None)
    form = BudgetForm(request.POST, choices=choices, today=today_of())
    if "preview" in request.POST or not form.is_valid():
        return _form_page(request, form, default_policy(), preview=_preview(request, form, default_policy()))
    try:
        made = create_budget(actor_of(request), form.draft(), form.policy(), now=timezone.now())
    except (Invalid, Unfit) as wrong:
        _add_mistakes(form, wrong)
        return _form_page(request, form, default_policy(), preview=None, status=400)
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    return redirect(f"{reverse('budget', args=[made.id])}?done=created")


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def budget_edit(request: HttpRequest, budget_id: int) -> HttpResponseBase:
    """The form of a budget that stands. A second person's save is answered with both their values and the first's."""
    view = _seen_by(request, budget_id)
    actor = actor_of(request)
    if not actor.may(Action.EDIT_BUDGET, view.team) or view.archived:
        raise PermissionDenied("This budget is not yours to change.")
    policy, choices = policy_of(budget_id), _choices(request)
    if request.method != "POST":
        initial = initial_of_draft(view.draft) | initial_of(policy)
        form = BudgetForm(choices=choices, today=today_of(), initial=initial)
        return _form_page(request, form, policy, view=view, preview=None)
    form = BudgetForm(request.POST, choices=choices, today=today_of())
    if "preview" in request.POST or not form.is_valid():
        return _form_page(request, form, policy, view=view, preview=_preview(request, form, policy))
    seen = Seen(_whole(request, "version"), _whole(request, "policy_version"))
    try:
        change_budget(
            actor,
            budget_id,
            seen,
            form.draft(view.draft),
            with_parts_of(form.policy(), policy),
            now=timezone.now(),
        )
    except (Conflict, StalePolicy):
        return _conflict_page(request, form, budget_id)
    except (Invalid, Unfit) as wrong:
        _add_mistakes(form, wrong)
        return _form_page(request, form, policy, view=view, preview=None, status=400)
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    return redirect(f"{reverse('budget', args=[budget_id])}?done=saved")


@never_cache
@login_required
@require_POST
def budget_what_if(request: HttpRequest) -> HttpResponse:
    """The fragment that stands beside the form while somebody types. Reads only."""
    form = BudgetForm(request.POST, choices=_choices(request), today=today_of())
    # While somebody types, the ladder's own effect answers at once; when they pause, the loop's controller is asked.
    controller = replaying.choose if request.GET.get("by") == "controller" else None
    shown = _preview(request, form, default_policy(), controller=controller)
    return render(request, "governance/budgets/what_if.html", shown)


@never_cache
@login_required
@require_POST
def budget_substitutes(request: HttpRequest) -> HttpResponse:
    """The fragment with the models of the scope and what may stand in for them."""
    form = BudgetForm(request.POST, choices=_choices(request), today=today_of())
    form.is_valid()
    context = {"lines": _substitute_lines(request, form, form.substitutes()), "harms": HARMS}
    return render(request, "governance/budgets/substitutes.html", context)


@login_required
@require_POST
def budget_archive(request: HttpRequest, budget_id: int) -> HttpResponseBase:
    """Take a budget out of use."""
    try:
        budgeting.archive(budget_id, _whole(request, "version"), actor=actor_of(request), now=timezone.now())
    except Missing as missing:
        raise Http404 from missing
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    except Conflict:
        return redirect(f"{reverse('budget', args=[budget_id])}?done=conflict")
    return redirect(f"{reverse('budgets')}?done=archived")


@login_required
@require_POST
def budget_copy(request: HttpRequest, budget_id: int) -> HttpResponseBase:
    """A copy for next year, open in its form; its policy comes with it."""
    actor = actor_of(request)
    try:
        made = copy_budget(actor, budget_id, now=timezone.now())
    except Missing as missing:
        raise Http404 from missing
    except Forbidden as refused:
        raise PermissionDenied(str(refused)) from refused
    except Invalid as invalid:
        context = frame(request, page="budgets") | {"invalid": invalid, "budget_id": budget_id}
        return render(request, "governance/budgets/copy_failed.html", context, status=400)
    return redirect(f"{reverse('budget', args=[made.id])}?done=copied")


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def budget_import(request: HttpRequest) -> HttpResponse:
    """Budgets of a CSV file: all or none; every mistake by its line."""
    actor = actor_of(request)
    if not actor.may_somewhere(Action.EDIT_BUDGET):
        raise PermissionDenied("Budgets are set by owners and by leads of teams.")
    context = frame(request, page="budgets") | {"columns": COLUMNS, "text": ""}
    status = 200
    if request.method == "POST":
        text, problem = _uploaded(request)
        context |= {"text": text, "problem": problem}
        status = 400 if problem else 200
        if not problem:
            check_only = "check" in request.POST
            try:
                done = import_csv(text, actor=actor, now=timezone.now(), check_only=check_only)
                context |= {"imported": done, "check_only": check_only}
            except ImportRefused as refused:
                context |= {"errors": refused.errors}
                status = 400
    return render(request, "governance/budgets/import.html", context, status=status)


# Parts


def _seen_by(request: HttpRequest, budget_id: int) -> BudgetView:
    try:
        return budgeting.budget(scope_of(request), budget_id, timezone.now())
    except Missing as missing:
        raise Http404 from missing


def _choices(request: HttpRequest) -> Choices:
    return Choices.of(actor_of(request), Action.EDIT_BUDGET, "Budgets are set by owners and by leads of teams.")


def _form_page(
    request: HttpRequest,
    form: BudgetForm,
    policy: Policy,
    *,
    preview: dict[str, Any] | None,
    view: BudgetView | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    bound = form.is_bound and form.is_valid()
    chosen = form.substitutes() if form.is_bound else dict(policy.substitutes)
    context = frame(request, page="budgets") | {
        "form": form,
        "view": view,
        "version": view.version if view else 0,
        "policy_version": policy.version,
        "zones": ZONES,
        "harms": HARMS,
        "lines": _substitute_lines(request, form, chosen),
        "what_if": preview["what_if"] if preview else None,
        "missing": preview["missing"] if preview else "",
        "amount_hint": _hint(request, form, view),
        "bound": bound,
    }
    if form.is_bound and form.errors and status == 200 and "preview" not in request.POST:
        status = 400
    return render(request, "governance/budgets/form.html", context | more, status=status)


def _conflict_page(request: HttpRequest, form: BudgetForm, budget_id: int) -> HttpResponse:
    """Both people's values side by side; the form keeps the second's, made from the version that stands now."""
    view, policy = _seen_by(request, budget_id), policy_of(budget_id)
    theirs = initial_of_draft(view.draft) | initial_of(policy)
    mine = {name: form.cleaned_data.get(name) for name in form.fields}
    theirs = {name: theirs.get(name, form.fields[name].initial) for name in mine}
    words = {name: f"{field.label or name}" for name, field in form.fields.items()}
    changes = budgets_shown.differences(_comparable(theirs), _comparable(mine), words)
    theirs_subs, my_subs = (
        "; ".join(f"{model}: {to}" for model, to in budgets_shown.substitute_lines(each))
        for each in (policy, form.policy())
    )
    if theirs_subs != my_subs:
        changes.append(budgets_shown.Change("Substitutes", theirs_subs or formats.UNKNOWN, my_subs or formats.UNKNOWN))
    who = policy_history(budget_id)
    by_policy = who[0].made_by if who and who[0].made_at > view.updated_at else view.updated_by
    return _form_page(
        request, form, policy, view=view, preview=None, status=409, conflict=changes, conflict_by=by_policy
    )


def _comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they compare: a step that is off has no threshold, an empty field is no value."""
    found = {name: (None if value == "" else value) for name, value in values.items()}
    for name in list(found):
        step, _, part = name.rpartition("_")
        if part in ("at", "measure", "ask") and not found.get(f"{step}_on"):
            found[name] = None
    found["team"] = found.get("team") or None
    return found


def _preview(
    request: HttpRequest, form: BudgetForm, stored: Policy, *, controller: Controller | None = None
) -> dict[str, Any]:
    """What the replay says of what is typed; `missing` says in words what is still needed."""
    form.is_valid()
    wrong = [name for name in form.errors if name in ("amount", "team", "zone", "kind") or name.endswith("_at")]
    if wrong:
        return {"what_if": None, "missing": _still_missing(form, wrong)}
    past = _past(request, form)
    policy = with_parts_of(form.policy(), stored)
    limits = _limits(form)
    hard = form.cleaned_data["hard"]
    found = what_if(policy, past, limits, dims=form.dims(), hard=hard, controller=controller)
    rungs = [step.rung for step in policy.steps]
    by_controller = controller is not None
    shown = whatif_shown.build(
        found,
        rungs,
        by_controller=by_controller,
        steerable=steerable(form.dims()),
        substitutes=bool(policy.substitutes),
    )
    return {"what_if": shown, "missing": "" if shown.known else _no_history(past)}


def _limits(form: BudgetForm) -> dict[Span, Decimal]:
    """The typed limit for each period of the past; of own dates, what it comes to in a month."""
    kind, amount = PeriodKind(form.cleaned_data["kind"]), form.cleaned_data["amount"]
    spans = replayed_spans(kind, form.cleaned_data["zone"], today_of())
    first, last = form.cleaned_data.get("starts_on"), form.cleaned_data.get("ends_on")
    if kind is PeriodKind.DATES and first and last and last >= first:
        a_day = amount / ((last - first).days + 1)
        return {span: (a_day * (span.end - span.start).days).quantize(Decimal("0.01")) for span in spans}
    return dict.fromkeys(spans, amount)


def _past(request: HttpRequest, form: BudgetForm) -> KnownPast:
    found = form.cleaned_data if form.is_bound else form.initial
    dims = tuple(
        (name, value)
        for name in ("environment", "model", "project", "provider", "team")
        if (value := (found.get(name) or "").strip())
    )
    return known_past(
        scope_of(request),
        dims,
        currency=found.get("currency") or "USD",
        basis=Basis(found.get("basis") or Basis.EFFECTIVE.value),
        today=today_of(),
    )


def _still_missing(form: BudgetForm, wrong: list[str]) -> str:
    if "amount" in wrong and not form.data.get("amount"):
        return "Type a limit, and what the policy would have done shows here."
    return " ".join(f"{error}" for name in wrong for error in form.errors[name])


def _no_history(past: KnownPast) -> str:
    if past.used:
        return "Nothing is known of the whole periods before this one."
    return f"No cost in {past.currency} is attributed to this scope in the last months."


def _hint(request: HttpRequest, form: BudgetForm, view: BudgetView | None) -> str:
    """'October was $61,728.59': what the last whole period cost."""
    kind = PeriodKind(view.period_kind) if view else PeriodKind.MONTH
    spans = replayed_spans(kind, "UTC", today_of())
    if not spans:
        return ""
    past = _past(request, form)
    last = spans[-1]
    spent = sum((each.cost for each in past.used if last.start <= each.day < last.end), Decimal(0))
    return f"{last.label} was {shown_money(spent, past.currency).text} {past.currency}" if spent else ""


def _substitute_lines(
    request: HttpRequest, form: BudgetForm, chosen: Mapping[str, tuple[Substitute, ...]]
) -> list[dict[str, Any]]:
    """One line for each model that costs most here, and for each substitute that is chosen already."""
    past = _past(request, form) if not form.is_bound or not form.errors.get("team") else None
    models = list(past.models[:MOST_MODELS]) if past else []
    models += [model for model in chosen if model not in models]
    lines: list[dict[str, Any]] = []
    for model in models:
        offered = cheaper_models(past, model) if past else ()
        picked = chosen.get(model, ())
        for each in picked or (None,):
            name = each.model if each else ""
            options = _options(offered, name)
            if options or each:
                lines.append(
                    {
                        "index": len(lines),
                        "model": model,
                        "label": labels.model(model),
                        "chosen": name,
                        "harm": (each.disutility if each else Disutility.WORSE).value,
                        "options": options,
                    }
                )
    return lines


def _options(offered: tuple[tuple[str, Decimal], ...], chosen: str) -> list[tuple[str, str]]:
    """(slug, 'GPT-5 mini, 12 % of the cost'), the nearest in cost first; what is chosen is always among them."""
    found = [(slug, f"{labels.model(slug)}, {ratio * 100:.0f} % of the cost") for slug, ratio in offered]
    shown = found[:MOST_SUBSTITUTES]
    if chosen and chosen not in dict(shown):
        shown.append((chosen, dict(found).get(chosen, labels.model(chosen))))
    return shown


def _add_mistakes(form: BudgetForm, wrong: Invalid | Unfit) -> None:
    fields = {"scope": "team", "period_kind": "kind", "growth_ppm": "growth"}
    for each in wrong.mistakes:
        name = fields.get(each.field, each.field)
        words = each.words if hasattr(each, "words") else f"{each.message.capitalize()}: {each.fix}."
        form.add_error(name if name in form.fields else None, words)


def _facts(view: BudgetView, today: date) -> list[tuple[str, str, Any]]:
    """(label, meaning, figure): what consumption is made of, and where it leads."""
    currency = view.currency
    found = [
        ("Billed", "settled bills of this period", shown_money(view.billed, currency)),
        (
            "Estimated",
            "telemetry priced by the book, of what no settled bill covers, times what bills said of such estimates",
            shown_money(view.estimated, currency),
        ),
        (
            "Carried on",
            "cost that no estimate foretells, as on its last settled day",
            shown_money(view.carried, currency),
        ),
        ("Burn a day", "mean of the last seven whole days", shown_money(view.burn_per_day, currency)),
    ]
    if view.learned_ratio is not None:
        ratio = f"{(view.learned_ratio - 1) * 100:+.1f} %".replace("-", formats.MINUS)
        found.insert(2, ("Bills against estimates", "the learned ratio, applied to the estimated part", _plain(ratio)))
    if view.rolled_over:
        found.append(("Rolled over", "what the periods before left", shown_money(view.rolled_over, currency)))
    if view.runs_out_at is not None:
        found.append(
            (
                "Spent at this burn",
                "if cost goes on as in the last week",
                _plain(formats.moment(view.runs_out_at, today)),
            )
        )
    return found


def _plain(text: str) -> Any:
    return {"text": text, "title": text, "css": ""}


def _period_lines(request: HttpRequest, budget_id: int) -> list[dict[str, Any]]:
    """Every period so far, the newest first."""
    view = _seen_by(request, budget_id)
    found = []
    for span, limit, used in reversed(budgeting.periods_of(scope_of(request), budget_id, timezone.now())[-13:]):
        found.append(
            {
                "span": formats.span(span.first, span.last + timedelta(days=1)),
                "limit": shown_money(limit, view.currency),
                "used": shown_money(used.consumed, view.currency),
                "share": f"{formats.percent(used.consumed, limit, 0)} %" if limit else formats.UNKNOWN,
                "over": used.consumed > limit,
            }
        )
    return found


def _whole(request: HttpRequest, name: str) -> int:
    try:
        return int(request.POST.get(name, "0"))
    except ValueError:
        return 0


def _uploaded(request: HttpRequest) -> tuple[str, str]:
    """(text, what is wrong with it in words)."""
    file = request.FILES.get("file")
    if file is None:
        text = request.POST.get("text", "")
        return text, "" if text.strip() else "Choose a file, or paste its lines."
    if (file.size or 0) > MAX_FILE_BYTES:
        return "", f"The file has {file.size:,} bytes: send at most {MAX_FILE_BYTES:,}."
    try:
        return file.read().decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return "", "The file is not text in UTF-8: save it as CSV UTF-8."
