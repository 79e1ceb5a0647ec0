"""Tokens and people from the command line."""

import io
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from attribution.models import Team
from governance.identity import services
from governance.models import Membership, Role, ServiceToken, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> User:
    return services.create_person(email="olga@example.org", name="Olga", role=Role.OWNER, now=timezone.now())


def test_a_token_is_printed_once_and_works(olga: User) -> None:
    out = StringIO()

    call_command("create_token", "Olga@example.org", "--days", "7", stdout=out)

    secret = out.getvalue().strip()
    token = services.token_of(secret, timezone.now())
    assert secret.startswith("weir_")
    assert token is not None
    assert token.user == olga
    assert token.expires_at is not None
    assert timedelta(days=6) < token.expires_at - timezone.now() <= timedelta(days=7)


def test_a_token_can_be_for_one_team(olga: User) -> None:
    Team.objects.create(slug="ml", name="ML")

    call_command("create_token", "olga@example.org", "--team", "ml", stdout=StringIO())

    assert ServiceToken.objects.get().team == Team.objects.get()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody@example.org"], "nobody has the address"),
        (["olga@example.org", "--team", "none"], "there is no team"),
        (["olga@example.org", "--days", "0"], "give 1 or more"),
    ],
)
def test_a_wrong_argument_is_one_sentence(olga: User, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("create_token", *arguments)


def test_a_person_is_made_with_a_password_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    Team.objects.create(slug="ml", name="ML")
    monkeypatch.setattr("sys.stdin", io.StringIO("slow river 42 stones\n"))

    call_command(
        "create_person", "lea@example.org", "--name", "Lea", "--role", "lead", "--team", "ml", stdout=StringIO()
    )

    membership = Membership.objects.get()
    assert (membership.role, membership.team) == (Role.LEAD, Team.objects.get())
    assert membership.user.check_password("slow river 42 stones")


@pytest.mark.parametrize(
    ("role", "password", "message"),
    [("lead", "slow river 42 stones", "belongs to a team"), ("viewer", "short", "too short")],
)
def test_a_person_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, role: str, password: str, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))

    with pytest.raises(CommandError, match=message):
        call_command("create_person", "x@example.org", "--name", "X", "--role", role)
    assert not User.objects.exists()


def test_an_address_has_one_account(olga: User) -> None:
    with pytest.raises(services.IdentityError, match="has an account already"):
        services.create_person(email=" OLGA@example.org", name="O", role=Role.VIEWER, now=timezone.now())
