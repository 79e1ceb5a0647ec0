"""How the requests that a change moves fared before it and since. Reads only."""

from datetime import datetime, timedelta

from django.db.models import Q

from routing import guards, rebase, snapshots
from routing.models import ChangeSet, Observation


def guards_of(change: ChangeSet, now: datetime) -> tuple[guards.Guard, ...]:
    """Both guards of a change that went live: since then against before; () for one that did not, or moves nothing."""
    if change.live_at is None or change.accepted_at is None:
        return ()
    until = min(now, change.live_at + guards.WATCHED) if now >= change.live_at else change.live_at
    earlier = _traffic(change, change.accepted_at - guards.BASELINE, change.accepted_at)
    later = _traffic(change, change.live_at, until)
    return guards.judge(earlier, later, change.orchestrator.objectives)


def _traffic(change: ChangeSet, since: datetime, until: datetime) -> guards.Traffic:
    """Requests of what the change touches. The minute in which it began is left out: it holds both."""
    first = since.replace(second=0, microsecond=0)
    if since != first:
        first += timedelta(minutes=1)
    covered = _covered(change)
    if covered is None:
        return guards.Traffic()
    rows = Observation.objects.filter(
        covered, orchestrator_id=change.orchestrator_id, minute__gte=first, minute__lt=until
    )
    return guards.total(rows.values_list("requests", "failed", "latency"))


def _covered(change: ChangeSet) -> Q | None:
    """The teams and models whose requests the change moves; None when it moves none."""
    found = Q()
    for each in rebase.touched(snapshots.before(change), snapshots.wanted(change)):
        if each.part == "targets":
            return Q()
        one = Q()
        if each.team is not None:
            one &= Q(team=each.team)
        if each.model is not None:
            one &= Q(model=each.model)
        if not one:
            return Q()
        found |= one
    return found or None
