"""Attribution of requests from the lake, against a bare scan of them and a pandas way to the same result.

Usage: make bench-attribution SIZE=small|full; the last line is one JSON object. Every step runs in a process of its
own, on two threads; peak_mb is the largest of dedupe, mart and attribute. The clock runs around the work, not Python's
start.

    scan_s         all REQUESTS files, the columns that the mart reads and request_key
    dedupe_s       raw rows (1 % duplicates) -> REQUESTS and SERIES, a day at a time: staging/dedupe_requests,
                   rate_requests, number_series, store_requests
    mart_s         REQUESTS and SERIES -> USAGE_HOURLY, two days at a time: marts/usage_hourly; mart_write_s: to Parquet
    attribute_s    USAGE_HOURLY and CHARGES -> ledger, owned usage, roll-up (ledger.build) and all audits
    pandas_s       raw rows and CHARGES -> the same ledger by pandas, which keeps no lake: dedupe, estimate, sum, split
    pandas_lake_s  the same from our REQUESTS and SERIES, a day at a time: what pandas takes once the lake is there

Both pandas ledgers are compared with ours row by row, to the last unit; a difference fails the benchmark.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from attribution.lake.engine import DuckDBEngine, Files
from attribution.lake.schemas import CHARGES, REQUESTS, SERIES, USAGE_HOURLY
from attribution.ledger import Unit, audit, build
from attribution.ownership import Rule, RuleBook
from attribution.recognition.meters import recognize_table
from attribution.vocabulary import TOKEN_BUCKETS
from tests.benchmarks import attribution_pandas
from tests.benchmarks.attribution_load import Load, load_of, rates, series_facts, write

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = RuleBook(
    tuple(
        Rule(place, "proof", f"{where}:{part}", "value", takes=part)
        for place, (where, part) in enumerate((w, p) for w in ("tag", "event") for p in ("team", "project"))
    )
)
# The inputs of the dedupe that say what the lake held before (nothing) and what a model's tokens cost.
_HELD_SERIES = pa.schema(
    [("day", pa.date32()), ("series_id", pa.int32()), ("series", pa.int32())]
    + [(name, pa.string()) for name in ("context_band", "price_version", "price_status")]
)
_RATES = pa.schema(
    [("quote", pa.int32()), ("band_number", pa.int32()), ("bands", pa.int32()), ("context_from", pa.int64()),
     ("context_to", pa.int64()), ("context_band", pa.string()), ("price_version", pa.string())]
    + [(bucket.value, pa.decimal128(19, 18)) for bucket in TOKEN_BUCKETS]
)  # fmt: skip
MEASURED = ("dedupe", "scan", "mart", "attribute", "pandas", "pandas_lake")
# What is compared: everything that says whose money it is, and how much.
COMPARED = [
    "day", "sub_account_id", "region", "service", "model", "token_type", "team", "project", "api_key", "method",
    "reason", "billed_cost", "effective_cost", "list_cost", "contracted_cost", "billed_quantity",
]  # fmt: skip


def main() -> None:
    size = os.environ.get("SIZE", "small")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        load = load_of(Path(name), size)
        # In a process of its own too: a child's peak memory begins at what its parent held.
        lines = int(_measure("load", load, size)["bill_lines"])
        figures = {step: _measure(step, load, size) for step in MEASURED}
        for way in ("pandas", "pandas_lake"):
            _compare(load, way)
    ours = figures["mart"]["seconds"] + figures["attribute"]["seconds"]
    print(
        json.dumps(
            {
                "requests": load.requests,
                **{f"{step}_s": round(figure["seconds"], 2) for step, figure in figures.items()},
                "peak_mb": round(max(figures[step]["peak_mb"] for step in ("dedupe", "mart", "attribute"))),
                "mart_write_s": round(figures["mart"]["write"], 2),
                "audit_s": round(figures["attribute"]["audit"], 2),
                "bill_lines": lines,
                "ledger_rows": int(figures["attribute"]["rows"]),
                "pandas_peak_mb": round(figures["pandas"]["peak_mb"]),
                "to_scan": round(ours / figures["scan"]["seconds"], 2),
                "pandas_to_ours": round(figures["pandas"]["seconds"] / ours, 1),
                "pandas_to_ours_with_dedupe": round(
                    figures["pandas"]["seconds"] / (ours + figures["dedupe"]["seconds"]), 1
                ),
                "pandas_lake_to_ours": round(figures["pandas_lake"]["seconds"] / ours, 1),
            }
        )
    )


def _measure(step: str, load: Load, size: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_attribution", step, str(load.folder), size]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{step}: {figures}", flush=True)
    return figures


def _step(step: str, folder: Path, size: str) -> None:
    figures = STEPS[step](load_of(folder, size))
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def _engine(load: Load) -> DuckDBEngine:
    return DuckDBEngine(memory_limit="700MB", threads=2, temp_directory=load.folder / "tmp")


def _load(load: Load) -> dict[str, float]:
    return {"bill_lines": float(write(load))}


def _scan(load: Load) -> dict[str, float]:
    connection = duckdb.connect(config={"threads": 2})
    start = time.perf_counter()
    connection.execute(
        """
        select
            count(request_key), max(request_key), min(completed_at), sum(series_id), sum(requests), sum(input_uncached),
            sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), sum(output), sum(reasoning), sum(estimated_cost),
            count(error)
        from read_parquet($paths)
        """,
        {"paths": [str(load.made("requests", day)) for day in load.days]},
    ).fetchall()
    return {"seconds": time.perf_counter() - start}


def _dedupe(load: Load) -> dict[str, float]:
    facts = series_facts()
    order = pa.table({"series": facts["series"], "place": facts["series"]})
    model_rates = _price_rates()
    start = time.perf_counter()
    with _engine(load) as engine:
        for day in load.days:
            quotes = pa.table(
                {
                    "day": pa.repeat(pa.scalar(day, pa.date32()), facts.num_rows),
                    "series": facts["series"],
                    "quote": pa.array([_MODEL_NUMBER[model] for model in facts["model"].to_pylist()], pa.int32()),
                }
            )
            winners = engine.run(
                "staging/dedupe_requests",
                inputs={
                    "incoming": Files([load.raw(day)]),
                    "requests": Files([], REQUESTS),
                    "held_series": _HELD_SERIES.empty_table(),
                    "series_order": order,
                    "days": _one_day(day),
                },
            )
            rated = engine.run(
                "staging/rate_requests", inputs={"requests": winners, "quotes": quotes, "rates": model_rates}
            )
            numbered = engine.run("staging/number_series", inputs={"requests": rated, "series_order": order})
            stored = engine.run("staging/store_requests", inputs={"requests": rated, "numbered": numbered})
            named = numbered.select(["series_id", "series", "context_band", "price_version", "price_status"])
            named = named.join(facts, "series").select(SERIES.names)
            for kind, table in (("requests", stored.select(REQUESTS.names)), ("series", named)):
                path = load.made(kind, day)
                path.parent.mkdir(exist_ok=True)
                pq.write_table(table, path, compression="zstd", row_group_size=122_880)
    return {"seconds": time.perf_counter() - start}


def _one_day(day: date) -> pa.Table:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    row = {
        "day": day,
        "whole": True,
        "first_hour_end": start + timedelta(hours=1),
        "last_hour_start": start + timedelta(hours=23),
    }
    return pa.Table.from_pylist([row])


_MODEL_NUMBER = {model: number for number, model in enumerate(dict.fromkeys(rates()["model"].to_pylist()))}


def _price_rates() -> pa.Table:
    by_model: dict[str, dict[str, Decimal]] = {}
    for row in rates().to_pylist():
        by_model.setdefault(row["model"], {})[row["bucket"]] = Decimal(row["nano_per_thousand"]).scaleb(-12)
    return pa.Table.from_pylist(
        [
            {"quote": _MODEL_NUMBER[model], "band_number": 0, "bands": 1, "context_from": 0, "context_band": "base",
             "price_version": "bench", "cache_write_1h": Decimal(0), **prices}
            for model, prices in by_model.items()
        ],
        schema=_RATES,
    )  # fmt: skip


def _mart(load: Load) -> dict[str, float]:
    def make(day: date) -> pa.Table:
        series = pq.read_table(load.made("series", day))
        series = series.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), series.num_rows))
        return engine.run(
            "marts/usage_hourly",
            params={"source": "gateway"},
            inputs={"requests": Files([load.made("requests", day)]), "series": series},
        )

    start = time.perf_counter()
    # A day has few row groups: two days at a time keep two threads busy.
    with _engine(load) as engine, ThreadPoolExecutor(2) as pool:
        made = list(pool.map(make, load.days))
        done = time.perf_counter()
    (load.folder / "usage").mkdir(exist_ok=True)
    for day, table in zip(load.days, made, strict=True):
        pq.write_table(table, load.made("usage", day), compression="zstd")
    return {"seconds": done - start, "write": time.perf_counter() - done}


def _attribute(load: Load) -> dict[str, float]:
    first = load.days[0]
    unit = Unit("aws", first, first.replace(month=first.month + 1), RULES)
    inputs = {
        "charges": Files([load.charges(day) for day in load.days], CHARGES),
        "usage": Files([load.made("usage", day) for day in load.days], USAGE_HOURLY),
    }
    start = time.perf_counter()
    with _engine(load) as engine:
        built = build(engine, unit, **inputs, recognize=recognize_table)
        done = time.perf_counter()
        audit(engine, unit, built, **inputs)
    end = time.perf_counter()
    figures = {"seconds": end - start, "audit": end - done, "rows": float(built.ledger.num_rows)}
    pq.write_table(built.ledger.select(COMPARED), load.folder / "ledger.parquet")
    return figures


def _pandas(load: Load, *, raw: bool) -> dict[str, float]:
    start = time.perf_counter()
    frame = attribution_pandas.attribute(load, raw=raw)
    seconds = time.perf_counter() - start
    schema = pq.read_schema(load.folder / "ledger.parquet")
    table = pa.Table.from_pandas(frame[COMPARED], schema, preserve_index=False)
    pq.write_table(table, load.folder / f"{'pandas' if raw else 'pandas_lake'}.parquet")
    return {"seconds": seconds}


def _compare(load: Load, way: str) -> None:
    """The two ledgers as multisets of rows: equal to the last unit, or the benchmark fails."""
    order = [(name, "ascending") for name in COMPARED]
    ours, theirs = (pq.read_table(load.folder / f"{name}.parquet").sort_by(order) for name in ("ledger", way))
    if not ours.equals(theirs):
        different = [name for name in COMPARED if not ours[name].equals(theirs[name])]
        raise SystemExit(f"{way} has {theirs.num_rows} rows, the ledger {ours.num_rows}; they differ in {different}")


STEPS: dict[str, Callable[[Load], dict[str, float]]] = {
    "load": _load,
    "scan": _scan,
    "dedupe": _dedupe,
    "mart": _mart,
    "attribute": _attribute,
    "pandas": partial(_pandas, raw=True),
    "pandas_lake": partial(_pandas, raw=False),
}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        _step(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    else:
        main()
