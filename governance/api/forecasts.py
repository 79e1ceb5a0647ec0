"""/api/v1/forecasts and /api/v1/forecast-events: thin over governance.forecasts and governance.known_events."""

from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.serializers import ExactField, ProblemSerializer, exact
from attribution.vocabulary import Basis
from governance import forecast_fits, forecasts, known_events
from governance.api.asked import MAX_VERSION, VERSION, problem_with, version_of, whole_numbers
from governance.api.notifications import Body, problems
from governance.budget_drafts import Invalid
from governance.forecasting.values import SCOPE_DIMENSIONS, ForecastScope, StoredForecast, UnknownDimension
from governance.known_events import EventConflict, EventDraft, EventView, MissingEvent
from governance.models import ForecastEvent

_DAY = {"type": "string", "format": "date"}
_SCOPE = OpenApiParameter(
    "scope",
    {"type": "string", "default": "all"},
    description="team=search,model=gpt-large: at most one value of each of " + ", ".join(SCOPE_DIMENSIONS),
)
_BASIS = OpenApiParameter("basis", {"type": "string", "enum": [one.value for one in Basis], "default": "effective"})
_CURRENCY = OpenApiParameter("currency", {"type": "string"}, description="US dollars unless said")
_MEASURE = OpenApiParameter("measure", {"type": "string", "enum": ["cost", "tokens"], "default": "cost"})


class DayForecastAnswer(serializers.Serializer[None]):
    day = serializers.DateField()
    p10 = ExactField("one day in ten is below it", allow_null=False)
    p50 = ExactField("the middle", allow_null=False)
    p90 = ExactField("one day in ten is above it", allow_null=False)


class HourForecastAnswer(serializers.Serializer[None]):
    start = serializers.DateTimeField(help_text="of the UTC hour")
    p10 = ExactField("one hour in ten is below it", allow_null=False)
    p50 = ExactField("the middle", allow_null=False)
    p90 = ExactField("one hour in ten is above it", allow_null=False)


class PeriodForecastAnswer(serializers.Serializer[None]):
    start = serializers.DateField()
    end = serializers.DateField(help_text="the first day after it")
    spent = ExactField("of the days before the forecast begins", allow_null=False)
    p2_5 = ExactField("95 % interval, lower end", allow_null=False)
    p10 = ExactField("80 % interval, lower end", allow_null=False)
    p50 = ExactField("the middle", allow_null=False)
    p90 = ExactField("80 % interval, upper end", allow_null=False)
    p97_5 = ExactField("95 % interval, upper end", allow_null=False)


class ForecastAnswer(serializers.Serializer[None]):
    scope = serializers.CharField()
    measure = serializers.ChoiceField(choices=["cost", "tokens"])
    currency = serializers.CharField(allow_null=True, help_text="null for tokens")
    basis = serializers.CharField(allow_null=True)
    made_at = serializers.DateTimeField()
    inputs_revision = serializers.CharField(help_text="fingerprint of the figures that it was fitted on")
    provisional = serializers.BooleanField(help_text="too little history for the promised coverage")
    cold_start = serializers.BooleanField(help_text="less than 14 days of history")
    history_days = serializers.IntegerField()
    events = serializers.ListField(child=serializers.CharField(), help_text="known events that move it")
    days = DayForecastAnswer(many=True)
    hours = HourForecastAnswer(
        many=True, help_text="the next 72: the day's forecast, spread as its weekday's hours are"
    )
    period = PeriodForecastAnswer(help_text="the total of [start, end)")


class ForecastsView(APIView):
    """Reads what the nightly fit stored; it never fits."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="forecast",
        summary="The forecast of a scope",
        description="Stored every night. A reader of teams names one of them in the scope: a total of others is told "
        "by difference. The period is the month of the forecast's first day unless start and end are given.",
        parameters=[
            _SCOPE,
            _BASIS,
            _CURRENCY,
            _MEASURE,
            OpenApiParameter("start", _DAY, description="first day of the period"),
            OpenApiParameter("end", _DAY, description="first day after the period"),
        ],
        responses={200: ForecastAnswer, **problems(404)},
    )
    def get(self, request: Request) -> Response:
        asked = _asked(request, ("scope", "basis", "currency", "measure", "start", "end"))
        scope = forecasts.readable(_scope(asked), scope_of(request))
        found = _found(scope, asked)
        start = _day(asked, "start") or found.first_day.replace(day=1)
        end = _day(asked, "end") or (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        if not start < end <= start + timedelta(days=3 * 366):
            raise NotUnderstood([Mistake("end", "it is no period", "give an end after start, within three years")])
        return Response(_forecast(found, start, end))


class AccuracyView(APIView):
    """How good the forecasts are, on the customer's own series."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="forecast-accuracy",
        summary="What the back-test says",
        description="{horizon: {method: {mase, ape_median}}, month: {day: {method: ape_median}}, coverage80, "
        "coverage95, series, origins, provisional}; `shown` are the forecasts that people saw. Made every night.",
        parameters=[_BASIS, _CURRENCY],
        responses={200: OpenApiTypes.OBJECT, **problems(404)},
    )
    def get(self, request: Request) -> Response:
        asked = _asked(request, ("basis", "currency"))
        verdict = forecasts.newest_verdict(asked.get("currency", "USD"), _basis(asked))
        if verdict is None:
            raise NotFound
        return Response(
            {
                "made_at": verdict.made_at,
                "currency": verdict.currency,
                "basis": verdict.basis,
                **verdict.result,
            }
        )


