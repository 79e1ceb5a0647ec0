"""What is looked at after a push: is it live, does the traffic follow, does it do worse, did somebody else change it.

Each look writes down what it saw. A change that does not do what it should is taken back by itself, as a new
generation; what somebody else wrote is shown and never written over.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q

from attribution.actors import SYSTEM
from routing import guards, rebase, snapshots, transitions
from routing.desired import DesiredState, Difference
from routing.drift import drift
from routing.models import ChangeSet, Observation, Orchestrator
from routing.orchestrators import base
from routing.proposing import (
    OPEN,
    NotWaiting,
    Why,
    open_rollback,
    propose_change,
    roll_back,
    without_turned,
)
from routing.pushing import Connect, connect
from routing.traffic import guards_of

logger = structlog.get_logger(__name__)

Status = ChangeSet.Status
# Time that somebody must have looked on before a missing proof counts against a change.
LIVE_WITHIN = timedelta(seconds=60)
EFFECT_WITHIN = timedelta(minutes=10)
# A gap between two looks counts as this much at most: a clock that jumped, or a worker that was down, proves nothing.
LONGEST_GAP = timedelta(seconds=40)
# One odd look may be the change itself on its way.
BAD_LOOKS = 2
PAGE = 5000
MOST_PAGES = 20


def verify_pending(*, now: datetime, connect: Connect = connect) -> list[int]:
    """Look at every standing change that is not proved yet, or was proved lately; ids of those that moved."""
    moved = []
    rows = Orchestrator.objects.filter(is_enabled=True, standing__isnull=False).select_related("standing")
    for row in rows.order_by("id"):
        for change in _unproved(row, now):
            change.orchestrator = row
            try:
                if _look_and_guard(row, change, connect, now):
                    moved.append(change.pk)
            except transitions.Overtaken:
                # Another worker looked at the same time, or a person acted: the next look starts from what is true.
                continue
            except Exception:
                logger.exception("a look failed", orchestrator=row.name)
    return moved


def _unproved(row: Orchestrator, now: datetime) -> list[ChangeSet]:
    """The standing change, and earlier ones that are in force beside it and are still to be proved or guarded."""
    guarded = Q(status=Status.EFFECTIVE, live_at__gte=now - guards.WATCHED - timedelta(minutes=1))
    earlier = ChangeSet.objects.filter(
        Q(status__in=(Status.ACCEPTED, Status.LIVE)) | guarded, orchestrator=row, generation__isnull=False
    ).exclude(pk=row.standing_id or 0)
    return [*([row.standing] if row.standing else []), *earlier.order_by("id")]


def watch_drift(*, now: datetime, connect: Connect = connect) -> list[str]:
    """Compare every orchestrator with what it should hold; names of those that drifted now."""
    found = []
    for row in Orchestrator.objects.filter(is_enabled=True).select_related("standing").order_by("id"):
        if row.pushes.filter(state__in=OPEN).exists():
            # What is being pushed is neither the old nor the new yet.
            continue
        try:
            if _watch(row, connect, now):
                found.append(row.name)
        except transitions.Overtaken:
            continue
        except Exception:
            logger.exception("a look failed", orchestrator=row.name)
    return found


def turn_periods(*, now: datetime) -> list[int]:
    """Propose to lift every block whose period has turned; ids of the changes. No loosening: the reason is over."""
    made = []
    for row in Orchestrator.objects.filter(is_enabled=True, standing__isnull=False).order_by("id"):
        with transaction.atomic():
            locked = Orchestrator.objects.select_for_update(of=("self",)).select_related("standing").get(pk=row.pk)
            current = snapshots.standing(locked)
            if current is None or _on_its_way(locked, "period_turn"):
                continue
            lifted = without_turned(current, now)
            if lifted is current:
                continue
            gone = sorted({each.body.budget for each in set(current.blocks) - set(lifted.blocks)})
            change = _propose_turn(locked.name, current, lifted, gone, now)
            if change is not None:
                made.append(change.pk)
    return made


def expire_waiting(*, now: datetime) -> list[int]:
    """End what waits for a yes that comes too late; ids of the changes."""
    ended = []
    late = ChangeSet.objects.select_related("orchestrator").filter(status=Status.PROPOSED, expires_at__lte=now)
    for change in late.order_by("id"):
        try:
            with transaction.atomic():
                reason = "nobody said yes before its time was over"
                transitions.move(change, Status.EXPIRED, actor=SYSTEM, now=now, reason=reason)
        except transitions.Overtaken:
            continue
        ended.append(change.pk)
    return ended


def lift_withdrawn(*, now: datetime) -> list[int]:
    """Take the blocks of budgets that were deleted out of what stands; ids of the changes that propose it."""
    made = []
    withdrawn = ChangeSet.objects.select_related("orchestrator__standing").filter(
        withdrawn=True, status__in=transitions.PUSHED
    )
    for change in withdrawn.order_by("id"):
        with transaction.atomic():
            locked = Orchestrator.objects.select_for_update(of=("self",)).select_related("standing")
            row = locked.get(pk=change.orchestrator_id)
            if row.pushes.filter(state__in=OPEN).exists() or _on_its_way(row, "withdrawal"):
                continue
            proposed = _propose_withdrawal(row, change, now)
            if proposed is None:
                ChangeSet.objects.filter(pk=change.pk).update(withdrawn=False)
            else:
                made.append(proposed.pk)
    return made


def record_traffic(*, connect: Connect = connect) -> int:
    """Read finished requests on from where we stopped and count them by minute; each is counted once. How many."""
    counted = 0
    for row in Orchestrator.objects.filter(is_enabled=True).order_by("id"):
        try:
            counted += _record(row, connect(row))
        except base.OrchestratorError as error:
            logger.info("no usage read", orchestrator=row.name, error=f"{error}")
        except Exception:
            logger.exception("no usage read", orchestrator=row.name)
    return counted


def forget_traffic(*, before: datetime) -> None:
    """Remove minutes older than `before`: the lake keeps requests, this only watches changes."""
    Observation.objects.filter(minute__lt=before).delete()


# --- proof


def _look_and_guard(row: Orchestrator, change: ChangeSet, connect: Connect, now: datetime) -> bool:
    moved = change.status in (Status.ACCEPTED, Status.LIVE) and _look(row, change, connect, now)
    guarded = change.status in (Status.LIVE, Status.EFFECTIVE) and _guard(change, now)
    return moved or guarded


def _look(row: Orchestrator, change: ChangeSet, connect: Connect, now: datetime) -> bool:
    """One look at a change that is not proved yet; True when it moved or is taken back."""
    if change.receipt is None or open_rollback(change) is not None:
        return False
    asked = _asked(row, change)
    if asked is None:
        return False
    receipt, wanted, before = asked
    try:
        proof = connect(row).verify(base.Receipt.from_plain(receipt), wanted, before=before, now=now)
    except base.OrchestratorError as error:
        _unreachable(row, f"{error}", now)
        return False
    watched = _watched(change, now)
    if proof.level in (base.Level.LIVE, base.Level.EFFECTIVE):
        _reachable(row, now)
        return _proved(change, proof, watched, now)
    if proof.level is base.Level.DRIFT and _is_split(proof) and change.status == Status.ACCEPTED:
        # Its configuration is live; what the traffic does with it is the next question.
        with transaction.atomic():
            _move(change, Status.LIVE, "live", now, live_at=now)
        watched = timedelta(0)
    fault = _fault(change, proof, watched)
    if proof.level is base.Level.DRIFT and not _is_mismatch(proof):
        return _drifted(row, change, proof.differences, proof.words, now)
    bad = change.bad_looks + 1 if fault else 0
    _saw(change, proof.words, watched, now, bad_looks=bad)
    if bad >= BAD_LOOKS or (fault and proof.level is base.Level.REJECTED):
        return _take_back(change, f"{proof.words}", now)
    return False


def _asked(row: Orchestrator, change: ChangeSet) -> tuple[dict[str, Any], DesiredState, DesiredState | None] | None:
    """What to ask a proof of: receipt, snapshot, and the snapshot without this change.

    An earlier change that is in force is proved by the generation that stands, set against that generation without it.
    """
    standing = row.standing
    if standing is None or standing.pk == change.pk:
        return (change.receipt or {}, snapshots.wanted(change), snapshots.before(change)) if change.receipt else None
    before = snapshots.before(change)
    if standing.receipt is None or before is None:
        return None
    current = snapshots.wanted(standing)
    try:
        without = rebase.merge(snapshots.wanted(change), replace(before, generation=current.generation), current)
    except rebase.Overlaps:
        return None
    return standing.receipt, current, without


def _fault(change: ChangeSet, proof: base.Proof, watched: timedelta) -> bool:
    """Does this look speak against the change? Waiting does only once it was watched for long enough."""
    match proof.level:
        case base.Level.REJECTED:
            return True
        case base.Level.DRIFT:
            return change.status == Status.LIVE or watched >= LIVE_WITHIN
        case base.Level.ACCEPTED:
            return proof.overdue and watched >= LIVE_WITHIN
    return False


def _is_mismatch(proof: base.Proof) -> bool:
    """Its own doing (it took the change and does something else), not another person's hand."""
    return proof.overdue or _is_split(proof)


