"""What a forecast is, as values: its scope, its days, a period's total with intervals, when it crosses a limit. Pure.

Amounts are Decimals in the forecast's currency, made from floats here and nowhere else; they are estimates, quantised
at six places. Days are UTC days; periods are half-open.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from types import MappingProxyType

# What a scope can name, in the order in which scopes are written.
SCOPE_DIMENSIONS = ("environment", "model", "project", "provider", "team")
# The levels at which a total's distribution is kept; between them it is a straight line.
LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
# The horizons, in days, at which it is kept.
HORIZONS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90)
DAYS_AHEAD = 90
_PLACES = Decimal("0.000001")
_ZERO = Decimal(0)
# How many standard deviations lie between the 10th and the 90th percentile of a normal distribution.
_NORMAL_80 = 2.5631

# Team -> itself and all teams below it.
Below = Mapping[str, Collection[str]]
ALONE: Below = MappingProxyType({})


class UnknownDimension(ValueError):
    """A scope names a dimension that forecasts don't know. Never retryable."""

    retryable = False


@dataclass(frozen=True, order=True)
class ForecastScope:
    """What is forecast: all spend (no dims), or that of given values, one each; kept sorted by dimension."""

    dims: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name, _ in self.dims if name not in SCOPE_DIMENSIONS]
        if unknown:
            raise UnknownDimension(f"{unknown[0]!r} is no dimension of a scope: use {', '.join(SCOPE_DIMENSIONS)}")
        if len(dict(self.dims)) != len(self.dims):
            raise UnknownDimension("a scope names each dimension once")
        object.__setattr__(self, "dims", tuple(sorted(self.dims)))

    @classmethod
    def of(cls, **values: str | None) -> "ForecastScope":
        """ForecastScope.of(team="search", model="gpt-large"); None and "" leave a dimension open."""
        return cls(tuple((name, value) for name, value in values.items() if value))

    @classmethod
    def parse(cls, text: str) -> "ForecastScope":
        """The scope that `key` wrote: "team=search,model=gpt-large"; "" or "all" is everything."""
        if text in ("", "all"):
            return cls()
        pairs = [part.partition("=") for part in text.split(",")]
        if any(not sign or not value for _, sign, value in pairs):
            raise UnknownDimension(f"{text!r} is no scope: write it as team=search,model=gpt-large")
        return cls(tuple((name.strip(), value.strip()) for name, _, value in pairs))

    @property
    def key(self) -> str:
        """Its text, equal for equal scopes."""
        return ",".join(f"{name}={value}" for name, value in self.dims) or "all"

    @property
    def values(self) -> dict[str, str]:
        return dict(self.dims)

    @property
    def team(self) -> str | None:
        return self.values.get("team")

    def contains(self, leaf: Mapping[str, str | None], below: Below = ALONE) -> bool:
        """Does `leaf` (dimension -> value) lie in it? below: team -> all teams in it; a team not named is alone."""
        return all(
            leaf.get(name) in below.get(value, (value,)) if name == "team" else leaf.get(name) == value
            for name, value in self.dims
        )


@dataclass(frozen=True)
class DayForecast:
    """One UTC day; unpacks as (day, p10, p50, p90)."""

    day: date
    p10: Decimal
    p50: Decimal
    p90: Decimal

    def __iter__(self) -> Iterator[date | Decimal]:
        return iter((self.day, self.p10, self.p50, self.p90))


@dataclass(frozen=True)
class PeriodForecast:
    """A period's total: what is spent plus what is still to come. sigma: its spread as one standard deviation.

    `provisional`: too little history for the promised coverage, or days past the last one that was forecast.
    """

    p2_5: Decimal
    p10: Decimal
    p50: Decimal
    p90: Decimal
    p97_5: Decimal
    provisional: bool
    sigma: float


@dataclass(frozen=True)
class Crossing:
    """The day on which the middle forecast passes the limit (None: not within the period), and how likely it is that
    the period's total does (0 to 1)."""

    date: date | None
    probability: float


@dataclass(frozen=True)
class Spread:
    """How far a total of the next h days may lie from its forecast.

    totals: one row a horizon of HORIZONS, one number a level of LEVELS, in the currency; rising along both.
    """

    totals: tuple[tuple[float, ...], ...]

    def at(self, days: float) -> tuple[float, ...]:
        """The offsets for a total of `days` days: straight lines between horizons, from 0 at 0, on past the last."""
        if days <= 0 or not self.totals:
            return (0.0,) * len(LEVELS)
        if days >= HORIZONS[-1]:
            return tuple(value * days / HORIZONS[-1] for value in self.totals[-1])
        right = bisect_left(HORIZONS, days)
        low, high = (0 if right == 0 else HORIZONS[right - 1]), HORIZONS[right]
        share = (days - low) / (high - low)
        before = (0.0,) * len(LEVELS) if right == 0 else self.totals[right - 1]
        return tuple(a + (b - a) * share for a, b in zip(before, self.totals[right], strict=True))

    def within(self, skipped: int, days: int) -> tuple[float, ...]:
        """The offsets for a total of `days` days that begins after `skipped` days.

        A later stretch carries its share of the error of the whole way there, and never less than a stretch that
        begins now: levels drift.
        """
        near = self.at(days)
        if not skipped or not days:
            return near
        share = days / (skipped + days)
        return tuple(max(a, b * share, key=abs) for a, b in zip(near, self.at(skipped + days), strict=True))


