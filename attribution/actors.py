"""Who acts, and what they may do, as values. Made in one place (governance.identity), obeyed by every service.

What someone may *see* is a `TeamScope`; what they may *do* is an `Action` on a team, or on the whole organisation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from attribution.scope import EVERYTHING, NOTHING, TeamScope


class Action(StrEnum):
    """Everything that needs a permission beyond seeing."""

    EDIT_BUDGET = "edit_budget"
    EDIT_POLICY = "edit_policy"
    EDIT_QUOTA = "edit_quota"
    EDIT_EVENT = "edit_event"
    TRIAGE_ANOMALY = "triage_anomaly"
    APPROVE_CHANGE = "approve_change"
    ROLL_BACK = "roll_back"
    KILL_SWITCH = "kill_switch"
    EDIT_ORCHESTRATOR = "edit_orchestrator"
    EDIT_CHANNELS = "edit_channels"
    CLOSE_PERIOD = "close_period"
    READ_AUDIT = "read_audit"


class Forbidden(Exception):
    """The actor may not do this. Never retryable; the message names no team that the actor can't see."""

    retryable = False

    def __init__(self, action: Action, team: str | None) -> None:
        self.action = action
        self.team = team
        where = "for the whole organisation" if team is None else "for this team"
        super().__init__(f"you may not {action.value.replace('_', ' ')} {where}: {_WHO_CAN[action]} can")


_WHO_CAN: dict[Action, str] = {
    Action.EDIT_BUDGET: "an owner, or a lead of the team",
    Action.EDIT_POLICY: "an owner, or a lead of the team",
    Action.EDIT_QUOTA: "an owner, or a lead of the team",
    Action.EDIT_EVENT: "an owner, an operator, or a lead of the team",
    Action.TRIAGE_ANOMALY: "an owner, an operator, or a lead of the team",
    Action.APPROVE_CHANGE: "an owner, an operator, or a lead of the team",
    Action.ROLL_BACK: "an owner, an operator, or a lead of the team",
    Action.KILL_SWITCH: "an owner or an operator",
    Action.EDIT_ORCHESTRATOR: "an owner or an operator",
    Action.EDIT_CHANNELS: "an owner or an operator",
    Action.CLOSE_PERIOD: "an owner or finance",
    Action.READ_AUDIT: "whoever sees the whole organisation",
}


@dataclass(frozen=True)
class Grant:
    """Actions that hold for `teams` (slugs; all teams below them already included)."""

    teams: frozenset[str]
    actions: frozenset[Action]


@dataclass(frozen=True)
class Actor:
    """A person, a token of a person, or the product itself.

    name: how the audit shows them for ever; user_id: None for the product itself.
    everywhere: actions on any team and on the whole organisation; within: actions on some teams.
    """

    name: str
    user_id: int | None = None
    scope: TeamScope = NOTHING
    everywhere: frozenset[Action] = frozenset()
    within: tuple[Grant, ...] = ()

    def may(self, action: Action, team: str | None) -> bool:
        """May they do it to `team`? None means: to the whole organisation."""
        if action in self.everywhere:
            return True
        return team is not None and any(team in grant.teams and action in grant.actions for grant in self.within)

    def may_somewhere(self, action: Action) -> bool:
        """Is there any team for which they may? For what a page offers at all."""
        return action in self.everywhere or any(action in grant.actions and grant.teams for grant in self.within)

    def require(self, action: Action, team: str | None) -> None:
        """Raise Forbidden unless they may."""
        if not self.may(action, team):
            raise Forbidden(action, team)


def grants_narrowed_to(grants: Iterable[Grant], teams: frozenset[str]) -> tuple[Grant, ...]:
    """The part of `grants` that lies in `teams` (for a token with fewer rights than its person)."""
    narrowed = (Grant(grant.teams & teams, grant.actions) for grant in grants)
    return tuple(grant for grant in narrowed if grant.teams)


NOBODY = Actor(name="nobody")
# The loop acts within policies that people set; what needs a person's approval it can't approve.
SYSTEM = Actor(
    name="Weir",
    scope=EVERYTHING,
    everywhere=frozenset(Action) - {Action.APPROVE_CHANGE, Action.EDIT_BUDGET, Action.EDIT_POLICY},
)
