"""Declared quotas become orders: a minute's limit is held by the orchestrator, a day's or month's becomes a block.

`with_quotas` is pure; `enforce_quotas` proposes what follows at every orchestrator. What an orchestrator can't hold (a
limit for one cloud, a kind that its capabilities leave out) is not told to it, and `unheld` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import structlog

from attribution.actors import SYSTEM
from attribution.scope import EVERYTHING
from governance.models import Quota as DeclaredQuota
from governance.models import SteeredRoute
from governance.quotas import QuotaState, QuotaView, quotas
from governance.team_tree import TeamTree
from routing import selectors, services, snapshots
from routing.desired import Block, BlockReason, DesiredState, Quota
from routing.models import ChangeSet, Orchestrator
from routing.orchestrators.base import Capabilities, OrchestratorError, QuotaKind
from routing.orchestrators.registry import open_orchestrator
from routing.services import Approval, Overlaps, RefusedChange, Why

from .orders import Subject

logger = structlog.get_logger(__name__)

REFERENCE = "quotas"
UNITS = frozenset(DeclaredQuota.Unit.values)
_MINUTE = DeclaredQuota.Window.MINUTE.value
# Which of team, key and model a limit names -> how an orchestrator calls that kind.
_KINDS = {
    (True, False, False): "team",
    (False, True, False): "key",
    (True, True, False): "key",
    (False, False, True): "model",
    (True, False, True): "team_model",
}


@dataclass(frozen=True)
class Spent:
    """A day's or month's quota that is used up, for one team (None: all) and model (None: any)."""

    team: str | None
    model: str | None
    reason: BlockReason


def declared_quotas(views: Iterable[QuotaView]) -> dict[Subject, Quota]:
    """The minute limits that hold over all clouds together, by whom they are for."""
    found: dict[Subject, Quota] = {}
    for each in views:
        if each.window != _MINUTE or each.provider is not None:
            continue
        subject: Subject = (each.team, each.key, each.model)
        held = found.get(subject, Quota(*subject))
        requests = each.unit == DeclaredQuota.Unit.REQUESTS
        found[subject] = replace(held, rpm=each.limit) if requests else replace(held, tpm=each.limit)
    return found


def spent_quotas(views: Iterable[QuotaView], tree: TeamTree, now: datetime) -> list[Spent]:
    """What is used up until its window ends; a unit's limit holds for all teams below it."""
    found = []
    for each in views:
        if each.window == _MINUTE or each.state is not QuotaState.EXHAUSTED or each.provider or each.key:
            continue
        name = f"{each.limit:,} {each.unit} a {each.window}"
        reason = BlockReason(
            budget=f"quota of {name}",
            spend=Decimal(each.used or 0),
            limit=Decimal(each.limit),
            resets_at=each.resets_at,
            message=f"The quota of {name} is used up until {each.resets_at:%Y-%m-%d %H:%M} UTC.",
            currency=each.unit,
        )
        teams: Iterable[str | None] = (
            (None,) if each.team is None else sorted(tree.below(each.team, now.astimezone(UTC).date()))
        )
        found += [Spent(team, each.model, reason) for team in teams]
    return found


def with_quotas(
    standing: DesiredState,
    declared: Mapping[Subject, Quota],
    *,
    retired: Iterable[Subject] = (),
    throttled: Mapping[Subject, Quota] = MappingProxyType({}),
    spent: Iterable[Spent] = (),
    able: frozenset[QuotaKind] = frozenset(QuotaKind),
) -> DesiredState:
    """`standing` with the declared limits. retired: no longer declared; throttled: what budgets leave.

    Blocks of quotas are known by their unit; those of budgets and people stay.
    """
    held: dict[Subject, Quota] = {(each.team, each.key, each.model): each for each in standing.quotas}
    for subject in [*declared, *retired]:
        wanted = _held_by(declared.get(subject), throttled.get(subject), subject, able)
        if wanted is None:
            held.pop(subject, None)
        else:
            held[subject] = wanted
    blocks = {(each.team, each.model): each for each in standing.blocks if each.body.currency not in UNITS}
    before = {(each.team, each.model): each for each in standing.blocks if each.body.currency in UNITS}
    for each in spent:
        place = (each.team, each.model)
        if place in blocks:
            continue
        old = before.get(place)
        same = old is not None and (old.body.budget, old.body.resets_at) == (each.reason.budget, each.reason.resets_at)
        # Only the use would differ: that is not worth a push.
        blocks[place] = old if same and old is not None else Block(each.reason, each.team, each.model)
    return replace(standing, quotas=tuple(held.values()), blocks=tuple(blocks.values()))


def unheld(views: Iterable[QuotaView], able: frozenset[QuotaKind]) -> dict[int, str]:
    """Quotas that an orchestrator can't hold: id -> why, in words."""
    found = {}
    for each in views:
        subject: Subject = (each.team, each.key, each.model)
        if each.provider is not None:
            found[each.id] = f"it counts {each.provider} alone; a gateway counts a request before it chooses a cloud"
        elif each.window == _MINUTE and _kind(subject, each.unit == DeclaredQuota.Unit.TOKENS) not in able:
            found[each.id] = "the gateway has no counter of this kind"
        elif each.window != _MINUTE and each.key is not None:
            found[each.id] = "a gateway can refuse a team or a model, not one key"
    return found


