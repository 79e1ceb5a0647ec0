"""Quotas: at most so many tokens or requests a UTC minute, day or month, by team, key, model, provider; with their use.

    quotas(scope, now)                  what a reader may see, with use
    create_quota edit_quota archive_quota     one transaction each, with its audit entry; optimistic, as budgets
    exhausted(now)                      the day and month quotas that are used up: the loop makes blocks of them

A quota without a provider counts over all clouds together. What a minute quota does is the orchestrator's business.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from django.db import IntegrityError, transaction

from attribution import audit, spend
from attribution.actors import Action, Actor
from attribution.models import Team
from attribution.periods import next_month
from attribution.scope import EVERYTHING, TeamScope
from attribution.spend import CountRow
from governance.budget_drafts import Invalid, Mistake
from governance.models import Quota
from governance.team_tree import TeamTree

OBJECT = "quota"
MAX_LIMIT = 10**15
NEAR_PPM = 800_000
SHOWN_MINUTES = 60
_MINUTE = timedelta(minutes=1)
_PPM = 1_000_000
_TEXT = re.compile(r"[^\x00-\x1f]{0,200}")


class QuotaState(StrEnum):
    """UNKNOWN: no telemetry in the window's day."""

    OK = "ok"
    NEAR = "near"
    EXHAUSTED = "exhausted"
    UNKNOWN = "unknown"


