"""The outbox: what is to be told is a row, written in the transaction of what happened; delivering changes the row.

A delivery is claimed by a conditional update with a lease, so two workers never send it at once and a killed worker's
is taken over. The one window that no outbox closes: a worker that dies after the recipient took the message and before
it could note so. `handed_at` marks that window. Recipients that know a repeat by its key (e-mail by Message-ID, our
webhooks by Weir-Message-Id, PagerDuty by dedup_key) get it again; for others a person decides (State.UNCERTAIN).
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from governance.models import Channel, Delivery, Notification
from governance.notifications.events import Event, Kind, Told, kept_figures
from governance.notifications.recipients import Recipient, recipients

# Longer than handing over can take, which has limits of its own. A worker that is slower before that loses the claim
# and hands nothing over.
LEASE = timedelta(minutes=1)
MAX_ATTEMPTS = 12
# Longer than any period whose events might be told again under the same key.
KEPT_FOR = timedelta(days=400)
_FIRST_WAIT = timedelta(seconds=10)
_LONGEST_WAIT = timedelta(minutes=30)
_KEY_LENGTH = 200
State = Delivery.State


class ClaimLost(Exception):
    """Another worker has taken the delivery over, because this one was silent for longer than its lease."""

    retryable = True


@dataclass(frozen=True)
class Claim:
    """The right to send one delivery until the lease ends."""

    delivery: Delivery
    holder: str

    def hand_over(self, now: datetime) -> None:
        """Note, just before it leaves, that it may have left from now on. Raises ClaimLost: then don't send."""
        self._change(handed_at=now, lease_until=now + LEASE)

    def sent(self, now: datetime, note: str = "") -> None:
        self._change(state=State.SENT, settled_at=now, lease_until=None, error=note[:300])

    def retry(self, words: str, now: datetime, *, at_least: timedelta | None = None) -> None:
        """Not sent, try again later; failed when it was tried MAX_ATTEMPTS times."""
        if self.delivery.attempts >= MAX_ATTEMPTS:
            self.fail(f"given up after {MAX_ATTEMPTS} attempts: {words}", now)
            return
        due_at = now + max(wait_after(self.delivery.attempts, self.delivery.key), at_least or timedelta(0))
        self._change(state=State.WAITING, due_at=due_at, lease_until=None, handed_at=None, error=words[:300])

    def fail(self, words: str, now: datetime) -> None:
        self._change(state=State.FAILED, settled_at=now, lease_until=None, error=words[:300])

    def uncertain(self, words: str, now: datetime) -> None:
        """It may have arrived, and the recipient can't tell a repeat: a person decides."""
        self._change(state=State.UNCERTAIN, settled_at=now, lease_until=None, error=words[:300])

    def cancel(self, words: str, now: datetime) -> None:
        self._change(state=State.CANCELLED, settled_at=now, lease_until=None, error=words[:300])

    def _change(self, **values: object) -> None:
        mine = Delivery.objects.filter(pk=self.delivery.pk, state=State.SENDING, holder=self.holder)
        if not mine.update(**values):
            raise ClaimLost(f"delivery {self.delivery.pk}: another worker has it now")


