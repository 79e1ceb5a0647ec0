"""Run as a program with WEIR_HOME set: people, one gateway, and a change in each state that the pages tell apart.

The gateway is imagined; its minutes of traffic are written as its log would have them. Prints one JSON object.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

PASSWORD = "a long password for tests"


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "governance.config.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    (settings.WEIR_HOME / "static").mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    print(json.dumps(load(datetime.now(UTC))))


def load(now: datetime) -> dict[str, str]:
    from attribution.actors import SYSTEM, Action, Actor
    from attribution.models import Team
    from attribution.scope import EVERYTHING
    from governance.identity.services import create_person
    from governance.models import Role
    from routing import services
    from routing.desired import Block, BlockReason, DesiredState, Route, Target, Tier
    from routing.models import ChangeSet
    from routing.orchestrators.fake import FakeOrchestrator
    from routing.selectors import standing_state
    from routing.services import Why

    teams = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("search", "ads")}
    for email, name, role, team in (
        ("owner@example.org", "Olga Owner", Role.OWNER, None),
        ("operator@example.org", "Otto Operator", Role.OPERATOR, None),
        ("lead@example.org", "Lea Lead", Role.LEAD, teams["search"]),
        ("ads@example.org", "Ali Ads", Role.LEAD, teams["ads"]),
    ):
        create_person(email=email, name=name, role=role, team=team, password=PASSWORD, now=now)
    owner = Actor("Olga Owner", 1, EVERYTHING, everywhere=frozenset(Action))
    fake = FakeOrchestrator("edge")
    settings = {"url": "http://127.0.0.1:9", "token_env": "NO_SUCH_TOKEN"}
    from routing.models import Orchestrator

    Orchestrator.objects.create(name="edge", kind="http", settings=settings)
    targets = (
        Target("azure-sweden", "azure", "swedencentral", "http://127.0.0.1:9101", residency="eu"),
        Target("bedrock-frankfurt", "aws", "eu-central-1", "http://127.0.0.1:9102", residency="eu"),
        Target("vertex-belgium", "gcp", "europe-west1", "http://127.0.0.1:9103", residency="eu"),
    )

    def route(team: str, *shares: int) -> Route:
        weights = {each.name: share for each, share in zip(targets, shares, strict=True)}
        return Route("gpt-large", (Tier.of(weights),), team)

    def connect(_row: object) -> FakeOrchestrator:
        return fake

    def step(at: datetime) -> None:
        services.push_pending(now=at, connect=connect)
        services.verify_pending(now=at + timedelta(seconds=4), connect=connect)
        fake.server.forget_traffic()
        for team in ("search", "ads"):
            fake.server.serve(team, "gpt-large", 24_318 if team == "search" else 900, at=at)
        services.verify_pending(now=at + timedelta(seconds=20), connect=connect)

    def move(team: str, *shares: int) -> DesiredState:
        old = standing_state("edge")
        return DesiredState(
            "edge",
            old.generation,
            old.targets,
            (*(each for each in old.routes if each.team != team), route(team, *shares)),
            old.blocks,
        )

    start = now - timedelta(hours=3)
    base = DesiredState(
        "edge", 0, targets, (route("search", 600_000, 300_000, 100_000), route("ads", 500_000, 500_000, 0))
    )
    services.propose_change(
        "edge", base, why=Why("person", "", "The gateway as it was.", title="First snapshot"), actor=owner, now=start
    )
    step(start)
    moved_at = now - timedelta(minutes=26)
    words = (
        "Search will pass $40,000 on the 21st; moving 18 % of gpt-large traffic to bedrock keeps it at $39,700; "
        "p95 rises 90 ms, within the 2 s objective."
    )
    why = Why(
        "decision",
        "budget:1",
        words,
        {"spent": Decimal("28410.22"), "limit": Decimal(40000), "forecast": Decimal("41930.10")},
    )
    moved = services.propose_change(
        "edge", move("search", 420_000, 480_000, 100_000), why=why, actor=SYSTEM, team="search", now=moved_at
    )
    step(moved_at)
    minutes(moved, moved_at, now)
    old = standing_state("edge")
    resets = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    reason = BlockReason(
        "Search, November", Decimal("40001.20"), Decimal(40000), resets, "The budget of Search is spent"
    )
    stop = DesiredState("edge", old.generation, old.targets, old.routes, (Block(reason, "search"),))
    waits = services.propose_change(
        "edge",
        stop,
        why=Why(
            "decision",
            "budget:2",
            "Search is at 100.0 % of its limit; the next rung is to stop.",
            {"spent": Decimal("40001.20")},
        ),
        actor=SYSTEM,
        team="search",
        now=now - timedelta(minutes=4),
    )
    everything = DesiredState("edge", old.generation, old.targets, old.routes, (Block(reason),))
    services.propose_change(
        "edge",
        everything,
        why=Why("decision", "budget:3", "The company's budget is spent."),
        actor=SYSTEM,
        now=now - timedelta(minutes=2),
    )
    services.dry_run_pending(now=now, connect=connect)
    rejected = services.propose_change(
        "edge",
        move("ads", 200_000, 800_000, 0),
        why=Why("decision", "budget:4", "Ads is over pace."),
        actor=SYSTEM,
        team="ads",
        now=now,
    )
    services.reject(rejected.pk, actor=owner, now=now, reason="not during the sale")
    taken_back = services.propose_change(
        "edge",
        move("ads", 400_000, 600_000, 0),
        why=Why("decision", "budget:5", "Ads will pass its limit."),
        actor=SYSTEM,
        team="ads",
        now=now,
    )
    services.push_pending(now=now, connect=connect)
    services.verify_pending(now=now + timedelta(seconds=1), connect=connect)
    services.roll_back(taken_back.pk, actor=owner, now=now, reason="the answers got worse")
    assert ChangeSet.objects.count() == 7
    return {"moved": f"{moved.pk}", "waits": f"{waits.pk}", "ads": f"{rejected.pk}"}


def minutes(change: object, pushed: datetime, now: datetime) -> None:
    """Traffic of half an hour: 60/30/10 before the push, 42/48/10 after it, with a little noise by hand."""
    from routing.guards import LATENCY_MS
    from routing.models import Observation, Orchestrator

    edge = Orchestrator.objects.get(name="edge")
    names = ("azure-sweden", "bedrock-frankfurt", "vertex-belgium")
    at = (pushed - timedelta(minutes=15)).replace(second=0, microsecond=0)
    index = 0
    while at < now:
        shares = (600, 300, 100) if at < pushed else (420, 480, 100)
        wobble = (index * 7 % 5 - 2) * 4
        for name, share in zip(names, (shares[0] + wobble, shares[1] - wobble, shares[2]), strict=True):
            latency = [0] * (len(LATENCY_MS) + 1)
            latency[6], latency[8] = share * 9 // 10, share - share * 9 // 10
            Observation.objects.create(
                orchestrator=edge,
                minute=at,
                team="search",
                model="gpt-large",
                target=name,
                requests=share,
                failed=share // 400,
                latency=latency,
            )
        at, index = at + timedelta(minutes=1), index + 1


if __name__ == "__main__":
    main()
