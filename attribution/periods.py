"""Half-open spans of time: [start, end). Pure, and never reads the clock.

Inside, every instant is aware UTC. A time zone appears only to say where a local day or month begins and ends; across a
change to summer time such a day has 23 or 25 hours, and days still tile: each begins at the instant the last one ends.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Self

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Period:
    """[start, end), in UTC; never empty. Naive times and an end at or before the start raise ValueError."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for instant in (self.start, self.end):
            if instant.utcoffset() is None:
                raise ValueError(f"{instant.isoformat()} has no time zone; a period is made of aware instants")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.end <= self.start:
            raise ValueError(f"a period ends after it starts: {self}")

    @classmethod
    def of_day(cls, day: date, zone: tzinfo = UTC) -> Self:
        """The day in `zone`. Raises ValueError for a day that the zone skipped (Samoa, 2011-12-30)."""
        return cls(_midnight(day, zone), _midnight(day + timedelta(days=1), zone))

    @classmethod
    def of_days(cls, first: date, last: date, zone: tzinfo = UTC) -> Self:
        """From the beginning of `first` to the end of `last`, both included."""
        return cls(_midnight(first, zone), _midnight(last + timedelta(days=1), zone))

    @classmethod
    def of_month(cls, month: str, zone: tzinfo = UTC) -> Self:
        """`month` is YYYY-MM."""
        first = first_day(month)
        return cls(_midnight(first, zone), _midnight(next_month(first), zone))

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def overlaps(self, other: Self) -> bool:
        """Whether they share an instant; periods that only touch don't."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Self) -> Self | None:
        """What both hold; None when that is nothing."""
        if not self.overlaps(other):
            return None
        return type(self)(max(self.start, other.start), min(self.end, other.end))

    def days(self, zone: tzinfo = UTC) -> Iterator[date]:
        """The local days that have an instant in it, in order, without those that the zone skipped."""
        day = self.start.astimezone(zone).date()
        while _midnight(day, zone) < self.end:
            following = day + timedelta(days=1)
            if _midnight(day, zone) < _midnight(following, zone):
                yield day
            day = following

    def tiles(self, zone: tzinfo = UTC) -> Iterator[Self]:
        """The period cut at local midnights: nothing missing, nothing twice."""
        for day in self.days(zone):
            part = self.intersection(type(self).of_day(day, zone))
            if part is not None:
                yield part

    def hours(self) -> Iterator[Self]:
        """The period cut at whole UTC hours."""
        cut = self.start
        while cut < self.end:
            following = min(cut.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1), self.end)
            yield type(self)(cut, following)
            cut = following

    def months(self) -> list[str]:
        """The UTC months (YYYY-MM) that have an instant in it, in order."""
        month, found = self.start.date().replace(day=1), []
        while datetime.combine(month, time(), UTC) < self.end:
            found.append(month_of(month))
            month = next_month(month)
        return found

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


def first_day(month: str) -> date:
    """The first day of YYYY-MM. Raises ValueError."""
    match = _MONTH.fullmatch(month)
    if match is None or match[1] == "0000":
        raise ValueError(f"{month!r} is not a month, YYYY-MM")
    return date(int(match[1]), int(match[2]), 1)


def month_of(day: date) -> str:
    """YYYY-MM of a day (for an instant: of its own calendar, so give it in UTC)."""
    return f"{day.year:04d}-{day.month:02d}"


def next_month(day: date) -> date:
    """The first day of the month after `day`'s."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The instant at which `day` begins in `zone`.

    Where the clock jumps over midnight (Beirut), fold=0 takes the offset before the jump, which gives the jump itself;
    where midnight comes twice (Havana), the first one.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)
