"""Rows per second and peak memory of taking in each bill format, and telemetry; against a bare read of the same file.

Usage: make bench-ingest SIZE=small|full; the last line is one JSON object:
{format: {rows, rows_per_s, peak_mb, bare_rows_per_s, ratio}}, ratio = the ingest's seconds by the bare read's.

The load is the simulated company's own files, each repeated to the wanted number of rows (a repeated line is a charge
of its own). Every format is measured in a process of its own, on an empty data folder; the clock runs around the call
that the command makes, so Python's start isn't in it. The bare read parses the file's text into columns and drops them.
"""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = {"small": 40_000, "full": 1_000_000}
REQUESTS = {"small": 60_000, "full": 1_000_000}

MEASURE = """
import json, os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
kind, path = sys.argv[1:]
if kind == "telemetry":
    call_command("seed_prices", verbosity=0)
    from attribution.ingest_telemetry import ingest_telemetry
    start = time.perf_counter()
    ingest_telemetry([path], source="bench", progress=None)
else:
    from attribution.ingest import ingest_billing
    start = time.perf_counter()
    ingest_billing([path])
seconds = time.perf_counter() - start
# Not ru_maxrss: a process inherits that of the one that started it.
peak_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "peak_mb": peak_kb / 1024}))
"""

BARE = """
import json, sys, time
path = sys.argv[1]
start = time.perf_counter()
if path.endswith(".parquet"):
    import pyarrow.parquet as pq
    rows = sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(65536))
elif path.endswith(".csv"):
    import pyarrow as pa, pyarrow.csv as pc
    names = pc.open_csv(path).schema.names
    options = pc.ConvertOptions(column_types={name: pa.string() for name in names})
    rows = sum(batch.num_rows for batch in pc.open_csv(path, convert_options=options))
else:
    rows = 0
    with open(path, "rb") as lines:
        for line in lines:
            json.loads(line)
            rows += 1
print(json.dumps({"seconds": time.perf_counter() - start, "rows": rows}))
"""


def main() -> None:
    size = os.environ.get("SIZE", "small")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        base = Path(folder)
        company = _simulate(base)
        figures = {}
        for name, make in _loads(company, size).items():
            path = make(base)
            figures[name] = _measure(name, path, base / f"home-{name}")
            path.unlink()
            print(f"{name}: {figures[name]}", flush=True)
    print(json.dumps(figures))


def _simulate(base: Path) -> Path:
    out = base / "company"
    command = [sys.executable, "manage.py", "simulate", "--out", str(out), "--months", "1", "--seed", "1"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=_environment(base / "home-simulate"))
    return out


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "WEIR_HOME": str(home), "WEIR_DEMO": "0"}


def _loads(company: Path, size: str) -> dict[str, Callable[[Path], Path]]:
    rows = ROWS[size]
    aws = sorted((company / "bills" / "aws").rglob("*.csv.gz"))[-1]
    actual = sorted((company / "bills" / "azure").rglob("*actual*/**/*.csv.gz"))[-1]
    gcp = max((company / "bills" / "gcp").glob("*.csv.gz"), key=lambda path: path.stat().st_size)
    telemetry = sorted((company / "telemetry").glob("*.ndjson.gz"))
    focus = ROOT / "tests" / "samples" / "focus" / "focus_sample.csv.gz"
    return {
        "aws-cur2-csv": lambda base: _repeat_csv(aws, base / "cur2.csv", rows),
        "aws-cur2-parquet": lambda base: _as_parquet(_repeat_csv(aws, base / "cur2.csv", rows), base / "cur2.parquet"),
        "azure-actual": lambda base: _repeat_csv(actual, base / "actual.csv", rows),
        "gcp-export": lambda base: _repeat_csv(gcp, base / "gcp.csv", rows),
        "focus": lambda base: _repeat_csv(focus, base / "focus.csv", rows),
        "telemetry-ndjson": lambda base: _repeat_events(telemetry, base / "usage.ndjson", REQUESTS[size]),
    }


def _lines(path: Path) -> Iterator[list[str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))


def _repeat_csv(source: Path, target: Path, rows: int) -> Path:
    head, *body = _lines(source)
    buffer = io.StringIO()
    csv.writer(buffer).writerows(body)
    once = buffer.getvalue()
    with target.open("w", newline="") as out:
        csv.writer(out).writerow(head)
        for _ in range(max(rows // len(body), 1)):
            out.write(once)
    return target


def _as_parquet(source: Path, target: Path) -> Path:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    # Costs are doubles in a real CUR 2.0 Parquet file; everything else stays text here.
    names = pc.open_csv(source).schema.names
    doubles = {"line_item_unblended_cost", "line_item_usage_amount", "pricing_public_on_demand_cost"}
    types = {name: pa.float64() if name in doubles else pa.string() for name in names}
    options = pc.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    pq.write_table(pc.read_csv(source, convert_options=options), target)
    source.unlink()
    return target


def _repeat_events(sources: list[Path], target: Path, wanted: int) -> Path:
    """One real event a line, each repetition under new ids, so that nothing is a duplicate."""
    written, turn = 0, 0
    with target.open("w") as out:
        while written < wanted:
            for source in sources:
                with gzip.open(source, "rt") as lines:
                    for line in lines:
                        out.write(line.replace('"request_id":"', f'"request_id":"{turn}-', 1))
                        written += 1
                if written >= wanted:
                    break
            turn += 1
    return target


def _measure(name: str, path: Path, home: Path) -> dict[str, float]:
    kind = "telemetry" if name.startswith("telemetry") else "billing"
    bare = _run(BARE, [str(path)], home)
    done = _run(MEASURE, [kind, str(path)], home)
    rows = bare["rows"]
    return {
        "rows": rows,
        "rows_per_s": round(rows / done["seconds"]),
        "peak_mb": round(done["peak_mb"]),
        "bare_rows_per_s": round(rows / bare["seconds"]),
        "ratio": round(done["seconds"] / bare["seconds"], 1),
    }


def _run(code: str, arguments: list[str], home: Path) -> dict[str, float]:
    command = [sys.executable, "-c", code, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=_environment(home), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[3:]} failed after {time.perf_counter() - start:.0f} s:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
