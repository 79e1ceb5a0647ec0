"""What every orchestrator must do, whatever it is: one suite, run over each module by its own test file.

A module's test file subclasses `Conformance` and gives a fixture `rig`: the orchestrator with the world around it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest

from routing.desired import Block, BlockReason, DesiredState, Quota, ResidencyRule, Route, Target, Tier, WeightedTarget
from routing.drift import drift
from routing.orchestrators.base import Conflict, Level, Orchestrator, Proof, Receipt, Refused, Stale

PAUSE = Event()


@dataclass
class Rig:
    """An orchestrator and its world. serve, edit and restart are None where the module has nothing to try them on.

    targets: three, of which two keep data in "eu", the third in "us".
    serve(team, model, number): requests through the data plane; gives how many were refused.
    edit(model, weights): somebody else changes the first tier of the route of all teams.
    """

    orchestrator: Orchestrator
    targets: tuple[Target, Target, Target]
    serve: Callable[[str, str, int], int] | None = None
    edit: Callable[[str, dict[str, int]], None] | None = None
    restart: Callable[[], None] | None = None

    def snapshot(self, generation: int, first: int = 600_000, **more: Any) -> DesiredState:
        """gpt-large on the first two targets, the third when those fail."""
        one, two, three = (each.name for each in self.targets)
        tiers = (Tier.of({one: first, two: 1_000_000 - first}), Tier.of({three: 1_000_000}))
        state = DesiredState(self.orchestrator.name, generation, self.targets, (Route("gpt-large", tiers),))
        return replace(state, **more)

    def push(self, desired: DesiredState, *, ago: timedelta = timedelta(0), force: bool = False) -> Receipt:
        """Observe, plan, dry-run, apply. ago: the receipt says that it was so long ago (its deadlines have passed)."""
        plan = self.orchestrator.plan(desired, self.orchestrator.observe(), force=force)
        assert self.orchestrator.validate(plan) == []
        return self.orchestrator.apply(plan, now=datetime.now(UTC) - ago)

    def proof(self, receipt: Receipt, desired: DesiredState, wanted: Level, **more: Any) -> Proof:
        """The proof, once it is `wanted`; the last one after five seconds."""
        found = []

        def reached() -> bool:
            found.append(self.orchestrator.verify(receipt, desired, now=datetime.now(UTC), **more))
            return found[-1].level is wanted

        until(reached)
        return found[-1]

    @property
    def settled(self) -> timedelta:
        """A little more than what the orchestrator asks for to be live everywhere."""
        return self.orchestrator.capabilities().propagation + timedelta(seconds=1)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Ask again and again, for what another process does; False when it never came."""
    for _turn in range(int(seconds / 0.05)):
        if condition():
            return True
        PAUSE.wait(0.05)
    return condition()


def stop(team: str | None, model: str | None = None) -> Block:
    resets = datetime(2026, 12, 1, tzinfo=UTC)
    reason = BlockReason("Search 2026-11", Decimal("40000.25"), Decimal("40000"), resets, "the budget is spent")
    return Block(reason, team, model)


