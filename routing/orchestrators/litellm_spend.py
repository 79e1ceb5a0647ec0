"""Rows of LiteLLM's spend log: which call each is, how far the log was read, and what a row says of its call. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from routing.desired import Target
from routing.orchestrators.base import Refused, UsageEvent

# Spend logs are written in batches: what began in the trailing window is read again, and deduplicated by its id.
LATE = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    """How far the spend log was read: from `start` on all is new but the calls in `seen`."""

    start: datetime
    seen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cursor: str, earliest: datetime) -> "Place":
        if not cursor:
            return cls(earliest)
        try:
            plain = json.loads(cursor)
            return cls(datetime.fromisoformat(plain["start"]), frozenset(plain["seen"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"{cursor[:60]!r} is no cursor of LiteLLM's spend log: start with an empty one") from error

    def text(self) -> str:
        return json.dumps({"start": self.start.isoformat(), "seen": sorted(self.seen)})


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_of(text: object) -> datetime | None:
    """LiteLLM's times are UTC, with or without saying so."""
    if not text:
        return None
    read = datetime.fromisoformat(str(text))
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def call_id(row: Mapping[str, Any]) -> str:
    """One call is one id, over retries and a doubled log line."""
    return str((row.get("metadata") or {}).get("litellm_call_id") or row["request_id"])


def short(row: Mapping[str, Any]) -> str:
    """Of a call's id, enough to know it again among those of some minutes."""
    return hashlib.sha256(call_id(row).encode()).hexdigest()[:16]


def is_late(row: Mapping[str, Any], end: datetime) -> bool:
    began = time_of(row.get("startTime"))
    return began is None or began >= end - LATE


def event(row: Mapping[str, Any], names: Mapping[str, str], targets: Mapping[str, Target]) -> UsageEvent:
    target = names.get(str(row.get("model_id")))
    place = targets.get(target or "")
    began, ended = time_of(row.get("startTime")), time_of(row.get("endTime"))
    first = time_of(row.get("completionStartTime"))
    usage = (row.get("metadata") or {}).get("usage_object") or {}
    details = usage.get("prompt_tokens_details") or {}
    spend = row.get("spend")
    return UsageEvent(
        request_id=call_id(row),
        completed_at=ended or began or datetime.now(UTC),
        provider=place.provider if place else str(row.get("custom_llm_provider") or ""),
        region=place.region if place else None,
        target=target,
        request_model=row.get("model_group"),
        response_model=row.get("model"),
        team=row.get("team_id") or None,
        status=500 if row.get("status") == "failure" else 200,
        input_tokens=row.get("prompt_tokens"),
        cache_read_input_tokens=details.get("cached_tokens"),
        output_tokens=row.get("completion_tokens"),
        latency_ms=_milliseconds(began, ended),
        ttft_ms=_milliseconds(began, first),
        cost=None if spend is None else Decimal(str(spend)),
    )


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start) / timedelta(milliseconds=1))
