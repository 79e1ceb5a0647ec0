"""The outbox: what is to be told is a row, written in the transaction of what happened; delivering changes the row.

A delivery is claimed by a conditional update with a lease, so two workers never send it at once and a killed worker's
is taken over. The one window that no outbox closes: a worker that dies after the recipient took the message and before
it could note so. `handed_at` marks that window. Recipients that know a repeat by its key (e-mail by Message-ID, our
webhooks by Weir-Message-Id, PagerDuty by dedup_key) get it again; for others a person decides (State.UNCERTAIN).
"""

import hashlib
import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from governance.models import Delivery, Notification
from governance.notifications.events import Event, Kind, kept_figures
from governance.notifications.recipients import Recipient, recipients

_KEY_LENGTH = 200


def enqueue(event: Event, now: datetime) -> None:
    """Tell `event` to everybody who wants and may know it; does nothing if its once_key was told before.

    Call it inside the transaction of what happened: both stand, or neither. It sends nothing itself.
    Raises django.db.transaction.TransactionManagementError outside of a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("tell an event in the transaction of what happened")
    notification, is_new = _kept(event, now)
    if is_new:
        queue(notification, recipients(event, now), now)


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


def _kept(event: Event, now: datetime) -> tuple[Notification, bool]:
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
