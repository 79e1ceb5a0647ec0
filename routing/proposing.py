"""How a change comes to be, and who says yes or no: proposals, approvals, rejections, rollbacks.

Everything here is one transaction on our own rows; no orchestrator is called. What is approved waits to be pushed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from attribution import audit
from attribution.actors import SYSTEM, Action, Actor
from attribution.models import Placement, Team
from routing import rebase, snapshots, transitions
from routing.desired import DesiredState, Difference, Problem, diff, problems, to_plain
from routing.models import ChangeApproval, ChangeSet, Orchestrator, PushOutbox
from routing.rails import Approval, Needed, approval_needed

Status = ChangeSet.Status
OPEN = (PushOutbox.State.PENDING, PushOutbox.State.CLAIMED)


class RefusedChange(Exception):
    """A change that can't be made so; the words give the value, the limit and the fix."""

    retryable = False


class Unsound(RefusedChange):
    """The snapshot must not be pushed: `problems` say why."""

    def __init__(self, found: list[Problem]) -> None:
        self.problems = tuple(found)
        super().__init__("; ".join(f"{each.subject}: {each.words}" for each in found[:5]))


class NotWaiting(RefusedChange):
    """The change is past the point where this can be done."""


@dataclass(frozen=True)
class Why:
    """Why a change is proposed. kind: decision, plan, person, rollback, period_turn, withdrawal, drift.

    reference: what asks for it, "budget:12"; a newer change of the same reference takes the place of one that waits.
    words: sentences that a lead understands. inputs: figures that it rests on.
    """

    kind: str
    reference: str = ""
    words: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""


@dataclass(frozen=True)
class Special:
    """What only this app's own services ask for. takes_back: it restores what was; its steps need no second yes."""

    force: bool = False
    takes_back: bool = False
    rolls_back: ChangeSet | None = None


def propose_change(
    orchestrator: str,
    desired: DesiredState,
    *,
    why: Why,
    actor: Actor,
    approval: Approval | str = Approval.NONE,
    team: str | None = None,
    now: datetime,
    urgent: bool = False,
    expires_at: datetime | None = None,
    special: Special = Special(),
) -> ChangeSet | None:
    """Write down that `orchestrator` shall hold `desired`; None when that is what stands already.

    desired.generation: that of the snapshot it was made from (`selectors.standing_state`), 0 for none. What was pushed
    since is kept: the change is carried over to what stands now.
    approval: what the decision asks for; the rails may ask for more. team: whose traffic alone it touches.
    urgent: a limit is being passed now; it need not wait for the change before it to be proved.
    Raises Unsound, rebase.Overlaps (plan again), Forbidden, Orchestrator.DoesNotExist.
    """
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update(of=("self",)).select_related("standing").get(name=orchestrator)
        current = snapshots.standing(row)
        wanted = _carried_over(row, desired, current)
        found = problems(replace(wanted, generation=max(1, wanted.generation)))
        if found:
            raise Unsound(found)
        differences = diff(current, wanted)
        if not differences and not special.force and current is not None:
            return None
        owner = _owner(current, wanted, team, now)
        if actor.user_id is not None and not special.takes_back:
            actor.require(Action.APPROVE_CHANGE, owner)
        needed = _needed(current, wanted, Approval(str(approval)), special)
        _supersede(row, why, now)
        change = ChangeSet(
            orchestrator=row,
            team=owner,
            title=(why.title or _title(differences, why))[:300],
            kind=why.kind,
            reference=why.reference,
            words=why.words,
            inputs=snapshots.exact(why.inputs),
            proposed_by=actor.name,
            proposed_by_id=actor.user_id,
            proposed_at=now,
            expires_at=expires_at,
            approval=needed.approval.value,
            approval_because=needed.because,
            before_generation=0 if current is None else current.generation,
            before=None if current is None else to_plain(current),
            wanted=to_plain(wanted),
            differences=[snapshots.written(each) for each in differences],
            force=special.force,
            urgent=urgent,
            rolls_back=special.rolls_back,
        )
        transitions.start(change, actor=actor, now=now)
        if needed.approval.persons == 0:
            reason = "the standing approval of its budget" if needed.approval is Approval.STANDING else "needs no yes"
            transitions.move(change, Status.APPROVED, actor=actor, now=now, reason=reason)
    return change


