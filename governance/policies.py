"""Policies in the database: read the one that holds, save a new version. A policy is never changed in place."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from attribution import audit
from attribution.actors import Action, Actor
from governance import budgeting
from governance.budget_drafts import BudgetDraft
from governance.budgeting import BudgetView
from governance.enforcement.codec import Unfit, from_json, to_json
from governance.enforcement.policy import mistakes
from governance.enforcement.rungs import Approval, Measure, Policy, Rung, Step
from governance.models import Budget, BudgetControl, Decision, PolicyVersion, SteeredRoute

# What holds for a budget that nobody wrote a policy for: people are told, traffic is left alone.
TELL_ONLY = (Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000, Approval.NONE),)


class StalePolicy(Exception):
    """Somebody saved another version meanwhile; `current` is theirs. Read it and save again; never retry blindly."""

    retryable = False

    def __init__(self, current: Policy, expected: int) -> None:
        self.current = current
        super().__init__(f"the policy is at version {current.version}, not {expected}: read it, then save again")


@dataclass(frozen=True)
class PolicyEntry:
    """One version as the history of a policy lists it."""

    policy: Policy
    made_at: datetime
    made_by: str
    reason: str


def default_policy(budget_id: int = 0, zone: str = "UTC") -> Policy:
    """What holds until a policy is saved: version 0."""
    return Policy(id=budget_id, version=0, steps=TELL_ONLY, zone=zone)


def policy_of(budget_id: int) -> Policy:
    """The policy that holds for a budget; its id is the budget's. Who may see the budget is the caller's business."""
    return policies_of([budget_id])[budget_id]


def policies_of(budget_ids: Iterable[int]) -> dict[int, Policy]:
    """budget id -> the policy that holds, the default where none was saved."""
    wanted = list(budget_ids)
    found = {each: default_policy(each) for each in wanted}
    # Ascending, so that the highest version stays; few versions a budget, so that one query is cheap.
    for row in PolicyVersion.objects.filter(budget_id__in=wanted).order_by("budget_id", "version"):
        found[row.budget_id] = _policy(row)
    return found


def policy_history(budget_id: int) -> tuple[PolicyEntry, ...]:
    """Every version of a budget's policy, newest first."""
    rows = PolicyVersion.objects.filter(budget_id=budget_id).order_by("-version")
    return tuple(PolicyEntry(_policy(row), row.made_at, row.made_by, row.reason) for row in rows)


def newest_decision(budget_id: int) -> Decision | None:
    """What the loop decided last for a budget, with the changes that came of it."""
    return Decision.objects.filter(budget_id=budget_id).order_by("-id").prefetch_related("changes").first()


@dataclass(frozen=True)
class InForce:
    """The farthest rung past telling that a budget's policy lets the loop use now; acting: traffic is steered by it."""

    rung: Rung
    acting: bool


def rungs_in_force(views: Iterable[BudgetView]) -> dict[int, InForce]:
    """budget id -> what is in force for its current period, where that is more than telling."""
    starts = {view.id: view.period_start for view in views}
    steered = set(SteeredRoute.objects.filter(budget_id__in=starts).values_list("budget_id", flat=True))
    found: dict[int, InForce] = {}
    for row in BudgetControl.objects.filter(budget_id__in=starts):
        rungs = [Rung.of(key) for key, since in row.active if datetime.fromisoformat(since) >= starts[row.budget_id]]
        if rungs and max(rungs) > Rung.NOTIFY:
            found[row.budget_id] = InForce(max(rungs), row.budget_id in steered)
    return found


