"""What changes channels and subscriptions, asks for a test, and sends again; the only writer of them.

Every change of a channel stands in the audit trail, without its address.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from attribution import audit
from attribution.actors import Action, Actor, Forbidden
from attribution.models import Team
from governance.models import Channel, Delivery, Subscription, User
from governance.notifications import channels, outbox, sealing, signing
from governance.notifications.events import SUBSCRIBABLE, Event, Kind
from governance.notifications.mail import BadAddress
from governance.notifications.recipients import Recipient

# How long the old secret of a webhook still signs beside the new one.
ROTATION = timedelta(hours=24)
MAX_REPLAY = timedelta(days=30)
MAX_REPLAYED = 1000
_AGAIN = (Delivery.State.FAILED, Delivery.State.UNCERTAIN, Delivery.State.CANCELLED)


class NotificationError(Exception):
    """A change that can't be made: which field, why, and what to do. Never retryable."""

    retryable = False

    def __init__(self, field: str, words: str, fix: str) -> None:
        self.field = field
        self.words = words
        self.fix = fix
        super().__init__(f"{words}: {fix}")


class NoSuch(Exception):
    """There is no such channel or delivery, or it is not the actor's to see. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class Wants:
    """What a subscription asks for; see the model."""

    kinds: tuple[str, ...] = ()
    mode: str = Subscription.Mode.NOW
    quiet_from: time | None = None
    quiet_until: time | None = None
    zone: str = "UTC"
    digest_at: time | None = None


@dataclass(frozen=True)
class Made:
    """A channel, and the signing secret of a new webhook: it exists only here, show it once."""

    channel: Channel
    secret: str | None = field(default=None, repr=False)


def create_channel(
    actor: Actor,
    *,
    kind: str,
    name: str,
    now: datetime,
    team: str | None = None,
    address: str = "",
    reference: str = "",
    wants: Wants | None = None,
) -> Made:
    """Make a channel of `team`, or of the organisation. Raises Forbidden, NotificationError."""
    actor.require(Action.EDIT_CHANNELS, team)
    if team is not None and not Team.objects.filter(slug=team).exists():
        raise NotificationError("team", "there is no such team", "take one of the teams, or none for the organisation")
    if kind not in Channel.Kind.values:
        raise NotificationError("kind", "this kind is not known", f"take one of {', '.join(Channel.Kind.values)}")
    kept = _kept_address(kind, address, reference)
    secret = signing.new_secret() if kind == Channel.Kind.WEBHOOK else None
    with transaction.atomic():
        channel = Channel.objects.create(
            kind=kind,
            name=_checked_name(name),
            team=team,
            signing=_sealed_secrets([(secret, None)]) if secret else "",
            created_by=actor.name,
            created_at=now,
            **kept,
        )
        Subscription.objects.create(channel=channel, **_kept_wants(wants or Wants()))
        audit.record(actor, "create", "channel", channel.pk, team=team, after=_facts(channel), now=now)
    return Made(channel, secret)


def change_channel(
    actor: Actor,
    channel_id: int,
    *,
    now: datetime,
    name: str | None = None,
    is_active: bool | None = None,
    address: str = "",
    reference: str = "",
    wants: Wants | None = None,
) -> Channel:
    """Change what is given. Raises NoSuch, Forbidden, NotificationError."""
    with transaction.atomic():
        channel = _channel_to_edit(actor, channel_id)
        before = _facts(channel)
        if name is not None:
            channel.name = _checked_name(name)
        if is_active is not None:
            channel.is_active = is_active
        if address or reference:
            for attribute, value in _kept_address(channel.kind, address, reference).items():
                setattr(channel, attribute, value)
        channel.save()
        if wants is not None:
            Subscription.objects.update_or_create(channel=channel, budget_id=None, defaults=_kept_wants(wants))
        audit.record(
            actor, "change", "channel", channel.pk, team=channel.team, before=before, after=_facts(channel), now=now
        )
    return channel


def remove_channel(actor: Actor, channel_id: int, now: datetime) -> None:
    """Nothing goes there any more; its address is forgotten, what was sent stays in the log. Raises as change."""
    with transaction.atomic():
        channel = _channel_to_edit(actor, channel_id)
        before = _facts(channel)
        channel.removed_at, channel.is_active = now, False
        channel.sealed, channel.reference, channel.signing = sealing.seal(""), "", ""
        channel.save()
        audit.record(actor, "remove", "channel", channel.pk, team=channel.team, before=before, now=now)


def rotate_secret(actor: Actor, channel_id: int, now: datetime) -> str:
    """A new signing secret; the newest old one signs beside it for 24 hours. Raises as change."""
    with transaction.atomic():
        channel = _channel_to_edit(actor, channel_id)
        if channel.kind != Channel.Kind.WEBHOOK:
            raise NotificationError("kind", "only a webhook has a signing secret", "take a webhook")
        secret = signing.new_secret()
        try:
            old = json.loads(sealing.unseal(channel.signing))[:1]
        except sealing.SealError:
            old = []
        channel.signing = _sealed_secrets([(secret, None), *((one["secret"], now + ROTATION) for one in old)])
        channel.save(update_fields=["signing"])
        audit.record(actor, "rotate_secret", "channel", channel.pk, team=channel.team, now=now)
    return secret


def test_channel(actor: Actor, channel_id: int, now: datetime) -> int:
    """Queue a test message to the channel; returns the delivery's number. Raises as change."""
    with transaction.atomic():
        channel = _channel_to_edit(actor, channel_id)
        if not channel.is_active:
            raise NotificationError("is_active", "the channel is paused", "resume it first")
        return _test(Recipient(now, is_digest=False, channel=channel), channel.team, actor, now)


