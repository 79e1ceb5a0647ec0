"""Budgets as people use them: read them with their figures, make, change and copy them.

    budgets(scope, now)  budget(scope, id, now)          what a reader may see, each with consumption and forecast
    create  edit  archive  copy_for_next_year            one transaction each, with its audit entry

A change names the version that it was made from; when somebody was faster it raises Conflict and changes nothing, and
what was refused stands in the audit trail. The meaning of a budget is in `governance.budgets`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from attribution import audit, spend
from attribution.actors import Action, Actor
from attribution.periods import Period
from attribution.scope import EVERYTHING, TeamScope
from governance import budget_drafts as drafts
from governance.budget_drafts import BudgetDraft, Invalid, Mistake
from governance.budget_figures import (
    Asked,
    calendar_of,
    consumptions,
    dims_of,
    is_known,
    rule_of,
    spent_by_period,
)
from governance.budget_forecasts import ForecastOf, forecast_of
from governance.budgets import (
    BudgetStatus,
    Consumption,
    Dims,
    Excess,
    LocalSpan,
    Nested,
    Rollover,
    burn_per_day,
    days_left,
    excesses,
    parents,
    runs_out_on,
    status_of,
    within_period,
)
from governance.forecasting.values import Crossing, ForecastScope, PeriodForecast
from governance.models import Budget, BudgetOutcome
from governance.team_tree import TeamTree
from routing import services as changes

OBJECT = "budget"
_ZERO = Decimal(0)


class Missing(Exception):
    """There is no such budget, or the reader may not see it: nobody learns which. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class BudgetView:
    """A budget and how it stands in its current period (the first, before it begins; the last, after it ended).

    Money in `currency`. period_start, period_end: aware UTC, half-open. first_day, last_day: the same in its zone.
    consumed = billed + estimated + carried: settled bills, the book's estimate of what no settled bill covers times
    learned_ratio, and cost without an estimate carried on. naive: billed + the raw estimate, for comparison. moving:
    what unsettled bills say, never counted. left_out: amounts of currencies without a rate.
    forecast: of the period's total; None where none was made. runs_out_at: when the limit is reached if cost goes on
    at burn_per_day. parent_id: the budget around it, where the reader may see that. exceeds_parent: it and those beside
    it together allow more than the budget around them; children_exceed: those within it allow more than it does.
    """

    id: int
    name: str
    dims: Dims
    team: str | None
    currency: str
    basis: str
    period_kind: str
    zone: str
    number: int
    first_day: date
    last_day: date
    period_start: datetime
    period_end: datetime
    base_limit: Decimal
    rolled_over: Decimal
    limit: Decimal
    consumed: Decimal
    billed: Decimal
    estimated: Decimal
    carried: Decimal
    naive: Decimal
    moving: Decimal
    learned_ratio: Decimal | None
    left_out: tuple[tuple[str, Decimal], ...]
    unknown_parts: int
    hard: bool
    burn_per_day: Decimal
    days_left: Decimal
    runs_out_at: datetime | None
    forecast: PeriodForecast | None
    crossing: Crossing | None
    forecast_made_at: datetime | None
    state: BudgetStatus
    parent_id: int | None
    exceeds_parent: str
    children_exceed: Excess | None
    draft: BudgetDraft
    version: int
    updated_at: datetime
    updated_by: str
    archived: bool
    by_day: tuple[tuple[date, Decimal], ...] = field(repr=False, default=())

    @property
    def scope(self) -> ForecastScope:
        return ForecastScope(self.dims)

    @property
    def remaining(self) -> Decimal:
        """What is left of the limit; negative when overspent."""
        return self.limit - self.consumed

    @property
    def used_ppm(self) -> int | None:
        """Consumed, parts per million of the limit; None for a limit of 0."""
        return int(self.consumed * 1_000_000 / self.limit) if self.limit else None


class Conflict(Exception):
    """Somebody changed the budget since `version` was read. Read `current`, then decide again; nothing was changed.

    proposed: what was refused, which also stands in the audit trail as entry `entry`.
    """

    retryable = False

    def __init__(self, current: BudgetView, proposed: BudgetDraft, entry: int) -> None:
        self.current, self.proposed, self.entry = current, proposed, entry
        super().__init__(
            f"{current.updated_by} changed this budget at {current.updated_at:%Y-%m-%d %H:%M} UTC; "
            f"it is at version {current.version} now. Your values were not saved, and are kept in the audit trail."
        )