def _is_split(proof: base.Proof) -> bool:
    return bool(proof.differences) and all(each.kind == "split" for each in proof.differences)


def _proved(change: ChangeSet, proof: base.Proof, watched: timedelta, now: datetime) -> bool:
    moved = False
    with transaction.atomic():
        if change.status == Status.ACCEPTED:
            _move(change, Status.LIVE, proof.words, now, live_at=now)
            moved, watched = True, timedelta(0)
        if proof.level is base.Level.EFFECTIVE:
            _move(change, Status.EFFECTIVE, proof.words, now, effective_at=now, effect_unproven=False)
            return True
    unproven = proof.effect_unproven and watched >= EFFECT_WITHIN
    _saw(change, proof.words, watched, now, bad_looks=0, effect_unproven=unproven)
    return moved


def _move(change: ChangeSet, to: Status, words: str, now: datetime, **fields: Any) -> None:
    transitions.move(change, to, actor=SYSTEM, now=now, reason=words, proof_words=words, **fields)


def _saw(change: ChangeSet, words: str, watched: timedelta, now: datetime, **fields: object) -> None:
    seconds = int(watched.total_seconds())
    ChangeSet.objects.filter(pk=change.pk, status=change.status).update(
        proof_words=words, watched_seconds=seconds, looked_at=now, **fields
    )


