"""/api/v1/decisions: what the loop decided and why. Thin over governance.decisions."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import scope_of
from governance import decisions
from governance.api.asked import AFTER, DEFAULT_PAGE, LIMIT, MAX_ID, MAX_PAGE, whole_numbers
from governance.api.notifications import problems
from governance.enforcement.control import Method
from governance.models import ControlTick, Decision

BUDGET = OpenApiParameter(
    "budget", {"type": "integer", "minimum": 1, "maximum": MAX_ID}, description="of this budget alone"
)


class DecisionAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    why_now = serializers.ChoiceField(choices=ControlTick.Reason.choices)
    budget = serializers.IntegerField(allow_null=True, help_text="null: it was deleted since")
    budget_name = serializers.CharField()
    budget_version = serializers.IntegerField()
    policy_version = serializers.IntegerField()
    team = serializers.CharField(allow_null=True, help_text="null: the organisation's")
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    currency = serializers.CharField()
    method = serializers.ChoiceField(choices=[(each.value, each.value) for each in Method])
    price = serializers.CharField(help_text="worth given up for the last amount saved: the budget's shadow price")
    limit = serializers.CharField()
    spent = serializers.CharField()
    expected_end = serializers.CharField(help_text="of the period under the plan")
    without = serializers.CharField(help_text="the same if nothing were asked")
    margin_ppm = serializers.IntegerField(help_text="added to the rest of the forecast")
    fits = serializers.BooleanField()
    words = serializers.CharField()
    permitted = serializers.ListField(child=serializers.DictField())
    blocked = serializers.ListField(child=serializers.CharField(), help_text="what was not permitted, and why")
    alternatives = serializers.ListField(child=serializers.DictField())
    uses = serializers.ListField(child=serializers.DictField(), help_text="what is wanted of each use of a model")
    inputs = serializers.DictField()
    changes = serializers.ListField(child=serializers.IntegerField())


class DecisionsAnswer(serializers.Serializer[None]):
    rows = DecisionAnswer(many=True)
    next_after = serializers.IntegerField(allow_null=True)


class DecisionsView(APIView):
    @extend_schema(
        operation_id="decisions",
        summary="What the loop decided, newest first",
        description="Every budget at every tick: what would happen, what is done about it, at which shadow price, "
        "what else was weighed. Amounts are decimals, as text.",
        parameters=[BUDGET, LIMIT, AFTER],
        responses={200: DecisionsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        asked = whole_numbers(request, {"budget": (1, MAX_ID), "limit": (1, MAX_PAGE), "after": (0, MAX_ID)})
        page = decisions.decisions(
            scope_of(request),
            budget=asked.get("budget"),
            after=asked.get("after"),
            limit=asked.get("limit", DEFAULT_PAGE),
        )
        return Response({"rows": [_decision(each) for each in page.rows], "next_after": page.next_after})


class OneDecisionView(APIView):
    @extend_schema(operation_id="decision", summary="One decision", responses={200: DecisionAnswer, **problems(404)})
    def get(self, request: Request, decision_id: int) -> Response:
        whole_numbers(request, {})
        try:
            return Response(_decision(decisions.decision(scope_of(request), decision_id)))
        except decisions.Missing:
            raise NotFound from None


def _decision(one: Decision) -> dict[str, Any]:
    plain = {
        name: getattr(one, name)
        for name in (
            "id",
            "at",
            "budget_name",
            "budget_version",
            "policy_version",
            "team",
            "period_start",
            "period_end",
            "currency",
            "method",
            "margin_ppm",
            "fits",
            "words",
            "permitted",
            "blocked",
            "alternatives",
            "inputs",
        )
    }
    amounts = {
        name: f"{getattr(one, name).normalize():f}" for name in ("price", "limit", "spent", "expected_end", "without")
    }
    return {
        **plain,
        **amounts,
        "why_now": one.tick.reason,
        "budget": one.budget_id,
        "uses": one.cells,
        "changes": sorted(each.change for each in one.changes.all()),
    }
