"""The words of a message: what happened, the budget's figures, the link. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from governance.dashboards import formats
from governance.notifications.events import WORDS, Kind, Told

# What a message about a budget always names; an unknown one is said to be unknown.
BUDGET_FIGURES = ("budget", "spend", "forecast", "limit", "resets_at")
_LABELS = {"budget": "Budget", "spend": "Spend", "forecast": "Forecast", "limit": "Limit", "resets_at": "Resets"}
# They qualify other figures and stand in no line of their own.
_QUALIFIERS = frozenset({"words", "currency", "zone"})
_UNKNOWN = "not known yet"
_URGENT = frozenset({Kind.BUDGET_CROSSED, Kind.CHANGE_ROLLED_BACK, Kind.CHANGE_DRIFTED})
_GOOD = frozenset({Kind.CHANGE_EFFECTIVE, Kind.PERIOD_CLOSED})


@dataclass(frozen=True)
class Message:
    """Ready to be sent: a title of one line, a sentence, labelled lines, a link, and all of it as plain text."""

    subject: str
    words: str
    lines: tuple[tuple[str, str], ...]
    link: str
    severity: str  # info, success, warning, failure: Apprise's words

    @property
    def text(self) -> str:
        width = max((len(label) for label, _ in self.lines), default=0) + 1
        lines = [f"{label + ':':<{width}} {value}" for label, value in self.lines]
        return "\n\n".join(part for part in (self.words, "\n".join(lines), self.link) if part)


def compose(told: Told, public_url: str) -> Message:
    """The message of one event. public_url: the address of the pages, as WEIR_PUBLIC_URL."""
    return Message(
        subject=one_line(told.subject) or WORDS[Kind(told.kind)],
        words=one_line(told.figures.get("words") or ""),
        lines=(*_budget_lines(told.figures), *_other_lines(told.figures)),
        link=public_url.rstrip("/") + told.link_path,
        severity=_severity(Kind(told.kind)),
    )


def compose_digest(items: list[tuple[datetime, Told]], public_url: str) -> Message:
    """One message of several events, oldest first, each with its figures and its link."""
    parts = [compose(told, public_url) for _, told in items]
    words = "\n\n\n".join(
        f"{at:%d %b %H:%M} UTC: {part.subject}\n{part.text}" for (at, _), part in zip(items, parts, strict=True)
    )
    count = f"{len(items)} notification{'s' if len(items) != 1 else ''}"
    return Message(
        f"Weir: {count} since the last digest", words, (), public_url.rstrip("/") + "/settings/notifications", "info"
    )


def body_of(
    told: Told, message: Message, *, key: str, notification_id: int, team: str | None, created_at: datetime
) -> dict[str, Any]:
    """What a webhook gets; docs/notifications.md says what each field means."""
    figures = told.figures
    return {
        "version": 1,
        "id": key,
        "notification": notification_id,
        "kind": told.kind,
        "team": team,
        "created_at": created_at.isoformat(),
        "subject": message.subject,
        "words": message.words,
        "budget": {name: figures.get(name) for name in (*BUDGET_FIGURES, "currency")},
        "figures": {name: value for name, value in figures.items() if name not in (*BUDGET_FIGURES, *_QUALIFIERS)},
        "link": message.link,
    }


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: it may become a header."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _budget_lines(figures: Mapping[str, str | None]) -> list[tuple[str, str]]:
    if not any(figures.get(name) for name in BUDGET_FIGURES):
        return [("Budget", "none; this is not about one budget")]
    return [(_LABELS[name], _shown(name, figures.get(name), figures)) for name in BUDGET_FIGURES]


def _other_lines(figures: Mapping[str, str | None]) -> list[tuple[str, str]]:
    return [
        (one_line(name).replace("_", " ").capitalize(), one_line(value))
        for name, value in figures.items()
        if value and name not in BUDGET_FIGURES and name not in _QUALIFIERS
    ]


def _shown(name: str, value: str | None, figures: Mapping[str, str | None]) -> str:
    if not value:
        return _UNKNOWN
    if name == "budget":
        return one_line(value)
    if name == "resets_at":
        return _instant(value, figures.get("zone") or "UTC")
    return _money(value, figures.get("currency") or "USD")


def _money(value: str, currency: str) -> str:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return one_line(value)
    sign = formats.MINUS if amount < 0 else ""
    text = formats.money(abs(amount), currency)
    # Below a cent the unit, micro-units, stands behind the number already.
    return f"{sign}{text if 'µ' in text else formats.symbol(currency) + text}"


def _instant(value: str, zone: str) -> str:
    try:
        at = datetime.fromisoformat(value).astimezone(ZoneInfo(zone))
    except (ValueError, KeyError, OSError):
        return one_line(value)
    return f"{formats.day(at.date())} {at:%H:%M} {zone}"


def _severity(kind: Kind) -> str:
    if kind in _URGENT:
        return "failure"
    if kind in _GOOD:
        return "success"
    return "info" if kind in (Kind.TEST, Kind.DIGEST) else "warning"
