"""/api/v1/anomalies: thin over governance.anomalies."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import MEDIA_TYPE, problem
from attribution.api.serializers import ExactField, ProblemSerializer, exact
from governance import anomalies
from governance.anomalies import MAX_NOTE, AnomalyView, Outdated, Refused, State
from governance.forecasting.drivers import DRIVERS, Drivers

MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_ID = 2**63 - 1
_DAY = {"type": "string", "format": "date"}
PARAMETERS = {
    "state": OpenApiParameter("state", {"type": "string", "enum": State.values}, description="only these"),
    "start": OpenApiParameter("start", _DAY, description="only those with a day from this one on, UTC"),
    "end": OpenApiParameter("end", _DAY, description="only those with a day before this one"),
    "limit": OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}, description="rows"
    ),
    "after": OpenApiParameter(
        "after", {"type": "integer", "minimum": 1, "maximum": MAX_ID}, description="'next_after' of the page before"
    ),
}


def problems(*codes: int) -> dict[Any, Any]:
    return {(code, MEDIA_TYPE): ProblemSerializer for code in (400, 401, 403, 406, *codes)}


class DriversAnswer(serializers.Serializer[None]):
    volume = ExactField("more tokens, at the old prices and in the old mixture", allow_null=False)
    price = ExactField("the new price of a token against the old one, on the new tokens", allow_null=False)
    mix = ExactField("tokens moved between what costs differently", allow_null=False)
    new = ExactField("what there was nothing of before", allow_null=False)
    gone = ExactField("what there is nothing of any more", allow_null=False)
    unmetered = ExactField("cost whose tokens nobody counted", allow_null=False)


class PartAnswer(serializers.Serializer[None]):
    team = serializers.CharField(allow_null=True, help_text="null: no owner")
    model = serializers.CharField(allow_null=True)
    provider = serializers.CharField(allow_null=True)
    actual = ExactField("what it cost", allow_null=False)
    expected = ExactField("what was foreseen, each day on the day before", allow_null=False)
    excess = ExactField("actual - expected", allow_null=False)
    drivers = DriversAnswer()


class DayAnswer(serializers.Serializer[None]):
    day = serializers.DateField()
    actual = ExactField("what it cost", allow_null=False)
    expected = ExactField("what was foreseen", allow_null=False)


class AnomalyAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=State.choices)
    version = serializers.IntegerField(help_text="send it back when you triage")
    cause = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="what its parts have in common; {}: nothing"
    )
    reason = serializers.CharField(allow_blank=True, help_text="why most of it has no owner, if none of it has one")
    currency = serializers.CharField()
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    actual = ExactField("what it cost on its days", allow_null=False)
    expected = ExactField("what was foreseen", allow_null=False)
    excess = ExactField("actual - expected", allow_null=False)
    z = ExactField("how unusual its most unusual day is, in usual residuals", allow_null=False)
    drivers = DriversAnswer(help_text="they sum to excess exactly")
    is_share = serializers.BooleanField(help_text="it has parts that are not yours: every figure is of yours alone")
    note = serializers.CharField(allow_blank=True)
    state_by = serializers.CharField(allow_blank=True)
    state_at = serializers.DateTimeField()
    muted_until = serializers.DateTimeField(allow_null=True)
    opened_at = serializers.DateTimeField()
    days = DayAnswer(many=True)
    parts = PartAnswer(many=True, help_text="the dearest first")


class AnomaliesAnswer(serializers.Serializer[None]):
    rows = AnomalyAnswer(many=True, help_text="the newest found first")
    next_after = serializers.IntegerField(allow_null=True, help_text="'after' of the next page; null on the last")


class TriageBody(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=State.choices)
    version = serializers.IntegerField(min_value=1, max_value=MAX_ID, help_text="of the anomaly as you saw it")
    note = serializers.CharField(
        max_length=MAX_NOTE, required=False, allow_blank=True, help_text="explained needs one: why it was expected"
    )
    muted_until = serializers.DateTimeField(required=False, allow_null=True, help_text="muted needs one, in the future")


class AnomaliesView(APIView):
    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="anomalies",
        summary="Days that cost more than expected",
        description="One cause is one anomaly, however many teams it meets; you see your share of it.",
        parameters=list(PARAMETERS.values()),
        responses={200: AnomaliesAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        asked = _asked(request)
        limit: int = asked.pop("limit", DEFAULT_PAGE)
        rows = anomalies.anomalies(scope_of(request), **asked, limit=limit + 1)
        following = rows[limit - 1].id if len(rows) > limit else None
        return Response({"rows": [_answer(each) for each in rows[:limit]], "next_after": following})


class OneAnomalyView(APIView):
    http_method_names = ["get", "head"]

    @extend_schema(operation_id="anomaly", summary="One anomaly", responses={200: AnomalyAnswer, **problems(404)})
    def get(self, request: Request, anomaly_id: int) -> Response:
        _nothing_asked(request)
        try:
            return Response(_answer(anomalies.anomaly(scope_of(request), anomaly_id)))
        except anomalies.NotFound:
            raise NotFound from None


class TriageView(APIView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="anomaly-triage",
        summary="Say what became of it",
        description="`explained`: it was to be expected; its like must be worse to be told again. `muted`: kept, not "
        "told, until an instant. `resolved`: over; the next one is told. For who may triage for every team in it.",
        request=TriageBody,
        responses={200: AnomalyAnswer, **problems(404, 409, 415)},
        examples=[
            OpenApiExample(
                "Expected",
                {"state": "explained", "version": 1, "note": "the monthly re-index"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, anomaly_id: int) -> Response:
        given = _body(request)
        try:
            return Response(_answer(anomalies.triage(actor_of(request), anomaly_id, now=timezone.now(), **given)))
        except anomalies.NotFound:
            raise NotFound from None
        except Refused as error:
            raise NotUnderstood([Mistake(error.field, error.message, error.fix)]) from error
        except Outdated as error:
            return problem(409, f"{error}: read it again, then decide.")


def _asked(request: Request) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    mistakes = []
    for name, values in request.query_params.lists():
        try:
            asked |= _parameter(name, values[-1])
        except ValueError as error:
            mistakes.append(Mistake(name[:60], str(error), "see /api/docs"))
    if mistakes:
        raise NotUnderstood(mistakes)
    return asked


def _parameter(name: str, text: str) -> dict[str, Any]:
    """The selector's argument that a parameter stands for. Raises ValueError with what is wrong."""
    match name:
        case "state":
            if text not in State.values:
                raise ValueError(f"{text[:40]!r} is no state")
            return {"states": [text]}
        case "start" | "end":
            return {name: date.fromisoformat(text)}
        case "limit" | "after":
            number = int(text) if text.isascii() and text.isdigit() else 0
            most = MAX_PAGE if name == "limit" else MAX_ID
            if not 1 <= number <= most:
                raise ValueError(f"{text[:40]!r} is no number from 1 to {most}")
            return {"limit" if name == "limit" else "before": number}
    raise ValueError("there is no such parameter")


