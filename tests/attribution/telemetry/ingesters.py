"""Ingests of telemetry as processes of their own, for the tests of concurrency and of kill -9. Run as a script:

    ingesters.py ingest PATH...            one ingest, a day a transaction
    ingesters.py crash SEED ROUNDS PATH    the same ingest again and again, each killed (SIGKILL) at a random moment
    ingesters.py report                    what the lake holds, as JSON

The database and the lake are those of the environment.
"""

import contextlib
import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.config.settings")
sys.path.insert(0, str(Path(__file__).parents[3]))
django.setup()

from django.db import connections  # noqa: E402

from attribution import ingest_telemetry as ingest  # noqa: E402
from attribution.lake import catalogue  # noqa: E402
from attribution.models import Revision  # noqa: E402
from attribution.sources.telemetry.spool import Spool  # noqa: E402
from attribution.vocabulary import Dataset  # noqa: E402

DATASETS = (Dataset.REQUESTS, Dataset.SERIES, Dataset.USAGE_HOURLY)

# Every day becomes a transaction of its own, so that there are many moments to be killed at.
ingest.Spool = partial(Spool, max_rows=1)


def ingest_until_killed(path: str, ready: int) -> None:
    """Says when the days begin, and when each is published."""
    merge_all, publish = ingest._merge_all, catalogue.publish

    def merge_all_announced(*args):
        os.write(ready, b"!")
        return merge_all(*args)

    def publish_announced(*args, **kwargs):
        published = publish(*args, **kwargs)
        os.write(ready, b"!")
        return published

    ingest._merge_all, catalogue.publish = merge_all_announced, publish_announced
    ingest.ingest_telemetry([path])


def crash(seed: int, rounds: int, path: str) -> None:
    chance = random.Random(seed)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    connections.close_all()
    killed = 0
    for _ in range(rounds):
        started, ready = os.pipe()
        child = os.fork()
        if child == 0:
            ingest_until_killed(path, ready)
            os._exit(0)
        os.close(ready)
        for _ in range(chance.choice([1, 1, 2, 3])):
            os.read(started, 1)
        signal.sigtimedwait({signal.SIGCHLD}, chance.uniform(0, 0.2))
        os.close(started)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
    print(json.dumps({"killed": killed}))


def report() -> None:
    held = {}
    for dataset in DATASETS:
        for revision in catalogue.current(dataset):
            held.setdefault(str(revision.day), {})[str(dataset)] = revision.commit_seq
            assert catalogue.read_table(revision).num_rows == revision.rows
    requests = [
        row["request_key"]
        for revision in catalogue.current(Dataset.REQUESTS)
        for row in catalogue.read_table(revision).to_pylist()
    ]
    print(
        json.dumps(
            {
                "hashes": {str(dataset): catalogue.lake_hash(dataset) for dataset in DATASETS},
                "days": held,
                "requests": sorted(requests),
                "revisions": Revision.objects.count(),
            }
        )
    )


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "ingest":
        print(json.dumps(ingest.ingest_telemetry(arguments)))
    elif command == "crash":
        crash(int(arguments[0]), int(arguments[1]), arguments[2])
    else:
        report()
