"""The ladder of a budget as values: rungs, steps, substitutes, a policy; and the state that it is judged on.

Not here: what is permitted now (`policy`), what is chosen within that (`controller`), what it would have done
(`whatif`). Pure: no Django, no clock. Money is Decimal in one currency; shares are parts per million of the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum

PPM = 1_000_000
ANY = "*"  # in Policy.priorities and Policy.substitutes: whatever is not named


class Rung(IntEnum):
    """What may be done, the mildest first."""

    NOTIFY = 1
    PREFER_CHEAPER = 2
    SMALLER_MODEL = 3
    THROTTLE = 4
    STOP = 5

    @property
    def key(self) -> str:
        """How it is written in URLs, JSON and the database: 'prefer_cheaper'."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """How people read it: 'Prefer cheaper'."""
        return self.name.replace("_", " ").capitalize()

    @classmethod
    def of(cls, key: str) -> "Rung":
        """The rung of a key. Raises ValueError with the known ones."""
        try:
            return cls[key.upper()]
        except KeyError:
            raise ValueError(f"{key!r} is no rung: use one of {', '.join(each.key for each in cls)}") from None


class Measure(StrEnum):
    """What a step's threshold is compared with: what is spent, or what the period is expected to end at."""

    ACTUAL = "actual"
    FORECAST = "forecast"


class Approval(StrEnum):
    """Who must say yes before a rung is used: nobody, the standing yes of a hard budget, one person, two persons."""

    NONE = "none"
    STANDING = "standing"
    ONE = "one"
    TWO = "two"

    @property
    def automatic(self) -> bool:
        """May the loop act without asking?"""
        return self in (Approval.NONE, Approval.STANDING)


class Disutility(StrEnum):
    """How a lead says in words what serving another model costs their users."""

    FINE = "fine"
    WORSE = "worse"
    BAD = "bad"


@dataclass(frozen=True)
class Step:
    """One rung of a ladder. It starts at threshold_ppm of the limit and is let go below clear_ppm (hysteresis)."""

    rung: Rung
    measure: Measure
    threshold_ppm: int
    clear_ppm: int
    approval: Approval = Approval.NONE


@dataclass(frozen=True)
class Substitute:
    """A model that may serve in another's place, and how much worse its answers are there."""

    model: str
    disutility: Disutility = Disutility.WORSE


@dataclass(frozen=True)
class QuietHours:
    """Every day from `start` to `end` of the policy's zone; over midnight where end <= start."""

    start: time
    end: time


@dataclass(frozen=True)
class FreezeWindow:
    """From `start` to `end` (aware, half-open) nothing is changed."""

    start: datetime
    end: datetime
    reason: str = ""


@dataclass(frozen=True)
class Policy:
    """What a budget may cause.

    substitutes: model -> what may serve in its place, the preferred first. A model that isn't named has none.
    quiet_hours: no message is sent and nothing that users notice is started, in the clock of `zone` (IANA).
    minimum_dwell: how long a rung holds at least before it is let go within one period.
    priorities: 'dimension:value' (say 'environment:batch', 'project:ranker', 'model:gpt-large') or '*' -> 1 low,
        2 normal, 3 high; the high are served first in the last mile. What is not named is normal.
    """

    id: int
    version: int
    steps: tuple[Step, ...]
    substitutes: Mapping[str, tuple[Substitute, ...]] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    zone: str = "UTC"
    minimum_dwell: timedelta = timedelta(hours=1)
    freeze_windows: tuple[FreezeWindow, ...] = ()
    priorities: Mapping[str, int] = field(default_factory=dict)

    def step(self, rung: Rung) -> Step | None:
        """The policy's step of a rung, or None where the ladder leaves it out."""
        return next((each for each in self.steps if each.rung is rung), None)


@dataclass(frozen=True)
class ActiveRung:
    """A rung that is in force, and since when (aware)."""

    rung: Rung
    since: datetime


@dataclass(frozen=True)
class BudgetState:
    """A budget as it stands now. Money in the budget's currency.

    team: slug of the team that it belongs to, None for the organisation; dims: what it covers, as sorted (dimension,
        value) pairs, () for everything.
    period_start, period_end: aware UTC, half-open. consumed: billed + estimate x learned ratio of this period.
    forecast_p50, forecast_p90: what the period is expected to end at; None where there is no forecast.
    active: rungs in force, also those that began in an earlier period and were not let go yet.
    telemetry_age, bills_age: how old the newest of each is; None: never seen, which counts as stale.
    frozen: the kill switch is on for what serves this budget.
    """

    budget_id: int
    team: str | None
    dims: tuple[tuple[str, str], ...]
    period_start: datetime
    period_end: datetime
    limit: Decimal
    consumed: Decimal
    forecast_p50: Decimal | None = None
    forecast_p90: Decimal | None = None
    hard: bool = False
    active: tuple[ActiveRung, ...] = ()
    telemetry_age: timedelta | None = timedelta(0)
    bills_age: timedelta | None = timedelta(0)
    frozen: bool = False
    currency: str = "USD"

    @property
    def covers_everything(self) -> bool:
        """Does a stop of this budget stop the whole organisation?"""
        return not self.dims


@dataclass(frozen=True)
class Permitted:
    """A rung that may be used now, with whose yes, and why in words.

    released: it was in force and is to be let go. held: it is in force already, so whoever had to say yes has said it.
    """

    rung: Rung
    approval: Approval
    because: str
    released: bool = False
    held: bool = False


@dataclass(frozen=True)
class Decision:
    """What a policy permits now.

    permitted: rungs that may be in force, then those to let go, each in the ladder's order.
    notify: what people are to be told, one sentence each; empty in quiet hours.
    blocked_because: why something that the ladder asks for is not permitted, in words.
    may_loosen: False while data is stale, in a freeze, or before the minimum dwell is over.
    margin_factor: what the controller multiplies the forecast's uncertainty with, >= 1.
    """

    budget_id: int
    permitted: tuple[Permitted, ...]
    notify: tuple[str, ...]
    blocked_because: tuple[str, ...]
    may_loosen: bool
    margin_factor: Decimal

    @property
    def allowed(self) -> tuple[Permitted, ...]:
        """The rungs that may be in force now, with or without a person's yes."""
        return tuple(each for each in self.permitted if not each.released)

    @property
    def released(self) -> tuple[Rung, ...]:
        """The rungs that were in force and are to be let go."""
        return tuple(each.rung for each in self.permitted if each.released)

    @property
    def reach(self) -> Rung | None:
        """The farthest rung that the loop may use without asking; milder ones may be missing, see `automatic`."""
        return max((each.rung for each in self.allowed if each.approval.automatic), default=None)

    @property
    def automatic(self) -> frozenset[Rung]:
        """The rungs that the loop may use without asking."""
        return frozenset(each.rung for each in self.allowed if each.approval.automatic)

    @property
    def reach_if_approved(self) -> Rung | None:
        """The farthest rung that it may use once the people asked say yes."""
        return max((each.rung for each in self.allowed), default=None)

    def approval_of(self, rung: Rung) -> Approval | None:
        """Whose yes a rung needs now; None where it is not permitted."""
        return next((each.approval for each in self.allowed if each.rung is rung), None)
