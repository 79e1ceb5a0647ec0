"""Which side of an Azure bill a loose file is: the files of one command are looked at together.

A manifest says it; a commitment's lines say it. What is left are files without any commitment line: a part of an export
whose other parts have some, or an account that has no commitments, whose two sides are then equal.
"""

from collections.abc import Sequence
from dataclasses import replace

from .azure import ACTUAL, AMORTIZED, bill_of, content_of, is_cost_details, side_of
from .base import Head, UnreadableFile
from .deliveries import PlannedFile
from .registry import open_reader


def with_sides(files: Sequence[PlannedFile]) -> tuple[PlannedFile, ...]:
    """The files with the side of each loose Azure file as its hint. Raises UnreadableFile where no side would be right.

    A file that can't be read stays as it is: reading it says why.
    """
    found = list(files)
    bills: dict[tuple[str | None, ...], list[int]] = {}
    heads: dict[int, Head] = {}
    for index, planned in enumerate(files):
        head = None if planned.hint else _cost_details(planned)
        if head is not None:
            heads[index] = head
            bills.setdefault(bill_of(head), []).append(index)
    for indices in bills.values():
        for index, side in _sides({index: heads[index] for index in indices}, files).items():
            found[index] = replace(found[index], hint=side)
    return tuple(found)


def _cost_details(planned: PlannedFile) -> Head | None:
    try:
        _, reader = open_reader(planned.path, planned.shown)
    except UnreadableFile:
        return None
    return reader.head if is_cost_details(reader.head) else None


def _sides(heads: dict[int, Head], files: Sequence[PlannedFile]) -> dict[int, str]:
    """The side of each file of one account and period."""
    try:
        shown = {index: side_of(head) for index, head in heads.items()}
    except UnreadableFile:
        return {}
    known = {side for side in shown.values() if side}
    unknown = [index for index, side in shown.items() if not side]
    if len(known) == 2 and unknown:
        raise UnreadableFile(
            files[unknown[0]].shown,
            "has no commitment line, and both actual and amortised cost of its account are in this command",
            "Ingest the exports' folders with their manifest.json, or one side at a time",
        )
    if len(known) == 1:
        return shown | dict.fromkeys(unknown, known.pop())
    return shown | dict.fromkeys(unknown, ACTUAL) | _twin(unknown, heads)


def _twin(unknown: list[int], heads: dict[int, Head]) -> dict[int, str]:
    """Two files with the same lines are the two sides of a bill without commitments, not twice the money."""
    if len(unknown) != 2:
        return {}
    first, second = (content_of(heads[index]) for index in unknown)
    return {unknown[1]: AMORTIZED} if first == second else {}