# --- reading ---------------------------------------------------------------------------------------------------------


def budgets(scope: TeamScope, now: datetime, *, archived: bool = False) -> list[BudgetView]:
    """The budgets that a reader may see, by name, as they stand at `now`."""
    if scope.is_empty:
        return []
    standing = list(Budget.objects.filter(archived_at__isnull=True).order_by("name", "id"))
    shown = [one for one in standing if _sees(scope, one)]
    if archived:
        old = Budget.objects.filter(archived_at__isnull=False).order_by("name", "id")
        shown += [one for one in old if _sees(scope, one)]
    return _views(shown, standing, scope, now)


def budgets_page(
    scope: TeamScope, now: datetime, *, after: int = 0, limit: int = 100
) -> tuple[list[BudgetView], int | None]:
    """A page of the budgets that a reader may see, by id, from after `after` on; and the next page's `after`."""
    standing = list(Budget.objects.filter(archived_at__isnull=True).order_by("id"))
    seen = [one for one in standing if one.pk > after and _sees(scope, one)]
    page = seen[:limit]
    return _views(page, standing, scope, now), page[-1].pk if len(seen) > limit else None


def budget(scope: TeamScope, budget_id: int, now: datetime) -> BudgetView:
    """One budget. Raises Missing."""
    found = Budget.objects.filter(id=budget_id).first()
    if found is None or not _sees(scope, found):
        raise Missing(f"there is no budget {budget_id}")
    return _views([found], list(Budget.objects.filter(archived_at__isnull=True).order_by("id")), scope, now)[0]


def periods_of(scope: TeamScope, budget_id: int, now: datetime) -> list[tuple[LocalSpan, Decimal, Consumption]]:
    """A budget's periods up to now: days, limit, consumption. Raises Missing.

    A period that ended before the budget was made counts only if something is known of it: missing is not 0.
    """
    found = Budget.objects.filter(id=budget_id).first()
    if found is None or not _sees(scope, found):
        raise Missing(f"there is no budget {budget_id}")
    calendar, rule = calendar_of(found), rule_of(found)
    spans = list(calendar.spans(now.astimezone(calendar.tz).date() + timedelta(days=1)))
    asked = [Asked.of(found, calendar.period(span)) for span in spans]
    figures = consumptions(asked, now)
    frozen = _frozen([found.pk])
    spent = spent_by_period(found, asked, figures, frozen)
    return [
        (span, rule.limit(span.number, spent), figures[one])
        for span, one in zip(spans, asked, strict=True)
        if one.period.end > found.created_at or (found.pk, one.period.start) in frozen or is_known(figures[one])
    ]


def _sees(scope: TeamScope, one: Budget) -> bool:
    return scope.allows(one.team or None)


def _views(shown: Sequence[Budget], standing: Sequence[Budget], scope: TeamScope, now: datetime) -> list[BudgetView]:
    tree = TeamTree.read()
    spans = {one.pk: calendar_of(one).nearest(now) for one in shown}
    periods = {one.pk: calendar_of(one).period(spans[one.pk]) for one in shown}
    earlier = {one.pk: _earlier(one, spans[one.pk]) for one in shown}
    asked = [Asked.of(one, period) for one in shown for period in (*earlier[one.pk], periods[one.pk])]
    figures = consumptions(asked, now, tree=tree)
    frozen = _frozen([one.pk for one in shown])
    nested = [_nested(one, now, tree) for one in standing]
    nesting = _Nesting(nested, standing, scope)
    views = []
    for one in shown:
        before = [Asked.of(one, period) for period in earlier[one.pk]]
        limit = rule_of(one).limit(spans[one.pk].number, spent_by_period(one, before, figures, frozen))
        used = figures[Asked.of(one, periods[one.pk])]
        expected = forecast_of(one, periods[one.pk], used, limit, now)
        views.append(_view(one, spans[one.pk], periods[one.pk], limit, used, expected, nesting, now))
    return views