def test_mail(actor: Actor, user: User, now: datetime) -> int:
    """Queue a test mail to the person themselves; returns the delivery's number."""
    with transaction.atomic():
        return _test(Recipient(now, is_digest=False, user=user), None, actor, now)


def send_again(actor: Actor, delivery_id: int, now: datetime) -> None:
    """Queue a failed, unknown or cancelled delivery once more; a webhook's also when it was sent (a replay).

    Raises NoSuch, Forbidden, NotificationError.
    """
    with transaction.atomic():
        delivery = Delivery.objects.select_related("channel", "user").filter(pk=delivery_id).first()
        if delivery is None:
            raise NoSuch("there is no such delivery")
        team = _require_again(actor, delivery)
        is_webhook = delivery.channel is not None and delivery.channel.kind == Channel.Kind.WEBHOOK
        states = (*_AGAIN, Delivery.State.SENT) if is_webhook else _AGAIN
        if not outbox.requeue(delivery.pk, states, now):
            raise NotificationError(
                "state", f"it is {delivery.get_state_display().lower()}", "wait until it has failed or is unknown"
            )
        inputs = {"state": delivery.state, "key": delivery.key}
        audit.record(actor, "send_again", "delivery", delivery.pk, team=team, inputs=inputs, now=now)


def replay(actor: Actor, channel_id: int, since: datetime, now: datetime) -> int:
    """Send a webhook again what was told since `since`, oldest first, each with its first key; returns how many.

    Raises NoSuch, Forbidden, NotificationError.
    """
    with transaction.atomic():
        channel = _channel_to_edit(actor, channel_id)
        if channel.kind != Channel.Kind.WEBHOOK:
            raise NotificationError("kind", "only webhooks are replayed", "send single deliveries again instead")
        if not now - MAX_REPLAY <= since <= now:
            raise NotificationError("since", "it is too long ago, or not yet", "give an instant of the last 30 days")
        states = (*_AGAIN, Delivery.State.SENT)
        mine = Delivery.objects.filter(channel=channel, created_at__gte=since, state__in=states).order_by("id")
        numbers = list(mine.values_list("id", flat=True)[:MAX_REPLAYED])
        count = sum(outbox.requeue(number, states, now) for number in numbers)
        audit.record(
            actor, "replay", "channel", channel.pk, team=channel.team, inputs={"since": since, "count": count}, now=now
        )
    return count


def subscribe(user: User, wants: Wants, budget_id: int | None = None) -> Subscription:
    """Replace what the person hears, of everything or of one budget. Raises NotificationError."""
    kept = _kept_wants(wants)
    with transaction.atomic():
        return Subscription.objects.update_or_create(user=user, budget_id=budget_id, defaults=kept)[0]


def unsubscribe(user: User, budget_id: int | None = None) -> None:
    """Forget the choice: what holds without one holds again."""
    Subscription.objects.filter(user=user, budget_id=budget_id).delete()