def save_policy(
    actor: Actor, budget: Budget, policy: Policy, *, expected_version: int, now: datetime, reason: str = ""
) -> Policy:
    """Make `policy` the one that holds for `budget`, as a new version; the same content again makes none.

    expected_version: the version that the person saw, 0 for none. Raises Forbidden, Unfit, StalePolicy.
    """
    actor.require(Action.EDIT_POLICY, budget.team)
    wrong = mistakes(policy, hard=budget.hard)
    if wrong:
        raise Unfit(wrong)
    with transaction.atomic():
        # The budget's row is the lock: two people who save at once come one after the other.
        Budget.objects.select_for_update().get(pk=budget.pk)
        current = policy_of(budget.pk)
        if current.version != expected_version:
            raise StalePolicy(current, expected_version)
        content = to_json(policy)
        if current.version and content == to_json(current):
            return current
        made = replace(policy, id=budget.pk, version=current.version + 1)
        try:
            with transaction.atomic():
                PolicyVersion.objects.create(
                    budget=budget,
                    version=made.version,
                    content=content,
                    made_at=now,
                    made_by=actor.name,
                    reason=reason,
                )
        except IntegrityError:
            # A database without row locks let another writer in between; the unique version says so.
            raise StalePolicy(policy_of(budget.pk), expected_version) from None
        audit.record(
            actor,
            "policy.save",
            "budget",
            budget.pk,
            team=budget.team,
            before=_audited(current),
            after=_audited(made),
            reason=reason,
            now=now,
        )
    return made


@dataclass(frozen=True)
class Seen:
    """The versions that a person saw when they began to change a budget and its policy."""

    budget: int
    policy: int


def create_budget(actor: Actor, draft: BudgetDraft, policy: Policy, *, now: datetime) -> BudgetView:
    """A budget with its policy, in one transaction. Raises Invalid, Unfit, Forbidden."""
    with transaction.atomic():
        made = budgeting.create(draft, actor=actor, now=now)
        save_policy(actor, Budget.objects.get(pk=made.id), policy, expected_version=0, now=now)
    return made


def change_budget(
    actor: Actor, budget_id: int, seen: Seen, draft: BudgetDraft, policy: Policy, *, now: datetime, reason: str = ""
) -> BudgetView:
    """Change a budget and its policy, both or neither; what did not change gets no new version.

    Raises Missing, Invalid, Unfit, Forbidden, and, when somebody was faster, Conflict or StalePolicy: then nothing is
    changed, and what was refused stands in the audit trail.
    """
    refused: budgeting.Conflict | None = None
    try:
        with transaction.atomic():
            held = budgeting.budget(actor.scope, budget_id, now)
            if held.version != seen.budget or held.draft != draft:
                try:
                    held = budgeting.edit(budget_id, seen.budget, draft, actor=actor, now=now, reason=reason)
                except budgeting.Conflict as conflict:
                    # Raised only after the commit: its audit entry must stay.
                    refused = conflict
            if refused is None:
                stored = Budget.objects.get(pk=budget_id)
                save_policy(actor, stored, policy, expected_version=seen.policy, now=now, reason=reason)
    except StalePolicy as stale:
        _record_refusal(actor, budget_id, seen, policy, stale.current, now)
        raise
    if refused is not None:
        current = policy_of(budget_id)
        if to_json(current) != to_json(policy):
            _record_refusal(actor, budget_id, seen, policy, current, now)
        raise refused
    return held


def copy_budget(actor: Actor, budget_id: int, *, now: datetime) -> BudgetView:
    """A copy of a budget for next year, with its policy. Raises Missing, Invalid, Forbidden."""
    with transaction.atomic():
        made = budgeting.copy_for_next_year(budget_id, actor=actor, now=now)
        policy = policy_of(budget_id)
        if policy.version:
            save_policy(actor, Budget.objects.get(pk=made.id), policy, expected_version=0, now=now, reason="copied")
    return made


def _record_refusal(actor: Actor, budget_id: int, seen: Seen, policy: Policy, current: Policy, now: datetime) -> None:
    """Keep what the second of two people wanted."""
    with transaction.atomic():
        audit.record(
            actor,
            "policy.save_refused",
            "budget",
            budget_id,
            team=Budget.objects.get(pk=budget_id).team,
            before=_audited(current),
            after=to_json(policy),
            reason=f"made from version {seen.policy}, but the policy is at version {current.version}",
            now=now,
        )


def _policy(row: PolicyVersion) -> Policy:
    # What was fit when it was stored stays readable, also when a rule was added since: so no check of `hard` here.
    return from_json(row.content, id=row.budget_id, version=row.version, hard=True)


def _audited(policy: Policy) -> dict[str, object] | None:
    return {"version": policy.version, **to_json(policy)} if policy.version else None