class ScopeField(serializers.DictField):
    """{dimension: value}."""

    child = serializers.CharField(max_length=300)


class EventBody(Body):
    kind = serializers.ChoiceField(choices=ForecastEvent.Kind.choices)
    title = serializers.CharField(max_length=known_events.MAX_TITLE)
    scope = ScopeField(required=False, help_text="{} or nothing: everything")
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(required=False, allow_null=True, help_text="first day after it; null: it lasts")
    factor_ppm = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=known_events.MAX_PPM,
        help_text="usage (launch, holiday) or price afterwards, in parts per million of before",
    )
    amount_per_day = serializers.DecimalField(
        max_digits=36, decimal_places=18, required=False, allow_null=True, help_text="what a launch adds a day"
    )
    currency = serializers.CharField(max_length=3, required=False, allow_blank=True)
    moved_ppm = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=1_000_000, help_text="the part that a migration moves"
    )
    target = ScopeField(required=False, help_text="where a migration goes")
    ramp_days = serializers.IntegerField(required=False, min_value=0, max_value=known_events.MAX_RAMP_DAYS)


class EventChangeBody(EventBody):
    version = serializers.IntegerField(min_value=1, max_value=MAX_VERSION, help_text="of the event as you read it")


class EventAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    version = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=ForecastEvent.Kind.choices)
    title = serializers.CharField()
    scope = serializers.DictField(child=serializers.CharField())
    team = serializers.CharField(allow_null=True, help_text="whose it is; null: the organisation's")
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(allow_null=True)
    factor_ppm = serializers.IntegerField(allow_null=True)
    amount_per_day = ExactField("what it adds a day")
    currency = serializers.CharField(allow_blank=True)
    moved_ppm = serializers.IntegerField(allow_null=True)
    target = serializers.DictField(child=serializers.CharField())
    ramp_days = serializers.IntegerField()
    made_by = serializers.CharField()
    made_at = serializers.DateTimeField()


class EventsAnswer(serializers.Serializer[None]):
    rows = EventAnswer(many=True, help_text="the next first")


class EventConflictAnswer(ProblemSerializer):
    current = EventAnswer(help_text="as it is now")


