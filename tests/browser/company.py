"""Run as a program with WEIR_HOME set: make a small company's data, from native bills to the serving file, and people.

Prints one JSON object: the days of its last whole month, and that month's total in the ledger.
"""

import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

PASSWORD = "a long password for tests"


def main(kind: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    (settings.WEIR_HOME / "static").mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    print(json.dumps(load(now) if kind == "company" else first_link(now)))


def first_link(now: datetime) -> dict[str, str]:
    from governance.identity import services

    return {"secret": services.issue_first_run_link(now)}


def load(now: datetime) -> dict[str, str]:
    """The month before this one whole, and this month up to yesterday, whose last two days are not billed."""
    from django.conf import settings

    from attribution.configuration import configure, read_configuration
    from attribution.ingest import ingest_billing
    from attribution.ingest_telemetry import ingest_telemetry
    from attribution.models import Team
    from attribution.services import attribute
    from attribution.simulator.run import Plan, simulate
    from governance.identity import services
    from governance.models import Role

    today = now.date()
    start = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    folder = settings.WEIR_HOME / "company"
    simulate(folder, Plan(start=start, until=today, seed=5, size=40, lag_days=2))
    configure(read_configuration(folder / "config.json"))
    broken = settings.WEIR_HOME / "broken.ndjson"
    broken.write_text('{"completed_at": "yesterday", "provider": "aws", "request_model": "gpt-5"}\n')
    ingest_billing([str(folder / "bills")])
    ingest_telemetry([str(folder / "telemetry")], "gateway")
    ingest_telemetry([str(broken)], "gateway")
    attribute()
    team = Team.objects.get(slug="claims")
    for name, role, where in (("Olga Owner", Role.OWNER, None), ("Liam Lead", Role.LEAD, team)):
        email = f"{role.value}@example.org"
        services.create_person(email=email, name=name, role=role, team=where, password=PASSWORD, now=now)
    _look_ahead(now)
    return totals(start)


def _look_ahead(now: datetime) -> None:
    """Forecasts, and an anomaly with the id 1: of team claims, if none is found."""
    from governance.anomaly_search import judge
    from governance.forecast_fits import fit_forecasts
    from governance.models import Anomaly, AnomalyPart

    fit_forecasts(now)
    if judge(now).opened:
        return
    yesterday = now.date() - timedelta(days=1)
    cause = [["team", "claims"]]
    one = Anomaly.objects.create(
        cause=cause,
        cause_key=json.dumps(cause),
        team="claims",
        currency="USD",
        first_day=yesterday,
        last_day=yesterday,
        z=Decimal(5),
        state_at=now,
        opened_at=now,
    )
    amounts = {"actual": Decimal(90), "expected": Decimal(40), "volume": Decimal(55), "price": Decimal(-5)}
    nothing = dict.fromkeys(("mix", "new", "gone", "unmetered"), Decimal(0))
    AnomalyPart.objects.create(anomaly=one, day=yesterday, team="claims", model="gpt-5", **amounts, **nothing)


def totals(start: date) -> dict[str, str]:
    """Effective cost of inference and platform on the days of the first month, as the ledger has it."""
    from attribution.lake import catalogue
    from attribution.money import exact_sum
    from attribution.vocabulary import Dataset

    end = (start + timedelta(days=32)).replace(day=1)
    rows = [row for one in catalogue.current(Dataset.LEDGER) for row in catalogue.read_table(one).to_pylist()]
    mine = [row for row in rows if start <= row["day"] < end and row["charge_scope"] != "other"]
    ledger = exact_sum(row["effective_cost"] or Decimal(0) for row in mine)
    return {"start": f"{start}", "end": f"{end}", "ledger": f"{ledger:f}"}


if __name__ == "__main__":
    main(sys.argv[1])
