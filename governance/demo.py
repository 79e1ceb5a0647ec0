"""The demo: a simulated company, loaded once into the demo's own data folder, with people who can sign in.

Every step may be killed and run again: the company's folder is made under another name and then renamed, ingest and
attribution are idempotent by content, people are made only if they are missing. A marker says that all of it is done.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from attribution.configuration import configure, read_configuration
from attribution.ingest import ingest_billing
from attribution.ingest_telemetry import ingest_telemetry
from attribution.models import Team
from attribution.services import attribute
from attribution.simulator.run import Plan, months_before, simulate
from attribution.simulator.traffic import Surge
from governance.anomaly_search import judge
from governance.forecast_fits import fit_forecasts, judge_forecasts
from governance.identity.services import create_person
from governance.models import Role, User

MONTHS, SEED, SIZE = 3, 1, 1500
# Clouds bill late; the newest days show estimates.
BILL_LAG_DAYS = 1
# An agent of this project runs away for a day: something unusual to find, explain and learn from.
RUNAWAY, RUNAWAY_TIMES = "fraud-graph", 6
SOURCE = "gateway"


@dataclass(frozen=True)
class DemoPerson:
    email: str
    name: str
    role: Role
    team: str = ""


PEOPLE = (
    DemoPerson("owner@halden.example", "Olga Owner", Role.OWNER),
    DemoPerson("finance@halden.example", "Farid Finance", Role.FINANCE),
    DemoPerson("viewer@halden.example", "Vera Viewer", Role.VIEWER),
    DemoPerson("lead@halden.example", "Liam Lead", Role.LEAD, "insurance"),
    DemoPerson("member@halden.example", "Mina Member", Role.MEMBER, "fraud"),
)

Say = Callable[[str], None]


def is_loaded(home: Path) -> bool:
    return _marker(home).is_file()


def password_of(home: Path) -> str:
    """The password of all demo people: made once, kept in the demo's data folder (mode 600)."""
    path = home / "demo_password"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(password := secrets.token_urlsafe(12))
    return password


def load(home: Path, *, today: date, now: datetime, say: Say, months: int = MONTHS, size: int = SIZE) -> bool:
    """Loads what is missing of the demo below `home`; False when all of it was there.

    today: the first day that is not simulated; a half-loaded demo keeps the day on which it was begun.
    """
    if is_loaded(home):
        return False
    home.mkdir(parents=True, exist_ok=True)
    folder = _company(home, today, months, size, say)
    configure(read_configuration(folder / "config.json"))
    say("reading the bills of three clouds")
    ingest_billing([str(folder / "bills")])
    say("reading the telemetry")
    ingest_telemetry([str(folder / "telemetry")], SOURCE)
    say("attributing")
    attribute()
    say("fitting forecasts")
    fit_forecasts(now)
    judge_forecasts(now)
    judge(now)
    make_people(now, password_of(home))
    _write_marker(home, {"loaded_at": now.isoformat(), "until": _until(folder)})
    return True


def make_people(now: datetime, password: str) -> None:
    """Makes the demo people who don't exist yet."""
    for person in PEOPLE:
        if User.objects.filter(email=person.email).exists():
            continue
        team = Team.objects.get(slug=person.team) if person.team else None
        create_person(email=person.email, name=person.name, role=person.role, now=now, team=team, password=password)


def _company(home: Path, today: date, months: int, size: int, say: Say) -> Path:
    folder, partial = home / "company", home / "company.partial"
    if folder.is_dir():
        return folder
    shutil.rmtree(partial, ignore_errors=True)
    say(f"simulating a company: {months} months up to {today.isoformat()}")
    plan = Plan(
        start=months_before(today, months),
        until=today,
        seed=SEED,
        size=size,
        lag_days=BILL_LAG_DAYS,
        surges=(Surge(RUNAWAY, runaway_day(today), runaway_day(today) + timedelta(days=1), RUNAWAY_TIMES),),
    )
    simulate(partial, plan)
    partial.rename(folder)
    return folder


def runaway_day(today: date) -> date:
    """The newest Tuesday whose bill is there and that people still remember."""
    settled = today - timedelta(days=BILL_LAG_DAYS + 2)
    return settled - timedelta(days=(settled.weekday() - 1) % 7)


def _until(folder: Path) -> str:
    manifest: dict[str, Any] = json.loads((folder / "truth" / "manifest.json").read_text(encoding="utf-8"))
    return str(manifest["until"])


def _marker(home: Path) -> Path:
    return home / "demo.json"


def _write_marker(home: Path, content: dict[str, str]) -> None:
    partial = home / "demo.json.partial"
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(_marker(home))
