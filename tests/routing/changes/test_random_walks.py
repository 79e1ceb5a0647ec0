"""Long random walks of people, workers, faults and clocks: what must hold after every step holds."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from attribution import audit
from attribution.actors import SYSTEM
from routing import services, transitions
from routing.models import ChangeSet, PushOutbox, Transition
from routing.orchestrators.base import OrchestratorError
from routing.orchestrators.fake import Misbehaviour
from routing.services import Why

from .conftest import LEAD, OWNER, SECOND, Edge, block

STEPS = 70


class Killed(BaseException):
    """As SIGKILL."""


class Walk:
    """Everything that may happen to one gateway, chosen by one seed."""

    def __init__(self, edge: Edge, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.edge, self.chance, self.patch = edge, random.Random(seed), monkeypatch
        self.written: Counter[str] = Counter()
        take = edge.fake.server._take

        def counted(key: str, body: object) -> None:
            self.written[key] += 1
            take(key, body)

        monkeypatch.setattr(edge.fake.server, "_take", counted)

    def step(self) -> None:
        moves: tuple[Callable[[], object], ...] = (
            self.propose,
            self.propose,
            self.stop,
            self.answer,
            self.answer,
            self.push,
            self.push,
            self.push,
            self.die,
            self.look,
            self.look,
            self.watch,
            self.misbehave,
            self.behave,
            self.behave,
            self.roll_back,
            self.switch,
            self.time,
            self.time,
            self.time,
            self.jump,
            self.edit,
            self.settle,
            self.withdraw,
        )
        with contextlib.suppress(services.RefusedChange, services.Overlaps, OrchestratorError):
            self.chance.choice(moves)()

    def propose(self) -> None:
        share = self.chance.randrange(360_000, 640_000, 1000)
        team = self.chance.choice(("search", "ads"))
        wanted = self.edge.moved(team, aws=share, gcp=1_000_000 - share)
        reference = self.chance.choice(("budget:1", "budget:2", ""))
        why = Why("decision", reference, "because")
        urgent = self.chance.random() < 0.3
        services.propose_change(
            "edge", wanted, why=why, actor=SYSTEM, team=team, now=self.edge.clock.now, urgent=urgent
        )

    def stop(self) -> None:
        now = self.edge.clock.now
        team = self.chance.choice(("search", "ads", None))
        if any(each.team == team for each in self.edge.standing().blocks):
            return
        wanted = self.edge.blocked(block(team, now + timedelta(minutes=self.chance.randrange(1, 90))))
        approval = self.chance.choice(("standing", "one"))
        why = Why("decision", "budget:3", "spent")
        services.propose_change("edge", wanted, why=why, actor=SYSTEM, approval=approval, team=team, now=now)

    def answer(self) -> None:
        for change in ChangeSet.objects.filter(status="proposed"):
            for person in (OWNER, SECOND):
                if self.chance.random() < 0.8:
                    services.approve(change.pk, actor=person, now=self.edge.clock.now)
                else:
                    services.reject(
                        change.pk,
                        actor=LEAD if change.team == "search" else person,
                        reason="no",
                        now=self.edge.clock.now,
                    )

    def push(self) -> None:
        services.turn_periods(now=self.edge.clock.now)
        services.lift_withdrawn(now=self.edge.clock.now)
        self.edge.push()

    def die(self) -> None:
        name = self.chance.choice(("observe", "plan", "validate", "apply"))
        real = getattr(self.edge.fake, name)
        after = self.chance.random() < 0.5

        def dies(*args: object, **more: object) -> object:
            if after:
                real(*args, **more)
            raise Killed

        setattr(self.edge.fake, name, dies)
        try:
            self.edge.push()
        except Killed:
            pass
        finally:
            delattr(self.edge.fake, name)

    def look(self) -> None:
        if self.chance.random() < 0.5:
            self.edge.traffic(200, "search")
            self.edge.traffic(200, "ads")
        self.edge.look()

    def watch(self) -> None:
        self.edge.watch()

    def misbehave(self) -> None:
        kinds = [each for each in Misbehaviour if each is not Misbehaviour.HANGS]
        self.edge.fake.server.misbehaves = self.chance.choice(kinds)

    def behave(self) -> None:
        self.edge.fake.server.misbehaves = None
        self.edge.fake.server.rejected = []
        if self.edge.fake.server.state is not None:
            self.edge.fake.server.follow()

    def roll_back(self) -> None:
        found = list(ChangeSet.objects.filter(status__in=transitions.PUSHED).order_by("id"))
        if found:
            services.roll_back(self.chance.choice(found).pk, actor=OWNER, now=self.edge.clock.now)

    def switch(self) -> None:
        act = services.resume if services.is_frozen() else services.freeze
        if services.is_frozen() or self.chance.random() < 0.4:
            act(actor=OWNER, now=self.edge.clock.now)

    def time(self) -> None:
        self.edge.clock.after(seconds=self.chance.choice((1, 20, 65, 700, 4000)))

    def jump(self) -> None:
        if self.chance.random() < 0.3:
            self.edge.clock.now += timedelta(hours=self.chance.choice((-5, 30)))

    def edit(self) -> None:
        if self.chance.random() < 0.3 and self.edge.fake.server.state is not None:
            self.edge.fake.server.edit("gpt-large", {"aws": 10_000, "gcp": 990_000})

    def settle(self) -> None:
        decision = self.chance.choice(("keep", "overwrite"))
        services.settle_drift("edge", decision, actor=OWNER, now=self.edge.clock.now, connect=self.edge.connect)

    def withdraw(self) -> None:
        if self.chance.random() < 0.3:
            services.withdraw("budget:3", actor=OWNER, now=self.edge.clock.now, reason="deleted")


def holds(walk: Walk) -> None:
    """What no step may break."""
    assert all(count == 1 for count in walk.written.values()), "a key was written twice"
    assert PushOutbox.objects.filter(state__in=("pending", "claimed")).count() <= 1
    accepted = Counter(Transition.objects.filter(after="accepted").values_list("change_id", flat=True))
    assert all(count == 1 for count in accepted.values()), "a change was accepted twice"
    for change in ChangeSet.objects.prefetch_related("transitions"):
        steps = sorted(change.transitions.all(), key=lambda each: each.pk)
        assert [steps[0].before, steps[-1].after] == ["", change.status]
        for one, other in pairwise(steps):
            assert one.after == other.before
            assert other.after in transitions.LEGAL[other.before]
    standing = walk.edge.row.standing
    assert standing is not None
    newest = ChangeSet.objects.filter(accepted_at__isnull=False).order_by("-generation").first()
    assert standing.pk == newest.pk


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_pushed_twice_lost_or_told_wrong(edge: Edge, seed: int, monkeypatch: pytest.MonkeyPatch):
    walk = Walk(edge, seed, monkeypatch)
    for _step in range(STEPS):
        walk.step()
        holds(walk)
    settle_down(walk)
    holds(walk)
    assert list(audit.verify()) == []
    assert not ChangeSet.objects.filter(status__in=("approved", "accepted"), expires_at__isnull=True).exists()
    held = edge.fake.observe()
    assert held.state is not None
    assert held.state.digest() == edge.standing().digest()
    assert held.generation == edge.standing().generation


def settle_down(walk: Walk) -> None:
    """Faults end, people decide, time passes: everything that was approved comes to its end."""
    edge = walk.edge
    walk.behave()
    services.resume(actor=OWNER, now=edge.clock.now)
    for _round in range(40):
        edge.clock.after(hours=25)
        walk.push()
        walk.behave()
        edge.watch()
        edge.look()
        if edge.row.state == "drifted":
            services.settle_drift("edge", "overwrite", actor=OWNER, now=edge.clock.now)
    assert edge.row.state == "ok"
