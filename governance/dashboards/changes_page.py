"""The Changes pages: what was told to the gateways, why, how far it is proved; answers to it; the kill switch.

A page asks for itself again every few seconds and swaps its live part; every form works without a script.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from attribution.actors import Action, Actor
from governance.dashboards import changes_shown, palette
from governance.dashboards.frame import actor_of, frame, scope_of
from routing import selectors, services
from routing.models import ChangeSet, Orchestrator
from routing.orchestrators.base import OrchestratorError

MAX_NOTE = 1000
SHOWS = {
    "": ("All", ()),
    "waiting": ("Waiting for a yes", ("proposed",)),
    "moving": ("On their way", ("approved", "accepted", "live")),
    "force": ("Effective", ("effective",)),
    "trouble": ("Drifted, refused, taken back", ("drifted", "failed", "rolled_back")),
}


@never_cache
@login_required
@require_safe
def changes(request: HttpRequest) -> HttpResponse:
    """All changes, the newest first, under the kill switch."""
    return _list(request)


@never_cache
@login_required
@require_safe
def change(request: HttpRequest, change_id: int) -> HttpResponse:
    """One change: before, wanted, observed."""
    return _detail(request, change_id)


@never_cache
@login_required
@require_POST
def act(request: HttpRequest, change_id: int, action: str) -> HttpResponse:
    """approve, reject or rollback; back to the page, which says what came of it."""
    note = request.POST.get("note", "").strip()[:MAX_NOTE]
    calls: dict[str, Callable[..., ChangeSet]] = {
        "approve": lambda **who: services.approve(change_id, note=note, **who),
        "reject": lambda **who: services.reject(change_id, reason=note, **who),
        "rollback": lambda **who: services.roll_back(change_id, reason=note, **who),
    }
    _read(request, change_id)
    if action not in calls:
        raise Http404
    try:
        made = calls[action](actor=actor_of(request), now=timezone.now())
    except (services.RefusedChange, services.Overlaps) as error:
        return _detail(request, change_id, refused=f"{error}", note=note, status=409)
    return HttpResponseRedirect(reverse("change", args=[made.pk]), status=303)


@never_cache
@login_required
@require_POST
def switch(request: HttpRequest, action: str) -> HttpResponse:
    """The kill switch: freeze or resume."""
    calls = {"freeze": services.freeze, "resume": services.resume}
    if action not in calls:
        raise Http404
    reason = request.POST.get("note", "").strip()[:MAX_NOTE]
    calls[action](actor=actor_of(request), now=timezone.now(), reason=reason)
    return HttpResponseRedirect(reverse("changes"), status=303)


@never_cache
@login_required
@require_POST
def settle(request: HttpRequest, name: str, action: str) -> HttpResponse:
    """What an orchestrator holds: keep or overwrite what others wrote; bring a generation back."""
    reason = request.POST.get("note", "").strip()[:MAX_NOTE]
    actor, now = actor_of(request), timezone.now()
    try:
        if action in ("keep", "overwrite"):
            made = services.settle_drift(name, action, actor=actor, now=now, reason=reason)
        elif action == "rollback":
            made = services.roll_back_to(name, _generation(request), actor=actor, now=now, reason=reason)
        else:
            raise Http404
    except Orchestrator.DoesNotExist as error:
        raise Http404 from error
    except (services.RefusedChange, services.Overlaps, OrchestratorError) as error:
        return _list(request, refused=f"{error}", status=409)
    return HttpResponseRedirect(reverse("change", args=[made.pk]), status=303)


def _list(request: HttpRequest, *, refused: str = "", status: int = 200) -> HttpResponse:
    scope, actor, now = scope_of(request), actor_of(request), timezone.now()
    if scope.is_empty:
        raise PermissionDenied("You belong to no team yet.")
    show = request.GET.get("show", "") if request.GET.get("show", "") in SHOWS else ""
    after = request.GET.get("after", "")
    page = selectors.changes(
        scope, statuses=SHOWS[show][1], after=int(after) if after.isdecimal() and len(after) < 19 else None
    )
    gateways = selectors.orchestrators(scope)
    context = _frame(request, actor, now, gateways) | {
        "lines": [changes_shown.line(each, now.date()) for each in page.rows],
        "summary": changes_shown.summary(page.rows, selectors.waiting(scope), gateways),
        "gateways": [changes_shown.gateway(each, now) for each in gateways],
        "may_settle": actor.may(Action.EDIT_ORCHESTRATOR, None),
        "windows": selectors.loop(now).windows,
        "shows": [(key, label) for key, (label, _statuses) in SHOWS.items()],
        "show": show,
        "is_first": not after,
        "next_after": page.next_after,
        "refused": refused,
    }
    return render(request, "governance/changes/list.html", context, status=status)


def _detail(
    request: HttpRequest, change_id: int, *, refused: str = "", note: str = "", status: int = 200
) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    view = _read(request, change_id)
    row = view.row
    slots = palette.slots_of("target", changes_shown.targets_of(view))
    in_force = row.status in ("accepted", "live", "effective", "drifted")
    context = _frame(request, actor, now, selectors.orchestrators(scope_of(request))) | {
        "shown": changes_shown.detail(view, slots, now),
        "may_approve": row.status == "proposed" and actor.may(Action.APPROVE_CHANGE, row.team),
        "has_said_yes": any(each.person_id == actor.user_id for each in view.approvals),
        "may_reject": row.status in ("proposed", "approved") and actor.may(Action.APPROVE_CHANGE, row.team),
        "may_roll_back": in_force
        and row.rolled_back_by is None
        and view.base_generation > 0
        and actor.may(Action.ROLL_BACK, row.team),
        "may_roll_back_to": row.generation is not None
        and view.accepted_at is not None
        and not row.is_standing
        and actor.may(Action.ROLL_BACK, None),
        "generation": row.generation,
        "orchestrator": row.orchestrator,
        "rolls_back": view.rolls_back,
        "rolled_back_by": row.rolled_back_by,
        "refused": refused,
        "note": note,
    }
    return render(request, "governance/changes/detail.html", context, status=status)


def _frame(
    request: HttpRequest, actor: Actor, now: datetime, gateways: list[selectors.OrchestratorView]
) -> dict[str, Any]:
    loop = selectors.loop(now)
    return frame(request, page="changes") | {
        "kill": changes_shown.kill(loop, gateways, now.date()),
        "may_kill": actor.may(Action.KILL_SWITCH, None),
    }


def _read(request: HttpRequest, change_id: int) -> selectors.ChangeView:
    """The change, if the reader may see it: another team's is not there."""
    if change_id >= 2**63:
        raise Http404
    try:
        return selectors.change(scope_of(request), change_id, timezone.now())
    except ChangeSet.DoesNotExist as error:
        raise Http404 from error


def _generation(request: HttpRequest) -> int:
    text = request.POST.get("generation", "")
    if not text.isdecimal() or len(text) > 18:
        raise services.RefusedChange(f"{text[:30]!r} is no generation: give a whole number of 1 or more")
    return int(text)
