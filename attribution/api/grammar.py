"""The one query grammar: URL parameters <-> CostQuery and UnitCostQuery. The API and the pages read the same words.

    start=2026-05-01&end=2026-06-01            days, the end exclusive
    group_by=team,model                        at most 4 dimensions
    filter[provider]=aws,azure                 one of these;   \\, is a comma inside a value
    filter[provider][not]=aws                  none of these (rows without a value stay)
    filter[model][prefix]=claude-,gpt-         begins with one of these
    filter[team][null]=true                    true: rows without a value; false: rows with one
    granularity=total|day|month   basis=effective|billed|list|contracted
    order_by=key|-total|total     limit=1..5000   after=...

Knows no framework: parameters come as a mapping of lists. Every mistake is reported, each with its field and the fix.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar

from attribution.queries import (
    DEFAULT_ROWS,
    MAX_GROUPS,
    MAX_ROWS,
    CostQuery,
    Dimension,
    Filter,
    Granularity,
    Operator,
    Order,
    UnitCostQuery,
)
from attribution.vocabulary import Basis

MAX_DAYS = 3660
MAX_FILTERS = 20
MAX_VALUES = 200
MAX_VALUE_LENGTH = 300
# Unit costs are those of attributed parts that were counted: these dimensions would only ever have one value there.
UNIT_COST_DIMENSIONS = tuple(
    one for one in Dimension if one not in (Dimension.METHOD, Dimension.REASON, Dimension.STATE, Dimension.TOKEN_TYPE)
)
COST_PARAMETERS = ("start", "end", "group_by", "granularity", "basis", "order_by", "limit", "after")
UNIT_COST_PARAMETERS = tuple(name for name in COST_PARAMETERS if name != "order_by")

Parameters = Mapping[str, Sequence[str]]
_FILTER = re.compile(r"filter\[([a-z_]+)\](?:\[([a-z_]+)\])?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_Word = TypeVar("_Word", bound=StrEnum)
_T = TypeVar("_T")
_D = TypeVar("_D")


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one parameter, and what to write instead."""

    field: str
    message: str
    fix: str


class NotUnderstood(Exception):
    """The parameters are no question. Never retryable; nothing in it depends on what the reader may see."""

    retryable = False

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.message}" for one in mistakes))
        self.mistakes = tuple(mistakes)


class _Wrong(Exception):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix


def parse_costs(parameters: Parameters) -> CostQuery:
    """The question in `parameters`. Raises NotUnderstood with every mistake."""
    reader = _Reader(parameters, COST_PARAMETERS, tuple(Dimension))
    start, end = reader.period()
    query = CostQuery(
        start=start,
        end=end,
        group_by=reader.one("group_by", reader.groups, ()),
        filters=reader.filters(),
        granularity=reader.one("granularity", _word(Granularity), Granularity.TOTAL),
        basis=reader.one("basis", _word(Basis), Basis.EFFECTIVE),
        order_by=reader.one("order_by", _word(Order), Order.KEY),
        limit=reader.one("limit", _limit, DEFAULT_ROWS),
        after=reader.one("after", str, None),
    )
    reader.finish()
    return query


def parse_unit_costs(parameters: Parameters) -> UnitCostQuery:
    """The question in `parameters`. Raises NotUnderstood with every mistake."""
    reader = _Reader(parameters, UNIT_COST_PARAMETERS, UNIT_COST_DIMENSIONS)
    start, end = reader.period()
    query = UnitCostQuery(
        start=start,
        end=end,
        group_by=reader.one("group_by", reader.groups, ()),
        filters=reader.filters(),
        granularity=reader.one("granularity", _word(Granularity), Granularity.TOTAL),
        basis=reader.one("basis", _word(Basis), Basis.EFFECTIVE),
        limit=reader.one("limit", _limit, DEFAULT_ROWS),
        after=reader.one("after", str, None),
    )
    reader.finish()
    return query


def to_parameters(query: CostQuery | UnitCostQuery) -> list[tuple[str, str]]:
    """The parameters that say `query`, in one fixed order: equal questions have equal URLs. Defaults are left out."""
    said = [("start", query.start.isoformat()), ("end", query.end.isoformat())]
    if query.group_by:
        said.append(("group_by", ",".join(query.group_by)))
    for one in sorted(query.filters, key=lambda f: (f.dimension, f.operator, f.values)):
        name = f"filter[{one.dimension}]"
        if one.operator in (Operator.NULL, Operator.NOT_NULL):
            said.append((f"{name}[null]", "true" if one.operator is Operator.NULL else "false"))
        else:
            suffix = "" if one.operator is Operator.IN else f"[{one.operator}]"
            said.append((name + suffix, ",".join(_escape(value) for value in one.values)))
    for name, value, default in (
        ("granularity", query.granularity, Granularity.TOTAL),
        ("basis", query.basis, Basis.EFFECTIVE),
        ("order_by", query.order_by, Order.KEY),
        ("limit", str(query.limit), str(DEFAULT_ROWS)),
        ("after", query.after or "", ""),
    ):
        if value != default:
            said.append((name, str(value)))
    return said