def may_see(actor: Actor, channel: Channel) -> bool:
    return actor.may(Action.EDIT_CHANNELS, channel.team) or actor.scope.allows(channel.team)


def _channel_to_edit(actor: Actor, channel_id: int) -> Channel:
    channel = Channel.objects.select_for_update().filter(pk=channel_id, removed_at__isnull=True).first()
    if channel is None or not may_see(actor, channel):
        raise NoSuch("there is no such channel")
    actor.require(Action.EDIT_CHANNELS, channel.team)
    return channel


def _require_again(actor: Actor, delivery: Delivery) -> str | None:
    """The team of what is sent again. One's own may be sent again by oneself. Raises NoSuch, Forbidden."""
    if delivery.channel is not None:
        return _channel_to_edit(actor, delivery.channel.pk).team
    if delivery.user_id == actor.user_id and actor.user_id is not None:
        return None
    if not actor.may(Action.EDIT_CHANNELS, None):
        if actor.scope.everything:
            raise Forbidden(Action.EDIT_CHANNELS, None)
        raise NoSuch("there is no such delivery")
    return None


def _test(to: Recipient, team: str | None, actor: Actor, now: datetime) -> int:
    event = Event(
        kind=Kind.TEST,
        team=team,
        budget_id=None,
        subject="Test message from Weir",
        figures={"words": f"{actor.name} asked for this test. Messages of budgets and changes will come here."},
        link_path="/settings/notifications",
        once_key=f"test:{uuid.uuid4().hex}",
    )
    (delivery,) = outbox.queue(outbox.keep(event, now)[0], [to], now)
    return delivery.pk


def _kept_address(kind: str, address: str, reference: str) -> dict[str, str]:
    if bool(address.strip()) == bool(reference.strip()):
        raise NotificationError("address", "a channel has one address", "give address or reference, one of both")
    try:
        if reference.strip():
            sealing.check_reference(reference.strip())
            return {"sealed": "", "reference": reference.strip()[:300], "hint": reference.strip()[:200]}
        normal, hint = channels.checked(kind, address)
    except sealing.SealError as error:
        raise NotificationError("reference", "this reference is not allowed", str(error)) from error
    except BadAddress as error:
        raise NotificationError("address", "this address can't be used", str(error)) from error
    return {"sealed": sealing.seal(normal), "reference": "", "hint": hint}


def _checked_name(name: str) -> str:
    clean = " ".join(name.split())
    if not 1 <= len(clean) <= 100:
        raise NotificationError("name", f"the name has {len(clean)} characters", "write 1 to 100")
    return clean


def _kept_wants(wants: Wants) -> dict[str, Any]:
    unknown = sorted(set(wants.kinds) - set(SUBSCRIBABLE))
    if unknown:
        raise NotificationError("kinds", f"{unknown[0][:60]!r} is no kind", f"take some of {', '.join(SUBSCRIBABLE)}")
    if wants.mode not in Subscription.Mode.values:
        raise NotificationError("mode", "this mode is not known", f"take one of {', '.join(Subscription.Mode.values)}")
    if (wants.quiet_from is None) != (wants.quiet_until is None):
        raise NotificationError("quiet_until", "quiet hours have a start and an end", "give both, or none")
    try:
        ZoneInfo(wants.zone)
    except (ValueError, KeyError, OSError) as error:
        raise NotificationError("zone", "this time zone is not known", "write one like Europe/Berlin") from error
    return {
        "kinds": [kind for kind in SUBSCRIBABLE if kind in wants.kinds],
        "mode": wants.mode,
        "quiet_from": wants.quiet_from,
        "quiet_until": wants.quiet_until,
        "zone": wants.zone,
        "digest_at": wants.digest_at,
    }


def _sealed_secrets(secrets: list[tuple[str, datetime | None]]) -> str:
    kept = [{"secret": secret, "until": until.isoformat() if until else None} for secret, until in secrets]
    return sealing.seal(json.dumps(kept))


def _facts(channel: Channel) -> Mapping[str, Any]:
    """What the trail keeps of a channel: no address, no secret."""
    return {
        "name": channel.name,
        "kind": channel.kind,
        "team": channel.team,
        "is_active": channel.is_active,
        "hint": channel.hint,
    }
