"""/api/v1/policies: what a budget may cause, its versions, what it would have done; thin over governance.policies."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of, scope_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.serializers import ExactField, ProblemSerializer, exact
from attribution.vocabulary import Basis
from governance import budgeting, policies
from governance.api.asked import AFTER, DEFAULT_PAGE, LIMIT, MAX_ID, MAX_PAGE, problem_with, whole_numbers
from governance.api.notifications import Body, problems
from governance.budgeting import BudgetView
from governance.budgets import PeriodKind
from governance.enforcement import replaying
from governance.enforcement.codec import Unfit, from_json, to_json
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung
from governance.enforcement.whatif import Replay, ReplayPeriod, words
from governance.models import Budget
from governance.replays import known_past, replayed_spans, what_if

_EXAMPLE: dict[str, Any] = {
    "steps": [
        {"rung": "notify", "measure": "actual", "threshold_ppm": 800_000, "clear_ppm": 750_000, "approval": "none"},
        {
            "rung": "smaller_model",
            "measure": "forecast",
            "threshold_ppm": 1_030_000,
            "clear_ppm": 980_000,
            "approval": "one",
        },
    ],
    "substitutes": {"claude-sonnet-4.5": [{"model": "claude-haiku-4.5", "disutility": "worse"}]},
    "quiet_hours": {"start": "22:00", "end": "07:00"},
    "zone": "Europe/Berlin",
    "minimum_dwell_minutes": 60,
    "freeze_windows": [],
    "priorities": {"environment:batch": 1},
}


class StepField(serializers.Serializer[None]):
    """One rung: it starts at threshold_ppm of the limit and is let go below clear_ppm."""

    rung = serializers.ChoiceField(choices=[rung.key for rung in Rung])
    measure = serializers.ChoiceField(choices=list(Measure), required=False)
    threshold_ppm = serializers.IntegerField(min_value=1, max_value=10_000_000)
    clear_ppm = serializers.IntegerField(min_value=0, max_value=10_000_000, required=False)
    approval = serializers.ChoiceField(choices=list(Approval), required=False)


class SubstituteField(serializers.Serializer[None]):
    model = serializers.CharField(max_length=200)
    disutility = serializers.ChoiceField(choices=list(Disutility), required=False)


class QuietHoursField(serializers.Serializer[None]):
    start = serializers.RegexField(r"^([01]\d|2[0-3]):[0-5]\d$", help_text="22:00, in the policy's zone")
    end = serializers.RegexField(r"^([01]\d|2[0-3]):[0-5]\d$")


class FreezeWindowField(serializers.Serializer[None]):
    start = serializers.CharField(max_length=40, help_text="with its zone: 2026-11-27T00:00:00+01:00")
    end = serializers.CharField(max_length=40)
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


class PolicyBody(Body):
    """What is left out has its default: no step, no substitute, no quiet hours, one hour of dwell."""

    steps = StepField(many=True, required=False, help_text="the mildest first; one of each rung at most")
    substitutes = serializers.DictField(
        child=SubstituteField(many=True), required=False, help_text="model -> what may serve in its place, in order"
    )
    quiet_hours = QuietHoursField(required=False, allow_null=True)
    zone = serializers.CharField(max_length=64, required=False)
    minimum_dwell_minutes = serializers.IntegerField(min_value=0, max_value=10_080, required=False)
    freeze_windows = FreezeWindowField(many=True, required=False)
    priorities = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=3),
        required=False,
        help_text="'dimension:value' or '*' -> 1 low, 2 normal, 3 high",
    )


class PolicyChangeBody(PolicyBody):
    version = serializers.IntegerField(min_value=0, help_text="of the policy as you read it; 0: none was saved")
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True)


class WhatIfBody(PolicyBody):
    limit = serializers.DecimalField(
        max_digits=17, decimal_places=2, min_value=Decimal(0), required=False, help_text="by default the budget's own"
    )


class PolicyAnswer(serializers.Serializer[None]):
    budget_id = serializers.IntegerField()
    budget = serializers.CharField(help_text="its name")
    version = serializers.IntegerField(help_text="0: nobody saved one, and people are told at 80 %")
    steps = StepField(many=True)
    substitutes = serializers.DictField(child=SubstituteField(many=True))
    quiet_hours = QuietHoursField(allow_null=True)
    zone = serializers.CharField()
    minimum_dwell_minutes = serializers.IntegerField()
    freeze_windows = FreezeWindowField(many=True)
    priorities = serializers.DictField(child=serializers.IntegerField())


class PoliciesAnswer(serializers.Serializer[None]):
    rows = PolicyAnswer(many=True)
    next_after = serializers.IntegerField(allow_null=True, help_text="'after' of the next page; null on the last")


class PolicyConflictAnswer(ProblemSerializer):
    current = PolicyAnswer(help_text="as it is now")


class PolicyVersionAnswer(PolicyAnswer):
    made_at = serializers.DateTimeField()
    made_by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)


class PolicyVersionsAnswer(serializers.Serializer[None]):
    rows = PolicyVersionAnswer(many=True, help_text="newest first")


class ReplayPeriodAnswer(serializers.Serializer[None]):
    start = serializers.DateField()
    end = serializers.DateField(help_text="the day after the last")
    known = serializers.BooleanField(help_text="false: nothing is known of these days")
    limit = ExactField("", allow_null=False)
    actual = ExactField("", allow_null=False)
    would_be = ExactField("", allow_null=False)
    saved = ExactField("", allow_null=False)
    moved_tokens = serializers.IntegerField()
    refused_tokens = serializers.IntegerField()
    first = serializers.DictField(child=serializers.DateField(), help_text="rung -> the day it would have started")
    needless = serializers.BooleanField(help_text="it acted, though the period ended within its limit")


class ReplayAnswer(serializers.Serializer[None]):
    currency = serializers.CharField()
    words = serializers.ListField(child=serializers.CharField())
    asked = serializers.ListField(child=serializers.CharField(), help_text="rungs whose approval is taken as given")
    actual = ExactField("", allow_null=False)
    would_be = ExactField("", allow_null=False)
    saved = ExactField("", allow_null=False)
    moved_tokens = serializers.IntegerField()
    refused_tokens = serializers.IntegerField()
    periods = ReplayPeriodAnswer(many=True, help_text="the last three months by the budget's calendar, oldest first")


class View(APIView):
    # Services' errors become problems.

    http_method_names = ["get", "head", "post", "put"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case budgeting.Missing():
                exc = NotFound()
            case Unfit():
                exc = NotUnderstood([_mistake(each.field, each.words) for each in exc.mistakes])
            case policies.StalePolicy():
                view = budgeting.budget(scope_of(self.request), exc.current.id, timezone.now())
                return problem_with(409, f"{exc}", {"current": _policy(view, exc.current)})
        return super().handle_exception(exc)


class PoliciesView(View):
    @extend_schema(
        operation_id="policies",
        summary="What your budgets may cause",
        description="One row for each budget that you may see, by the budget's id.",
        parameters=[LIMIT, AFTER],
        responses={200: PoliciesAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        asked = whole_numbers(request, {"limit": (1, MAX_PAGE), "after": (0, MAX_ID)})
        rows, following = budgeting.budgets_page(
            scope_of(request), timezone.now(), after=asked.get("after", 0), limit=asked.get("limit", DEFAULT_PAGE)
        )
        found = policies.policies_of([view.id for view in rows])
        return Response({"rows": [_policy(view, found[view.id]) for view in rows], "next_after": following})


class OnePolicyView(View):
    @extend_schema(operation_id="policy", summary="A budget's policy", responses={200: PolicyAnswer, **problems(404)})
    def get(self, request: Request, budget_id: int) -> Response:
        whole_numbers(request, {})
        view = budgeting.budget(scope_of(request), budget_id, timezone.now())
        return Response(_policy(view, policies.policy_of(budget_id)))

    @extend_schema(
        operation_id="policy-save",
        summary="Save a budget's policy",
        description="All of it, as a new version. 409: somebody saved another one since you read it; nothing was "
        "changed, and the answer holds what stands.",
        request=PolicyChangeBody,
        responses={200: PolicyAnswer, 409: PolicyConflictAnswer, **problems(404, 415)},
        examples=[OpenApiExample("Two steps", {**_EXAMPLE, "version": 0}, request_only=True)],
    )
    def put(self, request: Request, budget_id: int) -> Response:
        given = PolicyChangeBody.read(request)
        version, reason = given.pop("version"), given.pop("reason", "")
        now = timezone.now()
        view = budgeting.budget(scope_of(request), budget_id, now)
        policy = from_json(_plain(given), hard=view.hard)
        stored = Budget.objects.get(pk=view.id)
        saved = policies.save_policy(
            actor_of(request), stored, policy, expected_version=version, now=now, reason=reason
        )
        return Response(_policy(view, saved))


class PolicyVersionsView(View):
    @extend_schema(
        operation_id="policy-versions",
        summary="Every version of a budget's policy",
        responses={200: PolicyVersionsAnswer, **problems(404)},
    )
    def get(self, request: Request, budget_id: int) -> Response:
        whole_numbers(request, {})
        view = budgeting.budget(scope_of(request), budget_id, timezone.now())
        rows = [
            {
                **_policy(view, each.policy),
                "made_at": each.made_at,
                "made_by": each.made_by,
                "reason": each.reason,
            }
            for each in policies.policy_history(budget_id)
        ]
        return Response({"rows": rows})


class WhatIfView(View):
    @extend_schema(
        operation_id="policy-what-if",
        summary="What a policy would have done",
        description="Replays it over the last three months of what the budget covers, day by day with what was known "
        "then, by the loop's own controller. Nothing is stored.",
        request=WhatIfBody,
        responses={200: ReplayAnswer, **problems(404, 415)},
        examples=[OpenApiExample("A lower limit", {**_EXAMPLE, "limit": "35000.00"}, request_only=True)],
    )
    def post(self, request: Request, budget_id: int) -> Response:
        given = WhatIfBody.read(request)
        limit = given.pop("limit", None)
        now = timezone.now()
        view = budgeting.budget(scope_of(request), budget_id, now)
        policy = from_json(_plain(given), hard=view.hard) if given else policies.policy_of(budget_id)
        past = known_past(
            scope_of(request), view.dims, currency=view.currency, basis=Basis(view.basis), today=now.date()
        )
        spans = replayed_spans(PeriodKind(view.period_kind), view.zone, now.date())
        limits = dict.fromkeys(spans, view.draft.amount if limit is None else limit)
        found = what_if(policy, past, limits, dims=view.dims, hard=view.hard, controller=replaying.choose)
        return Response(_replay(found))


def _policy(view: BudgetView, policy: Policy) -> dict[str, Any]:
    return {"budget_id": view.id, "budget": view.name, "version": policy.version, **to_json(policy)}


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """As the codec reads it: ordered mappings of the serializers become plain ones."""
    return {name: _unordered(value) for name, value in given.items()}


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unordered(each) for key, each in value.items()}
    return [_unordered(each) for each in value] if isinstance(value, list) else value


def _mistake(field: str, text: str) -> Mistake:
    """'what is wrong: the fix' as two."""
    wrong, _, fix = text.partition(": ")
    return Mistake(field, wrong, fix or text)


def _replay(found: Replay) -> dict[str, Any]:
    return {
        "currency": found.currency,
        "words": list(words(found)),
        "asked": [rung.key for rung in found.asked],
        "actual": exact(found.actual),
        "would_be": exact(found.would_be),
        "saved": exact(found.saved),
        "moved_tokens": found.moved_tokens,
        "refused_tokens": found.refused_tokens,
        "periods": [_period(each) for each in found.periods],
    }


def _period(period: ReplayPeriod) -> dict[str, Any]:
    return {
        "start": period.span.start,
        "end": period.span.end,
        "known": period.known,
        "limit": exact(period.limit),
        "actual": exact(period.actual),
        "would_be": exact(period.would_be),
        "saved": exact(period.saved),
        "moved_tokens": period.moved_tokens,
        "refused_tokens": period.refused_tokens,
        "first": {rung.key: day for rung, day in period.first.items()},
        "needless": period.needless,
    }
