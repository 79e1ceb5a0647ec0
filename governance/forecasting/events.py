"""What people know and history does not, as changes to series: launches, price changes, migrations, holidays. Pure.

An event enters at the leaves, so every total it belongs to moves with it. Events in the past correct what is learned:
a holiday's days are taken as unknown, a change of usage rescales the days before it, a price change is divided out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from governance.forecasting.hierarchy import Leaf, Outlook
from governance.forecasting.values import ALONE, Below, ForecastScope

Floats = NDArray[np.float64]
MILLION = 1_000_000


class EventKind(StrEnum):
    LAUNCH = "launch"
    PRICE_CHANGE = "price_change"
    MIGRATION = "migration"
    HOLIDAY = "holiday"


@dataclass(frozen=True)
class KnownEvent:
    """One thing that is known. It holds on [starts_on, ends_on); ends_on None: for good.

    factor: usage (launch, holiday) or price (price_change, migration: at the target) afterwards / before.
    amount: what a launch adds a day, in the forecast's currency. moved: the share that a migration moves to `target`
    (dimension -> value). ramp_days: days until it fully holds, in a straight line.
    """

    kind: EventKind
    title: str
    scope: ForecastScope
    starts_on: date
    ends_on: date | None = None
    factor: float = 1.0
    amount: float = 0.0
    moved: float = 1.0
    target: tuple[tuple[str, str], ...] = ()
    ramp_days: int = 0

    def strength(self, first_day: date, days: int) -> Floats:
        """(days): how much of it holds on each day from `first_day` on, 0 to 1."""
        numbers = np.arange(days) - (self.starts_on - first_day).days
        strength = np.clip((numbers + 1) / (self.ramp_days + 1), 0, 1)
        if self.ends_on is not None:
            strength[max(0, (self.ends_on - first_day).days) :] = 0
        return np.asarray(strength, np.float64)

    def words(self) -> str:
        """How a page names it."""
        return f"{self.title} ({self.kind.value.replace('_', ' ')}, from {self.starts_on.isoformat()})"


@dataclass(frozen=True)
class Moved:
    """Leaves and their outlook with the events in it; events: by leaf, the words of those that moved it."""

    leaves: tuple[Leaf, ...]
    outlook: Outlook
    events: tuple[tuple[str, ...], ...]


def price_schedule(
    events: Sequence[KnownEvent],
    leaves: Sequence[Leaf],
    first_day: date,
    days: int,
    known: Floats | None = None,
    below: Below = ALONE,
) -> Floats:
    """(leaves, days): the known prices, relative; `known` is the price book's schedule, on which events come."""
    prices = np.ones((len(leaves), days)) if known is None else known.copy()
    for event in events:
        if event.kind is EventKind.PRICE_CHANGE:
            factor = 1 + (event.factor - 1) * event.strength(first_day, days)
            prices[_members(event, leaves, below)] *= factor
    return prices


def corrected(
    events: Sequence[KnownEvent], leaves: Sequence[Leaf], first_day: date, values: Floats, below: Below = ALONE
) -> Floats:
    """History as it would teach the right thing: holidays unknown, days before a change of usage rescaled to it."""
    known = values.copy()
    days = values.shape[1]
    for event in events:
        members = _members(event, leaves, below)
        strength = event.strength(first_day, days)
        if event.kind is EventKind.HOLIDAY:
            holidays = known[members]
            holidays[:, strength > 0] = np.nan
            known[members] = holidays
        elif event.kind is EventKind.LAUNCH and event.ends_on is None and strength[-1] > 0 and event.factor > 0:
            # What the last day has of it, every day shall have.
            known[members] *= (1 + (event.factor - 1) * strength[-1]) / (1 + (event.factor - 1) * strength)
    return known


