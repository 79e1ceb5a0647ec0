"""Events, a clock, and what the sinks of conftest.py remember."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from django.db import transaction

from governance.models import Delivery
from governance.notifications import outbox, signing
from governance.notifications.events import Event

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "weirsig_for_tests"


class Clock:
    """A clock that tests move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **much: float) -> None:
        self.now += timedelta(**much)


@dataclass
class Inbox:
    """What an SMTP server got; `answers` are given to the next messages instead of 250."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    # Called when a message's text has come, before it is answered.
    on_data: Callable[[], object] | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        if self.on_data is not None:
            await asyncio.to_thread(self.on_data)
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 OK"


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Hook:
    """What an HTTP server got; `answers` are (status, headers) for the next requests instead of 200."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)


def event(**changed: object) -> Event:
    values: dict[str, object] = {
        "kind": "budget.forecast_crossed",
        "team": "ml",
        "budget_id": 3,
        "subject": "Search will pass its budget",
        "figures": {
            "budget": "Search, March",
            "spend": Decimal("31200.00"),
            "forecast": Decimal("41900.5"),
            "limit": Decimal("40000"),
            "currency": "USD",
            "resets_at": datetime(2026, 4, 1, tzinfo=UTC),
            "words": "Search will pass $40,000 on the 21st.",
        },
        "link_path": "/budgets/3",
        "once_key": "budget:3:forecast:2026-03",
    }
    return Event(**(values | changed))  # type: ignore[arg-type]


def tell(one: Event, now: datetime = NOW) -> None:
    with transaction.atomic():
        outbox.enqueue(one, now)


def states() -> dict[str, str]:
    """recipient -> state of its newest delivery."""
    found = Delivery.objects.select_related("channel", "user").order_by("id")
    return {(one.channel.name if one.channel else one.user.name): one.state for one in found}  # type: ignore[union-attr]


def verified(request: Received, at: datetime) -> datetime:
    return signing.verify(request.body, request.headers[signing.HEADER], SECRET, at)
