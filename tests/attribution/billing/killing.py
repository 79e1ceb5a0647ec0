"""Run in a process of its own: `state` prints what the lake and its records hold; `ingest PATH` ingests in between."""

import json
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"

import django

django.setup()

from attribution.ingest import ingest_billing
from attribution.lake import catalogue
from attribution.models import ControlTotal, Delivery, ImportedFile, Revision
from attribution.vocabulary import Dataset


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
