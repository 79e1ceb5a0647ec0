"""The tree of teams as it stood on a day: who is below whom. Read once, then asked often."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from attribution.models import Placement


@dataclass(frozen=True)
class Edge:
    """`child` is placed in `parent` from valid_from to the day before valid_to; None is open."""

    parent: str
    child: str
    valid_from: date | None = None
    valid_to: date | None = None


class TeamTree:
    """Answers from memory; make one for a piece of work, not for ever."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._edges = tuple(edges)
        days = {day for edge in self._edges for day in (edge.valid_from, edge.valid_to) if day is not None}
        # Between two of these days nobody moves.
        self._turns = sorted(days)
        self._known: dict[tuple[str, int], frozenset[str]] = {}

    @classmethod
    def read(cls) -> "TeamTree":
        """The tree of the catalogue."""
        placed = Placement.objects.filter(team__isnull=False).order_by("id")
        return cls(Edge(*row) for row in placed.values_list("parent__slug", "team__slug", "valid_from", "valid_to"))

    def below(self, team: str, day: date) -> frozenset[str]:
        """`team` and all teams below it on `day`."""
        epoch = bisect_right(self._turns, day)
        if (team, epoch) not in self._known:
            self._known[team, epoch] = self._walk(team, day)
        return self._known[team, epoch]

    def parents(self, day: date) -> frozenset[str]:
        """The teams that have others directly below them on `day`."""
        return frozenset(edge.parent for edge in self._edges if len(self.below(edge.parent, day)) > 1)

    def _walk(self, team: str, day: date) -> frozenset[str]:
        children: dict[str, list[str]] = {}
        for edge in self._edges:
            if (edge.valid_from is None or edge.valid_from <= day) and (edge.valid_to is None or day < edge.valid_to):
                children.setdefault(edge.parent, []).append(edge.child)
        # A set of what was seen, because nothing in the database forbids a circle.
        seen: set[str] = set()
        todo = [team]
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo.extend(children.get(one, ()))
        return frozenset(seen)