@dataclass(frozen=True)
class StoredForecast:
    """The forecast of one scope, as one nightly fit left it.

    first_day: the first day that is forecast; all days before it were known, or estimated, when it was made.
    inputs_revision: fingerprint of the figures that it was fitted on. provisional: see PeriodForecast.
    cold_start: less than 14 days of history.
    """

    scope: ForecastScope
    currency: str
    basis: str
    made_at: datetime
    first_day: date
    inputs_revision: str
    provisional: bool
    cold_start: bool
    days: tuple[DayForecast, ...]
    spread: Spread = field(repr=False)
    # Calendar days of history behind it, from the first with spend on.
    history_days: int = 0
    # Texts of the known events that moved it.
    events: tuple[str, ...] = ()

    @property
    def last_day(self) -> date:
        """The last day that is forecast, inclusive."""
        return self.first_day + timedelta(days=len(self.days) - 1)

    def period_total(
        self, start: date, end: date, spent: Decimal, *, spent_through: date | None = None
    ) -> PeriodForecast:
        """The total of the days [start, end): `spent`, and the forecast of the days after it.

        spent_through: days before it are in `spent`; as a rule the first day of the forecast.
        """
        skipped, path = self._ahead(start, end, spent_through)
        middle = spent + exact(sum(path))
        offsets = dict(zip(LEVELS, self.spread.within(skipped, len(path)), strict=True))
        p2_5, p10, p90, p97_5 = (max(spent, middle + exact(offsets[level])) for level in (0.025, 0.1, 0.9, 0.975))
        return PeriodForecast(
            p2_5=p2_5,
            p10=p10,
            p50=middle,
            p90=p90,
            p97_5=p97_5,
            provisional=self.provisional or skipped + len(path) > len(self.days),
            sigma=(offsets[0.9] - offsets[0.1]) / _NORMAL_80,
        )

    def crossing(
        self, limit: Decimal, spent: Decimal, start: date, end: date, *, spent_through: date | None = None
    ) -> Crossing:
        """When the total of [start, end) passes `limit`, and how likely that is by its end."""
        skipped, path = self._ahead(start, end, spent_through)
        first = self._begin(start, spent_through)
        crossed = None
        if spent > limit:
            crossed = max(start, first - timedelta(days=1))
        else:
            for ahead, total in enumerate(accumulate(path)):
                if spent + exact(total) > limit:
                    crossed = first + timedelta(days=ahead)
                    break
        if spent > limit:
            return Crossing(crossed, 1.0)
        middle = float(spent) + sum(path)
        over = _share_above(float(limit) - middle, self.spread.within(skipped, len(path)))
        return Crossing(crossed, over if path else 0.0)

    def _begin(self, start: date, spent_through: date | None) -> date:
        return max(start, spent_through or self.first_day)

    def _ahead(self, start: date, end: date, spent_through: date | None) -> tuple[int, list[float]]:
        """How many forecast days lie before the stretch, and its middle forecast by day."""
        first = self._begin(start, spent_through)
        days = max(0, (end - first).days)
        skipped = max(0, (first - self.first_day).days)
        return skipped, [self._middle((first - self.first_day).days + ahead) for ahead in range(days)]

    def _middle(self, index: int) -> float:
        """The middle forecast of the day `index` after the first; past the last one its last week repeats."""
        if not self.days:
            return 0.0
        if index < 0:
            index = index % 7
        if index >= len(self.days):
            index = max(0, len(self.days) - 7) + (index - len(self.days)) % 7
        return float(self.days[min(index, len(self.days) - 1)].p50)


def _share_above(offset: float, offsets: Sequence[float]) -> float:
    """How much of the distribution with these offsets at LEVELS lies above `offset`; 0.001 to 0.999."""
    if offset < offsets[0]:
        return 0.999
    if offset >= offsets[-1]:
        return 0.001
    pairs = list(zip(offsets, LEVELS, strict=True))
    for (a, low), (b, high) in pairwise(pairs):
        if a <= offset < b:
            return 1 - (low + (high - low) * (offset - a) / (b - a))
    return 0.5


def exact(amount: float) -> Decimal:
    """The edge between floats and money."""
    return Decimal(repr(float(amount))).quantize(_PLACES) if amount else _ZERO
