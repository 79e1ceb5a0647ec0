"""What of channels, subscriptions and the log a reader may see. Reads only; no address and no secret leaves here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q, QuerySet

from attribution.actors import Action, Actor
from governance.models import Channel, Delivery, Notification, Subscription, User
from governance.notifications.events import OWN_KINDS

PAGE_SIZE = 50
# How long a failed message is counted as trouble; the log keeps it.
TROUBLE_FOR = timedelta(days=7)
_TROUBLE = (Delivery.State.FAILED, Delivery.State.UNCERTAIN)


@dataclass(frozen=True)
class ChannelRow:
    """A channel with its general subscription and how it does."""

    id: int
    name: str
    kind: str
    kind_words: str
    team: str | None
    hint: str
    is_active: bool
    may_edit: bool
    wants: Subscription | None
    last_sent: datetime | None
    waiting: int
    # Failed or unknown in the last TROUBLE_FOR; `error` is the newest one's, if nothing arrived after it.
    failed: int
    error: str


@dataclass(frozen=True)
class LogRow:
    """One delivery of one notification."""

    id: int
    notification_id: int
    kind: str
    subject: str
    team: str | None
    to: str
    to_kind: str
    state: str
    state_words: str
    created_at: datetime
    due_at: datetime
    settled_at: datetime | None
    attempts: int
    error: str
    key: str
    may_send_again: bool


@dataclass(frozen=True)
class NotificationRow:
    """What was told, with those of its deliveries that the reader may see."""

    id: int
    notification: Notification
    deliveries: tuple[LogRow, ...]


def channels(actor: Actor, now: datetime) -> list[ChannelRow]:
    """The channels that the actor may see: their teams', or all."""
    found = Channel.objects.filter(_visible_channels(actor), removed_at__isnull=True).order_by("name", "id")
    wants = {one.channel_id: one for one in Subscription.objects.filter(channel__in=found, budget_id=None)}
    failed = Q(deliveries__state__in=_TROUBLE, deliveries__settled_at__gte=now - TROUBLE_FOR)
    counted = found.annotate(
        last_sent=Max("deliveries__settled_at", filter=Q(deliveries__state=Delivery.State.SENT)),
        waiting=Count("deliveries", filter=Q(deliveries__state__in=(Delivery.State.WAITING, Delivery.State.SENDING))),
        failed=Count("deliveries", filter=failed),
        last_failed=Max("deliveries__settled_at", filter=failed),
    )
    rows = list(counted)
    failing = {
        row.pk: row.last_failed
        for row in rows
        if row.last_failed and row.last_failed >= (row.last_sent or row.last_failed)
    }
    errors = dict(
        Delivery.objects.filter(channel__in=failing, settled_at__in=failing.values(), state__in=_TROUBLE)
        .order_by("id")
        .values_list("channel_id", "error")
    )
    return [
        ChannelRow(
            id=row.pk,
            name=row.name,
            kind=row.kind,
            kind_words=row.get_kind_display(),
            team=row.team,
            hint=row.hint,
            is_active=row.is_active,
            may_edit=actor.may(Action.EDIT_CHANNELS, row.team),
            wants=wants.get(row.pk),
            last_sent=row.last_sent,
            waiting=row.waiting,
            failed=row.failed,
            error=errors.get(row.pk, ""),
        )
        for row in rows
    ]


def channel(actor: Actor, channel_id: int, now: datetime) -> ChannelRow | None:
    return next((row for row in channels(actor, now) if row.id == channel_id), None)


def subscriptions(user: User) -> list[Subscription]:
    """The person's own: the general one first."""
    found = list(Subscription.objects.filter(user=user).order_by("budget_id"))
    return sorted(found, key=lambda one: (one.budget_id is not None, one.budget_id or 0))


