"""What changes people, memberships, tokens and the first-run link; the only writer of them."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q

from attribution.models import Team
from governance.models import TEAM_ROLES, FirstRunLink, Membership, Role, ServiceToken, User, normal_email

FIRST_RUN_LIFETIME = timedelta(hours=24)
# Lets a leaked token be recognised for what it is by secret scanners.
TOKEN_PREFIX = "weir_"  # noqa: S105
# A token's last use is written at most this often: reading must not cost a write per request.
LAST_USE_RESOLUTION = timedelta(minutes=1)


class IdentityError(Exception):
    """A change to people that can't be made; the message says why and what to do. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class IssuedToken:
    """A new token. `secret` exists only here: show it once, never store or log it."""

    token: ServiceToken
    secret: str = field(repr=False)


def digest_of(secret: str) -> str:
    """What is stored of a token or link: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def owner_exists() -> bool:
    """Was there ever an owner? (One whose membership ended still blocks the first-run link.)"""
    return Membership.objects.filter(role=Role.OWNER).exists()


def create_person(
    *,
    email: str,
    name: str,
    role: Role,
    now: datetime,
    team: Team | None = None,
    password: str | None = None,
) -> User:
    """Make a user with one membership from `now` on; without a password the person can't sign in yet.

    Raises IdentityError when the address is malformed or taken, the password weak, or the role in the wrong place.
    """
    _check_place(role, team)
    address = normal_email(email)
    try:
        validate_email(address)
        if password is not None:
            validate_password(password, User(email=address, name=name))
        with transaction.atomic():
            user = User.objects.create_user(address, password, name=name)
            Membership.objects.create(user=user, role=role, team=team, valid_from=now)
    except ValidationError as error:
        raise IdentityError(" ".join(error.messages)) from error
    except IntegrityError as error:
        raise IdentityError(f"{address} has an account already: grant it a role instead") from error
    return user


def grant(user: User, *, role: Role, now: datetime, team: Team | None = None) -> Membership:
    """Give `user` a further role from `now` on. Raises IdentityError when the role doesn't fit the place."""
    _check_place(role, team)
    return Membership.objects.create(user=user, role=role, team=team, valid_from=now)


def end_membership(membership: Membership, now: datetime) -> None:
    """The membership holds until `now`, exclusive; what it was stays readable."""
    Membership.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=now), id=membership.id).update(valid_to=now)


def _check_place(role: Role, team: Team | None) -> None:
    if role in TEAM_ROLES and team is None:
        raise IdentityError(f"a {role.value} belongs to a team: name it")
    if role not in TEAM_ROLES and team is not None:
        raise IdentityError(
            f"a {role.value} reads the whole organisation: leave the team out, or make a lead or member"
        )


def issue_token(
    user: User,
    *,
    name: str,
    team: Team | None = None,
    expires_at: datetime | None = None,
    may_write: bool = False,
) -> IssuedToken:
    """Make a bearer token of `user`, narrowed to `team` and the teams below it if one is given.

    It reads; with `may_write` it also does what its person may do.
    """
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ServiceToken.objects.create(
        user=user, name=name, digest=digest_of(secret), team=team, expires_at=expires_at, may_write=may_write
    )
    return IssuedToken(token, secret)


def revoke_token(token: ServiceToken, now: datetime) -> None:
    """The token stops working at once."""
    ServiceToken.objects.filter(id=token.id, revoked_at__isnull=True).update(revoked_at=now)


def token_of(secret: str, now: datetime) -> ServiceToken | None:
    """The valid token with this secret, its use noted; None when unknown, expired, revoked, or its person inactive."""
    token = (
        ServiceToken.objects.select_related("user")
        .filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now),
            digest=digest_of(secret),
            revoked_at__isnull=True,
            user__is_active=True,
        )
        .first()
    )
    if token is None:
        return None
    if token.last_used_at is None or now - token.last_used_at >= LAST_USE_RESOLUTION:
        ServiceToken.objects.filter(id=token.id).update(last_used_at=now)
    return token


def issue_first_run_link(now: datetime) -> str:
    """The secret of a new one-time link for the first owner; earlier links stop working.

    Raises IdentityError when an owner exists.
    """
    if owner_exists():
        raise IdentityError("this deployment has an owner already: ask them to add you, or sign in")
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        FirstRunLink.objects.filter(used_at__isnull=True).delete()
        FirstRunLink.objects.create(digest=digest_of(secret), created_at=now, expires_at=now + FIRST_RUN_LIFETIME)
    return secret


def first_run_link_is_open(digest: str, now: datetime) -> bool:
    """Can the link with this digest still make the owner?"""
    found = FirstRunLink.objects.filter(digest=digest, used_at__isnull=True, expires_at__gt=now).exists()
    return found and not owner_exists()


def make_first_owner(digest: str, *, email: str, name: str, password: str, now: datetime) -> User:
    """Use the link up and make the owner, both or neither. Raises IdentityError when it is used, old or unknown."""
    with transaction.atomic():
        # The conditional update is the lock: of two people with the link, one gets the row.
        used = FirstRunLink.objects.filter(digest=digest, used_at__isnull=True, expires_at__gt=now).update(used_at=now)
        if not used or owner_exists():
            raise IdentityError("this link was used or is too old: run 'manage.py first_run' for a new one")
        return create_person(email=email, name=name, role=Role.OWNER, now=now, password=password)
