"""The first owner: one link, once, hashed, with an end."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from governance.identity import services
from governance.models import FirstRunLink, Membership, Role, User

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
GIVEN = {
    "name": "Olga Owner",
    "email": "Olga@Example.org",
    "password": "slow river 42 stones",
    "password_again": "slow river 42 stones",
}


def printed_link() -> str:
    out = StringIO()
    call_command("first_run", address="http://weir.test/", stdout=out)
    return out.getvalue().split()[-1].removeprefix("http://weir.test")


def test_the_printed_link_makes_the_owner_and_signs_them_in(client: Client) -> None:
    link = printed_link()

    assert client.get(link, follow=True).status_code == 200
    session_before = client.session.session_key
    response = client.post("/first-run", GIVEN)

    assert response.status_code == 302
    owner = User.objects.get()
    assert owner.email == "olga@example.org"
    assert Membership.objects.get().role == Role.OWNER
    assert client.session["_auth_user_id"] == str(owner.pk)
    assert client.session.session_key != session_before


def test_the_link_works_once(client: Client) -> None:
    link = printed_link()
    client.get(link)
    client.post("/first-run", GIVEN)

    other = Client()
    assert other.get(link).status_code == 410
    assert other.post("/first-run", GIVEN).status_code == 410


def test_two_people_with_the_link_open_make_one_owner() -> None:
    secret = services.issue_first_run_link(NOON)
    digest = services.digest_of(secret)
    services.make_first_owner(digest, email="a@example.org", name="A", password="slow river 42", now=NOON)

    with pytest.raises(services.IdentityError, match="used or is too old"):
        services.make_first_owner(digest, email="b@example.org", name="B", password="slow river 42", now=NOON)
    assert User.objects.count() == 1


def test_a_weak_password_leaves_the_link_open(client: Client) -> None:
    link = printed_link()
    client.get(link)

    refused = client.post("/first-run", {**GIVEN, "password": "password1234", "password_again": "password1234"})

    assert refused.status_code == 200
    assert "too common" in refused.content.decode()
    assert client.post("/first-run", GIVEN).status_code == 302


def test_a_new_link_closes_the_earlier_one(client: Client) -> None:
    earlier = printed_link()
    printed_link()

    assert client.get(earlier).status_code == 410


def test_a_link_ends_after_a_day() -> None:
    digest = services.digest_of(services.issue_first_run_link(NOON))

    assert services.first_run_link_is_open(digest, NOON + timedelta(hours=23, minutes=59))
    assert not services.first_run_link_is_open(digest, NOON + timedelta(hours=24))


def test_the_database_does_not_hold_the_secret() -> None:
    secret = services.issue_first_run_link(NOON)

    row = FirstRunLink.objects.values().get()
    assert secret not in str(row)


def test_it_refuses_when_an_owner_exists() -> None:
    services.create_person(email="o@example.org", name="O", role=Role.OWNER, now=NOON)

    with pytest.raises(CommandError, match="has an owner already"):
        call_command("first_run")


def test_a_guessed_link_learns_nothing(client: Client) -> None:
    assert client.get("/first-run/guess").status_code == 410
    assert client.get("/first-run").status_code == 410


def test_the_link_is_never_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    link = printed_link()
    printed_link()

    client.get(link)

    assert "/first-run/[hidden]" in caplog.text
    assert link.rsplit("/", 1)[-1] not in caplog.text
