"""Judge the newest days: read what every leaf cost, find what is unusual, keep it, tell it once.

Runs in a task, never in a page. Judging again changes nothing where the figures are the same; where a bill has replaced
an estimate, the days of an open anomaly are made anew, and one that the bill explains closes itself.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import transaction

from attribution import audit, selectors
from attribution.actors import SYSTEM
from attribution.money import exact_sum, rounded
from attribution.queries import MAX_ROWS, CostQuery, Dimension, Filter, Granularity, Operator
from attribution.scope import EVERYTHING
from attribution.selectors import Availability, CostRow
from governance.anomalies import State, cause_of
from governance.anomaly_words import DRIVERS, cause_words
from governance.dashboards import formats
from governance.forecasting.anomalies import Cause, Feedback, Finding, Leaf, Panel, Reach, detect
from governance.forecasting.drivers import Cell, Drivers, expected_cells, merged, split
from governance.models import Anomaly, AnomalyPart
from governance.notifications import outbox
from governance.notifications.events import Event, Figure, Kind
from governance.selectors import catalogue_names

HISTORY = timedelta(days=180)
# Bills come a day to a week late, and replace estimates: these days are judged again.
JUDGED = timedelta(days=14)
# The first run has a past that nobody was told of; five weeks of it are worth a look, none worth a message.
FIRST_JUDGED = timedelta(days=35)
TOLD = timedelta(days=4)
# Two findings of one cause with at most so many quiet days between them are one anomaly.
GAP = timedelta(days=3)
# The days of the same weekday that a day's usual mixture and prices are taken from.
USUAL = tuple(timedelta(weeks=weeks) for weeks in (1, 2, 3, 4))
OWNED = (Dimension.TEAM, Dimension.MODEL, Dimension.PROVIDER, Dimension.PROJECT)
UNOWNED = (Dimension.TEAM, Dimension.MODEL, Dimension.PROVIDER, Dimension.REASON)
_LEAF_SIZE = 3
# Expectations are estimates: at six decimals they become money.
_EXPECTED_PLACES = 6

# (leaf, day) -> project -> cell; where there is no owner, by the reason why there is none.
Cells = Mapping[tuple[Leaf, date], Mapping[str | None, Cell]]


@dataclass(frozen=True)
class Judged:
    """What a run came to. days: how many were judged."""

    days: int = 0
    opened: int = 0
    continued: int = 0
    closed: int = 0
    revision: str = ""


@dataclass(frozen=True)
class _Part:
    """One leaf on one day, ready to be kept."""

    day: date
    leaf: Leaf
    actual: Decimal
    expected: Decimal
    drivers: Drivers


def judge(now: datetime) -> Judged:
    """Judge the newest days of the served figures and keep what was found.

    Today too: it isn't over, so it is unusual only when it costs already more than all of it was expected to.
    """
    snapshot = selectors.snapshot()
    if snapshot.availability is Availability.EMPTY:
        return Judged()
    today = now.date()
    first = today - (JUDGED if Anomaly.objects.exists() else FIRST_JUDGED)
    end = today + timedelta(days=1)
    judged = [first + timedelta(days=day) for day in range((end - first).days)]
    total = Judged(days=len(judged), revision=snapshot.fingerprint)
    for currency, cells in _read(end).items():
        panel = panel_of(cells, end)
        findings = detect(panel, judged, reach=_reach(now))
        kept = _keep(currency, findings, cells, judged, snapshot.fingerprint, now)
        total = replace(
            total,
            opened=total.opened + kept.opened,
            continued=total.continued + kept.continued,
            closed=total.closed + kept.closed,
        )
    return total


# Figures


def _read(end: date) -> dict[str, Cells]:
    """By currency: what every project of a leaf cost on each day before `end`, billed or estimated, effective basis."""
    found: dict[str, dict[tuple[Leaf, date], dict[str | None, Cell]]] = defaultdict(lambda: defaultdict(dict))
    asked = CostQuery(end - HISTORY, end, granularity=Granularity.DAY, limit=MAX_ROWS)
    for query in (
        replace(asked, group_by=OWNED, filters=(Filter(Dimension.TEAM, Operator.NOT_NULL),)),
        replace(asked, group_by=UNOWNED, filters=(Filter(Dimension.TEAM, Operator.NULL),)),
    ):
        for row in _rows(query):
            if row.bucket is not None and row.amounts.total is not None:
                leaf, cell = row.group[:_LEAF_SIZE], Cell(row.amounts.total, row.amounts.metered_tokens)
                found[row.currency][leaf, row.bucket][row.group[_LEAF_SIZE]] = cell
    return dict(found)


def _rows(query: CostQuery) -> Iterator[CostRow]:
    while True:
        table = selectors.costs(EVERYTHING, query)
        yield from table.rows
        if table.next_after is None:
            return
        query = replace(query, after=table.next_after)


def panel_of(cells: Cells, end: date) -> Panel:
    """The daily costs of every leaf, from the first day with any to the day before `end`.

    Credits below zero count as nothing.
    """
    if not cells:
        return Panel((), (), np.zeros((0, 0)))
    first = min(day for _, day in cells)
    days = tuple(first + timedelta(days=day) for day in range((end - first).days))
    leaves = tuple(sorted({leaf for leaf, _ in cells}, key=repr))
    places = {leaf: place for place, leaf in enumerate(leaves)}
    costs = np.zeros((len(leaves), len(days)))
    for (leaf, day), of in cells.items():
        costs[places[leaf], (day - first).days] = max(0.0, float(exact_sum(cell.cost for cell in of.values())))
    return Panel(leaves, days, costs)


def parts_of(finding: Finding, cells: Cells) -> list[_Part]:
    """The finding's leaves with their drivers. What moves within a team is its mix; teams are split apart, because a
    lead's share may tell nothing of the others."""
    parts: list[_Part] = []
    for team in dict.fromkeys(each.leaf[0] for each in finding.leaves):
        before: dict[Any, Cell] = {}
        after: dict[Any, Cell] = {}
        for each in finding.leaves:
            if each.leaf[0] != team:
                continue
            expected = rounded(Decimal(repr(each.expected)), _EXPECTED_PLACES)
            before |= {(each.leaf, project): cell for project, cell in _expected(each.leaf, finding, expected, cells)}
            actual = cells.get((each.leaf, finding.day), {})
            after |= {(each.leaf, project): cell for project, cell in actual.items()}
        drivers = split(before, after)
        mine = [each.leaf for each in finding.leaves if each.leaf[0] == team]
        parts += [_part(leaf, finding.day, before, after, drivers) for leaf in mine]
    return parts


