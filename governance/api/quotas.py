"""/api/v1/quotas: thin over governance.quotas."""

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import MEDIA_TYPE
from attribution.api.serializers import ProblemSerializer
from governance import quotas
from governance.api.asked import (
    AFTER,
    DEFAULT_PAGE,
    LIMIT,
    MAX_ID,
    MAX_PAGE,
    MAX_VERSION,
    VERSION,
    Text,
    Whole,
    problem_with,
    version_of,
    whole_numbers,
)
from governance.api.notifications import Body, problems
from governance.budget_drafts import Invalid
from governance.models import Quota
from governance.quotas import QuotaDraft, QuotaState, QuotaView


class QuotaBody(Body):
    unit = serializers.ChoiceField(choices=Quota.Unit.choices)
    window = serializers.ChoiceField(choices=Quota.Window.choices, help_text="in UTC")
    limit = Whole(min_value=1, max_value=quotas.MAX_LIMIT)
    team = Text(max_length=100, required=False, allow_null=True)
    key = Text(max_length=200, required=False, allow_null=True, help_text="its name, never its secret")
    model = Text(max_length=200, required=False, allow_null=True)
    provider = Text(max_length=64, required=False, allow_null=True, help_text="null: over all clouds together")


class QuotaChangeBody(QuotaBody):
    version = Whole(min_value=1, max_value=MAX_VERSION, help_text="of the quota as you read it")
    reason = Text(max_length=1000, required=False, allow_blank=True)


class QuotaAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    version = serializers.IntegerField()
    team = serializers.CharField(allow_null=True)
    key = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    provider = serializers.CharField(allow_null=True, help_text="null: over all clouds together")
    unit = serializers.ChoiceField(choices=Quota.Unit.choices)
    window = serializers.ChoiceField(choices=Quota.Window.choices)
    limit = serializers.IntegerField()
    used = serializers.IntegerField(
        allow_null=True, help_text="in the current window; a minute: the last whole one with telemetry; null: not known"
    )
    peak = serializers.IntegerField(allow_null=True, help_text="of a minute quota, in the last 60 minutes")
    window_start = serializers.DateTimeField()
    resets_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=list(QuotaState))
    updated_at = serializers.DateTimeField()
    updated_by = serializers.CharField()


class QuotasAnswer(serializers.Serializer[None]):
    rows = QuotaAnswer(many=True)
    next_after = serializers.IntegerField(allow_null=True)


class QuotaConflictAnswer(ProblemSerializer):
    current = QuotaAnswer(help_text="as it is now")


class View(APIView):
    # Services' errors become problems.

    http_method_names = ["get", "head", "post", "put", "delete"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case quotas.MissingQuota():
                exc = NotFound()
            case Invalid():
                exc = NotUnderstood([Mistake(each.field, each.message, each.fix) for each in exc.mistakes])
            case quotas.QuotaConflict():
                return problem_with(409, f"{exc} Read `current`, then decide.", {"current": _quota(exc.current)})
        return super().handle_exception(exc)


class QuotasView(View):
    @extend_schema(
        operation_id="quotas",
        summary="Quotas and their use",
        description="Tokens or requests a UTC minute, day or month. A minute's are enforced by the orchestrator; a "
        "day's and a month's become blocks when they are used up.",
        parameters=[LIMIT, AFTER],
        responses={200: QuotasAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        asked = whole_numbers(request, {"limit": (1, MAX_PAGE), "after": (0, MAX_ID)})
        limit = asked.get("limit", DEFAULT_PAGE)
        found = sorted(quotas.quotas(scope_of(request), timezone.now()), key=lambda each: each.id)
        rows = [each for each in found if each.id > asked.get("after", 0)]
        following = rows[limit - 1].id if len(rows) > limit else None
        return Response({"rows": [_quota(each) for each in rows[:limit]], "next_after": following})

    @extend_schema(
        operation_id="quotas-create",
        summary="Make a quota",
        request=QuotaBody,
        responses={201: QuotaAnswer, **problems(415)},
        examples=[
            OpenApiExample(
                "Two million tokens a minute",
                {"unit": "tokens", "window": "minute", "limit": 2_000_000, "team": "search", "model": "gpt-large"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        draft = QuotaDraft(**QuotaBody.read(request))
        made = quotas.create_quota(draft, actor=actor_of(request), now=timezone.now())
        return Response(_quota(made), status=status.HTTP_201_CREATED)


class OneQuotaView(View):
    @extend_schema(operation_id="quota", summary="One quota", responses={200: QuotaAnswer, **problems(404)})
    def get(self, request: Request, quota_id: int) -> Response:
        whole_numbers(request, {})
        return Response(_quota(quotas.quota(scope_of(request), quota_id, timezone.now())))

    @extend_schema(
        operation_id="quota-change",
        summary="Change a quota",
        description="All its values. 409: somebody changed it since you read it.",
        request=QuotaChangeBody,
        responses={200: QuotaAnswer, (409, MEDIA_TYPE): QuotaConflictAnswer, **problems(404, 415)},
    )
    def put(self, request: Request, quota_id: int) -> Response:
        given = QuotaChangeBody.read(request)
        version, reason = given.pop("version"), given.pop("reason", "")
        changed = quotas.edit_quota(
            quota_id, version, QuotaDraft(**given), actor=actor_of(request), now=timezone.now(), reason=reason
        )
        return Response(_quota(changed))

    @extend_schema(
        operation_id="quota-archive",
        summary="Take a quota out of use",
        parameters=[VERSION],
        responses={204: None, (409, MEDIA_TYPE): QuotaConflictAnswer, **problems(404)},
    )
    def delete(self, request: Request, quota_id: int) -> Response:
        quotas.archive_quota(quota_id, version_of(request), actor=actor_of(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _quota(view: QuotaView) -> dict[str, Any]:
    return asdict(view) | {"state": view.state.value}
