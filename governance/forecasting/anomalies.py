"""Days that cost more than their own past explains, each cause once. Pure numpy; floats inside, exact money outside.

What belongs here: what is unusual, what is worth telling, and which leaves share one cause. What does not: the
expectation (`bets.one_step`), why it was dearer (`drivers`), and states, people and messages.

Days that cost less are not judged: less spend is no loss, and late telemetry looks the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from governance.forecasting.bets import HISTORY_DAYS, JUDGED_DAYS, OneStep, one_step

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
# A leaf's place: its values of team, model and provider, in this order; None is "no value".
DIMENSIONS = ("team", "model", "provider")
Leaf = tuple[str | None, ...]
# What a group of leaves has in common: (dimension, value), in the order of DIMENSIONS. () is everything.
Cause = tuple[tuple[str, str | None], ...]
Foresee = Callable[[Floats, int], OneStep]

# Days before a series is judged at all: two weeks teach a weekly shape, two more its noise.
SETTLING_DAYS = 28
# No series is steadier than this share of its own expectation: estimates and bills differ by as much.
LEAST_NOISE = 0.03
# A residual counts as noise up to this many usual ones; and how much of the usual one is kept from day to day.
NOISE_CLIP = 2.0
NOISE_FADING = 0.96
# One person's "this was expected" fades in this many days.
FEEDBACK_HALF_LIFE = timedelta(days=60)


@dataclass(frozen=True)
class Sensitivity:
    """When a day is told. The defaults were tuned on the simulated companies 1 to 5 alone."""

    # Residuals in units of the series' own usual one.
    least_z: float = 2.3
    # Excess as a share of what everything costs on a usual day.
    least_share: float = 0.005
    # Excess as a share of what was expected of the very series.
    least_relative: float = 0.2
    # A group is one cause where leaves with this share of its expected cost rose with it.
    concentration: float = 0.6
    # A leaf rose with its group when it rose by this part of the group's own rise.
    follows: float = 1 / 3
    # A leaf is part of what is told when it rose by this part of the group's own rise: noise hides some followers.
    belongs: float = 0.1


@dataclass(frozen=True)
class Panel:
    """What every leaf cost on every day, in one currency: costs[leaf, day], 0 where there was nothing."""

    leaves: tuple[Leaf, ...]
    days: tuple[date, ...]
    costs: Floats


@dataclass(frozen=True)
class LeafExcess:
    """One leaf's part of a finding."""

    leaf: Leaf
    expected: float


@dataclass(frozen=True)
class Finding:
    """One cause on one day. z: how unusual, in units of the series' own usual residual; excess and expected in money.

    The excess of the leaves, actual less expected, is what the cause costs; it can differ from the excess of the
    group's own series, by which it was found, where the leaves foresee better.
    """

    cause: Cause
    day: date
    z: float
    actual: float
    expected: float
    leaves: tuple[LeafExcess, ...]

    @property
    def excess(self) -> float:
        return self.actual - self.expected


@dataclass(frozen=True)
class Feedback:
    """A person said of an anomaly of `cause` that it was to be expected."""

    cause: Cause
    at: datetime


@dataclass(frozen=True)
class Reach:
    """How much harder it is for a cause to be told, 1 for as usual; made from what people said."""

    feedback: tuple[Feedback, ...] = ()
    now: datetime | None = None

    def factor(self, cause: Cause) -> float:
        """1 + half for every time that somebody expected it, of it or of what holds it, fading with time."""
        said = [each for each in self.feedback if set(each.cause) <= set(cause) and each.cause]
        return 1.0 + 0.5 * sum(self._weight(each) for each in said)

    def _weight(self, each: Feedback) -> float:
        if self.now is None:
            return 1.0
        return float(0.5 ** max(0.0, (self.now - each.at) / FEEDBACK_HALF_LIFE))


@dataclass(frozen=True)
class _Nodes:
    """Every group of leaves that shares values, and every leaf: its members, and the series of its sum."""

    causes: tuple[Cause, ...]
    members: Mask  # [node, leaf]
    # The last days that the forecast can be asked for: [node, day].
    costs: Floats
    expected: Floats
    z: Floats
    skipped: int  # days of the panel before them
    # The node of each leaf alone.
    leaf_nodes: NDArray[np.intp] = field(repr=False)


