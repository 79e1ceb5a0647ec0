"""Signing in and out: rotation, limits, one answer to every failure, no way out of this host."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import global_settings
from django.test import Client
from pytest_django.fixtures import Settings

from governance.identity import services, throttle
from governance.models import Role, SignInAttempt, User

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PASSWORD = "slow river 42 stones"


@pytest.fixture
def olga() -> User:
    return services.create_person(email="olga@example.org", name="Olga", role=Role.OWNER, password=PASSWORD, now=NOON)


def attempt(client: Client, email: str = "olga@example.org", password: str = PASSWORD, **more: str) -> int:
    return client.post("/sign-in", {"email": email, "password": password, **more}).status_code


def test_the_right_password_opens_a_new_session(client: Client, olga: User) -> None:
    client.get("/sign-in")
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    before = session.session_key

    assert attempt(client, "OLGA@example.org ") == 302

    assert client.session.session_key != before
    assert client.session["_auth_user_id"] == str(olga.pk)


def test_signing_out_ends_the_session_and_needs_a_post(client: Client, olga: User) -> None:
    client.force_login(olga)

    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out").status_code == 302
    assert "_auth_user_id" not in client.session


def test_a_wrong_password_and_an_unknown_address_look_alike(client: Client, olga: User) -> None:
    wrong = client.post("/sign-in", {"email": "olga@example.org", "password": "wrong"})
    unknown = client.post("/sign-in", {"email": "nobody@example.org", "password": "wrong"})

    assert wrong.status_code == unknown.status_code == 200
    assert "match an account" in wrong.content.decode()
    assert wrong.content.count(b"account") == unknown.content.count(b"account")


def test_an_inactive_person_cannot_sign_in(client: Client, olga: User) -> None:
    User.objects.update(is_active=False)

    assert attempt(client) == 200


def test_after_five_failures_even_the_right_password_waits(client: Client, olga: User) -> None:
    for _ in range(throttle.PER_ACCOUNT_AND_ADDRESS):
        assert attempt(client, password="wrong") == 200

    refused = client.post("/sign-in", {"email": "olga@example.org", "password": PASSWORD})

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "900"
    assert attempt(client, "other@example.org") == 200


def test_success_forgets_the_failures(client: Client, olga: User) -> None:
    for _ in range(throttle.PER_ACCOUNT_AND_ADDRESS - 1):
        attempt(client, password="wrong")

    assert attempt(client) == 302
    assert not SignInAttempt.objects.exists()


def test_an_address_that_tries_many_accounts_is_stopped() -> None:
    tried = [throttle.note_attempt(f"p{number}@example.org", "192.0.2.1", NOON) for number in range(51)]

    assert tried == [True] * throttle.PER_ADDRESS + [False]
    assert throttle.note_attempt("p1@example.org", "192.0.2.2", NOON)


def test_the_window_passes_and_old_attempts_are_removed() -> None:
    for _ in range(throttle.PER_ACCOUNT_AND_ADDRESS):
        throttle.note_attempt("a@example.org", "192.0.2.1", NOON)
    assert not throttle.note_attempt("a@example.org", "192.0.2.1", NOON + throttle.WINDOW - timedelta(seconds=1))

    assert throttle.note_attempt("a@example.org", "192.0.2.1", NOON + throttle.WINDOW)
    assert throttle.note_attempt("a@example.org", "192.0.2.1", NOON + throttle.KEPT + timedelta(hours=1))
    assert SignInAttempt.objects.count() == 1


def test_attempts_are_kept_without_names() -> None:
    throttle.note_attempt("olga@example.org", "192.0.2.1", NOON)

    kept = str(SignInAttempt.objects.values().get())
    assert "olga" not in kept
    assert "192.0.2.1" not in kept


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/sign-in", ""])
def test_it_never_leads_out_of_this_host(client: Client, olga: User, wanted: str) -> None:
    response = client.post("/sign-in", {"email": "olga@example.org", "password": PASSWORD, "next": wanted})

    assert response.headers["Location"] == "/"


def test_it_leads_back_to_where_the_person_wanted_to_go(client: Client, olga: User) -> None:
    page = client.get("/sign-in?next=/data%3Fmonth=5")
    assert 'value="/data?month=5"' in page.content.decode()

    response = client.post("/sign-in", {"email": "olga@example.org", "password": PASSWORD, "next": "/data?month=5"})

    assert response.headers["Location"] == "/data?month=5"


def test_forms_need_the_csrf_token(olga: User) -> None:
    strict = Client(enforce_csrf_checks=True)

    assert attempt(strict) == 403
    strict.force_login(olga)
    assert strict.post("/sign-out").status_code == 403


def test_a_forged_forwarding_header_does_not_reset_the_limit(client: Client, olga: User) -> None:
    def tried(number: int) -> int:
        client.defaults["HTTP_X_FORWARDED_FOR"] = f"198.51.100.{number}"
        return attempt(client, password="wrong")

    assert [tried(number) for number in range(6)] == [200] * 5 + [429]


def test_behind_our_proxy_each_sender_has_their_own_limit(client: Client, olga: User, settings: Settings) -> None:
    settings.WEIR_BEHIND_PROXY = True

    def tried(forwarded: str) -> int:
        client.defaults["HTTP_X_FORWARDED_FOR"] = forwarded
        return attempt(client, password="wrong")

    assert [tried(f"198.51.100.{number}, 192.0.2.1") for number in range(6)] == [200] * 5 + [429]
    assert tried("192.0.2.1, 192.0.2.2") == 200


def test_passwords_are_kept_as_a_slow_salted_hash(client: Client, db: None, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
    made = [
        services.create_person(email=f"{name}@example.org", name=name, role=Role.OWNER, password=PASSWORD, now=NOON)
        for name in ("ada", "bea")
    ]
    algorithm, iterations, salt, _ = made[0].password.split("$")
    assert (algorithm, int(iterations) >= 1_000_000) == ("pbkdf2_sha256", True)
    assert salt != made[1].password.split("$")[2]
    assert attempt(client, "ada@example.org") == 302
