"""Rows that were kept out: counted, explained, grouped so that a million equal complaints are one line. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_GROUPS = 200
MAX_VALUE = 200
MORE = "(further values)"


@dataclass
class Complaint:
    """Several quarantined rows of one kind. line: the first one's; 1 is the first line of the file."""

    line: int
    field: str
    value: str
    reason: str
    count: int = 1

    def as_json(self) -> dict[str, object]:
        return {
            "line": self.line,
            "field": self.field,
            "value": self.value,
            "reason": self.reason,
            "count": self.count,
        }


class Quarantine:
    """What one file kept out. Past MAX_GROUPS different values, only field and reason are told apart."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], Complaint] = {}
        self.rows = 0

    def add(self, line: int, field: str, value: str, reason: str) -> None:
        """One row. `value` is cut at 200 characters; never pass a prompt or a completion."""
        self.rows += 1
        value = _clean(value)[:MAX_VALUE]
        key = (field, value, reason)
        if key not in self._groups and len(self._groups) >= MAX_GROUPS:
            key = (field, MORE, reason)
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = Complaint(line, field, key[1], reason)
        else:
            group.count += 1
            group.line = min(group.line, line)

    def __iter__(self) -> Iterator[Complaint]:
        return iter(sorted(self._groups.values(), key=lambda one: (one.line, one.field, one.value)))


def _clean(value: str) -> str:
    """Storable and printable: databases refuse zero characters, terminals obey control characters."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in value)
