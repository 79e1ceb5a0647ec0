"""Control state of the top layer."""

from .colours import EntityColour
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
    "EntityColour",
    "FirstRunLink",
    "Membership",
    "Role",
    "ServiceToken",
    "SignInAttempt",
    "User",
    "normal_email",
]
