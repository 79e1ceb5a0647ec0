"""Control state of the top layer."""

from .anomalies import Anomaly, AnomalyPart
from .budgets import Budget, LearnedEstimates, Quota, ThresholdPassed
from .close import BudgetOutcome, ClosedFigure, ClosedPeriod, ExchangeRate
from .colours import EntityColour
from .decisions import BudgetControl, ControlTick, Decision, DecisionChange, SteeredRoute
from .forecasts import ForecastEvent, ForecastRun, ForecastVerdict, KeptForecast
from .notifications import Channel, Delivery, Notification, Subscription
from .people import (
    ORGANISATION_ROLES,
    TEAM_ROLES,
    FirstRunLink,
    Membership,
    Role,
    ServiceToken,
    SignInAttempt,
    User,
    normal_email,
)
from .policies import PolicyVersion

__all__ = [
    "ORGANISATION_ROLES",
    "TEAM_ROLES",
    "Anomaly",
    "AnomalyPart",
    "Budget",
    "BudgetControl",
    "BudgetOutcome",
    "Channel",
    "ClosedFigure",
    "ClosedPeriod",
    "ControlTick",
    "Decision",
    "DecisionChange",
    "Delivery",
    "EntityColour",
    "ExchangeRate",
    "FirstRunLink",
    "ForecastEvent",
    "ForecastRun",
    "ForecastVerdict",
    "KeptForecast",
    "LearnedEstimates",
    "Membership",
    "Notification",
    "PolicyVersion",
    "Quota",
    "Role",
    "ServiceToken",
    "SignInAttempt",
    "SteeredRoute",
    "Subscription",
    "ThresholdPassed",
    "User",
    "normal_email",
]
