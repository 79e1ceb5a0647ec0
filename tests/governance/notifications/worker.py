"""Run as a program with WEIR_HOME set: prepare a database, tell events, deliver until killed, say what became of all.

worker.py prepare WEBHOOK-URL | point WEBHOOK-URL | tell FIRST COUNT | work | states
"""

import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import sleep

LEASE_SECONDS = 2.0


def main(command: str, *arguments: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
    import django

    django.setup()
    {"prepare": prepare, "point": point, "tell": tell, "work": work, "states": states}[command](*arguments)


def prepare(url: str) -> None:
    from django.core.management import call_command

    from attribution.models import Team
    from governance.identity.permissions import actor_of_person
    from governance.identity.services import create_person
    from governance.models import Role
    from governance.notifications.services import create_channel

    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    team = Team.objects.create(slug="ml", name="ML")
    create_person(email="lead@example.org", name="lead", role=Role.LEAD, team=team, now=now)
    owner = create_person(email="owner@example.org", name="owner", role=Role.OWNER, now=now)
    create_channel(actor_of_person(owner, now), kind="webhook", name="ours", team="ml", address=url, now=now)


def point(url: str) -> None:
    from governance.models import Channel, Delivery
    from governance.notifications import sealing

    Channel.objects.update(sealed=sealing.seal(url))
    Delivery.objects.filter(state="waiting").update(due_at=datetime.now(UTC))


def tell(first: str, count: str) -> None:
    from django.db import transaction

    from governance.notifications.events import Event
    from governance.notifications.outbox import enqueue

    figures = {"budget": "Search", "spend": Decimal(9), "limit": Decimal(10)}
    for number in range(int(first), int(first) + int(count)):
        with transaction.atomic():
            event = Event("budget.crossed", "ml", 3, f"number {number}", figures, "/budgets/3", str(number))
            enqueue(event, datetime.now(UTC))


def work() -> None:
    from governance.notifications import delivering, outbox

    outbox.LEASE = timedelta(seconds=LEASE_SECONDS)
    print("working", flush=True)
    while True:
        delivering.deliver_due()
        sleep(0.02)


def states() -> None:
    from governance.models import Delivery

    print(json.dumps(Counter(Delivery.objects.values_list("state", flat=True))))


if __name__ == "__main__":
    main(*sys.argv[1:])
