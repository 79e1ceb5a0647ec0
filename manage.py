#!/usr/bin/env python
"""Django's command-line entry point for Weir."""

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.config.settings")
    import django
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError, ProgrammingError

    try:
        if len(sys.argv) > 1:
            django.setup()
            from governance.embedded import prepare

            prepare(sys.argv[1])
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:
        # A database that isn't there, is locked or lacks tables: one sentence, as for every other wrong start.
        print(f"Weir: the database can't be used ({error}): run 'manage.py migrate' or set WEIR_HOME", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