def enforce_quotas(now: datetime) -> list[int]:
    """Propose what the quotas ask of each orchestrator; ids of the changes."""
    retired = {_subject(row) for row in DeclaredQuota.objects.filter(archived_at__isnull=False)}
    views = quotas(EVERYTHING, now)
    if not views and not retired:
        return []
    spent = spent_quotas(views, TeamTree.read(), now)
    made = []
    for row in Orchestrator.objects.filter(is_enabled=True, standing__isnull=False).order_by("name"):
        standing = selectors.standing_state(row.name)
        able = _able(row)
        if standing is None or able is None:
            continue
        wanted = with_quotas(
            standing,
            declared_quotas(views),
            retired=retired,
            throttled=_throttled(row.name),
            spent=spent if able.blocks else (),
            able=able.quotas,
        )
        made += _propose(row.name, standing, wanted, now)
    return made


def _propose(orchestrator: str, standing: DesiredState, wanted: DesiredState, now: datetime) -> list[int]:
    """One change a team, so that each team's lead sees and answers for their own.

    What is asked for already goes on waiting, with the yeses that it has; what nobody asks for any more ends.
    """
    made = []
    teams = _teams(standing, wanted)
    waiting = {each.reference: each for each in selectors.waiting_for(orchestrator, REFERENCE)}
    for reference in waiting.keys() - {_reference(team) for team in teams}:
        services.end_waiting(orchestrator, reference, actor=SYSTEM, now=now, reason="the quotas no longer ask for it")
    for team in teams:
        mine = _only(standing, wanted, team)
        asked = waiting.get(_reference(team))
        if asked is not None and _asks_the_same(asked, mine, team):
            continue
        why = Why("quota", _reference(team), _words(standing, mine), {}, f"Quotas of {team or 'all teams'}")
        try:
            # Whoever set the quota has said yes to what it does.
            change = services.propose_change(
                orchestrator,
                mine,
                why=why,
                actor=SYSTEM,
                approval=Approval.STANDING,
                team=team,
                now=now,
                urgent=set(mine.blocks) != set(standing.blocks),
            )
        except (RefusedChange, Overlaps) as refused:
            logger.warning("quota change refused", orchestrator=orchestrator, error=f"{refused}")
            continue
        if change is not None:
            made.append(change.pk)
    return made


def _reference(team: str | None) -> str:
    return f"{REFERENCE}:{team or '*'}"


def _asks_the_same(waiting: ChangeSet, mine: DesiredState, team: str | None) -> bool:
    """Does `waiting` ask for what `mine` asks of the team? How much is used by now makes no other order."""
    held = snapshots.wanted(waiting)
    return _gist(held, team) == _gist(mine, team)


def _gist(state: DesiredState, team: str | None) -> tuple[object, ...]:
    blocks = {(each.model, each.body.budget, each.body.resets_at) for each in state.blocks if each.team == team}
    return blocks, {each for each in state.quotas if each.team == team}


def _teams(standing: DesiredState, wanted: DesiredState) -> list[str | None]:
    quotas_moved = {each.team for each in set(standing.quotas) ^ set(wanted.quotas)}
    blocks_moved = {each.team for each in set(standing.blocks) ^ set(wanted.blocks)}
    return sorted(quotas_moved | blocks_moved, key=lambda team: team or "")


def _only(standing: DesiredState, wanted: DesiredState, team: str | None) -> DesiredState:
    quotas_left = [each for each in standing.quotas if each.team != team]
    blocks_left = [each for each in standing.blocks if each.team != team]
    return replace(
        standing,
        quotas=(*quotas_left, *(each for each in wanted.quotas if each.team == team)),
        blocks=(*blocks_left, *(each for each in wanted.blocks if each.team == team)),
    )


def _words(standing: DesiredState, wanted: DesiredState) -> str:
    added = [each for each in wanted.blocks if each not in standing.blocks]
    if added:
        return added[0].body.message
    if len(wanted.blocks) < len(standing.blocks):
        return "The quota's window has turned: what it refused is served again."
    return "The limits for each minute are those that were declared."


def _held_by(said: Quota | None, throttle: Quota | None, subject: Subject, able: frozenset[QuotaKind]) -> Quota | None:
    both = [each for each in (said, throttle) if each is not None]
    rpm = min((each.rpm for each in both if each.rpm is not None), default=None)
    tpm = min((each.tpm for each in both if each.tpm is not None), default=None)
    rpm = rpm if _kind(subject, False) in able else None
    tpm = tpm if _kind(subject, True) in able else None
    return None if rpm is None and tpm is None else Quota(*subject, rpm, tpm)


def _kind(subject: Subject, tokens: bool) -> QuotaKind | None:
    team, key, model = (each is not None for each in subject)
    named = _KINDS.get((team, key, model))
    return None if named is None else QuotaKind(f"{named}_{'tpm' if tokens else 'rpm'}")


def _throttled(orchestrator: str) -> dict[Subject, Quota]:
    rows = SteeredRoute.objects.filter(orchestrator=orchestrator, wanted__isnull=False)
    found = ((row, (row.wanted or {}).get("rpm"), (row.wanted or {}).get("tpm")) for row in rows)
    return {(row.team, None, row.model): Quota(row.team, None, row.model, rpm, tpm) for row, rpm, tpm in found}


def _able(row: Orchestrator) -> Capabilities | None:
    try:
        return open_orchestrator(row.kind, row.name, row.settings).capabilities()
    except OrchestratorError:
        return None


def _subject(row: DeclaredQuota) -> Subject:
    return (row.team or None, row.key or None, row.model or None)
