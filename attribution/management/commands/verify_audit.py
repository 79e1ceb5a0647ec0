"""Check the audit trail's chain, and export it."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution import audit
from attribution.models import AuditEntry


class Command(BaseCommand):
    help = "Check that no entry of the audit trail was changed, removed or put in. Exits 1 on a broken chain."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the answer as JSON")
        parser.add_argument("--export", metavar="FILE", help="also write every entry to FILE, one JSON object a line")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["export"]:
            self._export(options["export"])
        problems = list(audit.verify())
        seq, digest = audit.newest()
        if options["json"]:
            found = [{"seq": one.seq, "problem": one.words} for one in problems]
            self.stdout.write(json.dumps({"entries": seq, "digest": digest, "problems": found}))
        else:
            for one in problems:
                self.stdout.write(one.words)
            self.stdout.write(f"{seq} entries, newest digest {digest or '-'}: keep it elsewhere to prove the end")
        if problems:
            raise CommandError(f"the audit trail is broken in {len(problems)} places", returncode=1)

    def _export(self, path: str) -> None:
        names = [field.name for field in AuditEntry._meta.fields if field.name != "id"]
        try:
            with open(path, "x", encoding="utf-8") as file:  # noqa: PTH123
                for values in AuditEntry.objects.order_by("seq").values(*names).iterator(chunk_size=1000):
                    file.write(json.dumps(values | {"at": values["at"].isoformat()}, sort_keys=True) + "\n")
        except FileExistsError as error:
            raise CommandError(f"{path} exists: name a new file") from error
