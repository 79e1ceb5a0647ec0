"""Control state of the top layer."""

from .colours import EntityColour
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

__all__ = [
    "ORGANISATION_ROLES",
    "TEAM_ROLES",
    "Channel",
    "Delivery",
    "EntityColour",
    "FirstRunLink",
    "Membership",
    "Notification",
    "Role",
    "ServiceToken",
    "SignInAttempt",
    "Subscription",
    "User",
    "normal_email",
]
