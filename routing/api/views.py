"""/api/v1/changes and /api/v1/orchestrators: read them; approve, reject, roll back; stop the loop. Thin."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from attribution.actors import Actor
from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import MEDIA_TYPE, problem
from attribution.api.serializers import ProblemSerializer
from routing import selectors, services
from routing.api import serializers
from routing.models import ChangeSet, Orchestrator
from routing.orchestrators.base import OrchestratorError

MAX_ID = 2**63 - 1
STATUSES = [status.value for status in ChangeSet.Status]


def _problems(*codes: int) -> dict[tuple[int, str], type[ProblemSerializer]]:
    return {(code, MEDIA_TYPE): ProblemSerializer for code in codes}


READ_PROBLEMS = _problems(400, 401, 403, 404, 406)
WRITE_PROBLEMS = _problems(400, 401, 403, 404, 406, 409, 415)


class ChangeApiView(APIView):
    """What an actor may not see is not there; what they may not do is 403; what can't be done any more is 409."""

    def act(self, request: Request, body: type[Serializer[Any]], do: Callable[..., ChangeSet]) -> Response:
        sent = _body(request, body)
        now = timezone.now()
        try:
            made = do(actor=actor_of(request), now=now, **sent)
        except (ChangeSet.DoesNotExist, Orchestrator.DoesNotExist) as error:
            raise Http404 from error
        except (services.RefusedChange, services.Overlaps, OrchestratorError) as error:
            return problem(409, str(error))
        return Response(_change(selectors.change(scope_of(request), made.pk, now)))


class ChangesView(APIView):
    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="changes",
        summary="Changes, the newest first",
        parameters=[
            OpenApiParameter("status", {"type": "string", "enum": STATUSES}),
            OpenApiParameter("orchestrator", {"type": "string", "minLength": 1, "maxLength": 100}),
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": selectors.MAX_ROWS, "default": selectors.DEFAULT_ROWS},
            ),
            OpenApiParameter(
                "after",
                {"type": "integer", "minimum": 1, "maximum": MAX_ID},
                description="'next_after' of the page before",
            ),
        ],
        responses={200: serializers.ChangesSerializer, **_problems(400, 401, 403, 406)},
    )
    def get(self, request: Request) -> Response:
        asked = _asked(request)
        page = selectors.changes(scope_of(request), **asked)
        return Response({"rows": [_row(each) for each in page.rows], "next_after": page.next_after})


class ChangeView(ChangeApiView):
    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="change",
        summary="One change: before, wanted, observed",
        responses={200: serializers.ChangeSerializer, **READ_PROBLEMS},
    )
    def get(self, request: Request, change_id: int) -> Response:
        return Response(_change(_seen(request, change_id, timezone.now())))


class ApproveView(ChangeApiView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="approve-change",
        summary="Say yes to a change",
        request=serializers.NoteSerializer,
        responses={200: serializers.ChangeSerializer, **WRITE_PROBLEMS},
        examples=[OpenApiExample("a note", value={"note": "ok for chat, watch the answers"}, request_only=True)],
    )
    def post(self, request: Request, change_id: int) -> Response:
        _seen(request, change_id, timezone.now())
        return self.act(request, serializers.NoteSerializer, _bound(services.approve, change_id))


class RejectView(ChangeApiView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="reject-change",
        summary="Say no to a change that is not pushed yet",
        request=serializers.ReasonSerializer,
        responses={200: serializers.ChangeSerializer, **WRITE_PROBLEMS},
        examples=[OpenApiExample("a reason", value={"reason": "not during the sale"}, request_only=True)],
    )
    def post(self, request: Request, change_id: int) -> Response:
        _seen(request, change_id, timezone.now())
        return self.act(request, serializers.ReasonSerializer, _bound(services.reject, change_id))


class RollBackView(ChangeApiView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="roll-back-change",
        summary="Undo what a change did, and only that, as a new generation",
        request=serializers.OptionalReasonSerializer,
        responses={200: serializers.ChangeSerializer, **WRITE_PROBLEMS},
    )
    def post(self, request: Request, change_id: int) -> Response:
        _seen(request, change_id, timezone.now())
        return self.act(request, serializers.OptionalReasonSerializer, _bound(services.roll_back, change_id))


class OrchestratorsView(APIView):
    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="orchestrators",
        summary="What each orchestrator holds, and whether the loop acts",
        responses={200: serializers.OrchestratorsSerializer, **_problems(401, 403, 406)},
    )
    def get(self, request: Request) -> Response:
        rows = [_orchestrator(each) for each in selectors.orchestrators(scope_of(request))]
        return Response({"rows": rows, "loop": _loop(timezone.now())})


class RollBackToView(ChangeApiView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="roll-back-orchestrator",
        summary="Bring the whole snapshot of an earlier generation back, as a new one",
        request=serializers.GenerationSerializer,
        responses={200: serializers.ChangeSerializer, **WRITE_PROBLEMS},
        examples=[OpenApiExample("generation 12", value={"generation": 12, "reason": "as before"}, request_only=True)],
    )
    def post(self, request: Request, name: str) -> Response:
        return self.act(request, serializers.GenerationSerializer, _named(services.roll_back_to, name))


class DriftView(ChangeApiView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="settle-drift",
        summary="Decide about what somebody else wrote into an orchestrator",
        request=serializers.DriftDecisionSerializer,
        responses={200: serializers.ChangeSerializer, **WRITE_PROBLEMS},
        examples=[OpenApiExample("write over it", value={"decision": "overwrite"}, request_only=True)],
    )
    def post(self, request: Request, name: str) -> Response:
        return self.act(request, serializers.DriftDecisionSerializer, _named(services.settle_drift, name))


