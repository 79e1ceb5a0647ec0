"""Workers that run at once, die at any point, or come back late: one push, one record, nothing lost."""

from collections.abc import Callable

import pytest

from routing.models import ChangeSet, PushOutbox, Transition
from routing.orchestrators.base import Plan, Receipt

from .conftest import Edge, fresh, status


class Killed(BaseException):
    """As SIGKILL: nothing after it runs, nothing catches it."""


def kill() -> None:
    raise Killed


@pytest.fixture
def change(edge: Edge) -> ChangeSet:
    return edge.propose(edge.moved(aws=500_000, gcp=500_000))


def accepted(change: ChangeSet) -> int:
    return Transition.objects.filter(change=change, after="accepted").count()


def took(edge: Edge) -> list[int]:
    """Generations that the orchestrator really took, each time it did."""
    return [edge.fake.server.generation or 0]


def test_a_second_worker_finds_nothing_to_do_while_the_first_pushes(edge: Edge, change: ChangeSet, monkeypatch):
    apply = edge.fake.apply
    inner: list[list[int]] = []

    def apply_beside_another(plan: Plan, **more: object) -> Receipt:
        inner.append(edge.push())
        return apply(plan, **more)

    monkeypatch.setattr(edge.fake, "apply", apply_beside_another)
    assert edge.push() == [change.pk]
    assert (inner, edge.puts, accepted(change)) == ([[]], 2, 1)


def test_a_worker_that_outlives_its_lease_pushes_nothing_and_records_nothing(
    edge: Edge, change: ChangeSet, monkeypatch
):
    validate = edge.fake.validate
    once: list[Callable[[], None]] = [lambda: None]

    def slow(plan: Plan) -> object:
        if once:
            once.pop()
            edge.clock.after(seconds=61)
            assert edge.push() == [change.pk]
        return validate(plan)

    monkeypatch.setattr(edge.fake, "validate", slow)
    assert edge.push() == []
    assert (edge.puts, accepted(change), status(change)) == (2, 1, "accepted")


def test_a_worker_that_loses_its_lease_inside_the_push_changes_nothing_twice(
    edge: Edge, change: ChangeSet, monkeypatch
):
    apply = edge.fake.apply
    taken: list[bool] = []

    def slow(plan: Plan, **more: object) -> Receipt:
        if not taken:
            taken.append(False)
            edge.clock.after(seconds=61)
            edge.push()
        receipt = apply(plan, **more)
        taken.append(receipt.repeated)
        return receipt

    monkeypatch.setattr(edge.fake, "apply", slow)
    edge.push()
    assert taken == [False, False, True]
    assert (edge.fake.server.generation, accepted(change)) == (2, 1)


@pytest.mark.parametrize("step", ["observe", "plan", "validate", "apply"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_anywhere_leaves_the_push_to_the_next(
    edge: Edge, change: ChangeSet, monkeypatch, step: str, when: str
):
    real = getattr(edge.fake, step)

    def dies(*args: object, **more: object) -> object:
        if when == "after":
            real(*args, **more)
        kill()

    monkeypatch.setattr(edge.fake, step, dies)
    with pytest.raises(Killed):
        edge.push()
    monkeypatch.setattr(edge.fake, step, real)
    assert status(change) == "approved"
    assert edge.push() == []
    edge.clock.after(seconds=61)
    assert edge.push() == [change.pk]
    assert (edge.fake.server.generation, accepted(change)) == (2, 1)
    assert PushOutbox.objects.filter(change=change, state="done").count() == 1


def test_a_worker_that_dies_before_its_record_leaves_it_to_the_next(edge: Edge, change: ChangeSet, monkeypatch):
    monkeypatch.setattr("routing.pushing._accept", lambda *_: kill())
    with pytest.raises(Killed):
        edge.push()
    monkeypatch.undo()
    edge.clock.after(seconds=61)
    assert edge.push() == [change.pk]
    assert edge.fake.server.generation == 2
    assert fresh(change).transitions.get(after="accepted").reason == "edge had taken it already as generation 2"


def test_one_orchestrator_has_one_open_push(edge: Edge, change: ChangeSet):
    from routing.pushing import _queue_next

    _queue_next(edge.row.pk, edge.clock.now)
    _queue_next(edge.row.pk, edge.clock.now)
    assert PushOutbox.objects.filter(orchestrator=edge.row, state="pending").count() == 1
