"""What a budget means: its periods in a time zone, its limit, what counts as consumed, how budgets nest. Pure.

Money is Decimal in one currency. Periods are half-open and aware UTC; a zone only says where a local day begins, so a
period over a change to summer time is an hour shorter or longer, and periods still tile. Functions take `now`.
Not here: who may change a budget, where it is kept (`governance.budgeting`), what a ladder permits (`enforcement`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from itertools import combinations
from zoneinfo import ZoneInfo

from attribution.money import exact_sum, rounded
from attribution.periods import Period, next_month
from governance.learned_ratios import NO_RATIOS, Ratios

PPM = 1_000_000
# Limits are what people type and read: hundredths of the currency.
LIMIT_PLACES = 2
# No limit grows beyond it: a rule that compounds for years must not break what shows or freezes it.
LIMIT_CEILING = Decimal(10) ** 15
# Consumption is estimated in part; more digits would only pretend.
CONSUMED_PLACES = 6
BURN_DAYS = 7
SATURDAY = 5
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_ZERO = Decimal(0)
_DAY_SECONDS = 86_400

Dims = tuple[tuple[str, str], ...]


class BudgetDimension(StrEnum):
    """What a budget's scope may name; nothing named is the whole organisation. A business unit is a team."""

    TEAM = "team"
    PROJECT = "project"
    MODEL = "model"
    PROVIDER = "provider"
    ENVIRONMENT = "environment"


class PeriodKind(StrEnum):
    """The calendar of a budget. A week begins on Monday; DATES is one period of its own days."""

    MONTH = "month"
    QUARTER = "quarter"
    WEEK = "week"
    DATES = "dates"


class Rollover(StrEnum):
    """What goes over into the next period: nothing, what was left, or what was left or overspent."""

    NONE = "none"
    UNUSED = "unused"
    BOTH = "both"


class BudgetStatus(StrEnum):
    """OK; WARNING: near the limit, or expected to pass it; EXCEEDED; UNKNOWN: a part can't be told."""

    OK = "ok"
    WARNING = "warning"
    EXCEEDED = "exceeded"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class LocalSpan:
    """Days of a period in its own zone: [first, end). `number` counts the budget's periods from 0."""

    number: int
    first: date
    end: date

    @property
    def last(self) -> date:
        return self.end - _DAY


@dataclass(frozen=True)
class Calendar:
    """The periods of a budget: whole calendar periods from the one that holds starts_on to the one before ends_on.

    DATES is the one period [starts_on, ends_on). ends_on None: without end.
    """

    kind: PeriodKind
    zone: str
    starts_on: date
    ends_on: date | None = None

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def at(self, now: datetime) -> LocalSpan | None:
        """The period that holds `now`; None before the first and after the last."""
        return self.of_day(now.astimezone(self.tz).date())

    def nearest(self, now: datetime) -> LocalSpan:
        """The period that holds `now`, else the first when it is still to come, else the last."""
        found = self.at(now)
        if found is not None:
            return found
        if self.ends_on is not None and now.astimezone(self.tz).date() >= self.ends_on:
            return self._span_of(self.ends_on - _DAY)
        return self._span_of(self.starts_on)

    def of_day(self, day: date) -> LocalSpan | None:
        """The period that holds a local day."""
        span = self._span_of(day)
        if span.number < 0 or (self.ends_on is not None and span.first >= self.ends_on):
            return None
        # Own dates are one period: nothing follows it.
        return span if span.first <= day < span.end else None

    def spans(self, until: date) -> Iterator[LocalSpan]:
        """The periods that begin before the local day `until`, in order."""
        span: LocalSpan | None = self._span_of(self.starts_on)
        while span is not None and span.first < until:
            yield span
            span = self.of_day(span.end)

    def period(self, span: LocalSpan) -> Period:
        """The instants of a period's days."""
        return Period.of_days(span.first, span.last, self.tz)

    def _span_of(self, day: date) -> LocalSpan:
        match self.kind:
            case PeriodKind.MONTH:
                first = day.replace(day=1)
                number = _months(first) - _months(self.starts_on)
                return LocalSpan(number, first, next_month(first))
            case PeriodKind.QUARTER:
                first = date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
                number = _months(first) // 3 - _months(self.starts_on) // 3
                return LocalSpan(number, first, next_month(next_month(next_month(first))))
            case PeriodKind.WEEK:
                first = _monday(day)
                number = (first - _monday(self.starts_on)).days // 7
                return LocalSpan(number, first, first + timedelta(days=7))
            case PeriodKind.DATES:
                end = self.ends_on or self.starts_on + _DAY
                number = 0 if self.starts_on <= day < end else (-1 if day < self.starts_on else 1)
                return LocalSpan(number, self.starts_on, end)


