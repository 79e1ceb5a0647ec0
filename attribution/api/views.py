"""GET /api/v1/costs, /api/v1/unit-costs, /api/v1/reconciliation. Thin: grammar in, selectors, exact text out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution import selectors
from attribution.api import grammar, serializers
from attribution.api.access import scope_of
from attribution.api.parameters import parameters
from attribution.api.problems import MEDIA_TYPE
from attribution.api.serializers import exact
from attribution.queries import CostQuery, Dimension, UnitCostQuery
from attribution.scope import TeamScope

# Part of every ETag: raise it when the shape of an answer changes.
ANSWER_SHAPE = "1"

PROBLEMS = {(code, MEDIA_TYPE): serializers.ProblemSerializer for code in (400, 401, 403, 406)}
UNCHANGED = {304: OpenApiResponse(description="What If-None-Match names is still the answer.")}


class ReadView(APIView):
    """Read only: GET and HEAD, conditional by ETag; an answer is the reader's own and never shared by caches."""

    http_method_names = ["get", "head"]

    def conditional(self, request: Request, tag: str, answer: Callable[[], dict[str, Any]]) -> Response:
        """304 when the caller has the answer that `tag` names, else the answer."""
        headers = {
            "ETag": f'"{tag}"',
            "Cache-Control": "private, no-cache",
            "Vary": "Accept, Authorization, Cookie",
        }
        known = parse_etags(request.headers.get("If-None-Match", ""))
        if "*" in known or any(one.removeprefix("W/") == headers["ETag"] for one in known):
            return Response(status=304, headers=headers)
        return Response(answer(), headers=headers)