def _earlier(one: Budget, span: LocalSpan) -> list[Period]:
    """The periods whose rest goes over into `span`, in order."""
    if one.rollover == Rollover.NONE:
        return []
    calendar = calendar_of(one)
    return [calendar.period(each) for each in calendar.spans(span.first)]


def _frozen(ids: Sequence[int]) -> dict[tuple[int, datetime], Decimal]:
    """What closed periods froze: (budget, start of the period) -> consumed."""
    rows = BudgetOutcome.objects.filter(budget_id__in=ids).only("budget_id", "period_start", "consumed")
    return {(one.budget_id, one.period_start): one.consumed for one in rows}


def _view(
    one: Budget,
    span: LocalSpan,
    period: Period,
    limit: Decimal,
    used: Consumption,
    expected: ForecastOf,
    nesting: "_Nesting",
    now: datetime,
) -> BudgetView:
    base = rule_of(one).base(span.number)
    burn = burn_per_day(used.by_day, now)
    middle = expected.total.p50 if expected.total else None
    return BudgetView(
        id=one.pk,
        name=one.name,
        dims=dims_of(one),
        team=one.team,
        currency=one.currency,
        basis=one.basis,
        period_kind=one.period_kind,
        zone=one.zone,
        number=span.number,
        first_day=span.first,
        last_day=span.last,
        period_start=period.start,
        period_end=period.end,
        base_limit=base,
        rolled_over=limit - base,
        limit=limit,
        consumed=used.consumed,
        billed=used.billed,
        estimated=used.estimated,
        carried=used.carried,
        naive=used.naive,
        moving=used.moving,
        learned_ratio=used.learned_ratio,
        left_out=used.left_out,
        unknown_parts=used.unknown_parts,
        hard=one.hard,
        burn_per_day=burn,
        days_left=days_left(period, now),
        runs_out_at=runs_out_on(limit, used.consumed, burn, period, now),
        forecast=expected.total,
        crossing=expected.crossing,
        forecast_made_at=expected.made_at,
        state=status_of(limit, used.consumed, middle, complete=not used.left_out),
        parent_id=nesting.parent_of(one.pk),
        exceeds_parent=nesting.words_of(one.pk),
        children_exceed=nesting.below(one.pk),
        draft=drafts.draft_of(one),
        version=one.version,
        updated_at=one.updated_at,
        updated_by=one.updated_by,
        archived=one.archived_at is not None,
        by_day=used.by_day,
    )


def _nested(one: Budget, at: datetime, tree: TeamTree) -> Nested:
    calendar = calendar_of(one)
    span = calendar.nearest(at)
    dims = dims_of(one)
    team = dict(dims).get("team")
    return Nested(
        id=one.pk,
        dims=dims,
        teams=None if team is None else tree.below(team, at.astimezone(UTC).date()),
        limit=rule_of(one).base(span.number),
        period=calendar.period(span),
        currency=one.currency,
        basis=one.basis,
    )


def _limits_within(
    nested: Sequence[Nested], by_id: Mapping[int, Budget], known_parents: Mapping[int, int]
) -> dict[int, Decimal]:
    """Child id -> what its limits, growth included, come to in its parent's period."""
    periods = {one.id: one.period for one in nested}
    found = {}
    for child_id, parent_id in known_parents.items():
        child = by_id[child_id]
        calendar, rule = calendar_of(child), rule_of(child)
        last = periods[parent_id].end.astimezone(calendar.tz).date() + timedelta(days=1)
        spans = [(calendar.period(span), rule.base(span.number)) for span in calendar.spans(last)]
        found[child_id] = within_period(spans, periods[parent_id])
    return found


