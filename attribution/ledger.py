"""Builds the attributed ledger of one unit (a provider's calendar month) from its charges, its usage and the rules.

Only arithmetic and look-ups: the SQL models in their order, recognition of distinct meters, ownership of distinct
evidence. Which revisions go in, what is published and when is `services`' business; no Django here.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from attribution.capacity import FALLBACK, CapacityWeights
from attribution.lake.engine import Engine, Input
from attribution.lake.schemas import SCHEMAS
from attribution.ownership import RuleBook, pool_named_by
from attribution.vocabulary import Dataset

# Volume drift of a pool up to this share of its billed tokens is `token_share` (LEDGER 9); parts per million.
TOLERANCE_PPM = 10_000
# Changes when the models or the code of the build change what they make of the same inputs; part of every unit's
# inputs.
BUILD_VERSION = "attribution-2"

# Models that need nothing of each other run side by side: most are too small to use two threads by themselves.
_HANDS = 2

Recognize = Callable[[pa.Table], pa.Table]

_RECOGNIZED = (
    "charge_scope",
    "understood",
    "model",
    "publisher",
    "token_type",
    "tier",
    "context_band",
    "routing",
    "hardware",
)
_OPTIONAL_EVIDENCE = (
    "tags",
    "sub_account_name",
    "resource_id",
    "resource_name",
    "publisher_name",
    "invoice_issuer_name",
)
_POOL_EVIDENCE = frozenset({"tags", "resource_id", "resource_name"})


class BrokenLaw(Exception):
    """An audit found rows that break a law of the ledger; nothing is published."""

    retryable = False


@dataclass(frozen=True)
class BoundEndpoint:
    """An endpoint or deployment bills to an account in [valid_from, valid_to); '' sub account: unknown."""

    endpoint: str
    billing_account_id: str
    sub_account_id: str = ""
    valid_from: date | None = None
    valid_to: date | None = None

    def covers(self, endpoint: str | None, day: date) -> bool:
        starts = self.valid_from is None or self.valid_from <= day
        return self.endpoint == endpoint and starts and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class Unit:
    """What one run attributes: a provider's charge days in [first, end), with the rules that hold then."""

    provider: str
    first: date
    end: date
    rules: RuleBook
    bindings: tuple[BoundEndpoint, ...] = ()
    # (billing account, period) that the provider has closed.
    closed: frozenset[tuple[str, str]] = frozenset()
    tolerance_ppm: int = TOLERANCE_PPM
    weights: CapacityWeights = FALLBACK

    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.end - self.first).days)]


@dataclass(frozen=True)
class Built:
    """What a unit's inputs become. `charges` and `usage` are the inputs, kept for the audits."""

    ledger: pa.Table
    usage_owned: pa.Table
    rollup: pa.Table
    cells: pa.Table
    teams: frozenset[str] = field(default_factory=frozenset)
    projects: frozenset[str] = field(default_factory=frozenset)


def build(engine: Engine, unit: Unit, *, charges: Input, usage: Input, recognize: Recognize) -> Built:
    """Attribute one unit.

    charges, usage: rows in the schemas of CHARGES and USAGE_HOURLY; those of other providers are ignored, every row of
    this provider must lie in the unit's days (the audits catch it otherwise).
    recognize: distinct meters -> rows of schemas.RECOGNIZED in the same order.
    """
    epochs = _epochs(unit)
    with ThreadPoolExecutor(_HANDS) as pool:
        # The two sides meet only in the pools; each reads its own files.
        summed = pool.submit(_sum_charges, engine, unit, charges, epochs, unit.rules.charge_fields())
        by_owner = _own_usage(engine, unit, usage, epochs)
        owned = pool.submit(engine.run, "marts/usage_owned", inputs={"usage_by_owner": by_owner})
        cells = _gather_cells(engine, unit, charges, summed.result(), epochs, recognize, by_owner)
        ledger = _split(engine, unit, cells, by_owner)
        rollup = conform(engine.run("marts/rollup_daily", inputs={"ledger": ledger}), Dataset.ROLLUP_DAILY)
        usage_owned = conform(owned.result(), Dataset.USAGE_OWNED)
    return Built(
        ledger=ledger,
        usage_owned=usage_owned,
        rollup=rollup,
        cells=cells,
        teams=_distinct("team", cells, by_owner),
        projects=_distinct("project", cells, by_owner),
    )


