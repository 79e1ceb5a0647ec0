"""The audit trail's one writer and its check: append-only, each entry chained to the one before by its digest.

Whoever changes something calls `record` inside the transaction of the change: both stand, or neither.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from attribution.actors import Actor
from attribution.models import AuditEntry, AuditHead
from attribution.scope import TeamScope

Facts = Mapping[str, Any]
_CHAINED = ("seq", "actor", "actor_id", "action", "object_type", "object_id", "team", "before", "after", "inputs")


@dataclass(frozen=True)
class Problem:
    """Where the chain is broken, in words. `seq` is None when the end is missing."""

    seq: int | None
    words: str


def record(
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str | int,
    *,
    now: datetime,
    team: str | None = None,
    before: Facts | None = None,
    after: Facts | None = None,
    inputs: Facts | None = None,
    reason: str = "",
) -> AuditEntry:
    """Append what `actor` did. before, after, inputs: JSON values; Decimals, dates and times become text.

    Raises django.db.transaction.TransactionManagementError outside of a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("record an action in the transaction that does it")
    AuditHead.objects.get_or_create(id=1)
    head = AuditHead.objects.select_for_update().get(id=1)
    entry = AuditEntry(
        seq=head.seq + 1,
        at=now.astimezone(UTC),
        actor=actor.name,
        actor_id=actor.user_id,
        action=action,
        object_type=object_type,
        object_id=str(object_id),
        team=team,
        before=_plain(before),
        after=_plain(after),
        inputs=_plain(inputs),
        reason=reason,
        previous_digest=head.digest,
    )
    entry.digest = _digest(entry)
    entry.save()
    AuditHead.objects.filter(id=1).update(seq=entry.seq, digest=entry.digest)
    return entry


def entries(
    scope: TeamScope, *, object_type: str | None = None, object_id: str | int | None = None
) -> QuerySet[AuditEntry]:
    """The entries a reader may see, newest first. Those of no team are for who sees everything."""
    found = AuditEntry.objects.order_by("-seq")
    if not scope.everything:
        found = found.filter(team__in=scope.teams)
    if object_type is not None:
        found = found.filter(object_type=object_type)
    if object_id is not None:
        found = found.filter(object_id=str(object_id))
    return found


def verify() -> Iterator[Problem]:
    """Every break of the chain: a changed, missing or foreign entry, and an end that was cut off.

    An entry is read once, in order, in constant memory. Whoever can write the whole database can also make a new
    chain: keep the newest digest elsewhere (`manage.py verify_audit` prints it).
    """
    seq, digest = 0, ""
    for entry in AuditEntry.objects.order_by("seq").iterator(chunk_size=1000):
        if entry.seq != seq + 1:
            yield Problem(entry.seq, f"entries {seq + 1} to {entry.seq - 1} are missing")
        elif entry.previous_digest != digest:
            yield Problem(entry.seq, f"entry {entry.seq} does not follow the one before it")
        if entry.digest != _digest(entry):
            yield Problem(entry.seq, f"entry {entry.seq} was changed after it was written")
        seq, digest = entry.seq, entry.digest
    head = AuditHead.objects.filter(id=1).first()
    if head is not None and (head.seq, head.digest) != (seq, digest):
        yield Problem(None, f"the trail ends at entry {seq}, its head says {head.seq}")
    elif head is None and seq:
        yield Problem(None, "the trail has entries and no head")


def newest() -> tuple[int, str]:
    """Number and digest of the newest entry; (0, "") when there is none."""
    head = AuditHead.objects.filter(id=1).first()
    return (head.seq, head.digest) if head else (0, "")


def _digest(entry: AuditEntry) -> str:
    content: dict[str, Any] = {name: getattr(entry, name) for name in _CHAINED}
    content["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    content["reason"] = entry.reason
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{entry.previous_digest}\n{text}".encode()).hexdigest()


def _plain(facts: Facts | None) -> dict[str, Any] | None:
    """What the database gives back for `facts`: only text, whole numbers, booleans, lists and objects.

    A float is refused: it need not read back as it was written, and no amount is one.
    """
    if facts is None:
        return None
    return {str(key): _plain_value(each) for key, each in facts.items()}


def _plain_value(each: Any) -> Any:
    match each:
        case None | bool() | int() | str():
            # A subclass (an enum's member) is written as its plain value.
            return each if each is None or isinstance(each, bool) else _plain_scalar(each)
        case Decimal():
            return format(each, "f")
        case Mapping():
            return _plain(each)
        case list() | tuple():
            return [_plain_value(one) for one in each]
        case set() | frozenset():
            return sorted(_plain_value(one) for one in each)
        case datetime():
            return each.astimezone(UTC).isoformat()
        case float():
            raise TypeError(f"{each!r}: write a number of an audit entry as a Decimal or as text")
    return each.isoformat() if hasattr(each, "isoformat") else str(each)


def _plain_scalar(each: int | str) -> int | str:
    return str(each) if isinstance(each, str) else int(each)