class _Events(APIView):
    # Services' errors become problems.

    http_method_names = ["get", "head", "post", "put", "delete"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case MissingEvent():
                exc = NotFound()
            case Invalid():
                # The service says dims where the API says scope.
                names = {"dims": "scope"}
                exc = NotUnderstood(
                    [Mistake(names.get(each.field, each.field), each.message, each.fix) for each in exc.mistakes]
                )
            case EventConflict():
                return problem_with(409, f"{exc} Read `current`, then decide.", {"current": _event(exc.current)})
        return super().handle_exception(exc)


class EventsView(_Events):
    @extend_schema(operation_id="forecast-events", summary="Known events", responses={200: EventsAnswer, **problems()})
    def get(self, request: Request) -> Response:
        whole_numbers(request, {})
        return Response({"rows": [_event(each) for each in known_events.events(scope_of(request))]})

    @extend_schema(
        operation_id="forecast-events-create",
        summary="Say what is known to come",
        description="It moves the forecasts of its scope from the next fit on.",
        request=EventBody,
        responses={201: EventAnswer, **problems(415)},
        examples=[
            OpenApiExample(
                "A model becomes a fifth cheaper",
                {
                    "kind": "price_change",
                    "title": "gpt-large is cheaper",
                    "scope": {"model": "gpt-large"},
                    "starts_on": "2026-12-01",
                    "factor_ppm": 800_000,
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        made = known_events.add_event(_draft(EventBody.read(request)), actor=actor_of(request), now=timezone.now())
        return Response(_event(made), status=status.HTTP_201_CREATED)


class OneEventView(_Events):
    @extend_schema(operation_id="forecast-event", summary="One event", responses={200: EventAnswer, **problems(404)})
    def get(self, request: Request, event_id: int) -> Response:
        whole_numbers(request, {})
        return Response(_event(known_events.event(scope_of(request), event_id)))

    @extend_schema(
        operation_id="forecast-event-change",
        summary="Change an event",
        description="All its values. 409: somebody changed it since you read it.",
        request=EventChangeBody,
        responses={200: EventAnswer, 409: EventConflictAnswer, **problems(404, 415)},
    )
    def put(self, request: Request, event_id: int) -> Response:
        given = EventChangeBody.read(request)
        version = given.pop("version")
        changed = known_events.change_event(
            event_id, version, _draft(given), actor=actor_of(request), now=timezone.now()
        )
        return Response(_event(changed))

    @extend_schema(
        operation_id="forecast-event-withdraw",
        summary="Withdraw an event",
        parameters=[VERSION],
        responses={204: None, 409: EventConflictAnswer, **problems(404)},
    )
    def delete(self, request: Request, event_id: int) -> Response:
        known_events.withdraw_event(event_id, version_of(request), actor=actor_of(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _asked(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    unknown = [
        Mistake(name[:60], "there is no such parameter", f"use {', '.join(known)}")
        for name in request.query_params
        if name not in known
    ]
    if unknown:
        raise NotUnderstood(unknown)
    return {name: str(request.query_params[name]) for name in request.query_params}


def _scope(asked: dict[str, str]) -> ForecastScope:
    try:
        return ForecastScope.parse(asked.get("scope", ""))
    except UnknownDimension as error:
        raise NotUnderstood([Mistake("scope", str(error), "write it as team=search,model=gpt-large")]) from error


def _basis(asked: dict[str, str]) -> str:
    basis = asked.get("basis", Basis.EFFECTIVE.value)
    if basis not in [one.value for one in Basis]:
        raise NotUnderstood([Mistake("basis", f"{basis[:40]!r} is no basis", "use effective or billed")])
    return basis


def _day(asked: dict[str, str], name: str) -> date | None:
    if name not in asked:
        return None
    try:
        return date.fromisoformat(asked[name])
    except ValueError as error:
        raise NotUnderstood([Mistake(name, f"{asked[name][:40]!r} is no day", "write it as 2026-12-31")]) from error


def _found(scope: ForecastScope, asked: dict[str, str]) -> StoredForecast:
    measure = asked.get("measure", forecasts.COST)
    if measure not in (forecasts.COST, forecasts.TOKENS):
        raise NotUnderstood([Mistake("measure", f"{measure[:40]!r} is no measure", "use cost or tokens")])
    basis = _basis(asked)
    known = forecasts.currencies(basis)
    currency = asked.get("currency") or (known[0] if known else "USD")
    found = forecasts.forecast_for(scope, currency=currency, basis=basis, measure=measure)
    if found is None:
        raise NotFound
    return found


def _forecast(found: StoredForecast, start: date, end: date) -> dict[str, Any]:
    spent = forecast_fits.spent_of(found.scope, found, start) if start < found.first_day else Decimal(0)
    total = found.period_total(start, end, spent)
    return {
        "scope": found.scope.key,
        "measure": forecasts.COST if found.currency else forecasts.TOKENS,
        "currency": found.currency or None,
        "basis": found.basis or None,
        "made_at": found.made_at,
        "inputs_revision": found.inputs_revision,
        "provisional": total.provisional,
        "cold_start": found.cold_start,
        "history_days": found.history_days,
        "events": list(found.events),
        "days": [
            {"day": day.day, "p10": f"{day.p10:f}", "p50": f"{day.p50:f}", "p90": f"{day.p90:f}"} for day in found.days
        ],
        "hours": [
            {"start": hour.start, "p10": f"{hour.p10:.6f}", "p50": f"{hour.p50:.6f}", "p90": f"{hour.p90:.6f}"}
            for hour in forecasts.hours_for(found, timezone.now())
        ],
        "period": {
            "start": start,
            "end": end,
            "spent": f"{spent:f}",
            **{name: f"{getattr(total, name):f}" for name in ("p2_5", "p10", "p50", "p90", "p97_5")},
        },
    }


def _draft(given: dict[str, Any]) -> EventDraft:
    dims, target = given.pop("scope", {}), given.pop("target", {})
    return EventDraft(**given, dims=tuple(sorted(dims.items())), target=tuple(sorted(target.items())))


def _event(view: EventView) -> dict[str, Any]:
    answer = asdict(view)
    amount, dims = answer.pop("amount_per_day"), answer.pop("dims")
    return {
        **answer,
        "scope": dict(dims),
        "target": dict(view.target),
        "amount_per_day": exact(amount),
    }
