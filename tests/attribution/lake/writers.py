"""Writers of the lake as processes of their own, for the tests of concurrency and of kill -9. Run as a script:

    writers.py append NAME ROUNDS DAY...    append one row a round to one of these days, retrying on Stale
    writers.py crash SEED ROUNDS            writer after writer, each killed (SIGKILL) at a random moment
    writers.py report                       what the catalogue and the files say, as JSON

The database and the lake are those of the environment.
"""

import contextlib
import json
import os
import random
import signal
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.config.settings")
sys.path.insert(0, str(Path(__file__).parents[3]))
django.setup()

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from attribution.lake.catalogue import (  # noqa: E402
    PartitionKey,
    Stale,
    current,
    key_of,
    path_of,
    publish,
    read_table,
    seen,
    stage_many,
    sweep,
)
from attribution.lake.content import content_hash  # noqa: E402
from attribution.lake.schemas import CHARGES  # noqa: E402
from attribution.models import Delivery, Revision  # noqa: E402
from attribution.vocabulary import Dataset  # noqa: E402

ACKNOWLEDGED = Path(settings.WEIR_HOME) / "acknowledged"
DAYS = (1, 2, 3)


def key(day: int) -> PartitionKey:
    return PartitionKey(Dataset.CHARGES, "aws/cur", "111", "2026-05", date(2026, 5, day), "aws")


def rows(*labels: str) -> pa.Table:
    return pa.Table.from_pylist([{"charge_description": one, "billed_cost": Decimal(1)} for one in labels], CHARGES)


def append(days: list[int], label: str) -> int:
    """Add a row to each of these days in one publish; how often it had to be read again."""
    keys, stale = [key(day) for day in days], 0
    while True:
        expected = seen(keys)
        held = {key_of(revision): read_table(revision) for revision in current(Dataset.CHARGES)}
        grown = [(one, pa.concat_tables([held.get(one, CHARGES.empty_table()), rows(label)])) for one in keys]

        def also(commit_seq: int) -> None:
            Delivery.objects.create(kind="billing", source=label, started_at=timezone.now(), changes=commit_seq)

        try:
            publish(stage_many(grown), expected=expected, also=also)
        except Stale:
            stale += 1
        else:
            return stale


def append_rounds(name: str, rounds: int, days: list[int]) -> None:
    chance = random.Random(name)
    stale = sum(append([chance.choice(days)], f"{name}-{number}") for number in range(rounds))
    print(json.dumps({"vendor": connection.vendor, "stale": stale}))


def write_until_killed(name: str, ready: int) -> None:
    """All three days in every publish; a line in ACKNOWLEDGED when it has returned."""
    with ACKNOWLEDGED.open("a") as log:
        current(Dataset.CHARGES)
        os.write(ready, b"!")
        for number in range(10_000):
            append(list(DAYS), f"{name}-{number}")
            log.write(f"{name}-{number}\n")
            log.flush()


def crash_rounds(seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    connections.close_all()
    rows("this imports pandas, once for all")
    first = os.fork()
    if first == 0:
        append(list(DAYS), "the first lives")
        os._exit(0)
    os.waitpid(first, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 1)
    for number in range(rounds):
        connected, ready = os.pipe()
        child = os.fork()
        if child == 0:
            write_until_killed(f"writer{number}", ready)
            os._exit(1)
        os.close(ready)
        os.read(connected, 1)
        os.close(connected)
        # Killed within a few writes' time; a writer that ends by itself has failed.
        early = signal.sigtimedwait({signal.SIGCHLD}, chance.uniform(0, 0.4))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if early is not None or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"seed {seed}, round {number}: the writer ended by itself with status {status}")
        # The signal of the killed child is still pending.
        signal.sigtimedwait({signal.SIGCHLD}, 1)


def report() -> None:
    now, found = current(Dataset.CHARGES), []
    for revision in now:
        table = pq.read_table(path_of(revision), schema=CHARGES)
        found.append(
            {
                "day": revision.day.day,
                "rev": revision.rev,
                "commit_seq": revision.commit_seq,
                "whole": (table.num_rows, content_hash(table)) == (revision.rows, revision.content_hash),
                "labels": table["charge_description"].to_pylist(),
            }
        )
    root = Path(settings.WEIR_LAKE)
    before = len(list(root.rglob("*.parquet")))
    swept = sweep(timedelta(0))
    on_disk = {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}
    named = set(Revision.objects.exclude(path="").values_list("path", flat=True))
    everything = Revision.objects.order_by("commit_seq", "key")
    print(
        json.dumps(
            {
                "vendor": connection.vendor,
                "current": found,
                "files_before_sweep": before,
                "orphans": swept.orphans,
                "files_are_those_named": on_disk == named,
                "revisions": [(row.day.day, row.rev, row.commit_seq, row.superseded_seq) for row in everything],
                "deliveries": list(Delivery.objects.order_by("changes").values_list("source", "changes")),
                "acknowledged": ACKNOWLEDGED.read_text().splitlines() if ACKNOWLEDGED.exists() else [],
            }
        )
    )


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "append":
        append_rounds(arguments[0], int(arguments[1]), [int(day) for day in arguments[2:]])
    elif command == "crash":
        crash_rounds(int(arguments[0]), int(arguments[1]))
    else:
        report()
