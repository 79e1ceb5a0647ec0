"""Settings > Notifications: what I hear, the channels, and what became of each message. Thin over the services."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from attribution.actors import Action, Actor
from attribution.models import Team
from governance.dashboards import formats
from governance.dashboards.frame import actor_of, frame, today_of
from governance.dashboards.notification_forms import KINDS, ChannelForm, WantsForm
from governance.models import Budget, Delivery, Subscription, User
from governance.notifications import selectors, services
from governance.notifications.events import IMPORTANT, WORDS, Kind
from governance.notifications.selectors import ChannelRow, LogRow
from governance.notifications.services import NoSuch, NotificationError
from governance.selectors import catalogue_names

_DOTS = {
    Delivery.State.SENT: "",
    Delivery.State.FAILED: "bad",
    Delivery.State.UNCERTAIN: "warn",
    Delivery.State.WAITING: "none",
    Delivery.State.SENDING: "none",
    Delivery.State.CANCELLED: "none",
    Delivery.State.BUNDLED: "none",
}
_FILTERS = (("all", "All"), ("open", "On their way"), ("failed", "Failed or unknown"))
_STATES: Mapping[str, tuple[str, ...]] = {
    "open": (Delivery.State.WAITING, Delivery.State.SENDING),
    "failed": (Delivery.State.FAILED, Delivery.State.UNCERTAIN),
}


@dataclass(frozen=True)
class ChannelLine:
    row: ChannelRow
    team: str
    about: str
    state: str
    state_words: str
    last_sent: str


@dataclass(frozen=True)
class LogLine:
    row: LogRow
    when: str
    what: str
    dot: str
    detail: str


@dataclass(frozen=True)
class ChoiceLine:
    """A choice for one budget."""

    budget_id: int
    name: str
    words: str


@never_cache
@login_required
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The page; with HX-Request and part=log only the log, which htmx asks for while something is on its way."""
    if request.headers.get("HX-Request") and request.GET.get("part") == "log":
        return render(request, "governance/notifications/log.html", _log_context(request))
    return _page(request)


@require_POST
@login_required
def save_choice(request: HttpRequest) -> HttpResponse:
    """What I hear, of everything or of one budget."""
    user, budget_id = _person(request), _budget_of(request, request.POST.get("budget", ""))
    if "forget" in request.POST:
        services.unsubscribe(user, budget_id)
        return redirect("notifications")
    form = WantsForm(request.POST)
    if form.is_valid():
        try:
            services.subscribe(user, form.wants(), budget_id)
        except NotificationError as error:
            form.refuse(error)
        else:
            return redirect(_address("saved"))
    return _page(request, wants=form, budget_id=budget_id, status=400)


@require_POST
@login_required
def test_mail(request: HttpRequest) -> HttpResponse:
    services.test_mail(actor_of(request), _person(request), timezone.now())
    return redirect(_address("queued", "log"))


@sensitive_post_parameters("address")
@never_cache
@require_POST
@login_required
def add_channel(request: HttpRequest) -> HttpResponse:
    """A new channel; a webhook's signing secret is in this answer and nowhere else."""
    actor = actor_of(request)
    actor.require(Action.EDIT_CHANNELS, None)
    form = ChannelForm(_team_choices(), request.POST)
    if form.is_valid():
        try:
            made = services.create_channel(actor, **form.values(), now=timezone.now())
        except NotificationError as error:
            form.refuse(error)
        else:
            if made.secret is None:
                return redirect(_address("made", "channels"))
            return _page(request, secret=made.secret, secret_of=made.channel.name)
    return _page(request, channel=form, status=400)


