"""/api/v1/periods and /exchange-rates: thin over governance.closing."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import MEDIA_TYPE, problem
from attribution.api.serializers import ExactField, ProblemSerializer, exact
from governance import closing
from governance.api.asked import DEFAULT_PAGE, LIMIT, MAX_PAGE, Exact, Text, Truth, problem_with, whole_numbers
from governance.api.notifications import Body, problems
from governance.closing import ClosedMonth
from governance.models import ExchangeRate

MONTH_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


class CloseBody(Body):
    month = serializers.RegexField(MONTH_PATTERN, help_text="YYYY-MM, over, UTC")
    reason = Text(max_length=1000, required=False, allow_blank=True)
    despite_open_points = Truth(required=False, help_text="close although something is open")


class AdjustmentAnswer(serializers.Serializer[None]):
    currency = serializers.CharField()
    provider = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    project = serializers.CharField(allow_null=True)
    frozen = ExactField("when it was closed, effective cost with estimates", allow_null=False)
    now = ExactField("with what arrived since", allow_null=False)
    by = ExactField("now - frozen", allow_null=False)


class OutcomeAnswer(serializers.Serializer[None]):
    budget_id = serializers.IntegerField()
    name = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    scope = serializers.CharField()
    currency = serializers.CharField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    limit = ExactField("", allow_null=False)
    consumed = ExactField("as it was frozen", allow_null=False)
    kept = serializers.BooleanField(help_text="within its limit")
    adjusted_by = ExactField("what arrived since; apart from consumed", allow_null=False)


class RateAnswer(serializers.Serializer[None]):
    currency = serializers.CharField()
    into = serializers.CharField()
    day = serializers.DateField(help_text="from this day on")
    rate = ExactField("units of `into` for one of `currency`", allow_null=False)
    source = serializers.CharField()  # type: ignore[assignment]


class PeriodAnswer(serializers.Serializer[None]):
    month = serializers.CharField()
    closed_at = serializers.DateTimeField()
    closed_by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    open_points = serializers.ListField(child=serializers.CharField(), help_text="what it was closed despite")
    commit_seq = serializers.IntegerField(help_text="the last commit of the lake that is in it")
    exchange_rates = RateAnswer(many=True, help_text="as they were frozen")
    frozen = serializers.DictField(child=serializers.CharField(), help_text="currency -> amount; yours, of a team")
    adjusted = serializers.DictField(child=serializers.CharField(), help_text="currency -> what changed since")
    adjustments = AdjustmentAnswer(many=True, help_text="the largest first")
    outcomes = OutcomeAnswer(many=True)


class PeriodsAnswer(serializers.Serializer[None]):
    rows = PeriodAnswer(many=True, help_text="the newest first")
    next_after = serializers.CharField(allow_null=True, help_text="'after' of the next page; null on the last")


class NotReadyAnswer(ProblemSerializer):
    open_points = serializers.ListField(child=serializers.CharField(), required=False)


class RateBody(Body):
    currency = serializers.RegexField(r"^[A-Z]{3}$")
    into = serializers.RegexField(r"^[A-Z]{3}$")
    day = serializers.DateField()
    rate = Exact(max_digits=18, decimal_places=9)
    source = Text(max_length=200)  # type: ignore[assignment]


class RatesAnswer(serializers.Serializer[None]):
    rows = RateAnswer(many=True)


class View(APIView):
    # Services' errors become problems.

    http_method_names = ["get", "head", "post", "put", "delete"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case closing.NotClosed():
                exc = NotFound()
        return super().handle_exception(exc)


class PeriodsView(View):
    @extend_schema(
        operation_id="periods",
        summary="Closed months",
        description="What was frozen, and apart from it what changed since. Of a team: its figures and budgets only.",
        parameters=[
            LIMIT,
            OpenApiParameter("after", {"type": "string", "pattern": MONTH_PATTERN}, description="'next_after' before"),
        ],
        responses={200: PeriodsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        after = request.query_params.get("after")
        if after is not None and not re.fullmatch(MONTH_PATTERN, str(after)):
            raise NotUnderstood([Mistake("after", "it is no month", "send back 'next_after'")])
        limit = whole_numbers(request, {"limit": (1, MAX_PAGE)}, others=("after",)).get("limit", DEFAULT_PAGE)
        found = closing.closed_months(
            scope_of(request), timezone.now(), before=str(after) if after else None, limit=limit + 1
        )
        following = found[limit - 1].month if len(found) > limit else None
        return Response({"rows": [_period(each) for each in found[:limit]], "next_after": following})

    @extend_schema(
        operation_id="periods-close",
        summary="Close a month",
        description="Freezes its figures, exchange rates, forecasts and the budgets' outcome. Never undone, never "
        "changed: later adjustments are shown apart. 409: it is closed already, or `open_points` are in its way.",
        request=CloseBody,
        responses={201: PeriodAnswer, (409, MEDIA_TYPE): NotReadyAnswer, **problems(415)},
        examples=[OpenApiExample("October", {"month": "2026-10", "reason": "reviewed"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        given = CloseBody.read(request)
        try:
            closed = closing.close_month(**given, actor=actor_of(request), now=timezone.now())
        except closing.NotReady as error:
            fix = "Settle the open points, or send despite_open_points: true."
            return problem_with(409, fix, {"open_points": list(error.points)})
        except closing.AlreadyClosed as error:
            return problem(409, f"{error}.")
        except closing.NotOver as error:
            raise NotUnderstood([Mistake("month", str(error), "choose a month that is over")]) from error
        return Response(_period(closed), status=status.HTTP_201_CREATED)


class OnePeriodView(View):
    @extend_schema(operation_id="period", summary="One closed month", responses={200: PeriodAnswer, **problems(404)})
    def get(self, request: Request, month: str) -> Response:
        whole_numbers(request, {})
        return Response(_period(closing.closed_month(scope_of(request), month, timezone.now())))


class ExchangeRatesView(View):
    @extend_schema(
        operation_id="exchange-rates",
        summary="Exchange rates",
        description="The newest 1,000. They hold from their day on; a closed month keeps those that stood.",
        responses={200: RatesAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        whole_numbers(request, {})
        rows = ExchangeRate.objects.order_by("-day", "currency", "into")[:1000]
        return Response({"rows": [_rate(each) for each in rows]})

    @extend_schema(
        operation_id="exchange-rates-set",
        summary="Say an exchange rate",
        description="And its inverse. For who may close months.",
        request=RateBody,
        responses={201: RateAnswer, **problems(415)},
        examples=[
            OpenApiExample(
                "Euro",
                {"currency": "EUR", "into": "USD", "day": "2026-11-01", "rate": "1.0856", "source": "ECB"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        given = RateBody.read(request)
        try:
            closing.set_rate(**given, actor=actor_of(request), now=timezone.now())
        except ValueError as error:
            raise NotUnderstood([Mistake("rate", str(error), "see the example in /api/docs")]) from error
        return Response({**given, "rate": exact(given["rate"])}, status=status.HTTP_201_CREATED)


def _period(one: ClosedMonth) -> dict[str, Any]:
    return {
        "month": one.month,
        "closed_at": one.closed_at,
        "closed_by": one.closed_by,
        "reason": one.reason,
        "open_points": list(one.open_points),
        "commit_seq": one.commit_seq,
        "exchange_rates": list(one.exchange_rates),
        "frozen": _exactly(one.frozen),
        "adjusted": _exactly(one.adjusted),
        "adjustments": [
            {
                "currency": each.currency,
                "provider": each.provider,
                "team": each.team,
                "project": each.project,
                "frozen": exact(each.frozen),
                "now": exact(each.now),
                "by": exact(each.by),
            }
            for each in one.adjustments
        ],
        "outcomes": [
            {
                "budget_id": each.budget_id,
                "name": each.name,
                "team": each.team,
                "scope": each.scope_key,
                "currency": each.currency,
                "period_start": each.period_start,
                "period_end": each.period_end,
                "limit": exact(each.limit),
                "consumed": exact(each.consumed),
                "kept": each.kept,
                "adjusted_by": exact(each.adjusted_by),
            }
            for each in one.outcomes
        ],
    }


def _exactly(sums: Mapping[str, Decimal]) -> dict[str, str | None]:
    return {currency: exact(amount) for currency, amount in sums.items()}


def _rate(row: ExchangeRate) -> dict[str, Any]:
    return {
        "currency": row.currency,
        "into": row.into,
        "day": row.day,
        "rate": exact(row.rate),
        "source": row.source,
    }
