"""One round of delivering: claim what is due, send it, note what became of it; and the daily digests.

Called every few seconds by the clock, from any number of workers. Not here: how a kind of channel sends.
"""

import json
import logging
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from governance.models import Channel, Delivery, Notification
from governance.notifications import channels, messages, outbox, sealing
from governance.notifications.channels import DeliveryError, Network, Outgoing, Target
from governance.notifications.events import Event, Kind
from governance.notifications.mail import BadAddress, MailServer
from governance.notifications.outbox import Claim, ClaimLost
from governance.notifications.recipients import Recipient, channel_may_know, person_may_know

logger = logging.getLogger(__name__)
_round = threading.Lock()
Clock = Callable[[], datetime]

ROUND_SIZE = 100
# A round ends, so that a slow recipient never makes rounds pile up; the next one goes on.
ROUND_SECONDS = 45
_UNKNOWN = "the worker died, or nobody answered, while it was sent: look there, then send it again if it is missing"


def deliver_due(clock: Clock = timezone.now) -> int:
    """Send what is due; returns how many were sent. Never raises for what a recipient does."""
    # One round a process: the clock wakes more often than a round with slow recipients takes.
    if not _round.acquire(blocking=False):
        return 0
    try:
        return _deliver_round(clock)
    finally:
        _round.release()


def _deliver_round(clock: Clock) -> int:
    started = clock()
    make_digests(started)
    # A way that does not answer is left alone for the rest of the round: others must not wait for it.
    silent: set[str] = set()
    sent = 0
    for claim in chain(outbox.expired(started, ROUND_SIZE), outbox.claims(started, ROUND_SIZE, silent)):
        try:
            sent += _deliver(claim, silent, clock)
        except ClaimLost:
            logger.info("delivery %s was taken over", claim.delivery.pk)
        if clock() - started > timedelta(seconds=ROUND_SECONDS):
            break
    return sent


def network() -> Network:
    """What the settings allow. Raises BadAddress for a mail server that can't be understood."""
    url = settings.WEIR_SMTP_URL
    mail = MailServer.parse(url, settings.WEIR_MAIL_FROM) if url else None
    return Network(mail, settings.WEIR_ALLOW_PRIVATE_ADDRESSES)


def make_digests(now: datetime) -> int:
    """One message of each recipient's waiting digest items whose time has come; returns how many digests."""
    waiting = Delivery.objects.filter(state=Delivery.State.WAITING, is_digest=True, due_at__lte=now)
    due = set(waiting.values_list("channel_id", "user_id"))
    return sum(_make_digest(channel_id, user_id, now) for channel_id, user_id in sorted(due, key=lambda one: str(one)))


def signing_secrets(channel: Channel, now: datetime) -> tuple[str, ...]:
    """The secrets that sign for a webhook now, newest first. Raises sealing.SealError."""
    if not channel.signing:
        return ()
    kept = json.loads(sealing.unseal(channel.signing))
    return tuple(one["secret"] for one in kept if not one["until"] or datetime.fromisoformat(one["until"]) > now)


def address_of(channel: Channel) -> str:
    """The channel's address in the clear. Raises sealing.SealError, BadAddress."""
    if channel.sealed:
        return sealing.unseal(channel.sealed)
    return channels.checked(channel.kind, sealing.dereference(channel.reference))[0]


def _make_digest(channel_id: int | None, user_id: int | None, now: datetime) -> int:
    with transaction.atomic():
        whose = Q(channel_id=channel_id) if channel_id is not None else Q(user_id=user_id)
        mine = Delivery.objects.select_for_update(of=("self",)).filter(
            whose, state=Delivery.State.WAITING, is_digest=True, due_at__lte=now
        )
        parts = list(mine.select_related("channel", "user").order_by("id"))
        if not parts:
            return 0
        to = Recipient(now, is_digest=False, channel=parts[0].channel, user=parts[0].user)
        newest = max(part.pk for part in parts)
        event = Event(
            kind=Kind.DIGEST,
            # What is in it is checked part by part when it leaves.
            team=to.channel.team if to.channel else None,
            budget_id=None,
            subject=f"Digest of {len(parts)}",
            figures={},
            link_path="/settings/notifications",
            once_key=f"digest:{channel_id or ''}:{user_id or ''}:{newest}",
        )
        outbox.bundle(outbox.keep(event, now)[0], to, [part.pk for part in parts], now)
    return 1