def _watched(change: ChangeSet, now: datetime) -> timedelta:
    """How long somebody has really looked on since the change's last step."""
    since = change.looked_at or change.accepted_at or now
    gap = min(max(now - since, timedelta(0)), LONGEST_GAP)
    return timedelta(seconds=change.watched_seconds) + gap


def _take_back(change: ChangeSet, words: str, now: datetime) -> bool:
    """Roll a change back by itself; one that can't be is shown as drifted, for a person."""
    if change.kind in ("rollback", "period_turn") or change.before is None:
        with transaction.atomic():
            _move(change, Status.DRIFTED, f"{words}; nothing is taken back by itself: decide what to do", now)
        return True
    try:
        roll_back(change.pk, actor=SYSTEM, now=now, reason=f"{change.name} does not do what it should: {words}")
    except (NotWaiting, rebase.Overlaps) as error:
        logger.info("no rollback", change=change.pk, error=f"{error}")
        return False
    return True


# --- guards


def _guard(change: ChangeSet, now: datetime) -> bool:
    """Take back a change whose traffic does worse within ten minutes of going live."""
    if change.live_at is None or change.kind in ("rollback", "period_turn") or open_rollback(change) is not None:
        return False
    if not timedelta(0) <= now - change.live_at <= guards.WATCHED + timedelta(minutes=1):
        return False
    worse = [each for each in guards_of(change, now) if each.worse]
    return bool(worse) and _take_back(change, "; ".join(each.words for each in worse), now)