def log(actor: Actor, *, states: Sequence[str] = (), before: int | None = None, limit: int = PAGE_SIZE) -> list[LogRow]:
    """Deliveries that the actor may see, newest first, with numbers below `before`."""
    found = visible_deliveries(actor).order_by("-id")
    if states:
        found = found.filter(state__in=states)
    if before is not None:
        found = found.filter(id__lt=before)
    return [_log_row(actor, one) for one in found[:limit]]


def trouble(actor: Actor, now: datetime) -> int:
    """How many deliveries that the actor may see have failed or are unknown, in the last TROUBLE_FOR."""
    return visible_deliveries(actor).filter(state__in=_TROUBLE, settled_at__gte=now - TROUBLE_FOR).count()


def notifications(
    actor: Actor, *, kinds: Sequence[str] = (), before: int | None = None, limit: int = PAGE_SIZE
) -> list[NotificationRow]:
    """What was told that the actor may know, newest first, with ids below `before`."""
    own = Q(kind__in=[each.value for each in OWN_KINDS])
    mine = Q(deliveries__in=visible_deliveries(actor).filter(notification__kind__in=[each.value for each in OWN_KINDS]))
    found = Notification.objects.filter((_visible_teams(actor) & ~own) | (own & mine)).distinct().order_by("-id")
    if kinds:
        found = found.filter(kind__in=kinds)
    if before is not None:
        found = found.filter(id__lt=before)
    rows = list(found[:limit])
    by_notification: dict[int, list[LogRow]] = {row.pk: [] for row in rows}
    for one in visible_deliveries(actor).filter(notification__in=rows).order_by("id"):
        by_notification[one.notification_id].append(_log_row(actor, one))
    return [NotificationRow(row.pk, row, tuple(by_notification[row.pk])) for row in rows]


def visible_deliveries(actor: Actor) -> QuerySet[Delivery]:
    """One's own; those to channels of one's teams about one's teams; all, for who edits the organisation's channels."""
    found = Delivery.objects.select_related("notification", "channel", "user")
    if actor.may(Action.EDIT_CHANNELS, None):
        return found
    mine = Q(user_id=actor.user_id) if actor.user_id is not None else Q(pk__in=[])
    seen = Q(channel__in=Channel.objects.filter(_visible_channels(actor)))
    if not actor.scope.everything:
        seen &= Q(notification__team__in=actor.scope.teams)
        # One's own too: who left a team reads no more of it.
        mine &= Q(notification__team__in=actor.scope.teams) | Q(
            notification__kind__in=[each.value for each in OWN_KINDS]
        )
    return found.filter(mine | seen)


def _visible_channels(actor: Actor) -> Q:
    if actor.scope.everything or actor.may(Action.EDIT_CHANNELS, None):
        return Q()
    return Q(team__in=actor.scope.teams)


def _visible_teams(actor: Actor) -> Q:
    return Q() if actor.scope.everything else Q(team__in=actor.scope.teams)


def _log_row(actor: Actor, one: Delivery) -> LogRow:
    channel = one.channel
    is_mine = one.user_id is not None and one.user_id == actor.user_id
    may_edit = actor.may(Action.EDIT_CHANNELS, channel.team if channel else None)
    is_live = channel is None or channel.removed_at is None
    again = one.state in (*_TROUBLE, Delivery.State.CANCELLED) or (
        one.state == Delivery.State.SENT and channel is not None and channel.kind == Channel.Kind.WEBHOOK
    )
    return LogRow(
        id=one.pk,
        notification_id=one.notification_id,
        kind=one.notification.kind,
        subject=one.notification.subject,
        team=one.notification.team,
        to=channel.name if channel else (str(one.user) if one.user else ""),
        to_kind=channel.get_kind_display() if channel else "E-mail",
        state=one.state,
        state_words=one.get_state_display(),
        created_at=one.created_at,
        due_at=one.due_at,
        settled_at=one.settled_at,
        attempts=one.attempts,
        error=one.error,
        key=one.key,
        may_send_again=again and is_live and (may_edit or is_mine),
    )
