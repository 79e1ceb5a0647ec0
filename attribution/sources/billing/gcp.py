"""Google Cloud's billing export (standard and detailed), as flat CSV with dotted names or as BigQuery's JSON rows.

Billed is cost plus all credits, never clamped. A discount stays on its row; a promotion is money of its own and becomes
a Credit row. The billing period is the invoice's month (US Pacific), never the usage time's.

Source: Cloud Billing documentation, "Structure of Detailed data export".
"""

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.schemas import MONEY, TEXT
from attribution.vocabulary import Basis

from .base import BillingFormat, Column, Head, Kind
from .cells import BadCell, canonical_json, parse_decimal
from .distinct import map_distinct
from .pylists import NotALiteral, parse_repr

_DECIMAL, _TIME = Kind.DECIMAL, Kind.TIME

COLUMNS = (
    Column("billing_account_id", required=True, filled=True),
    Column("cost", _DECIMAL, required=True, filled=True),
    Column("currency", required=True, filled=True),
    Column("invoice.month", required=True, filled=True, aliases=("invoice_month",)),
    Column("usage_start_time", _TIME, required=True, filled=True),
    Column("usage_end_time", _TIME, required=True, filled=True),
    Column("service.id", required=True),
    Column("service.description"),
    Column("sku.id", required=True),
    Column("sku.description"),
    Column("project.id"),
    Column("project.name"),
    Column("project.labels"),
    Column("labels"),
    Column("tags"),
    Column("location.location"),
    Column("location.region"),
    Column("location.zone"),
    Column("resource.name"),
    Column("resource.global_name"),
    Column("usage.amount", _DECIMAL),
    Column("usage.unit"),
    Column("usage.amount_in_pricing_units", _DECIMAL),
    Column("usage.pricing_unit"),
    # A required column: without it a discount would look like full price.
    Column("credits", required=True),
    Column("cost_type"),
    Column("cost_at_list", _DECIMAL),
    Column("price.effective_price", _DECIMAL),
    Column("adjustment_info.id"),
    Column("adjustment_info.type"),
    Column("seller_name"),
    Column("subscription.instance_id"),
)

# Money that is given, not a lower price: kept as a row of its own.
_GIVEN = frozenset({"PROMOTION"})
_ZERO = Decimal(0)
# Arrow's sums grow by a digit; no bill comes near 36.
_ROOMY = pa.decimal128(36, 18)
_CREDITS = pa.struct([("discount", MONEY), ("promotion", MONEY), ("promotion_name", TEXT), ("issue", TEXT)])
_LABELS = pa.struct([("tags", TEXT), ("issue", TEXT)])


def _detect(head: Head) -> bool:
    return head.has("billing_account_id", "service.id", "sku.id", "usage_start_time", "cost", "currency")


def _prepare(raw: pa.Table) -> pa.Table:
    """Adds what the nested columns say: discount, promotion, tags; and `billed`, the cost after all credits."""
    credits = map_distinct([raw.column("credits")], _credits, _CREDITS)
    labels = map_distinct([raw.column(name) for name in ("project.labels", "tags", "labels")], _tags, _LABELS)
    added = {
        "discount": pc.struct_field(credits, "discount"),
        "promotion": pc.struct_field(credits, "promotion"),
        "promotion_name": pc.struct_field(credits, "promotion_name"),
        "credits_issue": pc.struct_field(credits, "issue"),
        "all_tags": pc.struct_field(labels, "tags"),
        "tags_issue": pc.struct_field(labels, "issue"),
    }
    parts = [pc.cast(column, _ROOMY) for column in (raw.column("cost"), added["discount"], added["promotion"])]
    billed = pc.cast(pc.add(pc.cast(pc.add(parts[0], parts[1]), _ROOMY), parts[2]), MONEY)
    for name, column in {**added, "billed": billed}.items():
        raw = raw.append_column(name, column)
    return raw


class _Credit(msgspec.Struct):
    """One entry of `credits`; the amount as it is written."""

    amount: msgspec.Raw
    type: str | None = None
    full_name: str | None = None
    name: str | None = None
    id: str | None = None


_CREDIT_LIST = msgspec.json.Decoder(list[_Credit])
_PLAIN_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,18})?", re.ASCII)


def _amount(text: str) -> Decimal:
    # Most amounts need no rounding, and there may be one a row.
    return Decimal(text) if _PLAIN_NUMBER.fullmatch(text) else parse_decimal(text)[0]


def _credits(text: str | None) -> tuple[Decimal | None, Decimal | None, str | None, str | None]:
    """(discount, promotion, the promotion's name, what is wrong) of one row's credits.

    An unreadable credit makes the row's cost unknown: it is quarantined.
    """
    if text is None or text == "[]":
        return _ZERO, _ZERO, None, None
    discount = promotion = _ZERO
    names: list[str] = []
    try:
        for credit in _credit_list(text):
            amount = _amount(bytes(credit.amount).decode().strip('"'))
            if (credit.type or "").upper() in _GIVEN:
                promotion += amount
                names.append(credit.full_name or credit.name or credit.id or "Promotion")
            else:
                discount += amount
    except (BadCell, NotALiteral, msgspec.MsgspecError) as error:
        return None, None, None, f"unreadable credits ({error})"
    return discount, promotion, ", ".join(dict.fromkeys(names)) or None, None


def _credit_list(text: str) -> list[_Credit]:
    try:
        return _CREDIT_LIST.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _CREDIT_LIST.decode(msgspec.json.encode(parse_repr(text)))


def _load(text: str | None) -> Any:
    if text is None or text == "[]":
        return []
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return parse_repr(text)


def _tags(*texts: str | None) -> tuple[str | None, str | None]:
    """(tags, what is wrong): labels of the project, then tags, then the resource's own: the nearer one names a key."""
    merged: dict[str, str] = {}
    try:
        for text in texts:
            for label in _records(_load(text)):
                if label.get("value") is not None:
                    merged[str(label["key"])] = str(label["value"])
    except (NotALiteral, KeyError) as error:
        return None, f"not a list of keys and values ({error})"
    return canonical_json(merged) if merged else None, None


def _records(value: Any) -> list[dict[str, Any]]:
    if value is None or value == {}:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotALiteral("not a list of records")
    return value


GCP = BillingFormat(
    name="gcp-export",
    family="export",
    columns=COLUMNS,
    detect=_detect,
    model="staging/stg_gcp",
    controls={Basis.BILLED: ("billed",)},
    rounded=("cost",),
    prepare=_prepare,
    null_words=("null", "NaN", "nan", "None"),
)