# --- drift


def _watch(row: Orchestrator, connect: Connect, now: datetime) -> bool:
    """One look at what an orchestrator holds; True when it drifted since the last one."""
    try:
        observed = connect(row).observe()
    except base.OrchestratorError as error:
        _unreachable(row, f"{error}", now)
        return False
    if observed.generation is not None and observed.generation > row.generation:
        # Ours only grow: the next one must be later than what somebody else wrote.
        Orchestrator.objects.filter(pk=row.pk, generation__lt=observed.generation).update(
            generation=observed.generation
        )
    change = row.standing
    if change is None:
        return _watch_unmanaged(row, observed, now)
    change.orchestrator = row
    wanted = snapshots.wanted(change)
    found = [each for each in drift(wanted, observed) if each.kind != "live"]
    if not found:
        _came_back(row, change, now)
        return False
    if change.status in (Status.ACCEPTED, Status.LIVE) and not observed.foreign:
        # Not proved yet: the proof itself says when that is too late.
        return False
    return _drifted(row, change, found, "; ".join(each.words for each in found[:3]), now)


def _watch_unmanaged(row: Orchestrator, observed: base.Observed, now: datetime) -> bool:
    words = "holds nothing of ours yet" if observed.state is None else "holds a snapshot that Weir did not write"
    Orchestrator.objects.filter(pk=row.pk).update(state=Orchestrator.State.OK, state_words=words, checked_at=now)
    return False


def _drifted(row: Orchestrator, change: ChangeSet, found: Iterable[Difference], words: str, now: datetime) -> bool:
    """Show what differs. True when it did not before."""
    with transaction.atomic():
        locked = Orchestrator.objects.select_for_update().get(pk=row.pk)
        if locked.standing_id != change.pk or locked.pushes.filter(state__in=OPEN).exists():
            return False
        new = locked.state != Orchestrator.State.DRIFTED
        Orchestrator.objects.filter(pk=row.pk).update(
            state=Orchestrator.State.DRIFTED,
            state_words=words,
            state_since=now if new else locked.state_since,
            drift=[snapshots.written(each) for each in found],
            checked_at=now,
        )
        current = ChangeSet.objects.select_related("orchestrator").get(pk=change.pk)
        if Status.DRIFTED in transitions.LEGAL[Status(current.status)]:
            _move(current, Status.DRIFTED, words, now)
    return new


def _came_back(row: Orchestrator, change: ChangeSet, now: datetime) -> None:
    """It holds what it should. A change that had drifted is live again, and has to prove its effect anew."""
    with transaction.atomic():
        locked = Orchestrator.objects.select_for_update().get(pk=row.pk)
        if locked.standing_id != change.pk:
            return
        was = locked.state
        Orchestrator.objects.filter(pk=row.pk).update(
            state=Orchestrator.State.OK,
            state_words="",
            state_since=now if was != Orchestrator.State.OK else locked.state_since,
            drift=[],
            checked_at=now,
        )
        current = ChangeSet.objects.select_related("orchestrator").get(pk=change.pk)
        if current.status == Status.DRIFTED and was == Orchestrator.State.DRIFTED:
            _move(current, Status.LIVE, "it holds what it should again", now)


def _unreachable(row: Orchestrator, words: str, now: datetime) -> None:
    """What it holds is unknown. A drift that was seen stays shown."""
    State = Orchestrator.State
    Orchestrator.objects.filter(pk=row.pk).exclude(state__in=(State.UNREACHABLE, State.DRIFTED)).update(
        state=State.UNREACHABLE, state_since=now
    )
    Orchestrator.objects.filter(pk=row.pk).exclude(state=State.DRIFTED).update(state_words=words)


def _reachable(row: Orchestrator, now: datetime) -> None:
    State = Orchestrator.State
    Orchestrator.objects.filter(pk=row.pk).exclude(state=State.DRIFTED).update(
        state=State.OK, state_words="", checked_at=now
    )


