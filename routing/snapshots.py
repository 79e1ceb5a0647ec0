"""Snapshots as the rows keep them. Reads only."""

from collections.abc import Mapping
from typing import Any

from routing.desired import DesiredState, Difference, from_plain
from routing.models import ChangeSet, Orchestrator


def wanted(change: ChangeSet) -> DesiredState:
    """What the change wants; its generation is 0 until it is queued."""
    return from_plain(change.wanted, orchestrator=change.orchestrator.name, generation=change.generation or 0)


def before(change: ChangeSet) -> DesiredState | None:
    """What it builds on; None for the first change of an orchestrator."""
    if change.before is None:
        return None
    return from_plain(change.before, orchestrator=change.orchestrator.name, generation=change.before_generation)


def standing(orchestrator: Orchestrator) -> DesiredState | None:
    """What it should hold now: the snapshot that it accepted last; None when it never took one."""
    change = orchestrator.standing
    return None if change is None else wanted(change)


def of_generation(orchestrator: Orchestrator, generation: int) -> DesiredState | None:
    """The snapshot that was accepted as `generation`; None when there is none."""
    found = ChangeSet.objects.filter(
        orchestrator=orchestrator, generation=generation, accepted_at__isnull=False
    ).first()
    return None if found is None else wanted(found)


def written(difference: Difference) -> dict[str, Any]:
    """A difference as the rows keep it."""
    return {
        "kind": difference.kind,
        "subject": difference.subject,
        "before": difference.before,
        "after": difference.after,
        "words": difference.words,
    }


def exact(values: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of a decision as JSON that reads back as it was written: numbers that aren't whole become text."""
    return {str(key): _exact(each) for key, each in values.items()}


def _exact(each: Any) -> Any:
    match each:
        case None | bool() | int() | str():
            return each
        case Mapping():
            return exact(each)
        case list() | tuple():
            return [_exact(one) for one in each]
        case set() | frozenset():
            return sorted(f"{one}" for one in each)
    return each.isoformat() if hasattr(each, "isoformat") else f"{each}"
