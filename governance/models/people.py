"""Who may see and do what: users, dated memberships with roles, hashed tokens."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person. Signs in by password, or once by a first-run link."""

    email = models.EmailField(unique=True)


class Role(models.TextChoices):
    """Organisation roles and, from `LEAD` on, roles that hold for one team and all below it."""

    OWNER = "owner"
    FINANCE = "finance"
    OPERATOR = "operator"
    VIEWER = "viewer"
    LEAD = "lead"
    MEMBER = "member"


class Membership(models.Model):
    """A role of a person, in the organisation (no team) or in a team; valid in [valid_from, valid_to)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    team = models.ForeignKey("attribution.Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)


class ServiceToken(models.Model):
    """A bearer token of a person: only its SHA-256 is kept; it sees at most what the person sees."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    team = models.ForeignKey("attribution.Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
