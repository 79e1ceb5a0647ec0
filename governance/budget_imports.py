"""Budgets from a CSV file: all lines or none, every mistake named with its line."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from attribution.actors import Action, Actor
from governance import budget_drafts as drafts
from governance.budget_drafts import Invalid
from governance.budgeting import create_within, edit_within
from governance.models import Budget

# An import is one transaction, and SQLite has one writer: longer files would hold up everybody else.
MAX_LINES = 500
# What an export writes before a name that a spreadsheet would run as a formula.
_APOSTROPHE = re.compile(r"^'(?=[=+\-@\t\r])")


@dataclass(frozen=True)
class LineError:
    """What is wrong in one line of a file; line 1 is the head."""

    line: int
    field: str
    message: str
    fix: str


class ImportRefused(Exception):
    """Nothing was imported; every error is named by its line. Never retryable with the same file."""

    retryable = False

    def __init__(self, errors: Sequence[LineError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"line {each.line}, {each.field}: {each.message}" for each in errors[:20]))


@dataclass(frozen=True)
class Imported:
    """What an import did, by name."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


def import_csv(text: str, *, actor: Actor, now: datetime, check_only: bool = False) -> Imported:
    """Make or change the budgets of a CSV file, by name: all, or none.

    Columns: `budget_drafts.COLUMNS`; a column that is left out has its default. The same file again changes nothing.
    check_only: say what would happen. Raises ImportRefused.
    """
    rows, errors = _csv_rows(text)
    created: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    try:
        with transaction.atomic():
            for line, values in rows:
                try:
                    with transaction.atomic():
                        kind, name = _import_row(values, actor, now)
                    {"created": created, "changed": changed, "unchanged": unchanged}[kind].append(name)
                except Invalid as invalid:
                    errors += [LineError(line, each.field, each.message, each.fix) for each in invalid.mistakes]
                except _NotYours as refused:
                    errors.append(LineError(line, "team", str(refused), "leave the line to who leads that team"))
            if errors or check_only:
                raise _RolledBack
    except _RolledBack:
        pass
    if errors:
        raise ImportRefused(sorted(errors, key=lambda each: each.line))
    return Imported(tuple(created), tuple(changed), tuple(unchanged))


class _RolledBack(Exception):
    pass


class _NotYours(Exception):
    pass


def _csv_rows(text: str) -> tuple[list[tuple[int, dict[str, str]]], list[LineError]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    errors: list[LineError] = []
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        heads = [(each or "").strip() for each in reader.fieldnames or []]
        reader.fieldnames = heads
        errors += [
            LineError(1, head, f"{head!r} is no column", f"use {', '.join(drafts.COLUMNS)}")
            for head in heads
            if head not in drafts.COLUMNS
        ]
        errors += [
            LineError(1, each, "the column is missing", f"add {each}")
            for each in ("name", "amount")
            if each not in heads
        ]
        errors += [
            LineError(1, head, f"the column {head!r} stands twice", "leave one of them")
            for head in dict.fromkeys(heads)
            if heads.count(head) > 1
        ]
        if errors:
            return [], errors
        for row in reader:
            extra = row.pop(None, None)
            if extra:
                errors.append(
                    LineError(reader.line_num, "line", "more values than columns", "quote values with commas")
                )
                continue
            rows.append((reader.line_num, {name: _text(value) for name, value in row.items()}))
            if len(rows) > MAX_LINES:
                fix = f"import at most {MAX_LINES} budgets at a time: split the file"
                return [], [LineError(reader.line_num, "line", "the file is too long", fix)]
    except csv.Error as error:
        errors.append(
            LineError(reader.line_num, "line", str(error), "write one budget a line, values with commas quoted")
        )
    names: dict[str, int] = {}
    for line, values in rows:
        first = names.setdefault(values["name"], line)
        if first != line:
            errors.append(LineError(line, "name", f"line {first} has the same name", "give each budget its own name"))
    return rows, errors


def _text(value: str | None) -> str:
    return _APOSTROPHE.sub("", (value or "").strip())


def _import_row(values: Mapping[str, str], actor: Actor, now: datetime) -> tuple[str, str]:
    draft = drafts.from_text(values, today=now.astimezone(UTC).date())
    if not actor.may(Action.EDIT_BUDGET, draft.team):
        raise _NotYours(
            "you may not set a budget for the whole organisation" if draft.team is None else "not your team"
        )
    held = Budget.objects.filter(name=draft.name, archived_at__isnull=True).first()
    if held is None:
        create_within(draft, actor, now, None)
        return "created", draft.name
    if not actor.may(Action.EDIT_BUDGET, held.team):
        raise _NotYours("another budget has this name")
    if drafts.draft_of(held) == draft:
        return "unchanged", draft.name
    edit_within(held.pk, held.version, draft, actor, now, "import")
    return "changed", draft.name
