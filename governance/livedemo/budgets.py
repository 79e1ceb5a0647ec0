"""Two budgets for the live demo, with ladders that act: made once, when the demo has none, by its owner.

Their limits are above what the last month cost, so that nothing happens until a newcomer lowers one.
"""

from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from attribution import spend
from attribution.actors import Actor
from attribution.queries import Dimension
from attribution.vocabulary import Basis
from governance import policies
from governance.budget_drafts import BudgetDraft
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung, Step, Substitute
from governance.models import Budget

ROOM = Decimal("1.25")
TEAMS = (("claims", "Claims"), ("policy-service", "Policy Service"))
_STEPS = (
    Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000),
    Step(Rung.PREFER_CHEAPER, Measure.FORECAST, 950_000, 900_000),
    Step(Rung.SMALLER_MODEL, Measure.FORECAST, 1_030_000, 980_000, Approval.ONE),
    Step(Rung.STOP, Measure.ACTUAL, 1_200_000, 1_150_000, Approval.ONE),
)
_SUBSTITUTES = {"claude-sonnet-4.5": (Substitute("claude-haiku-4.5", Disutility.WORSE),)}


def make_budgets(actor: Actor, *, now: datetime) -> int:
    """How many were made: none where there is any budget already."""
    if Budget.objects.exists():
        return 0
    cost = month_cost(now.date())
    made = 0
    for slug, name in TEAMS:
        limit = round_up(cost.get(slug, Decimal(0)) * ROOM)
        if not limit:
            continue
        draft = BudgetDraft(name=f"{name}, live demo", amount=limit, dims=(("team", slug),))
        policies.create_budget(actor, draft, Policy(0, 0, _STEPS, substitutes=_SUBSTITUTES), now=now)
        made += 1
    return made


def month_cost(today: date) -> dict[str, Decimal]:
    """Dollars by team in the 30 days before `today`: billed where it is known, else estimated."""
    cost: dict[str, Decimal] = {}
    for row in spend.daily(today - timedelta(days=30), today, (Dimension.TEAM,), Basis.EFFECTIVE):
        team = row.group[0]
        if team is not None:
            cost[team] = cost.get(team, Decimal(0)) + (row.cost or row.estimated_cost or Decimal(0))
    return cost


def round_up(amount: Decimal) -> Decimal:
    """To the next hundred: a limit that a person would have set."""
    return (amount / 100).to_integral_value(ROUND_CEILING) * 100