class _Reader:
    """Reads parameters and collects what is wrong with them, so that one answer names every mistake."""

    def __init__(self, parameters: Parameters, known: Sequence[str], dimensions: Sequence[Dimension]) -> None:
        self.parameters = parameters
        self.dimensions = {one.value: one for one in dimensions}
        self.mistakes: list[Mistake] = []
        for name in parameters:
            if name not in known and not name.startswith("filter["):
                fix = f"use {', '.join(known)} and filter[<dimension>]"
                self.mistakes.append(Mistake(_shown(name), "there is no such parameter", fix))

    def one(self, name: str, read: Callable[[str], _T], default: _D) -> _T | _D:
        """The value of a parameter that may stand once."""
        given = self.parameters.get(name, ())
        if not given:
            return default
        try:
            if len(given) > 1:
                raise _Wrong(f"it is given {len(given)} times", "give it once")
            return read(given[0])
        except _Wrong as wrong:
            self.mistakes.append(Mistake(name, wrong.message, wrong.fix))
            return default

    def period(self) -> tuple[date, date]:
        for name in ("start", "end"):
            if not self.parameters.get(name):
                fix = f"add {name}=YYYY-MM-DD" + (" (the day after the last one)" if name == "end" else "")
                self.mistakes.append(Mistake(name, "it is required", fix))
        start, end = self.one("start", _day, None), self.one("end", _day, None)
        if start is None or end is None:
            # There is a mistake, so nobody sees these.
            return date.min, date.max
        if end <= start:
            self.mistakes.append(Mistake("end", f"{end} is not after start {start}", "give the day after the last one"))
        elif (end - start).days > MAX_DAYS:
            fix = f"ask for at most {MAX_DAYS} days at a time"
            self.mistakes.append(Mistake("end", f"{(end - start).days} days are too many", fix))
        return start, end

    def groups(self, text: str) -> tuple[Dimension, ...]:
        names = [name.strip() for name in text.split(",")]
        found = tuple(self._dimension(name) for name in names)
        if len(found) > MAX_GROUPS:
            raise _Wrong(f"{len(found)} dimensions are too many", f"give at most {MAX_GROUPS}")
        if len(set(found)) < len(found):
            raise _Wrong("a dimension is given twice", "give each once")
        return found

    def filters(self) -> tuple[Filter, ...]:
        names = [name for name in self.parameters if name.startswith("filter[")]
        if len(names) > MAX_FILTERS:
            self.mistakes.append(Mistake("filter", f"{len(names)} filters are too many", f"give at most {MAX_FILTERS}"))
            return ()
        read: list[Filter] = []
        for name in sorted(names):
            try:
                read.append(self._filter(name, self.parameters[name]))
            except _Wrong as wrong:
                self.mistakes.append(Mistake(_shown(name), wrong.message, wrong.fix))
        return tuple(read)

    def finish(self) -> None:
        if self.mistakes:
            raise NotUnderstood(self.mistakes)

    def _filter(self, name: str, given: Sequence[str]) -> Filter:
        matched = _FILTER.fullmatch(name)
        if matched is None:
            raise _Wrong("it is not a filter", "write filter[provider]=aws or filter[provider][not]=aws")
        dimension = self._dimension(matched[1])
        match matched[2]:
            case None | "in":
                return Filter(dimension, Operator.IN, _values(given))
            case "not":
                return Filter(dimension, Operator.NOT, _values(given))
            case "prefix":
                return Filter(dimension, Operator.PREFIX, _values(given))
            case "null":
                if list(given) not in (["true"], ["false"]):
                    raise _Wrong("it is neither true nor false", f"write {name}=true")
                return Filter(dimension, Operator.NULL if given[0] == "true" else Operator.NOT_NULL)
            case _:
                raise _Wrong("there is no such comparison", "use [in], [not], [prefix] or [null]")

    def _dimension(self, name: str) -> Dimension:
        if name not in self.dimensions:
            raise _Wrong(f"{_shown(name)!r} is no dimension here", f"use one of {', '.join(self.dimensions)}")
        return self.dimensions[name]


def _values(given: Sequence[str]) -> tuple[str, ...]:
    """The distinct values in all of `given`, sorted: order and repetition mean nothing."""
    values = {value for text in given for value in _split(text)}
    if "" in values:
        raise _Wrong("a value is empty", "leave it out; [null]=true finds rows without a value")
    if len(values) > MAX_VALUES:
        raise _Wrong(f"{len(values)} values are too many", f"give at most {MAX_VALUES}")
    if any(len(value) > MAX_VALUE_LENGTH for value in values):
        raise _Wrong("a value is too long", f"give at most {MAX_VALUE_LENGTH} characters")
    if any("\0" in value for value in values):
        raise _Wrong("a value has a NUL character", "leave it out")
    return tuple(sorted(values))


def _split(text: str) -> list[str]:
    """The values between commas; a backslash makes the next character a plain one."""
    parts, plain = [""], False
    for character in text:
        if character == "\\" and not plain:
            plain = True
        elif character == "," and not plain:
            parts.append("")
        else:
            parts[-1] += character
            plain = False
    return parts


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,")


def _day(text: str) -> date:
    try:
        # fromisoformat alone also takes 20260501 and 2026-W18-5.
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise _Wrong(f"{_shown(text)!r} is no day", "write YYYY-MM-DD, for example 2026-05-01") from None


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MAX_ROWS:
        raise _Wrong(f"{_shown(text)!r} is no number of rows", f"give 1 to {MAX_ROWS}; 'after' leads to the next page")
    return int(text)


def _word(words: type[_Word]) -> Callable[[str], _Word]:
    def read(text: str) -> _Word:
        try:
            return words(text)
        except ValueError:
            raise _Wrong(f"{_shown(text)!r} is not known", f"use one of {', '.join(words)}") from None

    return read


def _shown(text: str) -> str:
    """What a message repeats of what was sent: enough to find it."""
    return text if len(text) <= 60 else text[:59] + "…"