class Conformance:
    """Inherit, and give the fixture `rig`."""

    def test_what_was_pushed_reads_back_and_is_live(self, rig: Rig) -> None:
        desired = rig.snapshot(1)
        receipt = rig.push(desired)
        proof = rig.proof(receipt, desired, Level.LIVE)
        assert (proof.level, proof.effect_unproven) == (Level.LIVE, True)
        observed = rig.orchestrator.observe()
        assert observed.state is not None
        assert observed.state.canonical() == desired.canonical()
        assert drift(desired, observed) == []

    def test_a_plan_is_pure_and_a_dry_run_changes_nothing(self, rig: Rig) -> None:
        rig.push(rig.snapshot(1))
        before = rig.orchestrator.observe()
        plan = rig.orchestrator.plan(rig.snapshot(2, 100_000), before)
        assert plan == rig.orchestrator.plan(rig.snapshot(2, 100_000), before)
        assert [each.kind for each in plan.differences] == ["weight", "weight"]
        assert rig.orchestrator.validate(plan) == []
        assert rig.orchestrator.observe().versions == before.versions

    def test_the_same_key_changes_nothing(self, rig: Rig) -> None:
        plan = rig.orchestrator.plan(rig.snapshot(1), rig.orchestrator.observe())
        first = rig.orchestrator.apply(plan, now=datetime.now(UTC))
        held = rig.orchestrator.observe().versions
        again = rig.orchestrator.apply(plan, now=datetime.now(UTC))
        assert (first.repeated, again.repeated) == (False, True)
        assert (again.key, again.versions) == (first.key, first.versions)
        assert rig.orchestrator.observe().versions == held

    def test_an_earlier_generation_is_refused(self, rig: Rig) -> None:
        rig.push(rig.snapshot(5))
        observed = rig.orchestrator.observe()
        for late in (rig.snapshot(4, 100_000), rig.snapshot(5, 100_000)):
            with pytest.raises(Stale, match="generation 5"):
                rig.orchestrator.plan(late, observed)

    def test_of_two_plans_from_one_look_only_one_is_done(self, rig: Rig) -> None:
        rig.push(rig.snapshot(1))
        observed = rig.orchestrator.observe()
        mine = rig.orchestrator.plan(rig.snapshot(2, 500_000), observed)
        theirs = rig.orchestrator.plan(rig.snapshot(3, 300_000), observed)
        rig.orchestrator.apply(mine, now=datetime.now(UTC))
        with pytest.raises(Conflict):
            rig.orchestrator.apply(theirs, now=datetime.now(UTC))
        state = rig.orchestrator.observe().state
        assert state is not None
        assert state.canonical() == rig.snapshot(2, 500_000).canonical()

    @pytest.mark.parametrize(
        ("weights", "words"),
        [
            ({}, "empty"),
            ({0: 0, 1: 0}, "empty"),
            ({0: 600_000, 1: 300_000}, "sum"),
            ({0: 1_100_000, 1: -100_000}, "0 or more"),
        ],
    )
    def test_weights_that_make_no_sense_are_refused(self, rig: Rig, weights: dict[int, int], words: str) -> None:
        tier = Tier(tuple(WeightedTarget(rig.targets[n].name, ppm) for n, ppm in weights.items()))
        bad = rig.snapshot(1, routes=(Route("gpt-large", (tier,)),))
        with pytest.raises(Refused, match=words):
            rig.orchestrator.plan(bad, rig.orchestrator.observe())

    def test_a_target_that_leaves_its_residency_is_refused_in_every_tier(self, rig: Rig) -> None:
        bad = rig.snapshot(1, residency_rules=(ResidencyRule(frozenset({"eu"})),))
        with pytest.raises(Refused, match=r"keeps data in us.*allows eu"):
            rig.orchestrator.plan(bad, rig.orchestrator.observe())
        one, two, _three = (each.name for each in rig.targets)
        stays = Route("gpt-large", (Tier.of({one: 600_000, two: 400_000}),))
        rig.orchestrator.plan(replace(bad, routes=(stays,)), rig.orchestrator.observe())

    def test_what_others_change_is_drift_and_is_not_written_over(self, rig: Rig) -> None:
        if rig.edit is None:
            pytest.skip("nobody else can change it here")
        desired = rig.snapshot(1)
        receipt = rig.push(desired)
        rig.proof(receipt, desired, Level.LIVE)
        prepared = rig.orchestrator.plan(rig.snapshot(2), rig.orchestrator.observe())
        one, two, _three = (each.name for each in rig.targets)
        rig.edit("gpt-large", {one: 10_000, two: 990_000})

        observed = rig.orchestrator.observe()
        assert drift(desired, observed) != []
        assert rig.orchestrator.verify(receipt, desired, now=datetime.now(UTC)).level is Level.DRIFT
        with pytest.raises(Conflict):
            rig.orchestrator.apply(prepared, now=datetime.now(UTC))
        with pytest.raises(Conflict):
            rig.orchestrator.plan(rig.snapshot(2), observed)
        with pytest.raises(Conflict):
            rig.orchestrator.rollback(receipt, rig.snapshot(2, 500_000), now=datetime.now(UTC))

        decided = rig.snapshot(2)
        receipt = rig.push(decided, force=True)
        assert rig.proof(receipt, decided, Level.LIVE).level is Level.LIVE
        assert drift(decided, rig.orchestrator.observe()) == []

    def test_a_rollback_is_the_earlier_content_as_a_new_generation(self, rig: Rig) -> None:
        rig.push(rig.snapshot(1))
        second = rig.push(rig.snapshot(2, 100_000))
        earlier = rig.snapshot(3)
        receipt = rig.orchestrator.rollback(second, earlier, now=datetime.now(UTC))
        assert receipt.generation == 3
        assert rig.proof(receipt, earlier, Level.LIVE).level is Level.LIVE
        with pytest.raises(Conflict):  # it can't be taken back twice
            rig.orchestrator.rollback(second, rig.snapshot(4), now=datetime.now(UTC))

    def test_a_receipt_of_a_replaced_generation_says_so(self, rig: Rig) -> None:
        desired = rig.snapshot(1)
        receipt = rig.push(desired)
        rig.push(rig.snapshot(2, 100_000))
        assert rig.orchestrator.verify(receipt, desired, now=datetime.now(UTC)).level is Level.DRIFT

    def test_traffic_proves_a_split_once_there_is_enough(self, rig: Rig) -> None:
        if rig.serve is None:
            pytest.skip("no data plane here")
        before = rig.snapshot(1)
        rig.push(before)
        desired = rig.snapshot(2, 200_000)
        receipt = rig.push(desired, ago=rig.settled)
        rig.proof(receipt, desired, Level.LIVE, before=before)
        rig.serve("search", "gpt-large", 10)
        few = rig.orchestrator.verify(receipt, desired, before=before, now=datetime.now(UTC))
        assert (few.level, few.effect_unproven) == (Level.LIVE, True)
        rig.serve("search", "gpt-large", 290)
        proof = rig.proof(receipt, desired, Level.EFFECTIVE, before=before)
        assert proof.level is Level.EFFECTIVE, proof.words
        assert proof.split is not None

    def test_a_block_refuses_its_team_only_and_is_proved_by_refusals(self, rig: Rig) -> None:
        if rig.serve is None:
            pytest.skip("no data plane here")
        before = rig.snapshot(1)
        rig.push(before)
        desired = rig.snapshot(2, blocks=(stop("search"),))
        receipt = rig.push(desired, ago=rig.settled)
        rig.proof(receipt, desired, Level.LIVE, before=before)
        assert rig.serve("search", "gpt-large", 20) == 20
        assert rig.serve("fraud", "gpt-large", 20) == 0
        assert rig.proof(receipt, desired, Level.EFFECTIVE, before=before).level is Level.EFFECTIVE
        opened = rig.snapshot(3)
        receipt = rig.push(opened)
        rig.proof(receipt, opened, Level.LIVE)
        assert rig.serve("search", "gpt-large", 20) == 0

    def test_quotas_and_routes_of_a_team_come_and_go(self, rig: Rig) -> None:
        able = rig.orchestrator.capabilities()
        one, _two, three = (each.name for each in rig.targets)
        own = Route("gpt-large", (Tier.of({three: 1_000_000}),), team="search") if able.per_team_routes else None
        shared = Route("gpt-large", (Tier.of({one: 1_000_000}),))
        quotas = (Quota(team="search", rpm=1000, tpm=200_000),) if able.quotas else ()
        full = rig.snapshot(1, routes=(shared, *([own] if own else [])), quotas=quotas)
        receipt = rig.push(full)
        assert rig.proof(receipt, full, Level.LIVE).level is Level.LIVE
        bare = rig.snapshot(2, routes=(shared,))
        receipt = rig.push(bare)
        assert rig.proof(receipt, bare, Level.LIVE).level is Level.LIVE
        assert drift(bare, rig.orchestrator.observe()) == []

    def test_usage_is_read_once_however_it_is_cut(self, rig: Rig) -> None:
        if rig.serve is None or not rig.orchestrator.capabilities().reads_usage:
            pytest.skip("no usage here")
        desired = rig.snapshot(1)
        rig.proof(rig.push(desired), desired, Level.LIVE)
        rig.serve("search", "gpt-large", 25)
        assert until(lambda: len(rig.orchestrator.read_usage("").events) == 25)
        seen, cursor, more = [], "", True
        while more:
            page = rig.orchestrator.read_usage(cursor, limit=7)
            seen += [each.request_id for each in page.events]
            cursor, more = page.cursor, page.more
        assert len(seen) == len(set(seen)) == 25
        rig.serve("search", "gpt-large", 3)
        assert until(lambda: len(rig.orchestrator.read_usage(cursor).events) == 3)

    def test_it_holds_its_state_over_a_restart(self, rig: Rig) -> None:
        if rig.restart is None:
            pytest.skip("nothing to restart here")
        desired = rig.snapshot(1, 250_000)
        receipt = rig.push(desired)
        rig.proof(receipt, desired, Level.LIVE)
        rig.restart()
        assert rig.proof(receipt, desired, Level.LIVE).level is Level.LIVE
        assert drift(desired, rig.orchestrator.observe()) == []