def _expected(leaf: Leaf, finding: Finding, expected: Decimal, cells: Cells) -> Iterable[tuple[Any, Cell]]:
    past = [cells.get((leaf, finding.day - ago), {}) for ago in USUAL]
    usual = merged((project, cell) for day in past for project, cell in day.items())
    # Where the same weekdays had nothing, nothing says at which price it was expected.
    return expected_cells(usual, expected).items() or ({None: Cell(expected, None)}.items() if expected else ())


def _part(
    leaf: Leaf, day: date, before: Mapping[Any, Cell], after: Mapping[Any, Cell], drivers: Mapping[Any, Drivers]
) -> _Part:
    return _Part(
        day,
        leaf,
        exact_sum(cell.cost for (one, _), cell in after.items() if one == leaf),
        exact_sum(cell.cost for (one, _), cell in before.items() if one == leaf),
        sum((each for (one, _), each in drivers.items() if one == leaf), Drivers()),
    )


# Keeping


def _reach(now: datetime) -> Reach:
    said = Anomaly.objects.filter(state=State.EXPLAINED)
    return Reach(tuple(Feedback(cause_of(one), one.state_at) for one in said), now)


@transaction.atomic
def _keep(
    currency: str, findings: Sequence[Finding], cells: Cells, judged: Sequence[date], revision: str, now: datetime
) -> Judged:
    known = list(
        Anomaly.objects.select_for_update()
        .filter(currency=currency, last_day__gte=judged[0] - GAP)
        .order_by("id")
        .prefetch_related("parts")
    )
    leaves = {one.pk: {_leaf_of(part) for part in one.parts.all()} for one in known}
    opened: list[Anomaly] = []
    found: dict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        one = next((each for each in known if _continues(each, leaves[each.pk], finding)), None)
        if one is None:
            one = _open(currency, finding, _reason(finding, cells), revision, now)
            known.append(one)
            opened.append(one)
            leaves[one.pk] = set()
        leaves[one.pk] |= {each.leaf for each in finding.leaves}
        one.last_day = max(one.last_day, finding.day)
        one.z = max(one.z, _z(finding))
        found[one.pk].append(finding)
    continued = closed = 0
    for one in known:
        continued += one not in opened and bool(found[one.pk])
        closed += _renew(one, found[one.pk], cells, judged, revision, now)
    for one in opened:
        if one.state == State.OPEN and one.last_day >= now.date() - TOLD:
            tell(one, now)
    return Judged(opened=len(opened), continued=continued, closed=closed)


