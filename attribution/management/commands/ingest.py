"""`manage.py ingest billing PATH...` and `manage.py ingest telemetry PATH...`: files in, a summary out.

Exit 0 also with quarantined rows (they are reported); 1 when a file is unreadable or the delivery is refused.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from attribution.imports import SecondAuthority
from attribution.ingest import DeliveryRefused, IngestSummary, UnreadableDelivery, ingest_billing
from attribution.ingest_telemetry import ingest_telemetry
from attribution.lake.catalogue import LakeError
from attribution.lake.engine import EngineError
from attribution.sources.billing.base import UnreadableFile

_BAR = 30


class Command(BaseCommand):
    help = "Ingest bills or telemetry from files and folders."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        billing = kinds.add_parser("billing", help="bills: AWS CUR, Azure cost details, GCP export, FOCUS")
        billing.add_argument("paths", nargs="+", metavar="PATH", help="a file, or an export's folder")
        billing.add_argument("--scope", default="", help="the delivery's name; by default made from the export or rows")
        billing.add_argument(
            "--replace", action="store_true", help="allow that more than half of a period's rows vanish"
        )
        _add_json(billing)
        telemetry = kinds.add_parser(
            "telemetry", help="requests: Weir's NDJSON, LiteLLM, OTLP/JSON (docs/telemetry.md)"
        )
        telemetry.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder of them")
        telemetry.add_argument("--source", default=None, help="whose requests these are; by default the format's name")
        _add_json(telemetry)

    def handle(self, *_args: Any, **options: Any) -> None:
        run = self._billing if options["kind"] == "billing" else self._telemetry
        try:
            run(options)
        except (UnreadableDelivery, UnreadableFile, DeliveryRefused, SecondAuthority, LakeError, EngineError) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"the database refused ({error}); `manage.py migrate` prepares a new one") from error
        except OSError as error:
            raise CommandError(f"cannot write to the data folder or read a file: {error}") from error

    def _billing(self, options: Mapping[str, Any]) -> None:
        summary = ingest_billing(
            options["paths"], scope=options["scope"], replace=options["replace"], progress=self._progress(options)
        )
        if options["as_json"]:
            self.stdout.write(json.dumps(summary.as_json(), ensure_ascii=False))
        else:
            self._print(summary)

    def _telemetry(self, options: Mapping[str, Any]) -> None:
        summary = ingest_telemetry(options["paths"], options["source"], self._progress(options))
        if options["as_json"]:
            self.stdout.write(json.dumps(summary, ensure_ascii=False))
            return
        for file in summary["files"]:
            self.stdout.write(f"{file['path']}: {file['format']} of {file['provider'] or 'nobody'}")
            estimate = file["estimated_cost"].get("USD", "nothing")
            counts = (
                f"{file['requests']} requests, {file['duplicates']} duplicates, {file['unpriced_requests']} unpriced"
            )
            self.stdout.write(f"  {counts}, estimated {estimate} USD; {_counts(file)}")
            for complaint in file["quarantine"]:
                where = f"line {complaint['line']}, {complaint['field']} {complaint['value']!r}"
                self.stdout.write(f"  quarantined {complaint['count']}: {where}: {complaint['reason']}")
        self.stdout.write(f"{summary['changes']} partitions changed")

    def _progress(self, options: Mapping[str, Any]) -> Any:
        """A bar on a terminal's stderr, nothing elsewhere."""
        if options["as_json"] or not sys.stderr.isatty():
            return None

        def draw(done: int, total: int) -> None:
            filled = _BAR * done // max(total, 1)
            end = "\n" if done >= total else ""
            print(
                f"\r[{'#' * filled}{'.' * (_BAR - filled)}] {done >> 20} of {total >> 20} MB", end=end, file=sys.stderr
            )

        return draw

    def _print(self, summary: IngestSummary) -> None:
        for report in summary.files:
            file = report.as_json()
            billed = ", ".join(f"{amount} {currency}" for currency, amount in _items(file["billed_cost"]))
            self.stdout.write(f"{file['path']}: {file['format']} of {file['provider'] or 'nobody'}")
            self.stdout.write(f"  billed {billed or 'nothing'}; {_counts(file)}")
            if file["rounding_residue"] != "0":
                self.stdout.write(f"  rounding to 18 decimals left off {file['rounding_residue']}")
            for complaint in report.tally.quarantine:
                where = f"line {complaint.line}, {complaint.field} {complaint.value!r}"
                self.stdout.write(f"  quarantined {complaint.count}: {where}: {complaint.reason}")
            for reason, count in sorted(report.tally.dropped.items()):
                self.stdout.write(f"  dropped {count}: {reason}")
        if summary.passed_over:
            self.stdout.write(f"{len(summary.passed_over)} older or unlisted files were passed over")
        self.stdout.write(f"{summary.changes} partitions changed")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object for programs")


def _items(amounts: object) -> Sequence[tuple[str, str]]:
    return sorted(amounts.items()) if isinstance(amounts, dict) else []


def _counts(file: Mapping[str, object]) -> str:
    words = ("rows_read", "rows_created", "rows_kept", "rows_quarantined", "rows_dropped")
    return ", ".join(f"{file[word]} {word.removeprefix('rows_')}" for word in words)
