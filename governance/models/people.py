"""Who may see and do what: users, dated memberships with roles, hashed tokens, one-time links, sign-in attempts.

A secret never stands here: tokens and links are kept as SHA-256 digests of 256 random bits, passwords as Django hashes
them.
"""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    """Addresses are compared in lower case: one person never has two accounts that differ by a capital."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=normal_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=normal_email(username or ""))


def normal_email(email: str) -> str:
    """The one spelling of an address that is stored and looked up."""
    return email.strip().lower()


class User(AbstractBaseUser):
    """A person; signs in with an address and a password. What they may see follows from their memberships only."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    def __str__(self) -> str:
        return self.name or self.email


class Role(models.TextChoices):
    """Organisation roles and, from `LEAD` on, roles that hold for one team and all below it."""

    OWNER = "owner"
    FINANCE = "finance"
    OPERATOR = "operator"
    VIEWER = "viewer"
    LEAD = "lead"
    MEMBER = "member"


# Roles that read everything; each is held in the organisation, never in a team.
ORGANISATION_ROLES = (Role.OWNER, Role.FINANCE, Role.OPERATOR, Role.VIEWER)
TEAM_ROLES = (Role.LEAD, Role.MEMBER)


class Membership(models.Model):
    """A role of a person, in the organisation (no team) or in a team; valid in [valid_from, valid_to)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    team = models.ForeignKey("attribution.Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # A lead of no team would be a lead of nothing; a viewer "of a team" would read everything.
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in ORGANISATION_ROLES], team__isnull=True)
                | models.Q(role__in=[role.value for role in TEAM_ROLES], team__isnull=False),
                name="role_fits_its_place",
            ),
        ]


class ServiceToken(models.Model):
    """A bearer token of a person: only its SHA-256 is kept; it sees at most what the person sees."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    team = models.ForeignKey("attribution.Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # A token reads; one that may also do what its person may do is made so on purpose.
    may_write = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)


class FirstRunLink(models.Model):
    """The link by which the first owner is made, once, before `expires_at`."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)


class SignInAttempt(models.Model):
    """An attempt to sign in that has not succeeded (yet); who and from where as keyed hashes, kept for an hour."""

    account = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["address", "at"])]
