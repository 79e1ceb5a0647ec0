"""`manage.py reconcile [--json]`: billed, attributed, unattributed by reason, difference; exit 1 if any difference is
not 0."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from attribution.money import exact_sum
from attribution.reconcile import Reconciled, plain, quarantined_rows, reconcile


class Command(BaseCommand):
    help = "Compare the ledger with the totals of the raw bills, per provider, account, period and currency."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list of objects, amounts as exact strings")

    def handle(self, *_args: Any, **options: Any) -> None:
        rows = reconcile()
        if options["json"]:
            self.stdout.write(json.dumps([_as_json(row) for row in rows], indent=1))
        else:
            self._tell(rows)
        if kept_out := quarantined_rows():
            self.stderr.write(
                f"{kept_out} rows of these bills are in quarantine (see the Data page); an unreadable cost is in no"
                " total: mend the file and ingest it again."
            )
        if any(row.difference for row in rows):
            sys.exit(1)

    def _tell(self, rows: list[Reconciled]) -> None:
        if not rows:
            self.stdout.write("Nothing to reconcile: no bill has been ingested.")
        for row in rows:
            self.stdout.write(
                f"{row.provider} {row.billing_account_id} {row.billing_period} {row.currency}: "
                f"billed {plain(row.billed)}, attributed {plain(row.attributed)}, "
                f"unattributed {plain(exact_sum(row.unattributed.values()))}, difference {plain(row.difference)}"
            )
            for reason, amount in row.unattributed.items():
                self.stdout.write(f"    {reason} {plain(amount)}")
        wrong = sum(1 for row in rows if row.difference)
        if wrong:
            self.stderr.write(
                f"{wrong} of {len(rows)} do not reconcile: rows in quarantine, bills not attributed yet "
                "(run `manage.py attribute`), or a fault."
            )


def _as_json(row: Reconciled) -> dict[str, object]:
    return {
        "provider": row.provider,
        "billing_account_id": row.billing_account_id,
        "billing_period": row.billing_period,
        "currency": row.currency,
        "billed": plain(row.billed),
        "attributed": plain(row.attributed),
        "unattributed": {reason: plain(amount) for reason, amount in row.unattributed.items()},
        "difference": plain(row.difference),
    }
