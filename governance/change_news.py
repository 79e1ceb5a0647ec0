"""Tells people what happened to changes: each step that concerns them becomes one notification.

The layer below writes steps and knows no recipients; this one reads the steps on from the last that it told.
"""

import re
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from governance.models import Budget, Notification
from governance.notifications import outbox
from governance.notifications.events import Event, Figure, Kind
from routing import selectors
from routing.models import ChangeSet, Transition

_ONCE = "change-step:"
# Ids are given before transactions end: a step may appear after a later one. Telling twice is impossible anyway.
_OVERLAP = 200
_AMOUNT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?")
_BUDGET = re.compile(r"budget:(\d{1,18})")
_AFTER = {
    "effective": (Kind.CHANGE_EFFECTIVE, "is effective"),
    "rolled_back": (Kind.CHANGE_ROLLED_BACK, "was rolled back"),
    "drifted": (Kind.CHANGE_DRIFTED, "drifted: the gateway holds something else"),
}
# The decision's words for what a message names.
_FIGURES = {"limit": "limit", "spend": "spent", "forecast": "expected_end"}


def tell_changes(*, now: datetime) -> int:
    """How many steps were looked at. Any number of workers may run it at once."""
    told = Notification.objects.filter(link_path__startswith="/changes/").aggregate(newest=Max("id"))["newest"]
    after = 0
    if told is not None:
        key = Notification.objects.get(pk=told).once_key.removeprefix(_ONCE)
        after = max(0, int(key) - _OVERLAP) if key.isdecimal() else 0
    steps = selectors.changes_since(after)
    for step in steps:
        event = event_of(step)
        if event is not None:
            with transaction.atomic():
                outbox.enqueue(event, now)
    return len(steps)


def event_of(step: Transition) -> Event | None:
    """What a step says to people; None for one that nobody has to know."""
    change = step.change
    named = f"{change.name}: {change.title}"[:150]
    if step.after == ChangeSet.Status.PROPOSED:
        waits = change.approval in (ChangeSet.Approval.ONE, ChangeSet.Approval.TWO)
        kind = Kind.CHANGE_WAITING if waits else Kind.CHANGE_PROPOSED
        said = "waits for your approval" if waits else "is proposed"
    elif step.after in _AFTER:
        kind, said = _AFTER[step.after]
    else:
        return None
    found = _BUDGET.match(change.reference)
    return Event(
        kind=kind,
        team=change.team,
        budget_id=int(found.group(1)) if found else None,
        subject=f"{named} {said}",
        figures=_figures(step),
        link_path=f"/changes/{change.pk}",
        once_key=f"{_ONCE}{step.pk}",
    )


def _figures(step: Transition) -> dict[str, Figure]:
    change = step.change
    figures: dict[str, Figure] = {"words": step.reason or change.words, "gateway": change.orchestrator.name}
    for name, said in _FIGURES.items():
        value = change.inputs.get(said)
        if isinstance(value, str) and _AMOUNT.fullmatch(value):
            figures[name] = Decimal(value)
    found = _BUDGET.match(change.reference)
    if found:
        budget = Budget.objects.filter(pk=int(found.group(1))).values_list("name", "currency").first()
        if budget is not None:
            figures["budget"], figures["currency"] = budget
    return figures
