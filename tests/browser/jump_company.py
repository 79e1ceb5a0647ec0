"""Run as a program with WEIR_HOME set: a small company whose newest bills are late, and the jump of one team's traffic.

jump_company.py make WEBHOOK-URL   data, people, a webhook of the team; prints what the jump will cost
jump_company.py jump               the simulator plays the newest days again, the team's traffic many times over
"""

import csv
import json
import os
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

# As in company.py, whose people sign in.
PASSWORD = "a long password for tests"
TEAM, PROJECTS = "claims", ("claims-triage", "claims-letters", "damage-photos")
SEED, SIZE = 5, 40
HISTORY = timedelta(days=45)
# The jump is on days without a bill: there, usage is the only thing that can tell.
JUMPED_DAYS = 4
TIMES = 5


def main(command: str, *arguments: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
    import django

    django.setup()
    {"make": make, "jump": jump}[command](*arguments)


def make(webhook: str) -> None:
    from django.conf import settings
    from django.core.management import call_command

    from attribution.configuration import configure, read_configuration
    from attribution.ingest import ingest_billing
    from attribution.ingest_telemetry import ingest_telemetry
    from attribution.models import Team
    from attribution.services import attribute
    from governance.forecast_fits import fit_forecasts
    from governance.identity.permissions import actor_of_person
    from governance.identity.services import create_person
    from governance.models import Role
    from governance.notifications.services import create_channel

    (settings.WEIR_HOME / "static").mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    today = now.date()
    folder = settings.WEIR_HOME / "company"
    play(folder, today - HISTORY, today, lag_days=JUMPED_DAYS)
    configure(read_configuration(folder / "config.json"))
    ingest_billing([f"{folder / 'bills'}"])
    ingest_telemetry([f"{folder / 'telemetry'}"], "gateway")
    attribute()
    fit_forecasts(now)
    team = Team.objects.get(slug=TEAM)
    create_person(email="lead@example.org", name="Liam Lead", role=Role.LEAD, team=team, password=PASSWORD, now=now)
    owner = create_person(email="owner@example.org", name="Olga Owner", role=Role.OWNER, now=now)
    create_channel(actor_of_person(owner, now), kind="webhook", name="ours", team=TEAM, address=webhook, now=now)
    print(json.dumps({"jump": f"{cost_of_jump(settings.WEIR_HOME / 'scratch', today):f}"}))


def jump() -> None:
    from django.conf import settings
    from django.core.management import call_command

    today = datetime.now(UTC).date()
    folder = settings.WEIR_HOME / "jump"
    play(folder, today - timedelta(days=JUMPED_DAYS), today, lag_days=JUMPED_DAYS, times=TIMES)
    call_command("ingest", "telemetry", f"{folder / 'telemetry'}", "--source", "gateway")


def play(folder: Path, start: date, until: date, *, lag_days: int = 0, times: int = 1) -> None:
    from attribution.simulator.run import Plan, simulate
    from attribution.simulator.traffic import Surge

    surges = tuple(Surge(project, start, until, times) for project in PROJECTS) if times > 1 else ()
    simulate(folder, Plan(start=start, until=until, seed=SEED, size=SIZE, lag_days=lag_days, surges=surges))


def cost_of_jump(folder: Path, today: date) -> Decimal:
    """What the simulator's own books say that the jump costs the team."""
    costs = []
    for times in (1, TIMES):
        play(folder, today - timedelta(days=JUMPED_DAYS), today, times=times)
        with (folder / "truth" / "costs.csv").open(newline="") as file:
            costs.append(sum(Decimal(row["effective_cost"]) for row in csv.DictReader(file) if row["team"] == TEAM))
        shutil.rmtree(folder)
    return Decimal(costs[1] - costs[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
