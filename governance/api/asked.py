"""What the endpoints of budgets, quotas and closed months share: reading numbers, pages, problems that say more."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import problem

MAX_PAGE = 200
DEFAULT_PAGE = 100
MAX_ID = 2**63 - 1
MAX_VERSION = 2**31 - 1
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}, description="rows a page"
)
AFTER = OpenApiParameter(
    "after", {"type": "integer", "minimum": 0, "maximum": MAX_ID}, description="'next_after' of the page before"
)
VERSION = OpenApiParameter(
    "version", {"type": "integer", "minimum": 1, "maximum": MAX_VERSION}, required=True, description="as you read it"
)


class Text(serializers.CharField):
    """Text as JSON text: a number is a mistake, not its digits."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Whole(serializers.IntegerField):
    """A JSON integer, not text that looks like one."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class Truth(serializers.BooleanField):
    """true or false, nothing that resembles them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=str(data)[:40])
        return data


class Exact(serializers.DecimalField):
    """A decimal as text: a JSON number may have lost digits before it arrives."""

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str):
            self.fail("invalid")
        value: Decimal = super().to_internal_value(data)
        return value


def whole_numbers(request: Request, known: dict[str, tuple[int, int]], others: tuple[str, ...] = ()) -> dict[str, int]:
    found: dict[str, int] = {}
    mistakes = []
    for name, values in request.query_params.lists():
        if name in others:
            continue
        text = str(values[-1])
        least, most = known.get(name, (1, 0))
        if name not in known:
            mistakes.append(Mistake(name[:60], "there is no such parameter", "leave it out"))
        elif not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
            mistakes.append(Mistake(name, f"{text[:40]!r} is out of range", f"send {least} to {most}"))
        else:
            found[name] = int(text)
    if mistakes:
        raise NotUnderstood(mistakes)
    return found


def version_of(request: Request) -> int:
    asked = whole_numbers(request, {"version": (1, MAX_VERSION)})
    if "version" not in asked:
        raise NotUnderstood([Mistake("version", "it is missing", "send the version that you read")])
    return asked["version"]


def problem_with(code: int, detail: str, more: dict[str, Any]) -> Response:
    answer = problem(code, detail)
    answer.data = {**answer.data, **more}
    return answer