def enqueue(event: Event, now: datetime) -> None:
    """Tell `event` to everybody who wants and may know it; does nothing if its once_key was told before.

    Call it inside the transaction of what happened: both stand, or neither. It sends nothing itself.
    Raises django.db.transaction.TransactionManagementError outside of a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("tell an event in the transaction of what happened")
    notification, is_new = keep(event, now)
    if is_new:
        queue(notification, recipients(event, now), now)


def keep(event: Event, now: datetime) -> tuple[Notification, bool]:
    """The notification of `event`, and whether it is new."""
    key = event.once_key
    if len(key) > _KEY_LENGTH:
        key = f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    return Notification.objects.get_or_create(
        once_key=key,
        defaults={
            "kind": Kind(event.kind).value,
            "team": event.team,
            "budget_id": event.budget_id,
            "subject": event.subject[:200],
            "figures": kept_figures(event.figures),
            "link_path": event.link_path[:300],
            "created_at": now,
        },
    )


def told(notification: Notification) -> Told:
    return Told(notification.kind, notification.subject, notification.figures, notification.link_path)


def queue(notification: Notification, to: Iterable[Recipient], now: datetime) -> list[Delivery]:
    """A delivery of `notification` for each recipient."""
    return Delivery.objects.bulk_create(
        Delivery(
            notification=notification,
            channel=one.channel,
            user=one.user,
            key=uuid.uuid4().hex,
            is_digest=one.is_digest,
            due_at=one.due_at,
            created_at=now,
        )
        for one in to
    )


def wait_after(attempts: int, key: str) -> timedelta:
    """How long after the `attempts`-th failure: 10 s doubling to 30 min, of which a half to all by `key`'s jitter.

    The jitter is of the key and the attempt, so that recipients spread and a test can say when.
    """
    doublings = max(min(attempts, 20) - 1, 0)
    longest: timedelta = min(_FIRST_WAIT * (1 << doublings), _LONGEST_WAIT)
    draw = int.from_bytes(hashlib.sha256(f"{key}:{attempts}".encode()).digest()[:4]) / 2**32
    return longest * (0.5 + draw / 2)


def claims(now: datetime, limit: int, skip: Collection[str] = ()) -> Iterator[Claim]:
    """Claim what is due, oldest first, one at a time: a claim is made when the one before it is settled.

    skip: ways (`way_of`) that are left for later; read anew before each claim.
    """
    due = Q(state=State.WAITING, is_digest=False, due_at__lte=now)
    found = Delivery.objects.filter(due).order_by("due_at", "id").values_list("id", "channel_id", "channel__kind")
    for pk, channel_id, kind in list(found[: limit * 4]):
        if limit and way_of(channel_id, kind or Channel.Kind.EMAIL) not in skip:
            claim = _claim(Q(pk=pk) & due, now)
            if claim is not None:
                limit -= 1
                yield claim


def expired(now: datetime, limit: int) -> Iterator[Claim]:
    """Claim what dead workers left: their lease has ended."""
    late = Q(state=State.SENDING, lease_until__lte=now)
    for pk in list(Delivery.objects.filter(late).order_by("id").values_list("id", flat=True)[:limit]):
        claim = _claim(Q(pk=pk) & late, now)
        if claim is not None:
            yield claim


def way_of(channel_id: int | None, kind: str) -> str:
    """What fails together: all mail goes through one server, any other channel stands for itself."""
    return "mail" if kind == Channel.Kind.EMAIL else f"channel:{channel_id}"


def requeue(delivery_id: int, states: Collection[str], now: datetime) -> bool:
    """Send a settled delivery again, with its key: the recipient may know it. False: it is in no such state."""
    return bool(
        Delivery.objects.filter(pk=delivery_id, state__in=states).update(
            state=State.WAITING,
            is_digest=False,
            due_at=now,
            attempts=0,
            handed_at=None,
            settled_at=None,
            lease_until=None,
            error="",
        )
    )


def forget(now: datetime) -> int:
    """Delete what was told more than KEPT_FOR ago, with its deliveries; returns how many notifications."""
    open_ones = Delivery.objects.filter(state__in=(State.WAITING, State.SENDING))
    old = Notification.objects.filter(created_at__lt=now - KEPT_FOR).exclude(deliveries__in=open_ones)
    count = old.count()
    old.delete()
    return count


def bundle(notification: Notification, to: Recipient, parts: Collection[int], now: datetime) -> Delivery:
    """One delivery of a digest in place of the waiting `parts`. Call it in a transaction that locks them."""
    (digest,) = queue(notification, [to], now)
    Delivery.objects.filter(pk__in=parts, state=State.WAITING, is_digest=True).update(
        state=State.BUNDLED, bundle=digest, settled_at=now
    )
    return digest


def _claim(which: Q, now: datetime) -> Claim | None:
    holder = uuid.uuid4().hex
    # The condition is in the update: of two workers, one gets the row.
    taken = Delivery.objects.filter(which).update(
        state=State.SENDING, holder=holder, lease_until=now + LEASE, attempts=F("attempts") + 1
    )
    if not taken:
        return None
    found = Delivery.objects.select_related("notification", "channel", "user").get(holder=holder)
    return Claim(found, holder)