def _continues(one: Anomaly, leaves: set[Leaf], finding: Finding) -> bool:
    """Is the finding the same trouble as a known anomaly? One that was settled doesn't go on: it comes back."""
    if not one.first_day - GAP <= finding.day <= one.last_day + GAP:
        return False
    if one.state == State.RESOLVED and finding.day > one.last_day:
        return False
    if one.cause_key == key_of(finding.cause):
        return True
    # One cause may look smaller or larger on its second day: most of its leaves tell.
    shared = sum(each.leaf in leaves for each in finding.leaves)
    return 2 * shared > len(finding.leaves) and (one.team is None or shared == len(finding.leaves))


def _reason(finding: Finding, cells: Cells) -> str:
    """Why most of it has no owner; '' where a part has one."""
    if any(each.leaf[0] is not None for each in finding.leaves):
        return ""
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for each in finding.leaves:
        for reason, cell in cells.get((each.leaf, finding.day), {}).items():
            costs[reason or ""] = exact_sum([costs[reason or ""], cell.cost])
    return max(sorted(costs), key=lambda one: costs[one], default="")


def _open(currency: str, finding: Finding, reason: str, revision: str, now: datetime) -> Anomaly:
    muted = _muting(finding.cause, now)
    teams = {each.leaf[0] for each in finding.leaves}
    return Anomaly.objects.create(
        cause=[list(pair) for pair in finding.cause],
        cause_key=key_of(finding.cause),
        team=teams.pop() if len(teams) == 1 else None,
        reason=reason,
        currency=currency,
        first_day=finding.day,
        last_day=finding.day,
        z=_z(finding),
        state=State.MUTED if muted else State.OPEN,
        note=muted.note if muted else "",
        state_by=muted.state_by if muted else SYSTEM.name,
        muted_until=muted.muted_until if muted else None,
        state_at=now,
        opened_at=now,
        inputs_revision=revision,
    )


def _muting(cause: Cause, now: datetime) -> Anomaly | None:
    """The anomaly whose muting covers a new one: the same cause, or one that holds it."""
    muted = Anomaly.objects.filter(state=State.MUTED, muted_until__gt=now)
    return next((one for one in muted if set(cause_of(one)) <= set(cause)), None)