def detect(
    panel: Panel,
    judged: Sequence[date],
    *,
    sensitivity: Sensitivity | None = None,
    reach: Reach | None = None,
    foresee: Foresee = one_step,
) -> list[Finding]:
    """What is worth telling of the days `judged`, by day and then by excess, the dearest first.

    A day is compared with what was foreseen on the day before. Days more than JUDGED_DAYS before the panel's last are
    passed over: they were judged in their time. foresee: (series [n, days], days) -> what was expected of the last.
    """
    if not panel.leaves or not panel.days:
        return []
    limits, reach = sensitivity or Sensitivity(), reach or Reach()
    nodes = _nodes(panel, foresee)
    places = {day: place for place, day in enumerate(panel.days)}
    found: list[Finding] = []
    for day in sorted(set(judged) & set(places)):
        if places[day] >= max(SETTLING_DAYS, nodes.skipped):
            found += _judge(panel, nodes, places[day], limits, reach)
    return found


def scores(costs: Floats, expected: Floats) -> Floats:
    """How unusual each day is: the residual in units of the usual one, learned from the days before it.

    The usual residual is a fading mean square of relative residuals, each clipped so that one odd day neither hides
    the next nor lets everything pass for a month.
    """
    # Where next to nothing was expected, a twentieth of the series' level so far stands in.
    before = np.cumsum(costs, axis=1) - costs
    level = before / np.maximum(np.arange(costs.shape[1]), 1)
    relative = (costs - expected) / np.maximum(np.maximum(expected, 0.05 * level), 1e-9)
    noise = np.full(len(costs), 0.25)
    found = np.zeros_like(costs)
    for day in range(costs.shape[1]):
        usual = np.maximum(noise, LEAST_NOISE)
        found[:, day] = relative[:, day] / usual
        clipped = np.clip(relative[:, day], -NOISE_CLIP * usual, NOISE_CLIP * usual)
        noise = np.sqrt(NOISE_FADING * noise**2 + (1 - NOISE_FADING) * clipped**2)
    return found


def _nodes(panel: Panel, foresee: Foresee) -> _Nodes:
    members: dict[bytes, tuple[Cause, Mask]] = {}
    values = np.array([[repr(value) for value in leaf] for leaf in panel.leaves])
    for size in range(len(DIMENSIONS) + 1):
        for dims in combinations(range(len(DIMENSIONS)), size):
            for shared in {tuple(row) for row in values[:, list(dims)]}:
                mask = (values[:, list(dims)] == np.array(shared, dtype=values.dtype)).all(axis=1)
                # The same leaves under a longer name: what they have in common is said in full.
                members[mask.tobytes()] = (_common(panel.leaves, mask), mask)
    causes = tuple(cause for cause, _ in members.values())
    masks = np.array([mask for _, mask in members.values()])
    costs = masks.astype(np.float64) @ panel.costs[:, -HISTORY_DAYS:]
    seen = min(JUDGED_DAYS, costs.shape[1])
    expected, costs = np.maximum(foresee(costs, seen).expected, 0.0), costs[:, -seen:]
    alone = np.flatnonzero(masks.sum(axis=1) == 1)
    order = masks[alone].argmax(axis=1)
    leaf_nodes = np.empty(len(panel.leaves), dtype=np.intp)
    leaf_nodes[order] = alone
    skipped = panel.costs.shape[1] - seen
    return _Nodes(causes, masks, costs, expected, scores(costs, expected), skipped, leaf_nodes)


def _common(leaves: Sequence[Leaf], mask: Mask) -> Cause:
    chosen = [leaf for leaf, is_in in zip(leaves, mask, strict=True) if is_in]
    return tuple(
        (name, chosen[0][place])
        for place, name in enumerate(DIMENSIONS)
        if all(leaf[place] == chosen[0][place] for leaf in chosen)
    )


def _judge(panel: Panel, nodes: _Nodes, place: int, limits: Sensitivity, reach: Reach) -> list[Finding]:
    """The causes of one day: the group whose leaves rose together and cost most, then what it leaves unexplained."""
    usual_day = float(np.median(panel.costs[:, max(0, place - SETTLING_DAYS) : place].sum(axis=0)))
    at = place - nodes.skipped
    costs, expected = panel.costs[:, place], nodes.expected[nodes.leaf_nodes, at]
    fired = _fired(nodes, at, limits, usual_day, reach)
    open_leaves = np.ones(len(panel.leaves), dtype=bool)
    found: list[Finding] = []
    while fired:
        chosen = _cause(nodes, fired, costs - expected, expected, open_leaves, limits)
        if chosen is None:
            break
        mask = _risen(nodes.members[chosen] & open_leaves, costs - expected, expected, limits)
        found.append(_finding(panel, nodes, chosen, at, mask))
        open_leaves &= ~mask
        least = _least(limits, usual_day)
        fired = [node for node in fired if _still_stands(nodes, node, at, costs - expected, open_leaves, least)]
    return found