def _split(engine: Engine, unit: Unit, cells: pa.Table, by_owner: pa.Table) -> pa.Table:
    """The ledger's rows: pools, their weights, and every cell's costs by them; platform lines last, by all the
    others."""
    fields = engine.run("marts/pool_fields", inputs={"cells": cells, "usage": by_owner})
    pooled = engine.run("marts/pooled_cells", inputs={"cells": cells, "fields": fields})
    weights = _weigh(engine, unit, pooled, by_owner, fields)
    ledger = engine.run("marts/ledger", params={"platform": False}, inputs={"cells": pooled, "weights": weights})
    if _has_route(pooled, "platform"):
        shares = engine.run("marts/platform_weights", inputs={"cells": pooled, "parts": ledger})
        platform = engine.run("marts/ledger", params={"platform": True}, inputs={"cells": pooled, "weights": shares})
        ledger = pa.concat_tables([ledger, platform])
    return conform(ledger, Dataset.LEDGER)


def audit(engine: Engine, unit: Unit, built: Built, *, charges: Input, usage: Input) -> None:
    """Run every law as a query that returns the offending rows; raise BrokenLaw naming the first of them."""
    provider = {"provider": unit.provider}
    checks: list[tuple[str, Mapping[str, object], Mapping[str, Input]]] = [
        ("audits/ledger_sums", provider, {"charges": charges, "ledger": built.ledger}),
        ("audits/ledger_cells", {}, {"cells": built.cells, "ledger": built.ledger}),
        ("audits/ledger_grain", {}, {"ledger": built.ledger}),
        ("audits/ledger_words", {}, {"ledger": built.ledger}),
        ("audits/rollup_sums", {}, {"ledger": built.ledger, "rollup": built.rollup}),
        ("audits/usage_kept", provider, {"usage_hourly": usage, "usage_owned": built.usage_owned}),
    ]
    with ThreadPoolExecutor(_HANDS) as pool:
        found = pool.map(lambda check: engine.run(check[0], params=check[1], inputs=check[2]), checks)
        for (model, _, _), offending in zip(checks, found, strict=True):
            if offending.num_rows:
                raise BrokenLaw(
                    f"{unit.provider} {unit.first:%Y-%m}: {model} found {offending.num_rows} rows that break its law, "
                    f"so nothing is published; the first is {offending.slice(0, 1).to_pylist()[0]}"
                )


def conform(table: pa.Table, dataset: Dataset) -> pa.Table:
    """The table in the dataset's column order and types. A value that doesn't fit raises; nothing is rounded."""
    schema = SCHEMAS[dataset]
    return table.select(schema.names).cast(schema, safe=True)


@dataclass(frozen=True)
class _Epochs:
    """Pieces of the unit in which every day has the same rules and bindings: day -> number, number -> its first day."""

    days: pa.Table
    firsts: tuple[date, ...]


def _epochs(unit: Unit) -> _Epochs:
    cuts = [cut for binding in unit.bindings for cut in (binding.valid_from, binding.valid_to)]
    pieces = unit.rules.epochs(unit.first, unit.end, cuts)
    numbered = [
        (day, number) for number, (start, end) in enumerate(pieces) for day in unit.days() if start <= day < end
    ]
    table = pa.table(
        {
            "day": pa.array([day for day, _ in numbered], pa.date32()),
            "epoch": pa.array([number for _, number in numbered], pa.int32()),
        }
    )
    return _Epochs(table, tuple(start for start, _ in pieces))


def _own_usage(engine: Engine, unit: Unit, usage: Input, epochs: _Epochs) -> pa.Table:
    looked_at = unit.rules.event_fields()
    uses = {f"use_{name}": name in looked_at for name in ("principal", "service")}
    uses["use_endpoint"] = "endpoint" in looked_at or bool(unit.bindings)
    usage_days = engine.run(
        "marts/usage_days",
        params={**uses, "provider": unit.provider},
        inputs={"usage_hourly": usage, "days": epochs.days},
    )
    keyed = {"use_api_key": "api_key" in looked_at}
    evidence = engine.run("marts/usage_evidence", params=keyed, inputs={"usage_days": usage_days})
    owned = []
    for row in evidence.to_pylist():
        day = epochs.firsts[row["epoch"]]
        owner = unit.rules.owner_of_event(row, day)
        bound = next((binding for binding in unit.bindings if binding.covers(row["endpoint"], day)), None)
        owned.append(
            (
                owner.team,
                owner.project,
                owner.environment,
                bound.billing_account_id if bound else None,
                (bound.sub_account_id or None) if bound else None,
            )
        )
    names = ("owner_team", "owner_project", "owner_environment", "bound_account_id", "bound_sub_account_id")
    return engine.run(
        "marts/usage_by_owner",
        params=keyed,
        inputs={"usage_days": usage_days, "evidence": _with_texts(evidence, names, owned)},
    )


