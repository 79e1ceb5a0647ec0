"""A process of the attribution's crash tests; WEIR_HOME says where. Prints one JSON object.

attributors.py crash SEED ROUNDS    restate a day of the bill, attribute, be killed (SIGKILL) at a random moment; again
attributors.py once SEED ROUNDS     the same restatements, then one undisturbed attribution
attributors.py report               content hashes of what attribution publishes, and whether revisions hang together
"""

import contextlib
import json
import os
import random
import signal
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.config.settings")
sys.path.insert(0, str(Path(__file__).parents[3]))

import django

django.setup()

from django.db import connections  # noqa: E402

from attribution import services  # noqa: E402
from attribution.lake import catalogue  # noqa: E402
from attribution.lake.catalogue import PartitionKey  # noqa: E402
from attribution.models import AttributedUnit, Authority, Revision  # noqa: E402
from attribution.vocabulary import Dataset  # noqa: E402
from tests.attribution.attribution.tables import charge, charges, recognize, usage, used  # noqa: E402

PUBLISHED = (Dataset.LEDGER, Dataset.ROLLUP_DAILY, Dataset.USAGE_OWNED)
DAYS = [date(2026, 5, number) for number in (4, 5, 6)]


def restate(number: int) -> None:
    """Publish one day's bill with a cost of its own, and at first the telemetry of all days."""
    day = DAYS[number % len(DAYS)]
    key = PartitionKey(Dataset.CHARGES, scope="cur", billing_account_id="payer", billing_period="2026-05", day=day)
    lines = charges(charge(cost=str(Decimal(number + 1)), day=day), charge("s3", cost="5", day=day))
    catalogue.publish([catalogue.stage(key, lines)])
    Authority.objects.get_or_create(
        provider="aws", billing_account_id="payer", billing_period="2026-05", defaults={"scope": "cur"}
    )
    if number == 0:
        for each in DAYS:
            table = usage(used("a", 30, day=each), used("b", 70, day=each))
            catalogue.publish([catalogue.stage(PartitionKey(Dataset.USAGE_HOURLY, scope="gateway", day=each), table)])


def crash(seed: int, rounds: int) -> None:
    chance, killed = random.Random(seed), 0
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for number in range(rounds):
        connections.close_all()
        child = os.fork()
        if child == 0:
            # In a child too: a process that has run threads must not fork.
            restate(number)
            os._exit(0)
        os.waitpid(child, 0)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
        child = os.fork()
        if child == 0:
            services.attribute()
            os._exit(0)
        signal.sigtimedwait({signal.SIGCHLD}, chance.uniform(0, 3))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
    services.attribute()
    print(json.dumps({"killed": killed}))


def once(_seed: int, rounds: int) -> None:
    for number in range(rounds):
        restate(number)
    print(json.dumps({"changes": services.attribute().changes}))


def report() -> None:
    """Every commit of attribution holds the three datasets of a consistent whole; files hold their revision's rows."""
    for revision in Revision.objects.filter(dataset__in=PUBLISHED, current=True):
        assert catalogue.read_table(revision).num_rows == revision.rows
    ledger = sum(row["billed_cost"] for row in _rows(Dataset.LEDGER))
    rollup = sum(row["billed_cost"] for row in _rows(Dataset.ROLLUP_DAILY))
    assert ledger == rollup
    assert AttributedUnit.objects.count() == 1
    print(json.dumps({dataset: catalogue.lake_hash(dataset) for dataset in PUBLISHED}))


def _rows(dataset: Dataset) -> list[dict]:
    return [row for revision in catalogue.current(dataset) for row in catalogue.read_table(revision).to_pylist()]


services.recognize_table = recognize
if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {"crash": crash, "once": once, "report": report}[command](*map(int, rest))
