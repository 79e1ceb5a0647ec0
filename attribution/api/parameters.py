"""The grammar's parameters as the OpenAPI document describes them."""

from collections.abc import Sequence

from drf_spectacular.utils import OpenApiParameter

from attribution.api.grammar import MAX_VALUES
from attribution.queries import DEFAULT_ROWS, MAX_GROUPS, MAX_ROWS, Dimension, Granularity, Order
from attribution.vocabulary import Basis

_DAY = {"type": "string", "format": "date"}


def parameters(dimensions: Sequence[Dimension], *, ordered: bool) -> list[OpenApiParameter]:
    """Parameters of a question about `dimensions`; `ordered`: it can be sorted."""
    names = [one.value for one in dimensions]
    groups = {
        "type": "array",
        "items": {"type": "string", "enum": names},
        "minItems": 1,
        "maxItems": MAX_GROUPS,
        "uniqueItems": True,
    }
    common = [
        OpenApiParameter("start", _DAY, required=True, description="first day, UTC"),
        OpenApiParameter("end", _DAY, required=True, description="the day after the last one"),
        OpenApiParameter(
            "group_by", groups, explode=False, style="form", description="dimensions, separated by commas"
        ),
        _choice("granularity", list(Granularity), Granularity.TOTAL, "length of a bucket of time"),
        _choice("basis", list(Basis), Basis.EFFECTIVE, "which cost of a charge"),
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "default": DEFAULT_ROWS},
            description="rows a page",
        ),
        OpenApiParameter("after", str, description="'next_after' of the page before"),
    ]
    if ordered:
        common.append(
            _choice("order_by", list(Order), Order.KEY, "key: bucket, currency, group; -total: dearest first")
        )
    return [*common, *(_filter(name) for name in names)]


def _choice(name: str, words: Sequence[str], default: str, description: str) -> OpenApiParameter:
    schema = {"type": "string", "enum": [str(word) for word in words], "default": str(default)}
    return OpenApiParameter(name, schema, description=description)


def _filter(name: str) -> OpenApiParameter:
    values = {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 300},
        "minItems": 1,
        "maxItems": MAX_VALUES,
    }
    return OpenApiParameter(
        f"filter[{name}]", values, explode=False, style="form", description="one of these, separated by commas"
    )
