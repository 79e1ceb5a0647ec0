"""What the loop decided, as readers may see it. Reads only; `governance.enforcement.tick` writes."""

from dataclasses import dataclass

from attribution.scope import TeamScope
from governance.models import Decision

DEFAULT_ROWS, MAX_ROWS = 50, 200


class Missing(Exception):
    """There is no such decision, or the reader may not see it: nobody learns which. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class DecisionPage:
    """Newest first. next_after: where the next page goes on, None at the end."""

    rows: tuple[Decision, ...]
    next_after: int | None


def decisions(
    scope: TeamScope, *, budget: int | None = None, after: int | None = None, limit: int = DEFAULT_ROWS
) -> DecisionPage:
    """Decisions about budgets that a reader may see; those of the organisation are for who sees everything."""
    found = Decision.objects.select_related("tick").prefetch_related("changes").order_by("-id")
    if not scope.everything:
        found = found.filter(team__in=scope.teams)
    if budget is not None:
        found = found.filter(budget_id=budget)
    if after is not None:
        found = found.filter(id__lt=after)
    rows = list(found[: limit + 1])
    return DecisionPage(tuple(rows[:limit]), rows[limit - 1].pk if len(rows) > limit else None)


def decision(scope: TeamScope, decision_id: int) -> Decision:
    """One decision. Raises Missing."""
    found = Decision.objects.select_related("tick").prefetch_related("changes").filter(pk=decision_id).first()
    if found is None or not scope.allows(found.team):
        raise Missing(f"there is no decision {decision_id}")
    return found