class _Nesting:
    """Which budgets lie in which, and where they allow too much, as far as the reader may know."""

    def __init__(self, nested: Sequence[Nested], standing: Sequence[Budget], scope: TeamScope) -> None:
        by_id = {one.pk: one for one in standing}
        self._seen = {one.pk for one in standing if _sees(scope, one)}
        self._currencies = {one.pk: one.currency for one in standing}
        self._names = {one.pk: one.name for one in standing}
        self._parents = parents(nested)
        self._excesses = excesses(nested, _limits_within(nested, by_id, self._parents), self._parents)

    def parent_of(self, budget_id: int) -> int | None:
        parent = self._parents.get(budget_id)
        return parent if parent in self._seen else None

    def below(self, budget_id: int) -> Excess | None:
        """The reader of a budget sees what lies in it: a team's budget holds only its own and those below."""
        return self._excesses.get(budget_id)

    def words_of(self, budget_id: int) -> str:
        parent = self._parents.get(budget_id)
        excess = self._excesses.get(parent) if parent is not None else None
        if excess is None or parent is None or budget_id not in excess.children_ids:
            return ""
        if parent not in self._seen:
            return "Together with the budgets beside it, it allows more than the budget around them."
        return (
            f"Together with the budgets beside it, it allows {excess.children:,} {self._currencies[parent]}: "
            f"{excess.by:,} more than {self._names[parent]}."
        )


# --- changing --------------------------------------------------------------------------------------------------------


def create(draft: BudgetDraft, *, actor: Actor, now: datetime, copied_from: int | None = None) -> BudgetView:
    """Make a budget. Raises Invalid, Forbidden."""
    with transaction.atomic():
        made = create_within(draft, actor, now, copied_from)
    return budget(EVERYTHING, made.pk, now)


def edit(
    budget_id: int, version: int, draft: BudgetDraft, *, actor: Actor, now: datetime, reason: str = ""
) -> BudgetView:
    """Change all of a budget that was read at `version`. Raises Missing, Invalid, Forbidden, Conflict."""
    try:
        with transaction.atomic():
            edit_within(budget_id, version, draft, actor, now, reason)
    except _Stale as stale:
        raise _conflict(stale.held, version, draft, actor, now) from None
    return budget(EVERYTHING, budget_id, now)


def archive(budget_id: int, version: int, *, actor: Actor, now: datetime, reason: str = "") -> None:
    """Take a budget out of use; its history stays. Raises Missing, Forbidden, Conflict."""
    try:
        with transaction.atomic():
            held = _held(budget_id, actor)
            actor.require(Action.EDIT_BUDGET, held.team)
            _swap(held, version, now, actor, archived_at=now)
            # What it asked of the gateways ends with it.
            changes.withdraw(f"budget:{held.pk}", actor=actor, now=now, reason=f"the budget {held.name} was archived")
            audit.record(
                actor,
                "budget.archive",
                OBJECT,
                held.pk,
                team=held.team,
                before=_facts(held),
                after={"archived_at": now, "version": version + 1},
                reason=reason,
                now=now,
            )
    except _Stale as stale:
        raise _conflict(stale.held, version, drafts.draft_of(stale.held), actor, now) from None


def copy_for_next_year(budget_id: int, *, actor: Actor, now: datetime, name: str | None = None) -> BudgetView:
    """A budget like this one that begins where this one's calendar year ends (own dates: the same dates a year on).

    Its amount is the limit that growth has led to by then, before what goes over. The old one is ended there when it
    has no end yet, so that no day is counted in both. Raises Missing, Invalid, Forbidden.
    """
    with transaction.atomic():
        held = _held(budget_id, actor)
        actor.require(Action.EDIT_BUDGET, held.team)
        draft, ends = drafts.next_year(drafts.draft_of(held), now.astimezone(calendar_of(held).tz).date(), name)
        if held.ends_on is None:
            ended = replace(drafts.draft_of(held), ends_on=ends)
            edit_within(held.pk, held.version, ended, actor, now, f"ends where {draft.name} begins")
        made = create_within(draft, actor, now, held.pk)
    return budget(EVERYTHING, made.pk, now)


class _Stale(Exception):
    def __init__(self, held: Budget) -> None:
        super().__init__()
        self.held = held


def create_within(draft: BudgetDraft, actor: Actor, now: datetime, copied_from: int | None) -> Budget:
    """`create` inside the caller's transaction."""
    actor.require(Action.EDIT_BUDGET, draft.team)
    drafts.check(draft)
    _check_name(draft.name, None)
    made = Budget.objects.create(
        **drafts.columns_of(draft),
        copied_from_id=copied_from,
        created_at=now,
        created_by=actor.name,
        updated_at=now,
        updated_by=actor.name,
    )
    _check_room(made, actor, now)
    audit.record(actor, "budget.create", OBJECT, made.pk, team=made.team, after=_facts(made), inputs=_inputs(), now=now)
    return made