def _months(day: date) -> int:
    return day.year * 12 + day.month - 1


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


@dataclass(frozen=True)
class LimitRule:
    """How a budget's limit follows from its amount: growth compounds each period; what was left may go over.

    growth_ppm: parts per million a period, negative shrinks. rollover_cap: at most so much goes over, either way.
    """

    amount: Decimal
    growth_ppm: int = 0
    rollover: Rollover = Rollover.NONE
    rollover_cap: Decimal | None = None

    def base(self, number: int) -> Decimal:
        """The limit of period `number` before what goes over, in hundredths, half-even; at most LIMIT_CEILING."""
        factor = _WIDE.power(_WIDE.divide(Decimal(PPM + self.growth_ppm), Decimal(PPM)), number)
        return rounded(min(_WIDE.multiply(self.amount, factor), LIMIT_CEILING), LIMIT_PLACES)

    def carried_over(self, limit: Decimal, consumed: Decimal) -> Decimal:
        """What the period after one with `limit` and `consumed` gets on top; negative when overspent."""
        if self.rollover is Rollover.NONE:
            return _ZERO
        left = rounded(limit - consumed, LIMIT_PLACES)
        if self.rollover is Rollover.UNUSED:
            left = max(left, _ZERO)
        if self.rollover_cap is not None:
            left = max(min(left, self.rollover_cap), -self.rollover_cap)
        return left

    def limit(self, number: int, consumed_before: Sequence[Decimal | None]) -> Decimal:
        """The limit of period `number`, never below 0 and never above LIMIT_CEILING.

        consumed_before: of the periods 0 .. number - 1, in order; not looked at where nothing goes over. None: nothing
        is known of that period, so nothing of it goes over.
        """
        if self.rollover is Rollover.NONE:
            return self.base(number)
        limit = self.base(0)
        for before in range(number):
            consumed = consumed_before[before]
            carried = _ZERO if consumed is None else self.carried_over(limit, consumed)
            limit = min(max(self.base(before + 1) + carried, _ZERO), LIMIT_CEILING)
        return limit


@dataclass(frozen=True)
class SpendCell:
    """What one day (UTC), provider and model cost within a budget's scope, in one currency.

    billed: settled. estimated: usage of days without a settled bill, by the book, before the learned ratio.
    moving: what a bill that still moves says of those days; never counted, only shown.
    """

    day: date
    currency: str
    provider: str
    model: str | None
    billed: Decimal | None = None
    estimated: Decimal | None = None
    moving: Decimal | None = None
    unknown_parts: int = 0


@dataclass(frozen=True)
class CarriedRate:
    """Cost that no estimate foretells (capacity, platform), an hour, as last known; counts from `since`.

    per_hour: on workdays (UTC); weekend_per_hour: on Saturdays and Sundays, None: the same.
    """

    provider: str
    model: str | None
    currency: str
    since: datetime
    per_hour: Decimal
    weekend_per_hour: Decimal | None = None

    def on(self, day: date) -> Decimal:
        """The cost of an hour of a UTC day."""
        if day.weekday() < SATURDAY or self.weekend_per_hour is None:
            return self.per_hour
        return self.weekend_per_hour


