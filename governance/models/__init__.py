"""Control state of the top layer."""

from .people import Membership, Role, ServiceToken, User

__all__ = ["Membership", "Role", "ServiceToken", "User"]