def edit_within(budget_id: int, version: int, draft: BudgetDraft, actor: Actor, now: datetime, reason: str) -> None:
    held = _held(budget_id, actor)
    actor.require(Action.EDIT_BUDGET, held.team)
    if held.version != version:
        raise _Stale(held)
    actor.require(Action.EDIT_BUDGET, draft.team)
    drafts.check(draft)
    _check_name(draft.name, held.pk)
    before = _facts(held)
    _swap(held, version, now, actor, **drafts.columns_of(draft))
    held.refresh_from_db()
    _check_room(held, actor, now)
    audit.record(
        actor,
        "budget.edit",
        OBJECT,
        held.pk,
        team=held.team,
        before=before,
        after=_facts(held),
        inputs=_inputs(),
        reason=reason,
        now=now,
    )


def _swap(held: Budget, version: int, now: datetime, actor: Actor, **values: Any) -> None:
    """The one conditional update: whoever was not first changes nothing."""
    mine = Budget.objects.filter(pk=held.pk, version=version, archived_at__isnull=True).update(
        **values, version=version + 1, updated_at=now, updated_by=actor.name
    )
    if not mine:
        held.refresh_from_db()
        raise _Stale(held)


def _held(budget_id: int, actor: Actor) -> Budget:
    held = Budget.objects.filter(id=budget_id, archived_at__isnull=True).first()
    if held is None or not _sees(actor.scope, held):
        raise Missing(f"there is no budget {budget_id}")
    return held


def _conflict(held: Budget, version: int, draft: BudgetDraft, actor: Actor, now: datetime) -> Conflict:
    """Tell who was second, and keep what they wanted."""
    with transaction.atomic():
        entry = audit.record(
            actor,
            "budget.edit_refused",
            OBJECT,
            held.pk,
            team=held.team,
            before=_facts(held),
            after=_draft_facts(draft),
            reason=f"made from version {version}, but the budget is at version {held.version}",
            now=now,
        )
    return Conflict(budget(EVERYTHING, held.pk, now), draft, entry.seq)


def _check_name(name: str, own: int | None) -> None:
    others = Budget.objects.filter(name=name, archived_at__isnull=True)
    if (others if own is None else others.exclude(pk=own)).exists():
        raise Invalid([Mistake("name", "another budget has this name", "choose another name")])


def _check_room(changed: Budget, actor: Actor, now: datetime) -> None:
    """Who may not change the budget around it may not exceed it either."""
    if actor.may(Action.EDIT_BUDGET, None):
        return
    standing = list(Budget.objects.select_for_update().filter(archived_at__isnull=True).order_by("id"))
    at = max(now, calendar_of(changed).period(calendar_of(changed).nearest(now)).start)
    tree = TeamTree.read()
    nested = [_nested(one, at, tree) for one in standing]
    by_id = {one.pk: one for one in standing}
    around = parents(nested)
    limits = _limits_within(nested, by_id, around)
    parent_id = around.get(changed.pk)
    excess = excesses(nested, limits, around).get(parent_id) if parent_id is not None else None
    if excess is None or parent_id is None or changed.pk not in excess.children_ids:
        return
    if actor.may(Action.EDIT_BUDGET, by_id[parent_id].team):
        return
    left = max(limits[changed.pk] - excess.by, _ZERO)
    raise Invalid(
        [
            Mistake(
                "amount",
                f"{limits[changed.pk]:,} {changed.currency} in the period of the budget around it is {excess.by:,} "
                "more than that leaves",
                f"allow at most {left:,} there, or ask an owner to raise the budget around it",
            )
        ]
    )


def _facts(one: Budget) -> dict[str, Any]:
    return {**_draft_facts(drafts.draft_of(one)), "version": one.version}


def _draft_facts(draft: BudgetDraft) -> dict[str, Any]:
    return {**asdict(draft), "dims": [list(pair) for pair in draft.dims]}


def _inputs() -> dict[str, Any]:
    return {"figures": spend.fingerprint(), "commit_seq": spend.commit_seq()}
