"""Hand-made bill lines and usage for the attribution's tests: short words in, rows of the lake's schemas out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from attribution import ledger
from attribution.lake import schemas
from attribution.lake.engine import DuckDBEngine
from attribution.models import ControlTotal, Delivery, ImportedFile
from attribution.ownership import Rule, RuleBook

DAY = date(2026, 5, 4)
RULES = RuleBook(
    (
        Rule(1, "proof", "tag:team", "value", takes="team"),
        Rule(2, "proof", "tag:project", "value", takes="project"),
        Rule(3, "proof", "event:team", "value", takes="team"),
        Rule(4, "proof", "event:project", "value", takes="project"),
    )
)


def unit(rules: RuleBook = RULES, **more: Any) -> ledger.Unit:
    return ledger.Unit("aws", date(2026, 5, 1), date(2026, 6, 1), rules, **more)


def charge(meter: str = "opus|output", cost: str | None = "1", **more: Any) -> dict[str, Any]:
    """One bill line. `meter` is "model|token type", "gpu" (capacity), "net" (platform), "odd" (not understood) or "s3"
    (other)."""
    day = more.get("day", DAY)
    amount = None if cost is None else Decimal(cost)
    row: dict[str, Any] = dict.fromkeys(schemas.CHARGES.names)
    row |= {
        "scope": "cur",
        "provider": "aws",
        "billing_account_id": "payer",
        "billing_period": f"{day:%Y-%m}",
        "billing_period_start": _midnight(day.replace(day=1)),
        "billing_period_end": _midnight((day.replace(day=1) + timedelta(days=32)).replace(day=1)),
        "charge_period_start": _midnight(day),
        "charge_period_end": _midnight(day) + timedelta(hours=1),
        "day": day,
        "billing_currency": "USD",
        "billed_cost": amount,
        "effective_cost": amount,
        "list_cost": amount,
        "contracted_cost": amount,
        "charge_category": "Usage",
        "service_name": "Bedrock",
        "sku_meter": meter,
        "pricing_quantity": Decimal(100),
        "pricing_unit": "Tokens",
    }
    return row | {name: Decimal(value) if _is_money(name, value) else value for name, value in more.items()}


def used(team: str | None = None, output: int | None = None, **more: Any) -> dict[str, Any]:
    """One hour of usage of model `opus`."""
    day = more.get("day", DAY)
    row: dict[str, Any] = dict.fromkeys(schemas.USAGE_HOURLY.names)
    row |= {
        "source": "gateway",
        "day": day,
        "hour": _midnight(day),
        "provider": "aws",
        "model": "opus",
        "team": team,
        "requests": 1,
        "requests_without_usage": 0,
        "errors": 0,
        "output": output,
        "unpriced_requests": 0,
    }
    return row | more


def charges(*rows: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schemas.CHARGES)


def usage(*rows: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schemas.USAGE_HOURLY)


def recognize(meters: pa.Table) -> pa.Table:
    """A recognition whose whole catalogue is `charge`'s shorthand; a meter may go on with |tier|region's routing."""
    return pa.Table.from_pylist(
        [_recognized(row["sku_meter"] or "odd") for row in meters.to_pylist()], schemas.RECOGNIZED
    )


def _recognized(meter: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(schemas.RECOGNIZED.names)
    row |= {"sku_key": meter, "charge_scope": "inference", "understood": True, "tokens_per_unit": Decimal(1)}
    match meter.split("|"):
        case ["s3"]:
            return row | {"charge_scope": "other"}
        case ["net"]:
            return row | {"charge_scope": "platform"}
        case ["odd"]:
            return row | {"understood": False}
        case ["gpu"]:
            return row | {"token_type": "capacity", "hardware": "h100"}
        case ["ptu", model]:
            return row | {"token_type": "capacity", "model": model}
        case [model, token_type, *rest]:
            names = ("tier", "routing", "context_band")
            return row | {"model": model, "token_type": token_type} | dict(zip(names, rest, strict=False))
    raise AssertionError(meter)


@contextmanager
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    with DuckDBEngine(memory_limit="500MB", threads=1, temp_directory=tmp_path) as running:
        yield running


def attribute(running: DuckDBEngine, of: ledger.Unit, billed: pa.Table, counted: pa.Table) -> ledger.Built:
    """Build and audit: every test of the build is a test of the laws too."""
    built = ledger.build(running, of, charges=billed, usage=counted, recognize=recognize)
    ledger.audit(running, of, built, charges=billed, usage=counted)
    return built


def shown(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    """Rows as tuples of these columns, decimals as short text, sorted (None first)."""
    rows = [tuple(_short(row[name]) for name in columns) for row in table.select(list(columns)).to_pylist()]
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row])


def _short(value: Any) -> Any:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _is_money(name: str, value: Any) -> bool:
    return value is not None and (name.endswith("_cost") or name == "pricing_quantity")


def control_total(amount: Decimal, *, account: str = "payer", period: str = "2026-05", currency: str = "USD") -> None:
    """A raw file's billed total, as the ingest of a bill stores it."""
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    delivery = Delivery.objects.create(kind=Delivery.Kind.BILLING, source="cur", started_at=moment)
    file = ImportedFile.objects.create(delivery=delivery, path="cur.csv", sha256="0", format="aws-cur", provider="aws")
    ControlTotal.objects.create(
        file=file,
        scope="cur",
        provider="aws",
        billing_account_id=account,
        billing_period=period,
        currency=currency,
        basis="billed",
        amount=amount,
        rows=1,
    )


TYPES = {
    "text": pa.string(),
    "int": pa.int64(),
    "money": pa.decimal128(38, 18),
    "day": pa.date32(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}


def table(columns: str, *rows: tuple[Any, ...], **constants: Any) -> pa.Table:
    """`columns`: names, text unless `name:type`; amounts as text. constants: columns that are the same in each row."""
    fields = [(name, TYPES[kind or "text"]) for name, _, kind in (word.partition(":") for word in columns.split())]
    values = [[_typed(row[place], kind) for row in rows] for place, (_, kind) in enumerate(fields)]
    made = pa.table(
        [pa.array(column, kind) for column, (_, kind) in zip(values, fields, strict=True)], pa.schema(fields)
    )
    for name, value in constants.items():
        kind = TYPES["text"] if value is None else pa.scalar(value).type
        made = made.append_column(name, pa.array([value] * len(rows), kind))
    return made


def with_nulls(made: pa.Table, kind: str, *names: str) -> pa.Table:
    for name in names:
        made = made.append_column(name, pa.nulls(made.num_rows, TYPES[kind]))
    return made


def _typed(value: Any, kind: pa.DataType) -> Any:
    return Decimal(value) if value is not None and pa.types.is_decimal(kind) else value
