"""Run in a process of its own: `state` prints what the lake and its records hold; `ingest PATH` ingests in between."""

import json
import sys

import django

django.setup()  # models are importable from here on; the environment names the settings

from attribution.ingest import ingest_billing  # noqa: E402
from attribution.lake import catalogue  # noqa: E402
from attribution.models import ControlTotal, Delivery, ImportedFile, Revision  # noqa: E402
from attribution.vocabulary import Dataset  # noqa: E402


def state() -> dict[str, object]:
    return {
        "hash": catalogue.lake_hash(Dataset.CHARGES),
        "revisions": Revision.objects.count(),
        "deliveries": Delivery.objects.count(),
        "files": ImportedFile.objects.count(),
        "totals": ControlTotal.objects.count(),
        "readable": sum(catalogue.read_table(one).num_rows for one in catalogue.current(Dataset.CHARGES)),
    }


print(json.dumps(state()), flush=True)
if sys.argv[1:]:
    ingest_billing(sys.argv[1:])
    print(json.dumps(state()), flush=True)