# --- turns and withdrawals


def _on_its_way(row: Orchestrator, kind: str) -> bool:
    return ChangeSet.objects.filter(orchestrator=row, kind=kind, status__in=transitions.WAITING).exists()


def _propose_turn(
    name: str, current: DesiredState, lifted: DesiredState, budgets: list[str], now: datetime
) -> ChangeSet | None:
    teams = {each.team for each in set(current.blocks) - set(lifted.blocks)}
    why = Why(
        "period_turn",
        "period_turn",
        f"The period of {', '.join(budgets)} has turned: its requests are served again.",
        {"budgets": budgets},
        f"New period: {', '.join(budgets)}",
    )
    team = teams.pop() if len(teams) == 1 else None
    return propose_change(name, lifted, why=why, actor=SYSTEM, team=team, now=now, urgent=True)


def _propose_withdrawal(row: Orchestrator, change: ChangeSet, now: datetime) -> ChangeSet | None:
    """Its blocks that stand unchanged go; weights stay for the next decision, which no longer knows the budget."""
    current = snapshots.standing(row)
    before = snapshots.before(change)
    if current is None:
        return None
    old = set(before.blocks) if before else set()
    mine = {each for each in snapshots.wanted(change).blocks if each not in old}
    left = tuple(each for each in current.blocks if each not in mine)
    if len(left) == len(current.blocks):
        return None
    words = f"{change.reference} is gone: what it had stopped is served again."
    why = Why("withdrawal", f"withdrawal:{change.pk}", words, {"change": change.pk}, f"Lift what {change.name} stopped")
    return propose_change(row.name, replace(current, blocks=left), why=why, actor=SYSTEM, team=change.team, now=now)


# --- traffic


def _record(row: Orchestrator, client: base.Orchestrator) -> int:
    counted = 0
    if not client.capabilities().reads_usage:
        return counted
    for _page in range(MOST_PAGES):
        usage = client.read_usage(row.usage_cursor, limit=PAGE)
        counted += _count(row, usage)
        if not usage.more:
            break
    return counted


@dataclass
class _Minute:
    requests: int = 0
    failed: int = 0
    refused: int = 0


def _count(row: Orchestrator, usage: base.Usage) -> int:
    """Add a page of requests to their minutes and move the cursor, in one transaction; 0 when another worker did."""
    cells: dict[tuple[datetime, str, str, str], tuple[_Minute, list[int]]] = {}
    for event in usage.events:
        minute = event.completed_at.replace(second=0, microsecond=0)
        key = (minute, event.team or "", event.request_model or "", event.target or "")
        cell, latency = cells.setdefault(key, (_Minute(), [0] * (len(guards.LATENCY_MS) + 1)))
        if event.target is None and event.status == 429:
            cell.refused += 1
            continue
        cell.requests += 1
        cell.failed += event.status >= 500
        if event.latency_ms is not None and event.status < 400:
            latency[guards.bucket_of(event.latency_ms)] += 1
    with transaction.atomic():
        moved = Orchestrator.objects.filter(pk=row.pk, usage_cursor=row.usage_cursor).update(usage_cursor=usage.cursor)
        if not moved:
            return 0
        for (minute, team, model, target), (cell, latency) in sorted(cells.items(), key=lambda each: each[0]):
            _add(row.pk, (minute, team, model, target), cell, latency)
    row.usage_cursor = usage.cursor
    return len(usage.events)


def _add(orchestrator_id: int, key: tuple[datetime, str, str, str], cell: _Minute, latency: list[int]) -> None:
    minute, team, model, target = key
    found, _made = Observation.objects.get_or_create(
        orchestrator_id=orchestrator_id, minute=minute, team=team, model=model, target=target
    )
    before = found.latency or [0] * len(latency)
    Observation.objects.filter(pk=found.pk).update(
        requests=F("requests") + cell.requests,
        failed=F("failed") + cell.failed,
        refused=F("refused") + cell.refused,
        latency=[one + more for one, more in zip(before, latency, strict=True)],
    )
