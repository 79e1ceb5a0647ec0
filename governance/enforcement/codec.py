"""A policy as plain JSON, for the database, the API and the audit; and back, with every mistake named. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from .policy import Mistake, mistakes
from .rungs import (
    Approval,
    Disutility,
    FreezeWindow,
    Measure,
    Policy,
    QuietHours,
    Rung,
    Step,
    Substitute,
)

MOST_SUBSTITUTES = 200
_Word = TypeVar("_Word", bound=StrEnum)


class Unfit(ValueError):
    """A policy that can't be stored; `mistakes` says why, each with its field and the fix. Never retryable."""

    retryable = False

    def __init__(self, found: Sequence[Mistake]) -> None:
        self.mistakes = tuple(found)
        super().__init__("; ".join(f"{each.field}: {each.words}" for each in found))


def to_json(policy: Policy) -> dict[str, Any]:
    """Everything of a policy but its id and version."""
    quiet = policy.quiet_hours
    return {
        "steps": [
            {
                "rung": step.rung.key,
                "measure": step.measure.value,
                "threshold_ppm": step.threshold_ppm,
                "clear_ppm": step.clear_ppm,
                "approval": step.approval.value,
            }
            for step in policy.steps
        ],
        "substitutes": {
            model: [{"model": each.model, "disutility": each.disutility.value} for each in choices]
            for model, choices in sorted(policy.substitutes.items())
        },
        "quiet_hours": None if quiet is None else {"start": f"{quiet.start:%H:%M}", "end": f"{quiet.end:%H:%M}"},
        "zone": policy.zone,
        "minimum_dwell_minutes": int(policy.minimum_dwell / timedelta(minutes=1)),
        "freeze_windows": [
            {"start": each.start.isoformat(), "end": each.end.isoformat(), "reason": each.reason}
            for each in policy.freeze_windows
        ],
        "priorities": dict(sorted(policy.priorities.items())),
    }


def from_json(content: Mapping[str, Any], *, id: int = 0, version: int = 0, hard: bool = False) -> Policy:
    """The policy that `content` says; keys that are left out have their defaults. Raises Unfit."""
    read = _Reader(content)
    policy = Policy(
        id=id,
        version=version,
        steps=tuple(read.steps()),
        substitutes=read.substitutes(),
        quiet_hours=read.quiet_hours(),
        zone=str(content.get("zone", "UTC")),
        minimum_dwell=read.dwell(),
        freeze_windows=tuple(read.freeze_windows()),
        priorities=read.priorities(),
    )
    if read.found:
        raise Unfit(read.found)
    wrong = mistakes(policy, hard=hard)
    if wrong:
        raise Unfit(wrong)
    return policy


class _Reader:
    """Reads one part at a time and remembers what it could not read."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.found: list[Mistake] = []
        known = {"steps", "substitutes", "quiet_hours", "zone", "minimum_dwell_minutes", "freeze_windows", "priorities"}
        for name in sorted(set(content) - known):
            self._wrong(name, f"there is no such part: use {', '.join(sorted(known))}")

    def steps(self) -> list[Step]:
        found = []
        for index, each in enumerate(self._list("steps")):
            where = f"steps.{index}"
            try:
                rung = Rung.of(str(each["rung"]))
            except (ValueError, KeyError, TypeError) as error:
                self._wrong(where, f"{error}" if isinstance(error, ValueError) else "name its rung")
                continue
            where = f"steps.{rung.key}"
            at = self._whole(each, "threshold_ppm", where)
            clear = self._whole(each, "clear_ppm", where, max(0, at - 50_000))
            measure = self._word(Measure, each.get("measure", Measure.ACTUAL.value), where)
            approval = self._word(Approval, each.get("approval", Approval.NONE.value), where)
            if measure is not None and approval is not None:
                found.append(Step(rung, measure, at, clear, approval))
        return found

    def substitutes(self) -> dict[str, tuple[Substitute, ...]]:
        given = self.content.get("substitutes") or {}
        if not isinstance(given, Mapping) or len(given) > MOST_SUBSTITUTES:
            self._wrong("substitutes", f"name at most {MOST_SUBSTITUTES} models, each with its substitutes")
            return {}
        found: dict[str, tuple[Substitute, ...]] = {}
        for model, choices in given.items():
            read = []
            for each in choices if isinstance(choices, list) else []:
                name = each.get("model") if isinstance(each, Mapping) else None
                if not name or not isinstance(name, str):
                    self._wrong("substitutes", f"{model}: name the model that stands in")
                    continue
                harm = self._word(Disutility, each.get("disutility", Disutility.WORSE.value), "substitutes")
                if harm is not None:
                    read.append(Substitute(name, harm))
            if read:
                found[str(model)] = tuple(read)
        return found

    def quiet_hours(self) -> QuietHours | None:
        given = self.content.get("quiet_hours")
        if given is None:
            return None
        try:
            return QuietHours(time.fromisoformat(given["start"]), time.fromisoformat(given["end"]))
        except (ValueError, KeyError, TypeError):
            self._wrong("quiet_hours", "write them as 22:00 and 07:00")
            return None

    def dwell(self) -> timedelta:
        return timedelta(minutes=self._whole(self.content, "minimum_dwell_minutes", "minimum_dwell", 60))

    def freeze_windows(self) -> list[FreezeWindow]:
        found = []
        for each in self._list("freeze_windows"):
            try:
                start, end = datetime.fromisoformat(each["start"]), datetime.fromisoformat(each["end"])
                if start.tzinfo is None or end.tzinfo is None:
                    raise ValueError
                found.append(FreezeWindow(start, end, str(each.get("reason", ""))[:200]))
            except (ValueError, KeyError, TypeError):
                self._wrong("freeze_windows", "write start and end with their zone, as 2026-11-27T00:00:00+01:00")
        return found

    def priorities(self) -> dict[str, int]:
        given = self.content.get("priorities") or {}
        if not isinstance(given, Mapping):
            self._wrong("priorities", "write them as {'environment:batch': 1}")
            return {}
        return {str(key): self._whole(given, key, "priorities") for key in given}

    def _list(self, name: str) -> list[Any]:
        given = self.content.get(name) or []
        if isinstance(given, list):
            return given
        self._wrong(name, "this is a list")
        return []

    def _whole(self, given: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
        value = given.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self._wrong(where, f"{name} is {value!r}: use a whole number")
        return 0

    def _word(self, kind: type[_Word], value: Any, where: str) -> _Word | None:
        try:
            return kind(value)
        except ValueError:
            self._wrong(where, f"{value!r}: use one of {', '.join(each.value for each in kind)}")
            return None

    def _wrong(self, field: str, words: str) -> None:
        self.found.append(Mistake(field, words))