def _renew(
    one: Anomaly, findings: Sequence[Finding], cells: Cells, judged: Sequence[date], revision: str, now: datetime
) -> bool:
    """Make the judged days of an anomaly anew; True where nothing is left of it, so that it closed.

    What people have said something of keeps the days that they saw, and gets the new ones.
    """
    parts = {part.day for part in one.parts.all()}
    seen = set() if one.state == State.OPEN else parts
    fresh = _by_day(findings, cells)
    stale = {day for day in parts - seen if day in set(judged)}
    one.parts.filter(day__in=stale).delete()
    AnomalyPart.objects.bulk_create(
        _row(one, part) for day, of in fresh.items() if day not in seen for part in of.values()
    )
    days = (parts - stale) | set(fresh)
    if not days and one.state == State.OPEN:
        _close(one, now)
        return True
    if days:
        one.first_day, one.last_day = min(days), max(days)
    one.team = _one_team(one)
    one.inputs_revision = revision
    one.save(update_fields=["first_day", "last_day", "team", "z", "inputs_revision"])
    return False


def _by_day(findings: Sequence[Finding], cells: Cells) -> dict[date, dict[Leaf, _Part]]:
    found: dict[date, dict[Leaf, _Part]] = defaultdict(dict)
    for finding in findings:
        for part in parts_of(finding, cells):
            found[finding.day][part.leaf] = part
    return found


def _row(one: Anomaly, part: _Part) -> AnomalyPart:
    team, model, provider = part.leaf
    amounts: dict[str, Any] = {"actual": part.actual, "expected": part.expected, **part.drivers.parts()}
    return AnomalyPart(anomaly=one, day=part.day, team=team, model=model, provider=provider, **amounts)


def _close(one: Anomaly, now: datetime) -> None:
    """A bill took the estimate's place and the day is a usual one. It keeps no part, so that nobody is shown it."""
    note = "The bill explains it: with it, no day of this is unusual."
    Anomaly.objects.filter(id=one.pk).update(
        state=State.RESOLVED, note=note, state_by=SYSTEM.name, state_at=now, version=one.version + 1
    )
    before, after = {"state": one.state}, {"state": State.RESOLVED}
    audit.record(
        SYSTEM, "anomaly.closed", "anomaly", one.pk, team=one.team, before=before, after=after, reason=note, now=now
    )


def _one_team(one: Anomaly) -> str | None:
    teams = set(one.parts.values_list("team", flat=True))
    return teams.pop() if len(teams) == 1 else None


def _leaf_of(part: AnomalyPart) -> Leaf:
    return (part.team, part.model, part.provider)


def _z(finding: Finding) -> Decimal:
    # A series that never moved makes any move as unusual as one likes.
    return rounded(Decimal(repr(min(finding.z, 9999.0))), 2)


def key_of(cause: Cause) -> str:
    """The cause as one text, equal for equal causes."""
    return json.dumps(cause, separators=(",", ":"))


# Telling


def tell(one: Anomaly, now: datetime) -> None:
    """Tell that an anomaly was opened, once, to who may see all of it."""
    parts = list(one.parts.all())
    actual, expected = exact_sum(part.actual for part in parts), exact_sum(part.expected for part in parts)
    excess = actual - expected
    teams = {part.team for part in parts}
    drivers = sum((Drivers(**part.drivers) for part in parts), Drivers())
    name = cause_words(cause_of(one), len(teams), catalogue_names(), one.reason)
    days = formats.span(one.first_day, one.last_day + timedelta(days=1))
    above = formats.tile_money(excess, one.currency)
    figures: dict[str, Figure] = {
        "spend": rounded(actual, 2),
        "forecast": rounded(expected, 2),
        "currency": one.currency,
        "words": f"{name} cost {above} more than expected on {days}, most of it {DRIVERS[drivers.largest()].sentence}.",
    }
    outbox.enqueue(
        Event(
            kind=Kind.ANOMALY_OPENED,
            team=one.team,
            budget_id=None,
            subject=f"{name}: {above} above expected",
            figures=figures,
            link_path=f"/anomalies/{one.pk}",
            once_key=f"anomaly:{one.pk}:opened",
        ),
        now,
    )