def approve(change_id: int, *, actor: Actor, now: datetime, note: str = "") -> ChangeSet:
    """One person's yes; with the last one that is needed the change is approved. A person counts once.

    Raises Forbidden, NotWaiting, ChangeSet.DoesNotExist.
    """
    with transaction.atomic():
        change = _locked(change_id)
        actor.require(Action.APPROVE_CHANGE, change.team)
        if actor.user_id is None:
            raise NotWaiting("only a person approves a change")
        if change.status != Status.PROPOSED:
            raise NotWaiting(f"{change.name} is {_words(change.status)}: only a proposed change can be approved")
        try:
            with transaction.atomic():
                ChangeApproval.objects.create(
                    change=change, person_id=actor.user_id, person=actor.name, at=now, note=note
                )
        except IntegrityError:
            return change
        missing = Approval(change.approval).persons - change.approvals.count()
        if missing <= 0:
            transitions.move(change, Status.APPROVED, actor=actor, now=now, reason=note)
        else:
            _audit_first_yes(change, actor, now, note)
    return change


def reject(change_id: int, *, actor: Actor, now: datetime, reason: str) -> ChangeSet:
    """A person's no, while nothing is pushed yet. Raises Forbidden, NotWaiting, ChangeSet.DoesNotExist."""
    if not reason.strip():
        raise RefusedChange("say why: a rejection without a reason teaches nobody")
    with transaction.atomic():
        change = _locked(change_id)
        actor.require(Action.APPROVE_CHANGE, change.team)
        if change.status not in transitions.WAITING:
            raise NotWaiting(f"{change.name} is {_words(change.status)}: roll it back instead")
        if change.pushes.filter(state__in=OPEN).exists():
            raise NotWaiting(f"{change.name} is being pushed: roll it back once it is accepted")
        transitions.move(change, Status.REJECTED, actor=actor, now=now, reason=reason)
    return change


def roll_back(change_id: int, *, actor: Actor, now: datetime, reason: str = "") -> ChangeSet:
    """Undo what `change_id` changed, and only that, as a new generation.

    Raises Forbidden, NotWaiting, rebase.Overlaps when later changes touched the same.
    """
    with transaction.atomic():
        change = _locked(change_id)
        actor.require(Action.ROLL_BACK, change.team)
        if change.status not in transitions.PUSHED:
            raise NotWaiting(f"{change.name} is {_words(change.status)}: there is nothing in force to roll back")
        earlier = snapshots.before(change)
        if earlier is None:
            raise NotWaiting(f"{change.name} is the first of {change.orchestrator}: there is nothing before it")
        open_one = open_rollback(change)
        if open_one is not None:
            return open_one
        current = snapshots.standing(change.orchestrator)
        undone = rebase.merge(snapshots.wanted(change), earlier, current)
        undone = without_turned(replace(undone, generation=0 if current is None else current.generation), now)
        words = reason or f"{actor.name} takes {change.name} back"
        why = Why("rollback", f"rollback:{change.pk}", words, {"change": change.pk}, f"Roll back {change.name}")
        special = Special(takes_back=True, rolls_back=change)
        made = propose_change(
            change.orchestrator.name, undone, why=why, actor=actor, team=change.team, now=now, special=special
        )
        if made is None:
            raise NotWaiting(f"what {change.name} changed is no longer there")
    return made


def roll_back_to(orchestrator: str, generation: int, *, actor: Actor, now: datetime, reason: str = "") -> ChangeSet:
    """Bring the whole snapshot of an earlier generation back as a new one; blocks whose period is over stay out.

    Raises Forbidden, NotWaiting, Orchestrator.DoesNotExist.
    """
    actor.require(Action.ROLL_BACK, None)
    with transaction.atomic():
        row = Orchestrator.objects.select_for_update(of=("self",)).select_related("standing").get(name=orchestrator)
        earlier = snapshots.of_generation(row, generation)
        current = snapshots.standing(row)
        if earlier is None or current is None:
            raise NotWaiting(f"{orchestrator} never accepted a generation {generation}: choose one of its list")
        desired = without_turned(replace(earlier, generation=current.generation), now)
        inputs = {"to_generation": generation}
        words = reason or f"{actor.name} brings generation {generation} back"
        why = Why("rollback", f"rollback_to:{generation}", words, inputs, f"Back to generation {generation}")
        made = propose_change(orchestrator, desired, why=why, actor=actor, now=now, special=Special(takes_back=True))
        if made is None:
            raise NotWaiting(f"{orchestrator} already holds what generation {generation} held")
    return made