def _fired(nodes: _Nodes, place: int, limits: Sensitivity, usual_day: float, reach: Reach) -> list[int]:
    expected, excess = nodes.expected[:, place], nodes.costs[:, place] - nodes.expected[:, place]
    unusual = (
        (nodes.z[:, place] >= limits.least_z)
        & (excess >= _least(limits, usual_day))
        & (excess >= limits.least_relative * expected)
    )
    return [int(node) for node in np.flatnonzero(unusual) if _reaches(nodes, int(node), place, limits, reach, excess)]


def _reaches(nodes: _Nodes, node: int, place: int, limits: Sensitivity, reach: Reach, excess: Floats) -> bool:
    """Is it unusual enough for what people said of its like?"""
    factor = reach.factor(nodes.causes[node])
    by_size = excess[node] >= factor * limits.least_relative * nodes.expected[node, place]
    return bool(nodes.z[node, place] >= factor * limits.least_z and by_size)


def _least(limits: Sensitivity, usual_day: float) -> float:
    # Below a hundredth of a unit nobody is woken, however small the company.
    return max(limits.least_share * usual_day, 0.01)


def _rest(nodes: _Nodes, node: int, excess: Floats, open_leaves: Mask) -> float:
    return float(excess[nodes.members[node] & open_leaves].sum())


def _still_stands(nodes: _Nodes, node: int, place: int, excess: Floats, open_leaves: Mask, least: float) -> bool:
    """Does enough, and half of its own excess, remain when what is already told is taken out?"""
    whole = float(nodes.costs[node, place] - nodes.expected[node, place])
    return _rest(nodes, node, excess, open_leaves) >= max(least, 0.5 * whole)


def _cause(
    nodes: _Nodes, fired: Sequence[int], excess: Floats, expected: Floats, open_leaves: Mask, limits: Sensitivity
) -> int | None:
    """The fired group that explains most, among those whose leaves rose together and that no part explains alone."""
    ranked = sorted(fired, key=lambda node: (-_rest(nodes, node, excess, open_leaves), nodes.members[node].sum(), node))
    for node in ranked:
        mask = nodes.members[node] & open_leaves
        if not _rose_together(mask, excess, expected, limits):
            continue
        if not any(_explains(nodes, other, node, excess, expected, open_leaves, limits) for other in ranked):
            return node
    return None


def _rose_together(mask: Mask, excess: Floats, expected: Floats, limits: Sensitivity) -> bool:
    if mask.sum() == 1:
        return True
    rise = _relative(mask, excess, expected)
    followers = mask & (excess >= limits.follows * rise * expected)
    whole = expected[mask].sum()
    if whole <= 0:
        return True
    return bool(expected[followers].sum() >= limits.concentration * whole)


def _risen(mask: Mask, excess: Floats, expected: Floats, limits: Sensitivity) -> Mask:
    """The leaves of a group that rose; those that fell on the same day have no part in it."""
    rise = _relative(mask, excess, expected)
    least = limits.belongs * rise * expected if np.isfinite(rise) else np.zeros_like(expected)
    return np.asarray(mask & (excess >= least) & (excess > 0))


def _explains(
    nodes: _Nodes, part: int, node: int, excess: Floats, expected: Floats, open_leaves: Mask, limits: Sensitivity
) -> bool:
    """Is `part` a smaller fired group without which `node` would hardly have risen?"""
    mine, theirs = nodes.members[node] & open_leaves, nodes.members[part] & open_leaves
    if not theirs.any() or (theirs & ~mine).any() or theirs.sum() == mine.sum():
        return False
    rest = mine & ~theirs
    left = excess[rest].sum()
    without = left / expected[rest].sum() if expected[rest].sum() > 0 else (np.inf if left > 0 else 0.0)
    return bool(without < limits.follows * _relative(mine, excess, expected))


def _relative(mask: Mask, excess: Floats, expected: Floats) -> float:
    base = expected[mask].sum()
    return float(excess[mask].sum() / base) if base > 0 else float("inf")


def _finding(panel: Panel, nodes: _Nodes, node: int, at: int, mask: Mask) -> Finding:
    expected, costs = nodes.expected[nodes.leaf_nodes, at], panel.costs[:, nodes.skipped + at]
    leaves = tuple(
        LeafExcess(panel.leaves[one], float(expected[one]))
        for one in np.flatnonzero(mask)
        if costs[one] or expected[one]
    )
    return Finding(
        cause=_common(panel.leaves, mask),
        day=panel.days[nodes.skipped + at],
        z=float(nodes.z[node, at]),
        actual=float(costs[mask].sum()),
        expected=float(expected[mask].sum()),
        leaves=leaves,
    )