def _deliver(claim: Claim, silent: set[str], clock: Clock) -> int:
    delivery, now = claim.delivery, clock()
    if delivery.attempts > outbox.MAX_ATTEMPTS:
        # Workers die of this one.
        claim.fail(f"given up after {outbox.MAX_ATTEMPTS} attempts; the last worker did not come back", now)
        return 0
    if delivery.handed_at is not None and not channels.knows_repeats(_kind(delivery)):
        claim.uncertain(_UNKNOWN, now)
        return 0
    outgoing = _outgoing(delivery, now)
    if outgoing is None:
        claim.cancel("the recipient may not know this any more", now)
        return 0
    try:
        note = channels.send(
            _target(delivery, now), outgoing, network(), hand_over=lambda: claim.hand_over(clock()), now=now
        )
    except DeliveryError as error:
        _note_failure(claim, error, silent, clock())
        return 0
    except (sealing.SealError, BadAddress) as error:
        claim.fail(str(error), clock())
        return 0
    except ClaimLost:
        raise
    except Exception as error:
        # A defect of ours: it must not stop the other deliveries. Its text may hold an address: only type and place.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("delivery %s failed: %s\n%s", delivery.pk, type(error).__name__, where)
        claim.retry(f"an error in Weir itself ({type(error).__name__}): the worker's log says which", clock())
        return 0
    claim.sent(clock(), note)
    return 1


def _note_failure(claim: Claim, error: DeliveryError, silent: set[str], now: datetime) -> None:
    delivery = claim.delivery
    if error.may_have_arrived and not channels.knows_repeats(_kind(delivery)):
        claim.uncertain(f"{error}; {_UNKNOWN}", now)
    elif error.retryable:
        silent.add(outbox.way_of(delivery.channel_id, _kind(delivery)))
        claim.retry(str(error), now, at_least=error.retry_after)
    else:
        claim.fail(str(error), now)


def _target(delivery: Delivery, now: datetime) -> Target:
    if delivery.user is not None:
        return Target(Channel.Kind.EMAIL, delivery.user.email)
    channel = _channel(delivery)
    return Target(channel.kind, address_of(channel), signing_secrets(channel, now))


def _outgoing(delivery: Delivery, now: datetime) -> Outgoing | None:
    """The message as its recipient may read it now; None if they may not: rights may have changed since."""
    notification, url = delivery.notification, settings.WEIR_PUBLIC_URL
    if notification.kind == Kind.TEST:
        # Its sender chose the channel; a test says nothing of anybody.
        may_go = delivery.channel is None or (delivery.channel.is_active and delivery.channel.removed_at is None)
        readable = [notification] if may_go else []
    elif notification.kind == Kind.DIGEST:
        parts = delivery.bundled.select_related("notification").order_by("notification_id")
        readable = [part.notification for part in parts if _may_know(delivery, part.notification.team, now)]
    else:
        readable = [notification] if _may_know(delivery, notification.team, now) else []
    if not readable:
        return None
    if notification.kind != Kind.DIGEST:
        message = messages.compose(outbox.told(notification), url)
        return Outgoing(message, delivery.key, _body(notification, message, delivery.key))
    message = messages.compose_digest([(each.created_at.astimezone(UTC), outbox.told(each)) for each in readable], url)
    items = [_body(each, messages.compose(outbox.told(each), url), delivery.key) for each in readable]
    return Outgoing(message, delivery.key, {**_body(notification, message, delivery.key), "words": "", "items": items})


def _body(notification: Notification, message: messages.Message, key: str) -> dict[str, Any]:
    return messages.body_of(
        outbox.told(notification),
        message,
        key=key,
        notification_id=notification.pk,
        team=notification.team,
        created_at=notification.created_at,
    )


def _may_know(delivery: Delivery, team: str | None, now: datetime) -> bool:
    if delivery.user is not None:
        return person_may_know(delivery.user, team, now)
    return channel_may_know(_channel(delivery), team, now)


def _channel(delivery: Delivery) -> Channel:
    if delivery.channel is None:
        raise LookupError("a delivery to a person has no channel")
    return delivery.channel


def _kind(delivery: Delivery) -> str:
    return delivery.channel.kind if delivery.channel else Channel.Kind.EMAIL