class FreezeView(APIView):
    """The kill switch."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="freeze-loop",
        summary="Stop all enforcement: what stands stays, nothing more is pushed",
        request=serializers.OptionalReasonSerializer,
        responses={200: serializers.LoopSerializer, **_problems(400, 401, 403, 406, 415)},
    )
    def post(self, request: Request) -> Response:
        sent = _body(request, serializers.OptionalReasonSerializer)
        services.freeze(actor=actor_of(request), now=timezone.now(), **sent)
        return Response(_loop(timezone.now()))


class ResumeView(APIView):
    http_method_names = ["post"]

    @extend_schema(
        operation_id="resume-loop",
        summary="Let the loop act again",
        request=serializers.OptionalReasonSerializer,
        responses={200: serializers.LoopSerializer, **_problems(400, 401, 403, 406, 415)},
    )
    def post(self, request: Request) -> Response:
        sent = _body(request, serializers.OptionalReasonSerializer)
        services.resume(actor=actor_of(request), now=timezone.now(), **sent)
        return Response(_loop(timezone.now()))


def _seen(request: Request, change_id: int, now: datetime) -> selectors.ChangeView:
    """The change, if the caller may see it: another team's is not there."""
    if change_id > MAX_ID:
        raise Http404
    try:
        return selectors.change(scope_of(request), change_id, now)
    except ChangeSet.DoesNotExist as error:
        raise Http404 from error


def _bound(service: Callable[..., ChangeSet], change_id: int) -> Callable[..., ChangeSet]:
    return lambda **more: service(change_id, **more)


def _named(service: Callable[..., ChangeSet], name: str) -> Callable[..., ChangeSet]:
    def call(*, actor: Actor, now: datetime, **more: Any) -> ChangeSet:
        wanted = more.pop("decision", None) or more.pop("generation")
        return service(name, wanted, actor=actor, now=now, **more)

    return call


def _body(request: Request, kind: type[Serializer[Any]]) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise NotUnderstood([Mistake("body", "is no JSON object", "send one object, {} for nothing")])
    unknown = [name for name in request.data if name not in kind().fields]
    if unknown:
        raise NotUnderstood([Mistake(f"{name}"[:60], "there is no such field", "leave it out") for name in unknown])
    parsed = kind(data=request.data)
    if not parsed.is_valid():
        mistakes = [
            Mistake(name, " ".join(str(one) for one in found), "correct it; /api/docs has the field")
            for name, found in parsed.errors.items()
        ]
        raise NotUnderstood(mistakes)
    return dict(parsed.validated_data)


def _asked(request: Request) -> dict[str, Any]:
    given = {name: str(values[-1]) for name, values in request.query_params.lists()}
    mistakes = [
        Mistake(name[:60], "there is no such parameter", "leave it out")
        for name in given.keys() - {"status", "orchestrator", "limit", "after"}
    ]
    mistakes += [
        Mistake(name, "was given more than once", "give it once")
        for name, values in request.query_params.lists()
        if len(values) > 1
    ]
    status = given.get("status")
    if status is not None and status not in STATUSES:
        mistakes.append(Mistake("status", f"{status[:60]!r} is no status", f"use one of {', '.join(STATUSES)}"))
    asked: dict[str, Any] = {"statuses": [status] if status else [], "orchestrator": given.get("orchestrator")}
    if asked["orchestrator"] is not None and not 0 < len(asked["orchestrator"]) <= 100:
        mistakes.append(Mistake("orchestrator", "has no such length", "give a name of 1 to 100 characters"))
    for name, most in (("limit", selectors.MAX_ROWS), ("after", MAX_ID)):
        if name in given:
            number = (
                int(given[name]) if given[name].isascii() and given[name].isdigit() and len(given[name]) < 20 else 0
            )
            if not 1 <= number <= most:
                mistakes.append(Mistake(name, f"{given[name][:60]!r} is no such number", f"use 1 to {most}"))
            asked[name] = number
    if mistakes:
        raise NotUnderstood(mistakes)
    return asked


def _row(row: selectors.ChangeRow) -> dict[str, Any]:
    plain = asdict(row)
    plain["proof"] = plain.pop("proof_words")
    plain["steps"] = [_step(each) for each in row.line]
    del plain["line"]
    return plain


def _step(each: selectors.StepView) -> dict[str, Any]:
    return {"status": each.status, "at": each.at, "by": each.by, "reason": each.words}


def _change(view: selectors.ChangeView) -> dict[str, Any]:
    return {
        **_row(view.row),
        "inputs": view.inputs,
        "approval_because": view.approval_because,
        "yeses": [{"person": each.person, "at": each.at, "note": each.note} for each in view.approvals],
        "history": [_step(each) for each in view.transitions],
        "differences": [asdict(each) for each in view.differences],
        "routes": [asdict(each) for each in view.routes],
        "guards": [asdict(each) for each in view.guards],
        "dry_run": view.dry_run,
        "rolls_back": view.rolls_back,
        "base_generation": view.base_generation,
    }


def _orchestrator(view: selectors.OrchestratorView) -> dict[str, Any]:
    plain = asdict(view)
    plain["absent"] = dict(view.absent)
    del plain["routes"]
    return plain


def _loop(now: datetime) -> dict[str, Any]:
    view = selectors.loop(now)
    return {
        "frozen": view.frozen,
        "last_stop": None if view.last is None else asdict(view.last),
        "last_tick": view.last_tick,
    }