def open_rollback(change: ChangeSet) -> ChangeSet | None:
    """The rollback of `change` that is on its way."""
    return change.rollbacks.filter(status__in=transitions.WAITING).order_by("-id").first()


def without_turned(desired: DesiredState, now: datetime) -> DesiredState:
    """`desired` without the blocks whose period has turned."""
    blocks = tuple(each for each in desired.blocks if each.body.resets_at is None or each.body.resets_at > now)
    return desired if len(blocks) == len(desired.blocks) else replace(desired, blocks=blocks)


def _carried_over(row: Orchestrator, desired: DesiredState, current: DesiredState | None) -> DesiredState:
    generation = 0 if current is None else current.generation
    if desired.generation == generation:
        return desired
    base = snapshots.of_generation(row, desired.generation)
    return replace(rebase.merge(base, desired, current), generation=generation)


def _owner(current: DesiredState | None, wanted: DesiredState, team: str | None, now: datetime) -> str | None:
    """The team that a change belongs to: the asked one where it alone, with the teams below it, is touched."""
    if team is None:
        return None
    touched = {each.team for each in rebase.touched(current, wanted)}
    return team if touched <= {team} or touched <= _with_teams_below(team, now) else None


def _with_teams_below(slug: str, now: datetime) -> set[str | None]:
    day = now.date()
    placed = Placement.objects.filter(
        Q(valid_from__isnull=True) | Q(valid_from__lte=day),
        Q(valid_to__isnull=True) | Q(valid_to__gt=day),
        team__isnull=False,
    )
    children: dict[int, list[int]] = {}
    for parent_id, team_id in placed.values_list("parent_id", "team_id"):
        children.setdefault(parent_id, []).append(team_id or 0)
    seen: set[int] = set()
    todo = list(Team.objects.filter(slug=slug).values_list("id", flat=True))
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += children.get(one, [])
    return {slug, *Team.objects.filter(id__in=seen).values_list("slug", flat=True)}


def _needed(current: DesiredState | None, wanted: DesiredState, offered: Approval, special: Special) -> Needed:
    needed = approval_needed(current, wanted, offered)
    # What takes something back restores a state that was approved once; only a stop of everything is asked for again.
    if special.takes_back and needed.approval is not Approval.TWO:
        return Needed(offered)
    return needed


def _supersede(row: Orchestrator, why: Why, now: datetime) -> None:
    """A newer change of the same reference takes the place of those that wait."""
    if not why.reference:
        return
    waiting = ChangeSet.objects.select_related("orchestrator").filter(
        orchestrator=row, reference=why.reference, status__in=transitions.WAITING
    )
    for change in waiting.exclude(pushes__state__in=OPEN).order_by("id"):
        transitions.move(change, Status.SUPERSEDED, actor=SYSTEM, now=now, reason="a newer one of the same reference")


def _title(differences: list[Difference], why: Why) -> str:
    if not differences:
        return f"Write again what stands ({why.kind})"
    stopped = [each.subject for each in differences if each.kind == "block" and each.before is None]
    if stopped:
        return f"Stop {', '.join(_everyone(each) for each in stopped)}"
    first, more = differences[0].words, len(differences) - 1
    return first if not more else f"{first}, and {more} more"


def _everyone(subject: str) -> str:
    """ "search/every model" reads "search"; "search/gpt-large" stays; "every team/every model" is everything."""
    team, _, model = subject.partition("/")
    if model != "every model":
        return subject
    return "every request of every team" if team == "every team" else team


def _audit_first_yes(change: ChangeSet, actor: Actor, now: datetime, note: str) -> None:
    audit.record(actor, "change.yes", "change", change.pk, team=change.team, reason=note, now=now)


def _locked(change_id: int) -> ChangeSet:
    """The change under its orchestrator's lock: locks are always taken in that order."""
    orchestrator_id = ChangeSet.objects.values_list("orchestrator_id", flat=True).get(pk=change_id)
    Orchestrator.objects.select_for_update().get(pk=orchestrator_id)
    return ChangeSet.objects.select_related("orchestrator__standing").get(pk=change_id)


def _words(status: str) -> str:
    return status.replace("_", " ")
