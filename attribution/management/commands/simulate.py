"""`manage.py simulate --out DIR`: a company with known answers; native bills, telemetry and the truth."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from attribution.simulator.company import company
from attribution.simulator.run import Plan, months_before, simulate
from attribution.simulator.traffic import Surge

# Fixed, so that the same command gives the same bytes on every day.
DEFAULT_UNTIL = date(2026, 11, 1)


def _surge(text: str) -> Surge:
    """PROJECT:FROM:TO:TIMES, days as YYYY-MM-DD."""
    try:
        project, start, end, times = text.split(":")
        surge = Surge(project, date.fromisoformat(start), date.fromisoformat(end), int(times))
    except ValueError as error:
        raise ArgumentTypeError(
            f"{text!r} is no PROJECT:FROM:TO:TIMES, as fraud-graph:2026-10-20:2026-10-21:5"
        ) from error
    known = [project.slug for project in company().projects]
    if surge.project not in known or surge.times < 1 or surge.start >= surge.end:
        raise ArgumentTypeError(f"{text!r}: take one of {', '.join(known)}, FROM before TO, and 1 or more times")
    return surge


class Command(BaseCommand):
    help = "Writes DIR/{bills,telemetry,truth,config.json} of a simulated company whose costs are known."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", required=True, type=Path, help="folder to write; must be new or empty")
        parser.add_argument("--months", type=int, default=3, help="calendar months up to --until (default 3)")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--size", type=int, default=1500, help="requests of a normal weekday (default 1500)")
        parser.add_argument("--until", type=date.fromisoformat, default=DEFAULT_UNTIL, help="first day not simulated")
        parser.add_argument("--bill-lag", type=int, default=0, help="days that the bills lag behind (default 0)")
        parser.add_argument(
            "--surge",
            action="append",
            default=[],
            type=_surge,
            metavar="PROJECT:FROM:TO:TIMES",
            help="a project with TIMES its requests on the days from FROM to before TO; may be given again",
        )
        parser.add_argument("--parquet", action="store_true", help="write the CUR as Parquet")

    def handle(self, **options: Any) -> None:
        out: Path = options["out"]
        if options["months"] < 1 or options["size"] < 1 or options["bill_lag"] < 0:
            raise CommandError("--months and --size must be at least 1, --bill-lag at least 0")
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CommandError(f"{out} is not an empty folder; name a new one")
        plan = Plan(
            start=months_before(options["until"], options["months"]),
            until=options["until"],
            seed=options["seed"],
            size=options["size"],
            lag_days=options["bill_lag"],
            parquet=options["parquet"],
            surges=tuple(options["surge"]),
        )
        try:
            manifest = simulate(out, plan, self._progress if sys.stderr.isatty() else None)
        except OSError as error:
            raise CommandError(f"{out} can't be written: {error.strerror}") from error
        if sys.stderr.isatty():
            self.stderr.write("")
        self.stdout.write(
            f"{out}: {manifest['start']} to {manifest['until']}, {manifest['telemetry']['requests']:,} requests in "
            "telemetry. README.md there says what to do with it."
        )

    def _progress(self, done: int, total: int) -> None:
        self.stderr.write(f"\rsimulating day {done} of {total}", ending="")
