"""The embedded default prepares itself: a command on a data folder without a database makes one first.

Only for SQLite: a PostgreSQL of a deployment is migrated by whoever deploys, never by the way.
"""

import fcntl
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

# Commands that read or write a data folder. `up` and `demo` prepare it themselves; `migrate` is the preparation.
DATA_COMMANDS = frozenset(
    {
        "attribute",
        "compare_truth",
        "configure",
        "create_person",
        "create_token",
        "first_run",
        "ingest",
        "prices",
        "reconcile",
    }
)


def prepare(command: str) -> bool:
    """Make the tables and the price book if `command` needs them and the embedded database has none yet."""
    if command not in DATA_COMMANDS or connection.vendor != "sqlite" or _has_tables():
        return False
    home: Path = settings.WEIR_HOME
    home.mkdir(parents=True, exist_ok=True)
    # Several first commands at once: one prepares, the others wait and find it done.
    with (home / ".prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _has_tables():
            return False
        call_command("migrate", verbosity=0, interactive=False)
        call_command("seed_prices", verbosity=0)
    return True


def _has_tables() -> bool:
    # The database file itself would come into being by looking into it; a folder that lacks it stays as it is.
    if not Path(str(connection.settings_dict["NAME"])).is_file():
        return False
    try:
        tables = set(connection.introspection.table_names())
    finally:
        connection.close()
    return {"attribution_price", "governance_user"} <= tables
