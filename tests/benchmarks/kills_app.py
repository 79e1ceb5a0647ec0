"""The Celery application of bench_kills: the product's own, with a log of what is really written to Envoy."""

import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import django

from governance.config import celery_app as app

# Celery imports this module before it sets Django up.
django.setup()

from routing import pushing  # noqa: E402
from routing.orchestrators import registry  # noqa: E402
from routing.orchestrators.base import Plan, Receipt  # noqa: E402
from routing.orchestrators.envoy import folder  # noqa: E402
from routing.orchestrators.envoy.orchestrator import EnvoyOrchestrator, open_envoy  # noqa: E402

# A killed worker's push is taken over after this; the product waits longer for the living.
pushing.LEASE = timedelta(seconds=8)


class Counted:
    """An Envoy whose every push leaves two lines: before it, whether the key is held already; after it, what it did."""

    def __init__(self, inner: EnvoyOrchestrator, log: Path) -> None:
        self._inner = inner
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        journal = folder.read_journal(self._inner.layout.xds)
        held = journal.key == plan.key and journal.pending is None
        self._write(plan.key, "begin", held)
        receipt = self._inner.apply(plan, now=now)
        self._write(plan.key, "end", receipt.repeated)
        return receipt

    def _write(self, key: str, what: str, flag: bool) -> None:
        line = json.dumps({"key": key, "what": what, "flag": flag, "pid": os.getpid()}) + "\n"
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def open_counted(name: str, settings: Mapping[str, Any]) -> Any:
    return Counted(open_envoy(name, settings), Path(settings["log"]))


registry._OPENERS["counted"] = open_counted
__all__ = ["app"]
