"""How the bills lie on disk: each export as its cloud delivers it, the newest month twice, the second time restated."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

from attribution.simulator.bills import aws, azure, gcp
from attribution.simulator.bills.aws import AwsBill
from attribution.simulator.bills.azure import AzureBill
from attribution.simulator.bills.gcp import GcpBill
from attribution.simulator.bills.lines import Row, guid, month_end, month_start, token

_AWS_EXPORT, _ACTUAL, _AMORTIZED = "halden-cur2", "halden-actual", "halden-amortized"


def write_aws(root: Path, bill: AwsBill, first: AwsBill, restated: str, *, parquet: bool = False) -> None:
    """CUR 2.0 in the layout of Data Exports, an execution folder a delivery; the manifest names the current one."""
    for period, rows in sorted(bill.rows.items()):
        if period == restated:
            _aws_execution(root, period, first.rows[period], 1, parquet=parquet)
        _aws_execution(root, period, rows, 2 if period == restated else 1, parquet=parquet)


def _aws_execution(root: Path, period: str, rows: Sequence[Row], number: int, *, parquet: bool) -> None:
    made = month_end(period) + timedelta(days=number)
    execution = f"{made:%Y%m%d}T060000Z-{token('aws', period, number, length=8)}"
    name = f"{_AWS_EXPORT}-00001.{'snappy.parquet' if parquet else 'csv.gz'}"
    folder = root / "aws" / _AWS_EXPORT / "data" / f"BILLING_PERIOD={period}" / execution
    content = _parquet(rows) if parquet else _gzip(_csv(aws.COLUMNS, rows))
    _write(folder / name, content)
    manifest: dict[str, object] = {
        "exportName": _AWS_EXPORT,
        "executionId": execution,
        "billingPeriod": period,
        "columns": [
            {"name": column, "type": "double" if column in aws.DOUBLES else "string"} for column in aws.COLUMNS
        ],
        "dataFiles": [f"s3://halden-billing/aws/{_AWS_EXPORT}/data/BILLING_PERIOD={period}/{execution}/{name}"],
    }
    metadata = root / "aws" / _AWS_EXPORT / "metadata" / f"BILLING_PERIOD={period}"
    _write(metadata / execution / f"{_AWS_EXPORT}-Manifest.json", _json(manifest))
    # The newest execution's manifest also stands at the month's own place, as AWS keeps it.
    _write(metadata / f"{_AWS_EXPORT}-Manifest.json", _json(manifest))


def write_azure(root: Path, bill: AzureBill, first: AzureBill, restated: str) -> None:
    """Two exports, a folder a month and a run; the newest submittedTime of a month is current."""
    for period in sorted(bill.rows):
        if period == restated:
            _azure_run(root, _ACTUAL, "ActualCost", period, first.rows[period], 1)
            _azure_run(root, _AMORTIZED, "AmortizedCost", period, first.amortized[period], 1)
        number = 2 if period == restated else 1
        _azure_run(root, _ACTUAL, "ActualCost", period, bill.rows[period], number)
        _azure_run(root, _AMORTIZED, "AmortizedCost", period, bill.amortized[period], number)


def _azure_run(root: Path, export: str, kind: str, period: str, rows: Sequence[Row], number: int) -> None:
    start, end = month_start(period), month_end(period) - timedelta(days=1)
    run = guid("azure", export, period, number)
    folder = Path("azure") / export / f"{start:%Y%m%d}-{end:%Y%m%d}" / run
    content = _gzip(_csv(azure.COLUMNS, rows))
    _write(root / folder / "part_0_0001.csv.gz", content)
    billing = "/providers/Microsoft.Billing/billingAccounts/88112233"
    manifest: dict[str, object] = {
        "manifestVersion": "2024-04-01",
        "byteCount": len(content),
        "blobCount": 1,
        "dataRowCount": len(rows),
        "exportConfig": {
            "exportName": export,
            "resourceId": f"{billing}/providers/Microsoft.CostManagement/exports/{export}",
            "dataVersion": "c360-2025-04",
            "apiVersion": "2025-03-01",
            "type": kind,
            "timeFrame": "Custom",
            "granularity": "Daily",
        },
        "deliveryConfig": {
            "partitionData": True,
            "dataOverwriteBehavior": "CreateNewReport",
            "fileFormat": "Csv",
            "compressionMode": "gzip",
            "containerUri": f"{billing}/storage",
            "rootFolderPath": "azure",
        },
        "runInfo": {
            "executionType": "Scheduled",
            "submittedTime": f"{end + timedelta(days=1 + number):%Y-%m-%d}T05:12:44.1234567Z",
            "runId": run,
            "startDate": f"{start:%Y-%m-%d}T00:00:00",
            "endDate": f"{end:%Y-%m-%d}T00:00:00",
        },
        "blobs": [{"blobName": f"{folder}/part_0_0001.csv.gz", "byteCount": len(content), "dataRowCount": len(rows)}],
    }
    _write(root / folder / "manifest.json", _json(manifest))


def write_gcp(root: Path, bill: GcpBill) -> None:
    """The table's rows, a file an invoice month."""
    for period, rows in sorted(bill.rows.items()):
        name = f"gcp_billing_export_resource_v1_01AF3C_77B2D0_9E4411-{period}.csv.gz"
        _write(root / "gcp" / name, _gzip(_csv(gcp.COLUMNS, rows)))


def restated_day(period: str, billed_until: date) -> date:
    """The day of the newest month that the second delivery changes."""
    return min(month_start(period) + timedelta(days=9), billed_until - timedelta(days=1))


def _csv(columns: Iterable[str], rows: Sequence[Row]) -> bytes:
    names = list(columns)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] for row in rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    """The same rows as Parquet: doubles as AWS types them, maps as maps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays, names = [], list(aws.COLUMNS)
    for name in names:
        texts = [row.get(name, "") for row in rows]
        if name in aws.MAPS:
            pairs = [list(json.loads(text or "{}").items()) for text in texts]
            arrays.append(pa.array(pairs, pa.map_(pa.string(), pa.string())))
        elif name in aws.DOUBLES:
            arrays.append(pa.array([float(text) if text else None for text in texts], pa.float64()))
        else:
            arrays.append(pa.array([text or None for text in texts], pa.string()))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, names=names), sink, compression="snappy")
    return bytes(sink.getvalue())


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=5, mtime=0)


def _json(manifest: dict[str, object]) -> bytes:
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