class CostsView(ReadView):
    """What inference cost, grouped as asked."""

    @extend_schema(
        operation_id="costs",
        summary="Costs by any dimension",
        description="Settled bills, and estimates of the days that no settled bill covers, within what you may see. "
        "Without filter[charge_scope]: inference and platform, not the rest of the cloud. A filter also takes [not], "
        "[prefix] and [null] after its dimension: filter[model][prefix]=claude-, filter[team][null]=true. A backslash "
        "before a comma keeps it in the value.",
        parameters=parameters(tuple(Dimension), ordered=True),
        responses={200: serializers.CostsSerializer, **UNCHANGED, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        scope = scope_of(request)
        query = grammar.parse_costs(_parameters_of(request))
        tag = _tag(selectors.snapshot(), scope, query)
        return self.conditional(request, tag, lambda: _costs(request, selectors.costs(scope, query)))


class UnitCostsView(ReadView):
    """What a token cost, of attributed and settled cost only."""

    @extend_schema(
        operation_id="unit-costs",
        summary="Cost per token",
        description="Attributed, settled cost per token by bucket, per output token and blended. Estimates and what "
        "has no owner are left out of cost and tokens alike. Null where there are no tokens. Filters as in costs.",
        parameters=parameters(grammar.UNIT_COST_DIMENSIONS, ordered=False),
        responses={200: serializers.UnitCostsSerializer, **UNCHANGED, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        scope = scope_of(request)
        query = grammar.parse_unit_costs(_parameters_of(request))
        tag = _tag(selectors.snapshot(), scope, query)
        return self.conditional(request, tag, lambda: _unit_costs(request, selectors.unit_costs(scope, query)))


class ReconciliationView(ReadView):
    """Billed against the ledger; for readers of the whole organisation."""

    @extend_schema(
        operation_id="reconciliation",
        summary="Bill, its parts and the difference",
        description="Per provider, billing account, document month and currency. Only for readers of the whole "
        "organisation: a total tells a part of it by difference.",
        responses={200: serializers.ReconciliationSerializer, **UNCHANGED, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        if request.query_params:
            fix = "leave it out: the answer is always the whole"
            unknown = [grammar.Mistake(name[:60], "there is no such parameter", fix) for name in request.query_params]
            raise grammar.NotUnderstood(unknown)
        answer = {"rows": [_reconciliation_row(one) for one in selectors.reconciliation(scope_of(request))]}
        tag = hashlib.sha256(json.dumps([ANSWER_SHAPE, answer]).encode()).hexdigest()[:32]
        return self.conditional(request, tag, lambda: answer)


class NothingHereView(APIView):
    """Every other address below /api/: a problem, not a page; to anybody, so that addresses say nothing of rights."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *_args: Any, **_kwargs: Any) -> None:  # noqa: ARG002
        raise NotFound


def _parameters_of(request: Request) -> dict[str, list[str]]:
    return {name: [str(value) for value in values] for name, values in request.query_params.lists()}


def _tag(snapshot: selectors.Snapshot, scope: TeamScope, query: CostQuery | UnitCostQuery) -> str:
    """What an answer depends on: the figures, what the reader may see, and the question."""
    asked = [ANSWER_SHAPE, snapshot.fingerprint, scope.everything, sorted(scope.teams), type(query).__name__]
    return hashlib.sha256(json.dumps([*asked, grammar.to_parameters(query)]).encode()).hexdigest()[:32]


def _costs(request: Request, table: selectors.CostTable) -> dict[str, Any]:
    return {
        **_page(request, table),
        "totals": [{"currency": one.currency, **_amounts(one.amounts)} for one in table.totals],
        "rows": [{**_grouped(row, table.query.group_by), **_amounts(row.amounts)} for row in table.rows],
    }


def _unit_costs(request: Request, table: selectors.UnitCostTable) -> dict[str, Any]:
    return {**_page(request, table), "rows": [_unit_cost_row(row, table.query.group_by) for row in table.rows]}


def _page(request: Request, table: selectors.CostTable | selectors.UnitCostTable) -> dict[str, Any]:
    following = None
    if table.next_after is not None:
        after = replace(table.query, after=table.next_after)
        following = f"{request.path}?{urlencode(grammar.to_parameters(after))}"
    snapshot = table.snapshot
    return {
        "snapshot": {
            "availability": snapshot.availability,
            "fingerprint": snapshot.fingerprint,
            "commit_seq": snapshot.commit_seq,
            "built_at": snapshot.built_at,
        },
        "next_after": table.next_after,
        "next": following,
    }


def _grouped(row: selectors.CostRow | selectors.UnitCostRow, group_by: Sequence[Dimension]) -> dict[str, Any]:
    return {
        "bucket": row.bucket,
        "currency": row.currency,
        "group": {one.value: value for one, value in zip(group_by, row.group, strict=True)},
    }


def _amounts(amounts: selectors.Amounts) -> dict[str, Any]:
    return {
        "cost": exact(amounts.cost),
        "estimated_cost": exact(amounts.estimated_cost),
        "uncounted_cost": exact(amounts.uncounted_cost),
        "total": exact(amounts.total),
        "unknown_parts": amounts.unknown_parts,
        "attributed_cost": exact(amounts.attributed_cost),
        "unattributed_cost": exact(amounts.unattributed_cost),
        "metered_tokens": amounts.metered_tokens,
    }


def _unit_cost_row(row: selectors.UnitCostRow, group_by: Sequence[Dimension]) -> dict[str, Any]:
    return {
        **_grouped(row, group_by),
        "attributed_cost": exact(row.attributed_cost),
        "tokens": row.tokens,
        "output_tokens": row.output_tokens,
        "all_tokens": row.all_tokens,
        "micros_per_token": {bucket: exact(rate) for bucket, rate in row.micros_per_token.items()},
        "micros_per_output_token": exact(row.micros_per_output_token),
        "per_million_tokens": exact(row.per_million_tokens),
    }


def _reconciliation_row(row: selectors.ReconciliationRow) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "billing_account_id": row.billing_account_id,
        "billing_period": row.billing_period,
        "currency": row.currency,
        "billed": exact(row.billed),
        "attributed": exact(row.attributed),
        "unattributed": {reason: exact(amount) for reason, amount in row.unattributed.items()},
        "difference": exact(row.difference),
    }
