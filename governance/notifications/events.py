"""What can be told, as values. Pure; not here: to whom, when, in which words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Figure = str | int | Decimal | datetime | date | None


class Kind(StrEnum):
    """What happened. A subscription names kinds."""

    BUDGET_CROSSED = "budget.crossed"
    BUDGET_FORECAST_CROSSED = "budget.forecast_crossed"
    ANOMALY_OPENED = "anomaly.opened"
    CHANGE_PROPOSED = "change.proposed"
    CHANGE_WAITING = "change.waiting"
    CHANGE_EFFECTIVE = "change.effective"
    CHANGE_ROLLED_BACK = "change.rolled_back"
    CHANGE_DRIFTED = "change.drifted"
    PERIOD_CLOSED = "period.closed"
    RESTATEMENT = "restatement"
    # Made by this package itself.
    DIGEST = "digest"
    TEST = "test"


OWN_KINDS = frozenset({Kind.DIGEST, Kind.TEST})
SUBSCRIBABLE = tuple(kind for kind in Kind if kind not in OWN_KINDS)
# What a lead hears without having asked for anything: what needs them before the money is gone.
IMPORTANT = frozenset(
    {
        Kind.BUDGET_CROSSED,
        Kind.BUDGET_FORECAST_CROSSED,
        Kind.ANOMALY_OPENED,
        Kind.CHANGE_WAITING,
        Kind.CHANGE_ROLLED_BACK,
        Kind.CHANGE_DRIFTED,
    }
)
WORDS = {
    Kind.BUDGET_CROSSED: "A budget's threshold is passed",
    Kind.BUDGET_FORECAST_CROSSED: "A forecast passes a budget",
    Kind.ANOMALY_OPENED: "An anomaly is found",
    Kind.CHANGE_PROPOSED: "A change is proposed",
    Kind.CHANGE_WAITING: "A change waits for approval",
    Kind.CHANGE_EFFECTIVE: "A change is effective",
    Kind.CHANGE_ROLLED_BACK: "A change is rolled back",
    Kind.CHANGE_DRIFTED: "An orchestrator drifted",
    Kind.PERIOD_CLOSED: "A period is closed",
    Kind.RESTATEMENT: "A bill restates a closed day",
    Kind.DIGEST: "Digest",
    Kind.TEST: "Test",
}


@dataclass(frozen=True)
class Event:
    """One thing worth telling.

    team: who may know it (slug); None: only who sees the whole organisation. What subject, figures and link hold is
    shown to everybody who may see `team`, so an event about several teams is one event a team, or one with team None.
    figures: what is known of `budget` (its name), `spend`, `forecast`, `limit` (Decimals of `currency`), `resets_at`
    (an aware datetime); and `words`, one sentence that says what happened; any other key is shown as a line of its own.
    link_path: the page, as a path ("/budgets/3"). once_key: the same key is told once, ever.
    """

    kind: str
    team: str | None
    budget_id: int | None
    subject: str
    figures: Mapping[str, Figure]
    link_path: str
    once_key: str

    def __post_init__(self) -> None:
        if self.kind not in Kind._value2member_map_:
            raise ValueError(f"{self.kind!r} is no kind of event: use one of {', '.join(Kind)}")
        if not self.link_path.startswith("/") or self.link_path.startswith("//"):
            raise ValueError(f"link_path {self.link_path!r} must be a path on this server, like /budgets/3")
        if not self.once_key:
            raise ValueError("once_key is empty: give what makes this event one of a kind")


@dataclass(frozen=True)
class Told:
    """An event as it is kept: figures as text."""

    kind: str
    subject: str
    figures: Mapping[str, str | None] = field(default_factory=dict)
    link_path: str = "/"


def kept_figures(figures: Mapping[str, Figure]) -> dict[str, str | None]:
    """Figures as text: decimals without an exponent, instants in ISO 8601. Raises TypeError for a float."""
    return {name: _kept(value) for name, value in figures.items()}


def _kept(value: Figure) -> str | None:
    match value:
        case None:
            return None
        case float():
            raise TypeError(f"{value!r}: a figure is a Decimal or text, never a float")
        case Decimal():
            return f"{value:f}"
        case datetime() | date():
            return value.isoformat()
    return str(value)
