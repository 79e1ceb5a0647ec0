"""What a person writes when they make or change a budget: its values, their checks, their text in a CSV file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from attribution.models import Team
from attribution.money import NotAnAmount, parse_exact, rounded
from attribution.vocabulary import Basis
from governance.budgets import (
    LIMIT_CEILING,
    LIMIT_PLACES,
    PPM,
    BudgetDimension,
    Calendar,
    Dims,
    LimitRule,
    PeriodKind,
    Rollover,
)
from governance.forecasting.values import ForecastScope
from governance.models import Budget

MAX_THRESHOLDS = 10
DEFAULT_ACTUAL = (800_000, 1_000_000)
DEFAULT_FORECAST = (1_000_000,)
_CURRENCY = re.compile(r"[A-Z]{3}")
_PERCENT = Decimal(100)


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one field, and what to write instead."""

    field: str
    message: str
    fix: str


class Invalid(Exception):
    """The values are no budget or quota. Never retryable."""

    retryable = False

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in mistakes))


@dataclass(frozen=True)
class BudgetDraft:
    """All values of a budget that a person sets.

    amount: of the first period, in hundredths of `currency`. dims: see BudgetDimension; sorted. starts_on: a day of the
    first period, in `zone`; ends_on: the day after the last, None without end. tell_*_ppm: thresholds, parts per
    million of the limit, at which people are told of what is consumed and of what is expected.
    """

    name: str
    amount: Decimal
    dims: Dims = ()
    currency: str = "USD"
    basis: str = Basis.EFFECTIVE.value
    period_kind: str = PeriodKind.MONTH.value
    zone: str = "UTC"
    starts_on: date = date(2000, 1, 1)
    ends_on: date | None = None
    growth_ppm: int = 0
    rollover: str = Rollover.NONE.value
    rollover_cap: Decimal | None = None
    hard: bool = False
    tell_actual_ppm: tuple[int, ...] = DEFAULT_ACTUAL
    tell_forecast_ppm: tuple[int, ...] = DEFAULT_FORECAST

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(sorted((str(name), str(value)) for name, value in self.dims)))
        for name in ("tell_actual_ppm", "tell_forecast_ppm"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        for name in ("amount", "rollover_cap"):
            object.__setattr__(self, name, _in_hundredths(getattr(self, name)))

    @property
    def team(self) -> str | None:
        """Whose it is: the team of its scope; None: the organisation's."""
        return dict(self.dims).get(BudgetDimension.TEAM.value)

    @property
    def calendar(self) -> Calendar:
        return Calendar(PeriodKind(self.period_kind), self.zone, self.starts_on, self.ends_on)

    @property
    def rule(self) -> LimitRule:
        return LimitRule(self.amount, self.growth_ppm, Rollover(self.rollover), self.rollover_cap)


def _in_hundredths(amount: Decimal | None) -> Decimal | None:
    """1000 and 1000.000 as 1000.00; what is no whole number of hundredths stays as it is, for `check` to refuse."""
    if amount is None or not amount.is_finite() or abs(amount) >= LIMIT_CEILING:
        return amount
    whole = rounded(amount, LIMIT_PLACES)
    return whole if whole == amount else amount


def draft_of(one: Budget) -> BudgetDraft:
    """What a person would write to get this budget."""
    return BudgetDraft(
        name=one.name,
        amount=one.amount,
        dims=tuple((str(name), str(value)) for name, value in one.dims),
        currency=one.currency,
        basis=one.basis,
        period_kind=one.period_kind,
        zone=one.zone,
        starts_on=one.starts_on,
        ends_on=one.ends_on,
        growth_ppm=one.growth_ppm,
        rollover=one.rollover,
        rollover_cap=one.rollover_cap,
        hard=one.hard,
        tell_actual_ppm=tuple(one.tell_actual_ppm),
        tell_forecast_ppm=tuple(one.tell_forecast_ppm),
    )


def columns_of(draft: BudgetDraft) -> dict[str, Any]:
    """The draft as columns of the table."""
    return {
        "name": draft.name,
        "dims": [list(pair) for pair in draft.dims],
        "scope_key": ForecastScope(draft.dims).key,
        "team": draft.team,
        "currency": draft.currency,
        "basis": draft.basis,
        "amount": draft.amount,
        "growth_ppm": draft.growth_ppm,
        "rollover": draft.rollover,
        "rollover_cap": draft.rollover_cap,
        "period_kind": draft.period_kind,
        "zone": draft.zone,
        "starts_on": draft.starts_on,
        "ends_on": draft.ends_on,
        "hard": draft.hard,
        "tell_actual_ppm": list(draft.tell_actual_ppm),
        "tell_forecast_ppm": list(draft.tell_forecast_ppm),
    }


def check(draft: BudgetDraft) -> None:
    """Raise Invalid with every mistake of `draft`."""
    mistakes = [*_of_name(draft), *_of_scope(draft), *_of_money(draft), *_of_time(draft), *_of_rules(draft)]
    # A rule is played forward only where its parts make sense.
    mistakes = mistakes or _of_growth(draft)
    if mistakes:
        raise Invalid(mistakes)


def _of_name(draft: BudgetDraft) -> list[Mistake]:
    if not draft.name.strip() or len(draft.name) > 200 or draft.name != draft.name.strip():
        return [Mistake("name", "a name has 1 to 200 characters, no blanks around it", "write a short name")]
    return []


def _of_scope(draft: BudgetDraft) -> list[Mistake]:
    found = []
    known = [one.value for one in BudgetDimension]
    names = [name for name, _ in draft.dims]
    for name, value in draft.dims:
        if name not in known:
            found.append(Mistake("scope", f"{name!r} is no dimension", f"use {', '.join(known)}"))
        elif not value or len(value) > 300:
            found.append(Mistake("scope", f"{name} has no value, or more than 300 characters", "name one value"))
    if len(set(names)) != len(names):
        found.append(Mistake("scope", "a dimension is named twice", "name one value a dimension"))
    team = draft.team
    if team and not Team.objects.filter(slug=team).exists():
        found.append(Mistake("team", f"there is no team {team[:60]!r}", "use the slug of a team or business unit"))
    return found


def _of_money(draft: BudgetDraft) -> list[Mistake]:
    found = []
    for name, amount in (("amount", draft.amount), ("rollover_cap", draft.rollover_cap)):
        if amount is None:
            continue
        if not amount.is_finite() or not 0 <= amount < LIMIT_CEILING or rounded(amount, LIMIT_PLACES) != amount:
            fix = "write 0 or more, with at most two decimals, like 40000.00"
            found.append(Mistake(name, f"{amount} is no amount of a budget", fix))
    if not _CURRENCY.fullmatch(draft.currency):
        found.append(Mistake("currency", f"{draft.currency[:20]!r} is no currency", "write three letters, like USD"))
    if draft.basis not in list(Basis):
        found.append(Mistake("basis", f"{draft.basis[:20]!r} is no cost basis", f"use {', '.join(Basis)}"))
    return found


def _of_time(draft: BudgetDraft) -> list[Mistake]:
    found = []
    if draft.period_kind not in list(PeriodKind):
        fix = f"use {', '.join(PeriodKind)}"
        found.append(Mistake("period_kind", f"{draft.period_kind[:20]!r} is no kind of period", fix))
    if draft.zone not in available_timezones():
        fix = "write a name like Europe/Berlin or UTC"
        found.append(Mistake("zone", f"{draft.zone[:60]!r} is no time zone", fix))
    if draft.ends_on is not None and draft.ends_on <= draft.starts_on:
        found.append(Mistake("ends_on", "it ends before it starts", "give the day after the last day"))
    if draft.period_kind == PeriodKind.DATES and draft.ends_on is None:
        found.append(Mistake("ends_on", "own dates need an end", "give the day after the last day"))
    if not date(2000, 1, 1) <= draft.starts_on <= date(2199, 12, 31) or (draft.ends_on or date.min).year > 2200:
        found.append(Mistake("starts_on", "the dates are too far away", "use years from 2000 to 2199"))
    if not found:
        try:
            draft.calendar.period(draft.calendar.nearest(draft.calendar.period(_first(draft)).start))
        except ValueError:
            found.append(Mistake("starts_on", f"{draft.zone} skipped that day", "choose another day"))
    return found


def _first(draft: BudgetDraft) -> Any:
    return next(draft.calendar.spans(date.max))


def _of_rules(draft: BudgetDraft) -> list[Mistake]:
    found = []
    if not -900_000 <= draft.growth_ppm <= 1_000_000:
        found.append(Mistake("growth_ppm", "growth is -90 % to 100 % a period", "give parts per million a period"))
    if draft.rollover not in list(Rollover):
        found.append(Mistake("rollover", f"{draft.rollover[:20]!r} is no rollover", f"use {', '.join(Rollover)}"))
    for name, values in (("tell_actual_ppm", draft.tell_actual_ppm), ("tell_forecast_ppm", draft.tell_forecast_ppm)):
        if len(values) > MAX_THRESHOLDS or any(not 0 < each <= 10 * PPM for each in values):
            fix = f"give at most {MAX_THRESHOLDS} of above 0 to 10,000,000 parts per million (1,000 %)"
            found.append(Mistake(name, "a threshold is out of range", fix))
    return found


def _of_growth(draft: BudgetDraft) -> list[Mistake]:
    """Growth that compounds beyond all limits within ten years is a slip of the keyboard."""
    span = draft.calendar.of_day(draft.starts_on + timedelta(days=3653))
    if draft.growth_ppm <= 0 or span is None or draft.rule.base(span.number) < LIMIT_CEILING:
        return []
    fix = "grow by less a period, or begin with less"
    return [Mistake("growth_ppm", f"within ten years the limit grows beyond {LIMIT_CEILING:,f}", fix)]


def next_year(draft: BudgetDraft, today: date, name: str | None) -> tuple[BudgetDraft, date]:
    """The draft of the copy for the year after the one that `today` (in the budget's zone) is in, and where it begins.

    A week belongs to the year of its Thursday, as in ISO 8601.
    """
    if draft.period_kind == PeriodKind.DATES and draft.ends_on is not None:
        starts, ends = _year_later(draft.starts_on), _year_later(draft.ends_on)
        return replace(draft, name=name or _renamed(draft.name, starts.year), starts_on=starts, ends_on=ends), starts
    year = max(today, draft.starts_on).year + 1
    starts = date(year, 1, 1)
    if draft.period_kind == PeriodKind.WEEK:
        starts = date.fromisocalendar(year, 1, 1)
    span = replace(draft.calendar, ends_on=None).of_day(starts)
    amount = draft.rule.base(span.number) if span is not None else draft.amount
    copy = replace(draft, name=name or _renamed(draft.name, year), starts_on=starts, ends_on=None, amount=amount)
    return copy, starts


def _year_later(day: date) -> date:
    """The same day a year later; after a 29 February the first of March, so that half-open spans stay spans."""
    return date(day.year + 1, 3, 1) if (day.month, day.day) == (2, 29) else date(day.year + 1, day.month, day.day)


def _renamed(name: str, year: int) -> str:
    """'Search 2026' becomes 'Search 2027'; a name without a year gets one."""
    bare = re.sub(r"\s*\b20\d\d$", "", name)
    return f"{bare[:190]} {year}".strip()


# --- text ------------------------------------------------------------------------------------------------------------

COLUMNS = (
    "name",
    "amount",
    "currency",
    *(one.value for one in BudgetDimension),
    "basis",
    "period_kind",
    "zone",
    "starts_on",
    "ends_on",
    "growth_percent",
    "rollover",
    "rollover_cap",
    "hard",
    "tell_actual_percent",
    "tell_forecast_percent",
)


def from_text(values: Mapping[str, str], *, today: date) -> BudgetDraft:
    """The draft that a line of text says; '' is the default; thresholds stand apart by blanks. Raises Invalid."""
    read = _Text(values)
    draft = BudgetDraft(
        name=values.get("name", ""),
        amount=read.amount("amount") or Decimal(0),
        dims=tuple((one.value, values[one.value]) for one in BudgetDimension if values.get(one.value)),
        currency=values.get("currency") or "USD",
        basis=values.get("basis") or Basis.EFFECTIVE.value,
        period_kind=values.get("period_kind") or PeriodKind.MONTH.value,
        zone=values.get("zone") or "UTC",
        starts_on=read.day("starts_on") or today.replace(day=1),
        ends_on=read.day("ends_on"),
        growth_ppm=read.ppm("growth_percent", (0,))[0],
        rollover=values.get("rollover") or Rollover.NONE.value,
        rollover_cap=read.amount("rollover_cap"),
        hard=read.yes("hard"),
        tell_actual_ppm=read.ppm("tell_actual_percent", DEFAULT_ACTUAL),
        tell_forecast_ppm=read.ppm("tell_forecast_percent", DEFAULT_FORECAST),
    )
    if not values.get("amount"):
        read.mistakes.append(Mistake("amount", "there is no amount", "write it like 40000.00"))
    try:
        check(draft)
    except Invalid as invalid:
        wrong = {each.field for each in read.mistakes}
        read.mistakes += [each for each in invalid.mistakes if each.field not in wrong]
    if read.mistakes:
        raise Invalid(read.mistakes)
    return draft


class _Text:
    """Reads values, and keeps what is wrong with them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.mistakes: list[Mistake] = []

    def amount(self, name: str) -> Decimal | None:
        text = self._values.get(name, "")
        if not text:
            return None
        try:
            return parse_exact(text)[0]
        except NotAnAmount:
            self.mistakes.append(Mistake(name, f"{text[:60]!r} is no amount", "write it like 40000.00"))
            return Decimal(0)

    def day(self, name: str) -> date | None:
        text = self._values.get(name, "")
        if not text:
            return None
        try:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
                raise ValueError(text)
            return date.fromisoformat(text)
        except ValueError:
            self.mistakes.append(Mistake(name, f"{text[:60]!r} is no day", "write YYYY-MM-DD, like 2027-01-01"))
            return None

    def ppm(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        words = self._values.get(name, "").replace(";", " ").replace("%", " ").split()
        if not words:
            return default
        found = []
        for word in words:
            try:
                found.append(int(parse_exact(word)[0] * PPM / _PERCENT))
            except (NotAnAmount, ArithmeticError):
                self.mistakes.append(Mistake(name, f"{word[:60]!r} is no number of percent", "write it like 80"))
        return tuple(found) or default

    def yes(self, name: str) -> bool:
        text = self._values.get(name, "").lower()
        if text not in ("", "yes", "no", "true", "false", "1", "0", "hard", "soft"):
            self.mistakes.append(Mistake(name, f"{text[:60]!r} is neither yes nor no", "write yes or no"))
        return text in ("yes", "true", "1", "hard")