def _nothing_asked(request: Request) -> None:
    if request.query_params:
        fix = "leave it out"
        raise NotUnderstood([Mistake(name[:60], "there is no such parameter", fix) for name in request.query_params])


def _body(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, Mapping):
        raise NotUnderstood([Mistake("body", "it is no JSON object", "send one JSON object")])
    form = TriageBody(data=request.data)
    mistakes = [
        Mistake(str(name)[:60], "there is no such field", f"use {', '.join(form.fields)}")
        for name in request.data
        if name not in form.fields
    ]
    if not form.is_valid():
        mistakes += [Mistake(name, " ".join(map(str, words)), "see /api/docs") for name, words in form.errors.items()]
    if mistakes:
        raise NotUnderstood(mistakes)
    return dict(form.validated_data)


def _answer(one: AnomalyView) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state,
        "version": one.version,
        "cause": dict(one.cause),
        "reason": one.reason,
        "currency": one.currency,
        "first_day": one.first_day,
        "last_day": one.last_day,
        "actual": exact(one.actual),
        "expected": exact(one.expected),
        "excess": exact(one.excess),
        "z": exact(one.z),
        "drivers": _drivers(one.drivers),
        "is_share": one.is_share,
        "note": one.note,
        "state_by": one.state_by,
        "state_at": one.state_at,
        "muted_until": one.muted_until,
        "opened_at": one.opened_at,
        "days": [{"day": day.day, "actual": exact(day.actual), "expected": exact(day.expected)} for day in one.days],
        "parts": [
            {
                "team": part.team,
                "model": part.model,
                "provider": part.provider,
                "actual": exact(part.actual),
                "expected": exact(part.expected),
                "excess": exact(part.excess),
                "drivers": _drivers(part.drivers),
            }
            for part in one.parts
        ],
    }


def _drivers(drivers: Drivers) -> dict[str, str | None]:
    return {name: exact(getattr(drivers, name)) for name in DRIVERS}