def applied(
    events: Sequence[KnownEvent], leaves: Sequence[Leaf], first_day: date, outlook: Outlook, below: Below = ALONE
) -> Moved:
    """The outlook from `first_day` on, moved by the events. Leaves that only an event knows of are added at the end."""
    state = _State(list(leaves), outlook.path.copy(), outlook.misses.copy(), [[] for _ in leaves], below)
    for event in sorted(events, key=lambda one: (one.starts_on, one.title)):
        strength = event.strength(first_day, outlook.path.shape[1])
        before = float(event.strength(first_day - timedelta(days=1), 1)[0])
        if event.starts_on < first_day and event.ends_on is None and not event.ramp_days:
            continue  # history has it in full
        if strength.any():
            _APPLY[event.kind](state, event, strength, before)
    return Moved(tuple(state.leaves), Outlook(state.path, state.misses), tuple(tuple(one) for one in state.words))


@dataclass
class _State:
    leaves: list[Leaf]
    path: Floats
    misses: Floats
    words: list[list[str]]
    below: Below

    def members(self, event: KnownEvent) -> list[int]:
        return _members(event, self.leaves, self.below)

    def index_of(self, leaf: Leaf) -> int:
        """Where `leaf` stands; it is added, with nothing in it, if need be."""
        if leaf not in self.leaves:
            self.leaves.append(leaf)
            self.path = np.concatenate([self.path, np.zeros((1, self.path.shape[1]))])
            self.misses = np.concatenate([self.misses, np.full((1, *self.misses.shape[1:]), np.nan)])
            self.words.append([])
        return self.leaves.index(leaf)

    def note(self, members: Sequence[int], event: KnownEvent) -> None:
        for index in members:
            self.words[index].append(event.words())


def _scale(state: _State, event: KnownEvent, strength: Floats, before: float) -> None:
    """Usage changes by a factor; what the last known day has of it already is in the level."""
    members = state.members(event)
    state.path[members] *= (1 + (event.factor - 1) * strength) / (1 + (event.factor - 1) * before)
    state.note(members, event)


def _launch(state: _State, event: KnownEvent, strength: Floats, before: float) -> None:
    if event.factor != 1.0:
        # `corrected` brought the days before it to the strength of the last one.
        _scale(state, event, strength, before)
    if not event.amount:
        return
    members = state.members(event)
    added = event.amount * np.maximum(strength - before, 0)
    sizes = state.path[members].sum(1)
    if not len(members) or sizes.sum() <= 0 or len(event.scope.dims) == 0:
        members = [state.index_of(Leaf(**event.scope.values))]
        sizes = np.ones(1)
    state.path[members] += added[None, :] * (sizes / sizes.sum())[:, None]
    state.note(members, event)


def _migrate(state: _State, event: KnownEvent, strength: Floats, before: float) -> None:
    share = np.clip(event.moved * (strength - before) / max(1e-9, 1 - event.moved * before), 0, 1)
    for index in state.members(event):
        moved = state.path[index] * share
        if not moved.any():
            continue
        target = state.index_of(replace(state.leaves[index], **dict(event.target)))
        if target == index:
            continue
        state.path[index] -= moved
        state.path[target] += moved * event.factor
        state.note([index, target], event)


def _nothing(state: _State, event: KnownEvent, strength: Floats, before: float) -> None:
    """A price change is in the schedule already."""
    del strength, before
    state.note(state.members(event), event)


_APPLY = {
    EventKind.LAUNCH: _launch,
    EventKind.HOLIDAY: _scale,
    EventKind.MIGRATION: _migrate,
    EventKind.PRICE_CHANGE: _nothing,
}


def _members(event: KnownEvent, leaves: Sequence[Leaf], below: Below) -> list[int]:
    return [index for index, leaf in enumerate(leaves) if event.scope.contains(leaf.values, below)]


def dims_of(pairs: Sequence[Sequence[str]]) -> Mapping[str, str]:
    """Stored pairs as a mapping."""
    return {pair[0]: pair[1] for pair in pairs}
