"""When a message may leave: quiet hours and the daily digest, in the recipient's own zone. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

DIGEST_AT = time(8)


@dataclass(frozen=True)
class Quiet:
    """Wall-clock hours in which nothing is sent, half-open; `until` before `start` means on the next day."""

    start: time
    until: time
    zone: str

    def holds(self, at: datetime) -> bool:
        wall = at.astimezone(ZoneInfo(self.zone)).time()
        if self.start <= self.until:
            return self.start <= wall < self.until
        return wall >= self.start or wall < self.until


def quiet_or_none(start: time | None, until: time | None, zone: str) -> Quiet | None:
    return None if start is None or until is None or start == until else Quiet(start, until, zone)


def next_wall(after: datetime, wall: time, zone: str) -> datetime:
    """The first instant after `after` at which clocks in `zone` show `wall`, in UTC.

    A wall time that the spring change leaves out counts at the instant the clocks jump to; one that the autumn change
    shows twice counts the first time.
    """
    local = after.astimezone(ZoneInfo(zone))
    for days in range(3):
        day = local.date() + timedelta(days=days)
        # Through UTC and back: a wall time that does not exist becomes the one it is moved to.
        found = datetime.combine(day, wall, ZoneInfo(zone)).astimezone(UTC)
        if found > after:
            return found
    raise AssertionError("a day has at most 25 hours")


def earliest(now: datetime, quiet: Quiet | None) -> datetime:
    """`now`, or the end of the quiet hours that hold it."""
    if quiet is None or not quiet.holds(now):
        return now
    return next_wall(now, quiet.until, quiet.zone)
