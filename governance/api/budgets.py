"""/api/v1/budgets: thin over governance.budgeting and governance.budget_imports."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

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
from attribution.api.serializers import ExactField, ProblemSerializer, exact
from attribution.vocabulary import Basis
from governance import budget_imports, budgeting
from governance.api.asked import (
    AFTER,
    DEFAULT_PAGE,
    LIMIT,
    MAX_ID,
    MAX_PAGE,
    MAX_VERSION,
    VERSION,
    Exact,
    Text,
    Truth,
    Whole,
    problem_with,
    version_of,
    whole_numbers,
)
from governance.api.notifications import Body, problems
from governance.budget_drafts import BudgetDraft, Invalid
from governance.budgeting import BudgetView
from governance.budgets import BudgetDimension, BudgetStatus, PeriodKind, Rollover

_EXAMPLE = {
    "name": "Search",
    "amount": "40000.00",
    "scope": {"team": "search"},
    "period_kind": "month",
    "zone": "Europe/Berlin",
    "starts_on": "2026-01-01",
}


class ScopeField(serializers.Serializer[None]):
    """What a budget covers; what is left out or null is open. A business unit is named as a team."""

    team = Text(required=False, allow_null=True, max_length=100)
    project = Text(required=False, allow_null=True, max_length=300)
    model = Text(required=False, allow_null=True, max_length=300)
    provider = Text(required=False, allow_null=True, max_length=300)
    environment = Text(required=False, allow_null=True, max_length=300)

    def to_internal_value(self, data: Any) -> Any:
        known = [each.value for each in BudgetDimension]
        unknown = [str(name)[:60] for name in data if name not in known] if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError(f"{', '.join(unknown)}: no such dimension: use {', '.join(known)}")
        return super().to_internal_value(data)


class AmountField(Exact):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=17, decimal_places=2, min_value=Decimal(0), **options)


class BudgetBody(Body):
    name = Text(max_length=200)
    amount = AmountField(help_text="of the first period, in hundredths of the currency")
    scope = ScopeField(required=False, help_text="what is left out is open; {}: the whole organisation")
    currency = serializers.RegexField(r"^[A-Z]{3}$", required=False)
    basis = serializers.ChoiceField(choices=list(Basis), required=False)
    period_kind = serializers.ChoiceField(choices=list(PeriodKind), required=False)
    zone = Text(max_length=64, required=False, help_text="IANA name, like Asia/Kolkata")
    starts_on = serializers.DateField(help_text="a day of the first period, in `zone`")
    ends_on = serializers.DateField(required=False, allow_null=True, help_text="the day after the last; null: none")
    growth_ppm = Whole(
        required=False, min_value=-900_000, max_value=1_000_000, help_text="parts per million a period, compounding"
    )
    rollover = serializers.ChoiceField(choices=list(Rollover), required=False)
    rollover_cap = AmountField(required=False, allow_null=True)
    hard = Truth(required=False, help_text="standing approval to stop its own scope at the limit")
    tell_actual_ppm = serializers.ListField(
        child=Whole(min_value=1, max_value=10_000_000), required=False, max_length=10
    )
    tell_forecast_ppm = serializers.ListField(
        child=Whole(min_value=1, max_value=10_000_000), required=False, max_length=10
    )


class BudgetChangeBody(BudgetBody):
    version = Whole(min_value=1, max_value=MAX_VERSION, help_text="of the budget as you read it")
    reason = Text(max_length=1000, required=False, allow_blank=True)


class CopyBody(Body):
    name = Text(max_length=200, required=False, help_text="by default with the next year's number")


class ImportBody(Body):
    csv = Text(max_length=2_000_000, trim_whitespace=False, help_text="docs/budgets.md has the columns")
    check_only = Truth(required=False)


class BudgetForecastAnswer(serializers.Serializer[None]):
    p2_5 = ExactField("", allow_null=False)
    p10 = ExactField("", allow_null=False)
    p50 = ExactField("the middle", allow_null=False)
    p90 = ExactField("", allow_null=False)
    p97_5 = ExactField("", allow_null=False)
    provisional = serializers.BooleanField(help_text="too little history for the promised coverage")
    made_at = serializers.DateTimeField(allow_null=True)


class BudgetCrossingAnswer(serializers.Serializer[None]):
    date = serializers.DateField(allow_null=True, help_text="when the middle forecast passes the limit; null: not")
    probability = serializers.FloatField(help_text="that the period's total passes the limit, 0 to 1")


class BudgetExcessAnswer(serializers.Serializer[None]):
    limit = ExactField("its own limit", allow_null=False)
    children = ExactField("what the budgets within it allow together", allow_null=False)
    by = ExactField("the difference", allow_null=False)
    children_ids = serializers.ListField(child=serializers.IntegerField())


class BudgetAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    version = serializers.IntegerField(help_text="send it back with a change")
    name = serializers.CharField()
    scope = serializers.DictField(child=serializers.CharField(), help_text="dimension -> value; {}: everything")
    team = serializers.CharField(allow_null=True, help_text="whose it is; null: the organisation's")
    currency = serializers.CharField()
    basis = serializers.ChoiceField(choices=list(Basis))
    period_kind = serializers.ChoiceField(choices=list(PeriodKind))
    zone = serializers.CharField()
    first_day = serializers.DateField(help_text="of the current period, in its zone")
    last_day = serializers.DateField()
    period_start = serializers.DateTimeField(help_text="the same as an instant")
    period_end = serializers.DateTimeField(help_text="exclusive; when it resets")
    amount = ExactField("of the first period", allow_null=False)
    base_limit = ExactField("of this period, growth included", allow_null=False)
    rolled_over = ExactField("from the period before; negative: overspent", allow_null=False)
    limit = ExactField("base_limit + rolled_over", allow_null=False)
    consumed = ExactField("billed + estimated + carried", allow_null=False)
    billed = ExactField("settled bills", allow_null=False)
    estimated = ExactField("usage without a settled bill, by the book, times learned_ratio", allow_null=False)
    carried = ExactField("cost that has no estimate, carried on from its last settled day", allow_null=False)
    naive = ExactField("billed + the book's estimate: what a plain sum would say", allow_null=False)
    moving = ExactField("what bills that still move say; never counted", allow_null=False)
    learned_ratio = ExactField("billed / estimated, as learned; null: nothing is estimated")
    left_out = serializers.DictField(child=serializers.CharField(), help_text="currency -> amount without a rate")
    remaining = ExactField("limit - consumed", allow_null=False)
    hard = serializers.BooleanField()
    burn_per_day = ExactField("mean of the last seven whole days", allow_null=False)
    days_left = ExactField("of the period", allow_null=False)
    runs_out_at = serializers.DateTimeField(allow_null=True, help_text="at burn_per_day; null: not in this period")
    forecast = BudgetForecastAnswer(allow_null=True, help_text="of the period's total; null: none was made")
    crossing = BudgetCrossingAnswer(allow_null=True)
    state = serializers.ChoiceField(choices=list(BudgetStatus))
    parent_id = serializers.IntegerField(allow_null=True, help_text="the budget around it, where you may see that")
    exceeds_parent = serializers.CharField(allow_blank=True, help_text="in words; '': it doesn't")
    children_exceed = BudgetExcessAnswer(allow_null=True)
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(allow_null=True)
    growth_ppm = serializers.IntegerField()
    rollover = serializers.ChoiceField(choices=list(Rollover))
    rollover_cap = ExactField("null: no cap")
    tell_actual_ppm = serializers.ListField(child=serializers.IntegerField())
    tell_forecast_ppm = serializers.ListField(child=serializers.IntegerField())
    updated_at = serializers.DateTimeField()
    updated_by = serializers.CharField()


class BudgetsAnswer(serializers.Serializer[None]):
    rows = BudgetAnswer(many=True)
    next_after = serializers.IntegerField(allow_null=True, help_text="'after' of the next page; null on the last")


class BudgetConflictAnswer(ProblemSerializer):
    current = BudgetAnswer(help_text="as it is now")
    audit_entry = serializers.IntegerField(help_text="where what you sent is kept")


class BudgetPeriodAnswer(serializers.Serializer[None]):
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    limit = ExactField("with what went over", allow_null=False)
    consumed = ExactField("", allow_null=False)
    billed = ExactField("", allow_null=False)
    estimated = ExactField("with what is carried", allow_null=False)


class BudgetPeriodsAnswer(serializers.Serializer[None]):
    rows = BudgetPeriodAnswer(many=True, help_text="oldest first")


class ImportedAnswer(serializers.Serializer[None]):
    created = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(child=serializers.CharField())


class View(APIView):
    # Services' errors become problems.

    http_method_names = ["get", "head", "post", "put", "delete"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case budgeting.Missing():
                exc = NotFound()
            case Invalid():
                exc = NotUnderstood([Mistake(each.field, each.message, each.fix) for each in exc.mistakes])
            case budgeting.Conflict():
                more = {"current": _budget(exc.current), "audit_entry": exc.entry}
                return problem_with(409, f"{exc} Read `current`, then decide.", more)
        return super().handle_exception(exc)


class BudgetsView(View):
    @extend_schema(
        operation_id="budgets",
        summary="Budgets and how they stand",
        description="Those of your teams, or all, by id. Consumption is what is billed, plus what is not billed yet as "
        "the book estimates it times the ratio that bills have had to estimates.",
        parameters=[LIMIT, AFTER],
        responses={200: BudgetsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        asked = whole_numbers(request, {"limit": (1, MAX_PAGE), "after": (0, MAX_ID)})
        rows, following = budgeting.budgets_page(
            scope_of(request), timezone.now(), after=asked.get("after", 0), limit=asked.get("limit", DEFAULT_PAGE)
        )
        return Response({"rows": [_budget(each) for each in rows], "next_after": following})

    @extend_schema(
        operation_id="budgets-create",
        summary="Make a budget",
        description="For who may edit budgets of its team, or of everything. A lead stays within the budget around it.",
        request=BudgetBody,
        responses={201: BudgetAnswer, **problems(415)},
        examples=[OpenApiExample("A team's month", _EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        made = budgeting.create(_draft(BudgetBody.read(request)), actor=actor_of(request), now=timezone.now())
        return Response(_budget(made), status=status.HTTP_201_CREATED)


class OneBudgetView(View):
    @extend_schema(operation_id="budget", summary="One budget", responses={200: BudgetAnswer, **problems(404)})
    def get(self, request: Request, budget_id: int) -> Response:
        whole_numbers(request, {})
        return Response(_budget(budgeting.budget(scope_of(request), budget_id, timezone.now())))

    @extend_schema(
        operation_id="budget-change",
        summary="Change a budget",
        description="All its values; what is left out has its default. 409: somebody changed it since you read it; "
        "nothing was changed, what you sent is kept in the audit trail, and the answer holds what stands.",
        request=BudgetChangeBody,
        responses={200: BudgetAnswer, (409, MEDIA_TYPE): BudgetConflictAnswer, **problems(404, 415)},
        examples=[OpenApiExample("More", {**_EXAMPLE, "amount": "45000.00", "version": 1}, request_only=True)],
    )
    def put(self, request: Request, budget_id: int) -> Response:
        given = BudgetChangeBody.read(request)
        version, reason = given.pop("version"), given.pop("reason", "")
        actor, now = actor_of(request), timezone.now()
        return Response(_budget(budgeting.edit(budget_id, version, _draft(given), actor=actor, now=now, reason=reason)))

    @extend_schema(
        operation_id="budget-archive",
        summary="Take a budget out of use",
        description="Its history stays.",
        parameters=[VERSION],
        responses={204: None, (409, MEDIA_TYPE): BudgetConflictAnswer, **problems(404)},
    )
    def delete(self, request: Request, budget_id: int) -> Response:
        version = version_of(request)
        budgeting.archive(budget_id, version, actor=actor_of(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class CopyBudgetView(View):
    @extend_schema(
        operation_id="budget-copy",
        summary="Copy a budget for next year",
        description="The copy begins with the next calendar year, at the limit that growth has led to; this one ends "
        "there if it had no end. Own dates move on by a year.",
        request=CopyBody,
        responses={201: BudgetAnswer, **problems(404, 415)},
    )
    def post(self, request: Request, budget_id: int) -> Response:
        name = CopyBody.read(request).get("name")
        made = budgeting.copy_for_next_year(budget_id, actor=actor_of(request), now=timezone.now(), name=name)
        return Response(_budget(made), status=status.HTTP_201_CREATED)


class BudgetPeriodsView(View):
    @extend_schema(
        operation_id="budget-periods",
        summary="A budget's periods so far",
        responses={200: BudgetPeriodsAnswer, **problems(404)},
    )
    def get(self, request: Request, budget_id: int) -> Response:
        whole_numbers(request, {})
        rows = budgeting.periods_of(scope_of(request), budget_id, timezone.now())
        return Response(
            {
                "rows": [
                    {
                        "first_day": span.first,
                        "last_day": span.last,
                        "limit": exact(limit),
                        "consumed": exact(used.consumed),
                        "billed": exact(used.billed),
                        "estimated": exact(used.estimated + used.carried),
                    }
                    for span, limit, used in rows
                ]
            }
        )


class ImportBudgetsView(View):
    @extend_schema(
        operation_id="budgets-import",
        summary="Make and change budgets from CSV",
        description="By name: all lines or none. Every mistake is named with its line. The same file again changes "
        "nothing.",
        request=ImportBody,
        responses={200: ImportedAnswer, **problems(415)},
        examples=[OpenApiExample("Two teams", {"csv": "name,amount,team\nSearch,40000,search\n"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        given = ImportBody.read(request)
        try:
            done = budget_imports.import_csv(
                given["csv"],
                actor=actor_of(request),
                now=timezone.now(),
                check_only=given.get("check_only", False),
            )
        except budget_imports.ImportRefused as refused:
            raise NotUnderstood(
                [Mistake(f"line {each.line}: {each.field}", each.message, each.fix) for each in refused.errors]
            ) from refused
        return Response({key: list(value) for key, value in asdict(done).items()})


def _draft(given: dict[str, Any]) -> BudgetDraft:
    scope = given.pop("scope", {}) or {}
    dims = tuple((name, value) for name, value in scope.items() if value is not None)
    if given.get("zone", "UTC") not in available_timezones():
        raise NotUnderstood([Mistake("zone", "it is no time zone", "write a name like Europe/Berlin or UTC")])
    for name in ("tell_actual_ppm", "tell_forecast_ppm"):
        if name in given:
            given[name] = tuple(given[name])
    return BudgetDraft(dims=dims, **given)


_PLAIN = (
    *("id", "version", "name", "team", "currency", "basis", "period_kind", "zone", "first_day", "last_day"),
    *("period_start", "period_end", "hard", "runs_out_at", "parent_id", "exceeds_parent", "updated_at", "updated_by"),
)
_AMOUNTS = (
    *("base_limit", "rolled_over", "limit", "consumed", "billed", "estimated", "carried", "naive", "moving"),
    *("learned_ratio", "remaining", "burn_per_day", "days_left"),
)


def _budget(view: BudgetView) -> dict[str, Any]:
    draft, forecast, crossing, excess = view.draft, view.forecast, view.crossing, view.children_exceed
    return {
        **{name: getattr(view, name) for name in _PLAIN},
        **{name: exact(getattr(view, name)) for name in _AMOUNTS},
        "scope": dict(view.dims),
        "left_out": {currency: exact(amount) for currency, amount in view.left_out},
        "state": view.state.value,
        "forecast": forecast
        and {
            **{name: exact(getattr(forecast, name)) for name in ("p2_5", "p10", "p50", "p90", "p97_5")},
            "provisional": forecast.provisional,
            "made_at": view.forecast_made_at,
        },
        "crossing": crossing and {"date": crossing.date, "probability": crossing.probability},
        "children_exceed": excess
        and {
            "limit": exact(excess.limit),
            "children": exact(excess.children),
            "by": exact(excess.by),
            "children_ids": list(excess.children_ids),
        },
        "amount": exact(draft.amount),
        "starts_on": draft.starts_on,
        "ends_on": draft.ends_on,
        "growth_ppm": draft.growth_ppm,
        "rollover": draft.rollover,
        "rollover_cap": exact(draft.rollover_cap),
        "tell_actual_ppm": list(draft.tell_actual_ppm),
        "tell_forecast_ppm": list(draft.tell_forecast_ppm),
    }
