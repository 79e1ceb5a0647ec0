"""From an approved change to one that its orchestrator has taken: the queue of pushes, its lease, and what came back.

The row is the queue: a broker only wakes whoever works it. One push an orchestrator is open at a time; a worker holds
it by a lease. A worker that dies between the push and its record leaves the row claimed; the next one asks the
orchestrator under the same key, which changes nothing the second time.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q

from attribution.actors import SYSTEM
from routing import rebase, snapshots, transitions
from routing.desired import diff, problems, to_plain
from routing.models import ChangeSet, FreezeWindow, KillSwitch, Orchestrator, PushOutbox, Transition
from routing.orchestrators import base
from routing.orchestrators.registry import open_orchestrator
from routing.proposing import OPEN, without_turned
from routing.rails import Waiting, Window, why_it_waits

logger = structlog.get_logger(__name__)

Status = ChangeSet.Status
# Longer than any call of a module may take, all its timeouts added.
LEASE = timedelta(seconds=60)
LONGEST_PAUSE = timedelta(seconds=60)
# What was taken back is not tried again at once.
TRIED_AGAIN_AFTER = timedelta(hours=1)
# Rollbacks, the turn of a period and what a person decided about drift take things back: they go first, and never wait
# for a window, the rate or the dwell.
EXEMPT = ("rollback", "period_turn", "withdrawal", "drift")

Connect = Callable[[Orchestrator], base.Orchestrator]


def connect(row: Orchestrator) -> base.Orchestrator:
    """The orchestrator of a row. Makes no call."""
    return open_orchestrator(row.kind, row.name, row.settings)


def push_pending(*, now: datetime, connect: Connect = connect) -> list[int]:
    """Push what may be pushed, at most one change an orchestrator; ids of the changes that were accepted.

    Any number of workers may run it at once; one orchestrator that fails stops no other.
    """
    accepted = []
    for row in Orchestrator.objects.filter(is_enabled=True).order_by("id"):
        try:
            _queue_next(row.pk, now)
            push = _claim(row.pk, now)
            if push is not None and _push(push, connect, now):
                accepted.append(push.change_id)
        except Exception:
            # A fault of ours or of a module: its row stays claimed until its lease ends, the others go on.
            logger.exception("a push failed", orchestrator=row.name)
    return accepted


def is_frozen() -> bool:
    """Is the kill switch on?"""
    return KillSwitch.objects.filter(is_on=True).exists()


def _queue_next(orchestrator_id: int, now: datetime) -> None:
    """Give the next approved change its generation and a row in the queue, or write down why it waits."""
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update(of=("self",)).select_related("standing").get(pk=orchestrator_id)
        if row.pushes.filter(state__in=OPEN).exists():
            return
        approved = ChangeSet.objects.select_related("orchestrator").filter(orchestrator=row, status=Status.APPROVED)
        for change in sorted(approved, key=lambda each: (each.kind not in EXEMPT, not each.urgent, each.pk)):
            change.orchestrator = row
            if _is_over(change, now):
                continue
            waits_for = _why_it_waits(change, row, now)
            if not waits_for and _queue(change, row, now):
                return
            if waits_for != change.waits_for and change.status == Status.APPROVED:
                ChangeSet.objects.filter(pk=change.pk).update(waits_for=waits_for)


def _is_over(change: ChangeSet, now: datetime) -> bool:
    """Expire what nobody needs any more; True when it did."""
    if change.expires_at is None or change.expires_at > now:
        return False
    transitions.move(change, Status.EXPIRED, actor=SYSTEM, now=now, reason="its time was over before it was pushed")
    return True


def _why_it_waits(change: ChangeSet, row: Orchestrator, now: datetime) -> str:
    if row.state == Orchestrator.State.DRIFTED and not change.force:
        return f"{row.name} holds what Weir did not write: decide first whether to keep it or to write over it"
    automatic = change.proposed_by_id is None
    taken_back = _taken_back(change, row, now) if automatic and not change.urgent else None
    if taken_back is not None:
        again = taken_back + TRIED_AGAIN_AFTER
        return f"the one before it was taken back at {taken_back:%H:%M}; it is tried again at {again:%H:%M} UTC"
    queued = PushOutbox.objects.filter(
        orchestrator=row, change__team=change.team, change__proposed_by_id__isnull=True
    ).exclude(Q(change__kind__in=EXEMPT) | Q(state=PushOutbox.State.VOID))
    pushed = tuple(queued.order_by("-id").values_list("queued_at", flat=True)[:50]) if automatic else ()
    windows = [Window(each.start, each.end, each.reason) for each in FreezeWindow.objects.filter(end__gt=now)]
    waiting = Waiting(automatic=automatic, exempt=change.kind in EXEMPT, urgent=change.urgent, pushed=pushed)
    return why_it_waits(waiting, frozen=is_frozen(), windows=windows, now=now)


def _taken_back(change: ChangeSet, row: Orchestrator, now: datetime) -> datetime | None:
    """When a change of the same reference was taken back lately."""
    if not change.reference or change.kind in EXEMPT:
        return None
    found = Transition.objects.filter(
        change__orchestrator=row,
        change__reference=change.reference,
        after=Status.ROLLED_BACK,
        at__gt=now - TRIED_AGAIN_AFTER,
        at__lte=now,
    )
    return found.order_by("-id").values_list("at", flat=True).first()


def _queue(change: ChangeSet, row: Orchestrator, now: datetime) -> bool:
    """Carry the change over to what stands now and queue it; False when nothing of it is left."""
    current = snapshots.standing(row)
    try:
        wanted = rebase.merge(snapshots.before(change), snapshots.wanted(change), current)
    except rebase.Overlaps as error:
        transitions.move(change, Status.SUPERSEDED, actor=SYSTEM, now=now, reason=str(error))
        return False
    wanted = without_turned(replace(wanted, generation=row.generation + 1), now)
    differences = diff(current, wanted)
    if not differences and not change.force and current is not None:
        transitions.move(
            change,
            Status.EXPIRED,
            actor=SYSTEM,
            now=now,
            reason="what it asks for stands already, or its period is over",
        )
        return False
    unsound = problems(wanted)
    if unsound:
        reason = "; ".join(f"{each.subject}: {each.words}" for each in unsound[:3])
        transitions.move(change, Status.FAILED, actor=SYSTEM, now=now, reason=f"on what stands now: {reason}")
        return False
    Orchestrator.objects.filter(pk=row.pk).update(generation=wanted.generation)
    ChangeSet.objects.filter(pk=change.pk).update(
        generation=wanted.generation,
        before_generation=0 if current is None else current.generation,
        before=None if current is None else to_plain(current),
        wanted=to_plain(wanted),
        differences=[snapshots.written(each) for each in differences],
        waits_for="",
    )
    PushOutbox.objects.create(
        change=change,
        orchestrator=row,
        generation=wanted.generation,
        key=wanted.key(),
        expected_generation=0 if current is None else current.generation,
        queued_at=now,
        next_attempt_at=now,
    )
    return True


def _claim(orchestrator_id: int, now: datetime) -> PushOutbox | None:
    """The open push of an orchestrator, held by this worker alone until its lease ends; None when none is due."""
    if is_frozen():
        return None
    State = PushOutbox.State
    # A lease or a pause from the future was written before the clock went back: it binds nobody.
    due = Q(state=State.PENDING) & (Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=now + LONGEST_PAUSE))
    dead = Q(state=State.CLAIMED) & (Q(lease_until__lte=now) | Q(lease_until__gt=now + LEASE))
    holder = uuid.uuid4().hex
    taken = PushOutbox.objects.filter(due | dead, orchestrator_id=orchestrator_id).update(
        state=State.CLAIMED, holder=holder, claimed_at=now, lease_until=now + LEASE, attempts=F("attempts") + 1
    )
    if not taken:
        return None
    return PushOutbox.objects.select_related("change__orchestrator", "change__rolls_back", "orchestrator").get(
        holder=holder, state=State.CLAIMED
    )


def _push(push: PushOutbox, connect: Connect, now: datetime) -> bool:
    """Tell the orchestrator; True when it took the change and we wrote that down."""
    change = push.change
    try:
        client = connect(push.orchestrator)
    except base.OrchestratorError as error:
        # Its settings, not the change, are wrong.
        _retry_later(push, error, now)
        return False
    try:
        receipt = _tell(push, client, now)
    except base.Conflict as error:
        _hold(push, error, now)
    except base.OrchestratorError as error:
        if error.retryable or isinstance(error, base.Unauthorized):
            _retry_later(push, error, now)
        else:
            _give_up(push, str(error), now)
    else:
        if receipt is not None:
            return _accept(push, receipt, now)
        _release(push, now)
    logger.info("push", change=change.pk, orchestrator=push.orchestrator.name, attempt=push.attempts, error=push.error)
    return False


def _tell(push: PushOutbox, client: base.Orchestrator, now: datetime) -> base.Receipt | None:
    """Observe, plan, dry run, apply; None when the kill switch was thrown in between."""
    change = push.change
    desired = snapshots.wanted(change)
    observed = client.observe()
    plan = client.plan(desired, observed, force=change.force)
    found = client.validate(plan)
    if found:
        raise base.Refused("; ".join(f"{each.subject}: {each.words}" for each in found[:5]))
    if is_frozen() or not _still_mine(push):
        return None
    return client.apply(plan, now=now)


def _still_mine(push: PushOutbox) -> bool:
    return PushOutbox.objects.filter(pk=push.pk, holder=push.holder, state=PushOutbox.State.CLAIMED).exists()


def _accept(push: PushOutbox, receipt: base.Receipt, now: datetime) -> bool:
    """Write down what the orchestrator took; False when another worker has done so."""
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update().get(pk=push.orchestrator_id)
        if not _finish(push, PushOutbox.State.DONE, now):
            return False
        change = ChangeSet.objects.select_related("orchestrator").get(pk=push.change_id)
        reason = "took it" if not receipt.repeated else "had taken it already"
        transitions.move(
            change,
            Status.ACCEPTED,
            actor=SYSTEM,
            now=now,
            reason=f"{row.name} {reason} as generation {push.generation}",
            inputs={"key": push.key, "attempts": push.attempts},
            accepted_at=now,
            receipt=receipt.to_plain(),
        )
        Orchestrator.objects.filter(pk=row.pk).update(
            standing=change,
            drift=[],
            state=Orchestrator.State.OK,
            state_words="",
            state_since=now,
            checked_at=now,
        )
        _settle_earlier(change, now)
    return True


def _settle_earlier(change: ChangeSet, now: datetime) -> None:
    """What a new generation means for those before it: taken back, replaced before it was proved, or still in force.

    Only what touches the same is replaced: the others' part of the snapshot went along, and goes on to be proved,
    guarded and taken back as theirs.
    """
    earlier = ChangeSet.objects.select_related("orchestrator").filter(
        orchestrator_id=change.orchestrator_id, status__in=transitions.PUSHED, generation__lt=change.generation
    )
    to_generation = change.inputs.get("to_generation")
    mine = _touched(change)
    for each in earlier.order_by("id"):
        beyond = to_generation is not None and (each.generation or 0) > to_generation
        if each.pk == change.rolls_back_id or beyond:
            transitions.move(each, Status.ROLLED_BACK, actor=SYSTEM, now=now, reason=f"taken back by {change.name}")
        elif each.status != Status.EFFECTIVE and mine & _touched(each):
            transitions.move(each, Status.SUPERSEDED, actor=SYSTEM, now=now, reason=f"{change.name} replaced it")
        elif each.status == Status.DRIFTED:
            transitions.move(each, Status.LIVE, actor=SYSTEM, now=now, reason=f"written again with {change.name}")


def _touched(change: ChangeSet) -> set[rebase.Touched]:
    return set(rebase.touched(snapshots.before(change), snapshots.wanted(change)))


def _hold(push: PushOutbox, error: base.Conflict, now: datetime) -> None:
    """It holds what we did not write: nothing is written over; a person decides. The change keeps its approval."""
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update().get(pk=push.orchestrator_id)
        if not _finish(push, PushOutbox.State.VOID, now, f"{error}"):
            return
        ChangeSet.objects.filter(pk=push.change_id).update(generation=None, waits_for=f"{error}")
        Orchestrator.objects.filter(pk=row.pk).update(
            state=Orchestrator.State.DRIFTED,
            state_words=f"{error}",
            state_since=now if row.state != Orchestrator.State.DRIFTED else row.state_since,
            drift=[snapshots.written(each) for each in error.differences],
            checked_at=now,
        )


def _retry_later(push: PushOutbox, error: base.OrchestratorError, now: datetime) -> None:
    """Pause twice as long each time, up to a minute. What was never answered is asked for as long as it is wanted."""
    asked = error.retry_after if isinstance(error, base.Overloaded) else None
    pause = min(max(asked or timedelta(0), timedelta(seconds=2 ** min(push.attempts, 6))), LONGEST_PAUSE)
    push.error = f"{error}"
    PushOutbox.objects.filter(pk=push.pk, holder=push.holder, state=PushOutbox.State.CLAIMED).update(
        state=PushOutbox.State.PENDING, next_attempt_at=now + pause, error=push.error
    )
    words = f"{push.orchestrator.name} did not take it yet (attempt {push.attempts}): {error}"
    ChangeSet.objects.filter(pk=push.change_id).update(waits_for=words)


def _release(push: PushOutbox, now: datetime) -> None:
    PushOutbox.objects.filter(pk=push.pk, holder=push.holder, state=PushOutbox.State.CLAIMED).update(
        state=PushOutbox.State.PENDING, next_attempt_at=now
    )


def _give_up(push: PushOutbox, words: str, now: datetime) -> None:
    with transaction.atomic():
        Orchestrator.objects.select_for_update().get(pk=push.orchestrator_id)
        if not _finish(push, PushOutbox.State.VOID, now, words):
            return
        change = ChangeSet.objects.select_related("orchestrator").get(pk=push.change_id)
        transitions.move(change, Status.FAILED, actor=SYSTEM, now=now, reason=words, proof_words=words)


def _finish(push: PushOutbox, state: PushOutbox.State, now: datetime, error: str = "") -> bool:
    """Close the push if this worker still holds it."""
    push.error = error
    return bool(
        PushOutbox.objects.filter(pk=push.pk, holder=push.holder, state=PushOutbox.State.CLAIMED).update(
            state=state, finished_at=now, error=error
        )
    )