@dataclass(frozen=True)
class Consumption:
    """What a budget consumed in a period up to now. consumed = billed + estimated + carried.

    billed: settled bills. raw_estimate: what the book says of usage that no settled bill covers; estimated: times the
    learned ratio. carried: cost without an estimate, carried on from its last settled day. naive: billed + the raw
    estimate, what a plain sum would say. left_out: amounts of other currencies for which there is no rate.
    """

    billed: Decimal
    raw_estimate: Decimal
    estimated: Decimal
    carried: Decimal
    moving: Decimal
    unknown_parts: int
    left_out: tuple[tuple[str, Decimal], ...]
    by_day: tuple[tuple[date, Decimal], ...]

    @property
    def consumed(self) -> Decimal:
        return self.billed + self.estimated + self.carried

    @property
    def naive(self) -> Decimal:
        return self.billed + self.raw_estimate

    @property
    def learned_ratio(self) -> Decimal | None:
        """The ratio that was applied to this budget's estimates on the whole; None where there is no estimate."""
        if not self.raw_estimate:
            return None
        return rounded(_WIDE.divide(self.estimated, self.raw_estimate), 6)


DayShare = Mapping[tuple[date, str], Sequence[Decimal]]  # (UTC day, provider) -> 24 shares that sum to 1
Rates = Mapping[str, Decimal]  # currency -> units of the budget's currency for one unit


def consumption(
    cells: Iterable[SpendCell],
    *,
    period: Period,
    now: datetime,
    currency: str,
    ratios: Ratios = NO_RATIOS,
    carried: Iterable[CarriedRate] = (),
    rates: Rates | None = None,
    hours: DayShare | None = None,
) -> Consumption:
    """What `cells` and `carried` come to in `period` up to `now`, in `currency`.

    A UTC day that the period's edge cuts counts in part: by the hours of its usage where `hours` knows them, else by
    time. rates: for other currencies; an amount without a rate is left out and said.
    """
    rates, hours = rates or {}, hours or {}
    sums: dict[str, Decimal] = {"billed": _ZERO, "raw": _ZERO, "estimated": _ZERO, "carried": _ZERO, "moving": _ZERO}
    by_day: dict[date, Decimal] = {}
    left_out: dict[str, Decimal] = {}
    unknown = 0
    for cell in cells:
        share = _share_of_day(cell.day, cell.provider, period, hours)
        if not share:
            continue
        unknown += cell.unknown_parts
        billed, raw, moving = (_part(each, share) for each in (cell.billed, cell.estimated, cell.moving))
        estimated = _WIDE.multiply(raw, ratios.of(cell.provider, cell.model))
        rate = Decimal(1) if cell.currency == currency else rates.get(cell.currency)
        if rate is None:
            left_out[cell.currency] = left_out.get(cell.currency, _ZERO) + billed + estimated
            continue
        for name, amount in (("billed", billed), ("raw", raw), ("estimated", estimated), ("moving", moving)):
            sums[name] = _WIDE.add(sums[name], _WIDE.multiply(amount, rate))
        by_day[cell.day] = by_day.get(cell.day, _ZERO) + _WIDE.multiply(billed + estimated, rate)
    for one in carried:
        rate = Decimal(1) if one.currency == currency else rates.get(one.currency)
        for day, amount in _carried_days(one, period, now):
            if rate is None:
                left_out[one.currency] = left_out.get(one.currency, _ZERO) + amount
                continue
            sums["carried"] = _WIDE.add(sums["carried"], _WIDE.multiply(amount, rate))
            by_day[day] = by_day.get(day, _ZERO) + _WIDE.multiply(amount, rate)
    return Consumption(
        billed=rounded(sums["billed"], CONSUMED_PLACES),
        raw_estimate=rounded(sums["raw"], CONSUMED_PLACES),
        estimated=rounded(sums["estimated"], CONSUMED_PLACES),
        carried=rounded(sums["carried"], CONSUMED_PLACES),
        moving=rounded(sums["moving"], CONSUMED_PLACES),
        unknown_parts=unknown,
        left_out=tuple((each, rounded(left_out[each], CONSUMED_PLACES)) for each in sorted(left_out)),
        by_day=tuple((day, rounded(by_day[day], CONSUMED_PLACES)) for day in sorted(by_day)),
    )


def _part(amount: Decimal | None, share: Decimal) -> Decimal:
    return _ZERO if amount is None else _WIDE.multiply(amount, share)