@require_POST
@login_required
def change_channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Test, pause, resume, remove, or a new signing secret."""
    actor, now = actor_of(request), timezone.now()
    try:
        match request.POST.get("do"):
            case "test":
                services.test_channel(actor, channel_id, now)
                return redirect(_address("queued", "log"))
            case "pause" | "resume" as word:
                services.change_channel(actor, channel_id, is_active=word == "resume", now=now)
            case "remove":
                services.remove_channel(actor, channel_id, now)
            case "rotate":
                secret = services.rotate_secret(actor, channel_id, now)
                row = selectors.channel(actor, channel_id, now)
                return _page(request, secret=secret, secret_of=row.name if row else "")
            case _:
                return _page(request, refusal="There is no such thing to do.", status=400)
    except NoSuch as error:
        raise Http404 from error
    except NotificationError as error:
        return _page(request, refusal=str(error), status=400)
    return redirect(_address("saved", "channels"))


@require_POST
@login_required
def send_again(request: HttpRequest, delivery_id: int) -> HttpResponse:
    try:
        services.send_again(actor_of(request), delivery_id, timezone.now())
    except NoSuch as error:
        raise Http404 from error
    except NotificationError as error:
        return _page(request, refusal=str(error), status=400)
    return redirect(_address("queued", "log"))


def _page(
    request: HttpRequest,
    *,
    wants: WantsForm | None = None,
    budget_id: int | None = None,
    channel: ChannelForm | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    actor, user, today = actor_of(request), _person(request), today_of()
    if wants is None and budget_id is None:
        budget_id = _budget_of(request, request.GET.get("budget", ""))
    mine = selectors.subscriptions(user)
    rows = selectors.channels(actor, timezone.now())
    names = catalogue_names()
    budgets = _budgets(actor)
    may_add = actor.may(Action.EDIT_CHANNELS, None)
    context = {
        "mail_is_on": bool(settings.WEIR_SMTP_URL),
        "trouble": selectors.trouble(actor, timezone.now()),
        "wants": wants or WantsForm(initial=_initial(mine, budget_id)),
        "budget_id": budget_id,
        "budget_name": dict(budgets).get(budget_id or 0, ""),
        "budgets": budgets,
        "choices": _choices(mine, dict(budgets)),
        "has_choice": any(one.budget_id == budget_id for one in mine),
        "channels": [_channel_line(row, names, today) for row in rows],
        "may_add": may_add,
        "channel": channel or (ChannelForm(_team_choices()) if may_add else None),
        "opened": channel is not None,
        "summary": _summary(rows),
        "said": request.GET.get("said", "") if request.method == "GET" else "",
        **_log_context(request),
        **more,
    }
    response = render(
        request, "governance/notifications/page.html", frame(request, page="notifications") | context, status=status
    )
    if "secret" in more:
        response.headers["Cache-Control"] = "no-store"
    return response


def _log_context(request: HttpRequest) -> dict[str, Any]:
    actor, today = actor_of(request), today_of()
    chosen = request.GET.get("show", "all")
    before = request.GET.get("before", "")
    known = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    rows = selectors.log(actor, states=_STATES.get(chosen, ()), before=known, limit=selectors.PAGE_SIZE + 1)
    shown = rows[: selectors.PAGE_SIZE]
    return {
        "log": [_log_line(row, today) for row in shown],
        "filters": _FILTERS,
        "show": chosen if chosen in dict(_FILTERS) else "all",
        "older": shown[-1].id if len(rows) > len(shown) else None,
        "is_first": known is None,
        "is_moving": known is None and any(row.state in _STATES["open"] and _is_due(row) for row in shown),
    }


def _is_due(row: LogRow) -> bool:
    """Soon: what waits for a digest or the end of quiet hours is nothing to watch."""
    return (row.due_at - timezone.now()).total_seconds() < 120


def _channel_line(row: ChannelRow, names: Mapping[str, str], today: date) -> ChannelLine:
    state, words = ("", "Works") if row.last_sent else ("none", "Nothing sent yet")
    if row.error:
        state, words = "bad", "Fails"
    if not row.is_active:
        state, words = "none", "Paused"
    return ChannelLine(
        row,
        team=names.get(row.team, row.team) if row.team else "The organisation",
        about=_about(row.wants),
        state=state,
        state_words=words,
        last_sent=formats.moment(row.last_sent, today),
    )


def _log_line(row: LogRow, today: date) -> LogLine:
    detail = row.error
    if row.state == Delivery.State.WAITING:
        wait = f"next at {formats.moment(row.due_at, today)}" if not _is_past(row.due_at) else "next within seconds"
        detail = f"{row.error}; {wait}" if row.error else wait
    return LogLine(
        row,
        when=formats.moment(row.created_at, today),
        what=WORDS.get(Kind(row.kind), row.kind),
        dot=_DOTS[Delivery.State(row.state)],
        detail=detail,
    )


def _is_past(at: datetime) -> bool:
    return at <= timezone.now()


def _about(wants: Subscription | None) -> str:
    if wants is None or wants.mode == Subscription.Mode.OFF:
        return "Nothing"
    count = "Everything" if not wants.kinds else f"{len(wants.kinds)} of {len(KINDS)} kinds"
    return count if wants.mode == Subscription.Mode.NOW else f"{count}, daily"


def _summary(rows: list[ChannelRow]) -> str:
    mail = "E-mail is on" if settings.WEIR_SMTP_URL else "E-mail is off"
    return f"{mail}. {len(rows)} channel{'' if len(rows) == 1 else 's'}."


def _initial(mine: list[Subscription], budget_id: int | None) -> dict[str, Any]:
    found = next((one for one in mine if one.budget_id == budget_id), None)
    found = found or next((one for one in mine if one.budget_id is None), None)
    if found is None:
        return {"mode": Subscription.Mode.NOW, "kinds": sorted(IMPORTANT), "zone": "UTC"}
    return {
        "mode": found.mode,
        "kinds": found.kinds or [kind for kind, _ in KINDS],
        "quiet_from": found.quiet_from,
        "quiet_until": found.quiet_until,
        "digest_at": found.digest_at,
        "zone": found.zone,
    }


def _choices(mine: list[Subscription], budgets: Mapping[int, str]) -> list[ChoiceLine]:
    return [
        ChoiceLine(one.budget_id, budgets.get(one.budget_id, f"Budget {one.budget_id}"), one.get_mode_display())
        for one in mine
        if one.budget_id is not None
    ]


def _budgets(actor: Actor) -> list[tuple[int, str]]:
    found = Budget.objects.filter(archived_at__isnull=True).order_by("name")
    if not actor.scope.everything:
        found = found.filter(team__in=actor.scope.teams)
    return list(found.values_list("id", "name"))


def _budget_of(request: HttpRequest, text: str) -> int | None:
    """The budget that was asked for, if the reader may see it; else a 404."""
    if not text:
        return None
    known = {number for number, _ in _budgets(actor_of(request))}
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    if number not in known:
        raise Http404
    return number


def _team_choices() -> list[tuple[str, str]]:
    return list(Team.objects.order_by("name").values_list("slug", "name"))


def _person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def _address(said: str, part: str = "") -> str:
    return f"{reverse('notifications')}?said={said}{'#' + part if part else ''}"
