"""One orchestrator in the same process, with two targets, a baseline of 60/40, and the people around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from attribution.actors import SYSTEM, Action, Actor, Grant
from attribution.models import Team
from attribution.scope import EVERYTHING, TeamScope
from routing import services
from routing.desired import Block, BlockReason, DesiredState, Route, Target, Tier
from routing.models import ChangeSet, Orchestrator
from routing.orchestrators.fake import FakeOrchestrator
from routing.services import Why

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
OWNER = Actor("Olga Owner", 1, EVERYTHING, everywhere=frozenset(Action))
SECOND = Actor("Otto Owner", 2, EVERYTHING, everywhere=frozenset(Action))
_LEADS = frozenset({Action.APPROVE_CHANGE, Action.ROLL_BACK})
LEAD = Actor("Lea Lead", 3, TeamScope(teams=frozenset({"search"})), within=(Grant(frozenset({"search"}), _LEADS),))
OTHER = Actor("Ali Ads", 4, TeamScope(teams=frozenset({"ads"})), within=(Grant(frozenset({"ads"}), _LEADS),))
MEMBER = Actor("Mia Member", 5, TeamScope(teams=frozenset({"search"})))

TARGETS = (
    Target("aws", "aws", "eu-central-1", "http://127.0.0.1:9101", residency="eu"),
    Target("gcp", "gcp", "europe-west4", "http://127.0.0.1:9102", residency="eu"),
    Target("far", "aws", "us-east-1", "http://127.0.0.1:9103", residency="us"),
)


def route(team: str | None, **weights: int) -> Route:
    return Route("gpt-large", (Tier.of(weights),), team)


def block(team: str | None, resets_at: datetime | None = None, budget: str = "Search") -> Block:
    reason = BlockReason(budget, Decimal("40001.20"), Decimal(40000), resets_at, f"{budget} is spent")
    return Block(reason, team)


BASELINE = DesiredState(
    "edge", 0, TARGETS, (route(None, aws=600_000, gcp=400_000), route("search", aws=600_000, gcp=400_000))
)


@dataclass
class Clock:
    now: datetime = NOW

    def after(self, **parts: int) -> datetime:
        self.now += timedelta(**parts)
        return self.now


@dataclass
class Edge:
    """The orchestrator `edge` and the loop around it, driven by hand."""

    fake: FakeOrchestrator
    clock: Clock

    def connect(self, _row: Orchestrator) -> FakeOrchestrator:
        return self.fake

    @property
    def row(self) -> Orchestrator:
        return Orchestrator.objects.select_related("standing").get(name="edge")

    @property
    def puts(self) -> int:
        return self.fake.server.calls.count("PUT /state")

    @property
    def weights(self) -> Mapping[str, int]:
        """What team search gets now, by the data plane."""
        for each in self.fake.server.live["routes"]:
            if each["team"] == "search":
                return {one["target"]: one["weight_ppm"] for one in each["tiers"][0]}
        return {}

    def standing(self) -> DesiredState:
        from routing.selectors import standing_state

        found = standing_state("edge")
        assert found is not None
        return found

    def moved(self, team: str | None = "search", **weights: int) -> DesiredState:
        """What stands now, with other weights for one team."""
        old = self.standing()
        routes = tuple(each for each in old.routes if each.team != team)
        return replace(old, routes=(*routes, route(team, **weights)))

    def blocked(self, *blocks: Block) -> DesiredState:
        old = self.standing()
        return replace(old, blocks=(*old.blocks, *blocks))

    def propose(self, desired: DesiredState, **more: object) -> ChangeSet:
        given = {"why": Why("decision", "budget:12", "because"), "actor": SYSTEM, "team": "search", **more}
        made = services.propose_change("edge", desired, now=self.clock.now, **given)
        assert made is not None
        return made

    def push(self) -> list[int]:
        return services.push_pending(now=self.clock.now, connect=self.connect)

    def look(self) -> list[int]:
        return services.verify_pending(now=self.clock.now, connect=self.connect)

    def watch(self) -> list[str]:
        return services.watch_drift(now=self.clock.now, connect=self.connect)

    def traffic(self, number: int = 1000, team: str = "search") -> None:
        self.fake.server.serve(team, "gpt-large", number, at=self.clock.now)

    def until_effective(self, change: ChangeSet) -> None:
        self.push()
        # Its effect is looked for once the change has spread, after 5 s.
        self.clock.after(seconds=10)
        self.fake.server.forget_traffic()
        self.traffic(team="search")
        self.traffic(team="ads")
        self.look()
        assert status(change) == "effective", fresh(change).proof_words


def status(change: ChangeSet) -> str:
    return ChangeSet.objects.get(pk=change.pk).status


def fresh(change: ChangeSet) -> ChangeSet:
    return ChangeSet.objects.select_related("orchestrator").get(pk=change.pk)


@pytest.fixture
def teams(db: None) -> None:
    for slug in ("search", "ads"):
        Team.objects.create(slug=slug, name=slug.title())


@pytest.fixture
def edge(teams: None, monkeypatch: pytest.MonkeyPatch) -> Edge:
    """The baseline is effective, and old enough that nothing waits for it."""
    fake = FakeOrchestrator("edge")
    monkeypatch.setattr("routing.orchestrators.registry._OPENERS", {"fake": lambda _name, _settings: fake})
    made = Edge(fake, Clock())
    services.register_orchestrator("edge", "fake", {}, actor=OWNER, now=NOW)
    first = services.propose_change("edge", BASELINE, why=Why("person", "", "the start"), actor=OWNER, now=NOW)
    assert first is not None
    made.until_effective(first)
    made.clock.after(hours=1)
    fake.server.forget_traffic()
    return made


Advance = Callable[..., datetime]