def _share_of_day(day: date, provider: str, period: Period, hours: DayShare) -> Decimal:
    """Which part of a UTC day's cost lies in the period: 0 to 1."""
    whole = Period.of_day(day)
    inside = whole.intersection(period)
    if inside is None:
        return _ZERO
    if inside == whole:
        return Decimal(1)
    shares = hours.get((day, provider))
    if shares is None:
        return _fraction(inside.duration, _DAY)
    parts = (
        _WIDE.multiply(shares[number], _fraction(_overlap(hour, inside), _HOUR))
        for number, hour in enumerate(whole.hours())
    )
    return sum(parts, _ZERO)


def _overlap(one: Period, other: Period) -> timedelta:
    both = one.intersection(other)
    return both.duration if both else timedelta(0)


def _fraction(part: timedelta, of: timedelta) -> Decimal:
    return _WIDE.divide(Decimal(part // timedelta(microseconds=1)), Decimal(of // timedelta(microseconds=1)))


def _carried_days(one: CarriedRate, period: Period, now: datetime) -> Iterator[tuple[date, Decimal]]:
    """(UTC day, amount) of a carried rate, from its start or the period's to now or the period's end."""
    start, end = max(one.since, period.start), min(now.astimezone(UTC), period.end)
    if end <= start:
        return
    for part in Period(start, end).tiles():
        day = part.start.date()
        yield day, _WIDE.multiply(one.on(day), _fraction(part.duration, _HOUR))


def burn_per_day(by_day: Iterable[tuple[date, Decimal]], now: datetime, *, days: int = BURN_DAYS) -> Decimal:
    """Mean cost a day over the last `days` whole UTC days before today, with those without cost as 0."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days)
    total = exact_sum(amount for day, amount in by_day if first <= day < today)
    return rounded(_WIDE.divide(total, Decimal(days)), CONSUMED_PLACES)


def days_left(period: Period, now: datetime) -> Decimal:
    """Days of the period after `now`, in hundredths; the whole period before it, 0 after it."""
    start = max(now.astimezone(UTC), period.start)
    if start >= period.end:
        return _ZERO
    return rounded(_fraction(period.end - start, _DAY), 2)


def runs_out_on(limit: Decimal, consumed: Decimal, burn: Decimal, period: Period, now: datetime) -> datetime | None:
    """When the limit is reached if cost goes on at `burn` a day; None when not within the period."""
    if consumed >= limit:
        return now
    if burn <= 0:
        return None
    seconds = _WIDE.multiply(_WIDE.divide(limit - consumed, burn), Decimal(_DAY_SECONDS))
    if seconds >= Decimal(int((period.end - now).total_seconds())):
        return None
    return now + timedelta(seconds=int(seconds))


WARNING_PPM = 800_000


def status_of(limit: Decimal, consumed: Decimal, expected: Decimal | None, *, complete: bool) -> BudgetStatus:
    """How a budget stands. expected: what the period is likely to end at. complete: nothing had to be left out."""
    if consumed > limit or (consumed == limit and limit > 0):
        return BudgetStatus.EXCEEDED
    if not complete:
        return BudgetStatus.UNKNOWN
    if consumed * PPM >= limit * WARNING_PPM or (expected is not None and expected > limit):
        return BudgetStatus.WARNING
    return BudgetStatus.OK


def passed(amount: Decimal, limit: Decimal, threshold_ppm: int) -> bool:
    """Has `amount` reached the threshold, parts per million of the limit? A limit of 0 is reached by any cost."""
    if limit == 0:
        return amount > 0
    return amount * PPM >= limit * threshold_ppm


# --- nesting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nested:
    """A budget as nesting sees it. `teams`: the team of its scope with all below it; None: it names no team."""

    id: int
    dims: Dims
    teams: frozenset[str] | None
    limit: Decimal
    period: Period
    currency: str
    basis: str


@dataclass(frozen=True)
class Excess:
    """The budgets below `parent_id` together allow more than it does, in its current period."""

    parent_id: int
    limit: Decimal
    children: Decimal
    children_ids: tuple[int, ...]

    @property
    def by(self) -> Decimal:
        return self.children - self.limit


def contains(outer: Nested, inner: Nested) -> bool:
    """Is everything that `inner` covers also covered by `outer`, strictly more than the other way round?"""
    if outer.id == inner.id or len(outer.dims) > len(inner.dims):
        return False
    if outer.currency != inner.currency or outer.basis != inner.basis:
        return False
    return _covers(outer, inner) and not _covers(inner, outer)


def _covers(outer: Nested, inner: Nested) -> bool:
    inner_dims = dict(inner.dims)
    for dimension, value in outer.dims:
        if dimension == BudgetDimension.TEAM:
            if inner.teams is None or outer.teams is None or not inner.teams <= outer.teams:
                return False
        elif inner_dims.get(dimension) != value:
            return False
    return True


def parents(budgets: Sequence[Nested]) -> dict[int, int]:
    """Child id -> id of the narrowest budget around it, of those whose periods overlap; ties: the lowest id."""
    by_names: dict[tuple[str, str, Dims], list[Nested]] = {}
    for one in budgets:
        by_names.setdefault((one.currency, one.basis, _without_team(one)), []).append(one)
    found: dict[int, int] = {}
    for child in budgets:
        # Only a budget that names a part of what the child names can lie around it.
        candidates = (
            one
            for names in _subsets(_without_team(child))
            for one in by_names.get((child.currency, child.basis, names), ())
        )
        around = [one for one in candidates if contains(one, child) and one.period.overlaps(child.period)]
        narrowest = [one for one in around if not any(contains(one, other) for other in around)]
        if narrowest:
            duration = child.period.duration
            found[child.id] = min((abs(one.period.duration - duration), one.id) for one in narrowest)[1]
    return found


def _without_team(one: Nested) -> Dims:
    return tuple(pair for pair in one.dims if pair[0] != BudgetDimension.TEAM)


def _subsets(dims: Dims) -> Iterator[Dims]:
    for count in range(len(dims) + 1):
        yield from combinations(dims, count)


def limit_within(child: Nested, period: Period) -> Decimal:
    """What a child's limit comes to in its parent's period: a month's in a quarter counts three times, by time.

    A child whose period lies within the parent's and is all it has (own dates) counts once.
    """
    if child.period.duration >= period.duration:
        both = _overlap(child.period, period)
        return rounded(_WIDE.multiply(child.limit, _fraction(both, child.period.duration)), LIMIT_PLACES)
    return rounded(_WIDE.multiply(child.limit, _fraction(period.duration, child.period.duration)), LIMIT_PLACES)


def within_period(limits: Iterable[tuple[Period, Decimal]], period: Period) -> Decimal:
    """What limits of several periods come to in `period`, each by the part of its time that lies in it."""
    parts = (_WIDE.multiply(limit, _fraction(_overlap(one, period), one.duration)) for one, limit in limits)
    return rounded(sum(parts, _ZERO), LIMIT_PLACES)


def excesses(
    budgets: Sequence[Nested],
    limits_within: Mapping[int, Decimal] | None = None,
    known_parents: Mapping[int, int] | None = None,
) -> dict[int, Excess]:
    """Parent id -> by how much its children exceed it.

    Children that name the same dimensions are apart from each other and add up; of two such families the larger
    counts, because the same cost lies in both. limits_within: child id -> its limits summed over the parent's period,
    where somebody knows it better than `limit_within`. known_parents: what `parents` said, where it was asked before.
    """
    known = limits_within or {}
    by_id = {one.id: one for one in budgets}
    families: dict[int, dict[tuple[str, ...], list[Nested]]] = {}
    for child_id, parent_id in (parents(budgets) if known_parents is None else known_parents).items():
        child = by_id[child_id]
        names = tuple(dimension for dimension, _ in child.dims)
        families.setdefault(parent_id, {}).setdefault(names, []).append(child)
    found: dict[int, Excess] = {}
    for parent_id, of_parent in families.items():
        parent = by_id[parent_id]
        sums = {
            tuple(sorted(each.id for each in family)): exact_sum(
                known.get(each.id, limit_within(each, parent.period)) for each in family
            )
            for family in of_parent.values()
        }
        ids, total = max(sums.items(), key=lambda item: (item[1], item[0]))
        if total > parent.limit:
            found[parent_id] = Excess(parent_id, parent.limit, total, ids)
    return found