def _sum_charges(engine: Engine, unit: Unit, charges: Input, epochs: _Epochs, looked_at: frozenset[str]) -> pa.Table:
    params: dict[str, object] = {f"use_{name}": name in looked_at for name in _OPTIONAL_EVIDENCE}
    return engine.run(
        "marts/charge_days",
        params={**params, "provider": unit.provider},
        inputs={"charges": charges, "days": epochs.days},
    )


def _gather_cells(
    engine: Engine,
    unit: Unit,
    charges: Input,
    charge_days: pa.Table,
    epochs: _Epochs,
    recognize: Recognize,
    by_owner: pa.Table,
) -> pa.Table:
    """The charges as cells. charge_days: their sums with the evidence that rules look at."""
    pools = pa.table({"pool": pc.drop_null(pc.unique(by_owner["pool"]))})
    looked_at = unit.rules.charge_fields()
    # A capacity line names its pool by a tag, its resource's name or id; without pools in telemetry nobody asks.
    if pools.num_rows and not looked_at >= _POOL_EVIDENCE:
        charge_days = _sum_charges(engine, unit, charges, epochs, looked_at | _POOL_EVIDENCE)
    meters = engine.run("marts/charge_meters", inputs={"charge_days": charge_days})
    recognized = recognize(meters)
    for name in (*_RECOGNIZED, "tokens_per_unit"):
        meters = meters.append_column(name, recognized[name])
    evidence = engine.run("marts/charge_evidence", inputs={"charge_days": charge_days})
    closed = sorted(unit.closed)
    return engine.run(
        "marts/charge_cells",
        inputs={
            "charge_days": charge_days,
            "meters": meters,
            "evidence": _own_evidence(unit, evidence, epochs),
            "pools": pools,
            "closed": pa.table(
                {
                    "billing_account_id": pa.array([account for account, _ in closed], pa.string()),
                    "billing_period": pa.array([period for _, period in closed], pa.string()),
                }
            ),
        },
    )


def _own_evidence(unit: Unit, evidence: pa.Table, epochs: _Epochs) -> pa.Table:
    owned, platform = [], []
    for row in evidence.to_pylist():
        day = epochs.firsts[row["epoch"]]
        owner = unit.rules.owner_of_charge(row, day)
        owned.append(
            (owner.team, owner.project, owner.environment, owner.kind, owner.rules, pool_named_by(row["tags"]))
        )
        platform.append(unit.rules.is_platform(row, day))
    names = ("team", "project", "environment", "owner_kind", "owner_rules", "pool")
    return _with_texts(evidence, names, owned).append_column("is_platform", pa.array(platform, pa.bool_()))


def _weigh(engine: Engine, unit: Unit, pooled: pa.Table, by_owner: pa.Table, fields: pa.Table) -> pa.Table:
    metered = engine.run("marts/metered_pools", inputs={"usage": by_owner, "fields": fields})
    tokens = engine.run(
        "marts/token_weights",
        params={"tolerance_ppm": unit.tolerance_ppm},
        inputs={"cells": pooled, "metered": metered},
    )
    if not _has_route(pooled, "capacity"):
        return tokens
    capacity = engine.run(
        "marts/capacity_weights",
        params={
            "prompt_weight": unit.weights.prompt,
            "cached_weight": unit.weights.cached,
            "output_weight": unit.weights.output,
            "version": unit.weights.version,
        },
        inputs={"cells": pooled, "usage": by_owner},
    )
    return pa.concat_tables([tokens, capacity.cast(tokens.schema)])


def _has_route(pooled: pa.Table, route: str) -> bool:
    return bool(pc.any(pc.equal(pooled["route"], route)).as_py())


def _with_texts(table: pa.Table, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pa.Table:
    for place, name in enumerate(names):
        table = table.append_column(name, pa.array([row[place] for row in rows], pa.string()))
    return table


def _distinct(column: str, *tables: pa.Table) -> frozenset[str]:
    return frozenset(value for table in tables for value in pc.unique(table[column]).to_pylist() if value is not None)
