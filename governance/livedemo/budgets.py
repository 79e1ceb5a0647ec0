"""The demo's budgets: made once, when it has none, by its owner.

Two of the live gateway's teams have ladders that act; their limits are above what the last month cost, so that nothing
happens until a newcomer lowers one. The others only tell: the company's, a business unit's, and one that is at risk.
"""

from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from attribution import spend
from attribution.actors import Actor
from attribution.queries import Dimension
from attribution.vocabulary import Basis
from governance import policies
from governance.budget_drafts import BudgetDraft
from governance.budgets import Dims
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung, Step, Substitute
from governance.models import Budget

ROOM, TIGHT = Decimal("1.25"), Decimal("0.95")
_NOTHING = Decimal(0)
TEAMS = (("claims", "Claims"), ("policy-service", "Policy Service"))
# The teams of the business unit; a budget of the unit holds them all.
INSURANCE = ("claims", "underwriting", "policy-service")
_STEPS = (
    Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000),
    Step(Rung.PREFER_CHEAPER, Measure.FORECAST, 950_000, 900_000),
    Step(Rung.SMALLER_MODEL, Measure.FORECAST, 1_030_000, 980_000, Approval.ONE),
    Step(Rung.STOP, Measure.ACTUAL, 1_200_000, 1_150_000, Approval.ONE),
)
_TELL = (Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000),)
_SUBSTITUTES = {"claude-sonnet-4.5": (Substitute("claude-haiku-4.5", Disutility.WORSE),)}


def make_budgets(actor: Actor, *, now: datetime) -> int:
    """How many were made: none where there is any budget already."""
    if Budget.objects.exists():
        return 0
    cost = month_cost(now.date())
    acting = Policy(0, 0, _STEPS, substitutes=_SUBSTITUTES)
    telling = Policy(0, 0, _TELL)
    wanted: list[tuple[str, Decimal, Dims, Policy]] = [
        (f"{name}, live demo", cost.get(slug, _NOTHING) * ROOM, (("team", slug),), acting) for slug, name in TEAMS
    ]
    insurance = sum((cost.get(slug, _NOTHING) for slug in INSURANCE), _NOTHING)
    wanted += [
        ("All inference", sum(cost.values(), _NOTHING) * ROOM, (), telling),
        ("Insurance", insurance * ROOM, (("team", "insurance"),), telling),
        ("Fraud", cost.get("fraud", _NOTHING) * TIGHT, (("team", "fraud"),), telling),
    ]
    made = 0
    for name, limit, dims, policy in wanted:
        if limit:
            policies.create_budget(actor, BudgetDraft(name=name, amount=round_up(limit), dims=dims), policy, now=now)
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