class MissingQuota(Exception):
    """There is no such quota, or the reader may not see it. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class QuotaDraft:
    """All values of a quota that a person sets; None leaves a dimension open. limit: tokens or requests a window."""

    unit: str
    window: str
    limit: int
    team: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None


@dataclass(frozen=True)
class QuotaView:
    """A quota and its use. used: in the current day or month (UTC), or in the last whole minute with telemetry.

    peak: of a minute quota, the most in one of the last 60 minutes. used and peak are None where nothing is known.
    resets_at: when the window ends.
    """

    id: int
    team: str | None
    key: str | None
    model: str | None
    provider: str | None
    unit: str
    window: str
    limit: int
    used: int | None
    peak: int | None
    window_start: datetime
    resets_at: datetime
    state: QuotaState
    version: int
    updated_at: datetime
    updated_by: str

    @property
    def used_ppm(self) -> int | None:
        return None if self.used is None else self.used * _PPM // self.limit

    @property
    def draft(self) -> QuotaDraft:
        return QuotaDraft(self.unit, self.window, self.limit, self.team, self.key, self.model, self.provider)


class QuotaConflict(Exception):
    """Somebody changed the quota since `version` was read; nothing was changed. Never retryable as it is."""

    retryable = False

    def __init__(self, current: QuotaView, proposed: QuotaDraft) -> None:
        self.current, self.proposed = current, proposed
        super().__init__(
            f"{current.updated_by} changed this quota at {current.updated_at:%Y-%m-%d %H:%M} UTC; "
            f"it is at version {current.version} now. Your values were not saved, and are kept in the audit trail."
        )


def quotas(scope: TeamScope, now: datetime) -> list[QuotaView]:
    """The quotas that a reader may see, by what they name, with their use."""
    if scope.is_empty:
        return []
    rows = Quota.objects.filter(archived_at__isnull=True).order_by("team", "key", "model", "provider", "window", "id")
    return _views([row for row in rows if scope.allows(row.team or None)], now)


def quota(scope: TeamScope, quota_id: int, now: datetime) -> QuotaView:
    """One quota. Raises MissingQuota."""
    return _views([_held(quota_id, scope)], now)[0]


def exhausted(now: datetime) -> list[QuotaView]:
    """Day and month quotas that are used up, of everybody: for the loop."""
    return [
        each
        for each in quotas(EVERYTHING, now)
        if each.window != Quota.Window.MINUTE and each.state is QuotaState.EXHAUSTED
    ]


def create_quota(draft: QuotaDraft, *, actor: Actor, now: datetime) -> QuotaView:
    """Make a quota. Raises Invalid, Forbidden."""
    actor.require(Action.EDIT_QUOTA, draft.team)
    _check(draft)
    try:
        with transaction.atomic():
            made = Quota.objects.create(
                **_columns(draft), created_at=now, created_by=actor.name, updated_at=now, updated_by=actor.name
            )
            audit.record(
                actor, "quota.create", OBJECT, made.pk, team=draft.team, after={**asdict(draft), "version": 1}, now=now
            )
    except IntegrityError:
        raise _twice() from None
    return quota(EVERYTHING, made.pk, now)


def edit_quota(
    quota_id: int, version: int, draft: QuotaDraft, *, actor: Actor, now: datetime, reason: str = ""
) -> QuotaView:
    """Change all of a quota that was read at `version`. Raises MissingQuota, Invalid, Forbidden, QuotaConflict."""
    held = _held(quota_id, actor.scope)
    actor.require(Action.EDIT_QUOTA, held.team or None)
    actor.require(Action.EDIT_QUOTA, draft.team)
    _check(draft)
    before = {**asdict(_draft_of(held)), "version": version}
    after = {**asdict(draft), "version": version + 1}
    try:
        with transaction.atomic():
            mine = Quota.objects.filter(pk=quota_id, version=version, archived_at__isnull=True).update(
                **_columns(draft), version=version + 1, updated_at=now, updated_by=actor.name
            )
            if mine:
                audit.record(
                    actor,
                    "quota.edit",
                    OBJECT,
                    quota_id,
                    team=draft.team,
                    before=before,
                    after=after,
                    reason=reason,
                    now=now,
                )
    except IntegrityError:
        raise _twice() from None
    if not mine:
        raise _conflict(quota_id, version, draft, actor, now)
    return quota(EVERYTHING, quota_id, now)


def archive_quota(quota_id: int, version: int, *, actor: Actor, now: datetime, reason: str = "") -> None:
    """Take a quota out of use. Raises MissingQuota, Forbidden, QuotaConflict."""
    held = _held(quota_id, actor.scope)
    actor.require(Action.EDIT_QUOTA, held.team or None)
    with transaction.atomic():
        mine = Quota.objects.filter(pk=quota_id, version=version, archived_at__isnull=True).update(
            archived_at=now, version=version + 1, updated_at=now, updated_by=actor.name
        )
        if mine:
            audit.record(
                actor,
                "quota.archive",
                OBJECT,
                quota_id,
                team=held.team or None,
                before={**asdict(_draft_of(held)), "version": version},
                reason=reason,
                now=now,
            )
    if not mine:
        raise _conflict(quota_id, version, _draft_of(held), actor, now)


def _held(quota_id: int, scope: TeamScope) -> Quota:
    held = Quota.objects.filter(id=quota_id, archived_at__isnull=True).first()
    if held is None or not scope.allows(held.team or None):
        raise MissingQuota(f"there is no quota {quota_id}")
    return held


def _twice() -> Invalid:
    return Invalid([Mistake("quota", "there is such a quota already", "change its limit instead")])


def _conflict(quota_id: int, version: int, draft: QuotaDraft, actor: Actor, now: datetime) -> QuotaConflict:
    held = _held(quota_id, actor.scope)
    with transaction.atomic():
        audit.record(
            actor,
            "quota.edit_refused",
            OBJECT,
            quota_id,
            team=held.team or None,
            before={**asdict(_draft_of(held)), "version": held.version},
            after=asdict(draft),
            reason=f"made from version {version}, but the quota is at version {held.version}",
            now=now,
        )
    return QuotaConflict(quota(EVERYTHING, quota_id, now), draft)


def _check(draft: QuotaDraft) -> None:
    found = []
    if draft.unit not in Quota.Unit.values:
        found.append(Mistake("unit", f"{draft.unit[:20]!r} is no unit", f"use {', '.join(Quota.Unit.values)}"))
    if draft.window not in Quota.Window.values:
        found.append(Mistake("window", f"{draft.window[:20]!r} is no window", f"use {', '.join(Quota.Window.values)}"))
    if not 1 <= draft.limit <= MAX_LIMIT:
        found.append(Mistake("limit", f"{draft.limit} is no limit", f"write 1 to {MAX_LIMIT}"))
    for name in ("team", "key", "model", "provider"):
        value = getattr(draft, name)
        if value is not None and (not value or not _TEXT.fullmatch(value)):
            found.append(Mistake(name, "1 to 200 characters, or nothing", "leave it out for any"))
    if draft.team and not Team.objects.filter(slug=draft.team).exists():
        found.append(Mistake("team", f"there is no team {draft.team[:60]!r}", "use the slug of a team"))
    if found:
        raise Invalid(found)


def _columns(draft: QuotaDraft) -> dict[str, Any]:
    return {name: value or "" for name, value in asdict(draft).items() if name != "limit"} | {"limit": draft.limit}


def _draft_of(row: Quota) -> QuotaDraft:
    return QuotaDraft(
        row.unit,
        row.window,
        row.limit,
        row.team or None,
        row.key or None,
        row.model or None,
        row.provider or None,
    )


# --- use -------------------------------------------------------------------------------------------------------------


def _views(rows: Sequence[Quota], now: datetime) -> list[QuotaView]:
    use = _Use(now, TeamTree.read(), {row.window for row in rows})
    return [_view(row, use, now) for row in rows]


def _view(row: Quota, use: "_Use", now: datetime) -> QuotaView:
    start, end = window_of(row.window, now)
    used, peak = use.of(row)
    return QuotaView(
        id=row.pk,
        team=row.team or None,
        key=row.key or None,
        model=row.model or None,
        provider=row.provider or None,
        unit=row.unit,
        window=row.window,
        limit=row.limit,
        used=used,
        peak=peak,
        window_start=start,
        resets_at=end,
        state=_state(used, row.limit),
        version=row.version,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def window_of(window: str, now: datetime) -> tuple[datetime, datetime]:
    """[start, end) of the UTC minute, day or month that holds `now`."""
    now = now.astimezone(UTC)
    if window == Quota.Window.MINUTE:
        start = now.replace(second=0, microsecond=0)
        return start, start + _MINUTE
    first = now.date() if window == Quota.Window.DAY else now.date().replace(day=1)
    last = first + timedelta(days=1) if window == Quota.Window.DAY else next_month(first)
    return datetime.combine(first, time(), UTC), datetime.combine(last, time(), UTC)


def _state(used: int | None, limit: int) -> QuotaState:
    if used is None:
        return QuotaState.UNKNOWN
    if used >= limit:
        return QuotaState.EXHAUSTED
    return QuotaState.NEAR if used * _PPM >= limit * NEAR_PPM else QuotaState.OK


class _Use:
    """What was used, read once for many quotas and only as far as some quota needs it."""

    def __init__(self, now: datetime, tree: TeamTree, windows: set[str]) -> None:
        now = now.astimezone(UTC)
        self._tree, self._today = tree, now.date()
        slow = windows & {Quota.Window.DAY.value, Quota.Window.MONTH.value}
        first = self._today.replace(day=1) if Quota.Window.MONTH in windows else self._today
        self._owned = spend.usage_counts(first, self._today + timedelta(days=1)) if slow else ()
        self._live = spend.hourly_counts(self._today) if slow else ()
        whole = now.replace(second=0, microsecond=0)
        self._minutes = (
            spend.minute_counts(whole - SHOWN_MINUTES * _MINUTE, whole) if Quota.Window.MINUTE in windows else ()
        )

    def of(self, row: Quota) -> tuple[int | None, int | None]:
        """(used, peak) of a quota; see QuotaView."""
        if row.window == Quota.Window.MINUTE:
            return self._of_minutes(row)
        today = max(
            (
                each
                for each in (
                    _sum(row, (one for one in self._owned if one.day == self._today), self._tree),
                    # Telemetry is some minutes newer than what has an owner.
                    _sum(row, self._live, self._tree),
                )
                if each is not None
            ),
            default=None,
        )
        if row.window == Quota.Window.DAY:
            return today, None
        before = _sum(row, (one for one in self._owned if one.day < self._today), self._tree)
        return (None if today is None and before is None else (today or 0) + (before or 0)), None

    def _of_minutes(self, row: Quota) -> tuple[int | None, int | None]:
        if not self._minutes:
            return None, None
        by_minute: dict[datetime, list[CountRow]] = {}
        for minute, one in self._minutes:
            by_minute.setdefault(minute, []).append(one)
        sums = {minute: _sum(row, counts, self._tree) or 0 for minute, counts in by_minute.items()}
        return sums[max(sums)], max(sums.values())


def _sum(row: Quota, counts: Iterable[CountRow], tree: TeamTree) -> int | None:
    """Tokens or requests of what the quota names; None where there is no telemetry at all, or no count of its own."""
    total, seen, unknown = 0, False, False
    for one in counts:
        seen = True
        if not _named(row, one, tree):
            continue
        amount = one.requests if row.unit == Quota.Unit.REQUESTS else one.tokens
        unknown = unknown or amount is None
        total += amount or 0
    if not seen or (unknown and not total):
        return None
    return total


def _named(row: Quota, one: CountRow, tree: TeamTree) -> bool:
    if row.team and (one.team is None or one.team not in tree.below(row.team, one.day)):
        return False
    pairs = ((row.key, one.key), (row.model, one.model), (row.provider, one.provider))
    return all(not wanted or wanted == held for wanted, held in pairs)
