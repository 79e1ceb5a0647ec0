"""Who learns what from the API. Of 14 dollars the lead of ml may know 8, a member of sales 4."""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from attribution.models import Team
from governance.identity import services
from governance.models import ServiceToken, User

pytestmark = pytest.mark.usefixtures("figures")

MAY = "start=2026-05-01&end=2026-06-01"
AsPerson = Callable[[str], Client]


def bearer(secret: str) -> Client:
    return Client(headers={"authorization": f"Bearer {secret}"})


def totals(client: Client, more: str = "") -> list[str]:
    return [one["total"] for one in client.get(f"/api/v1/costs?{MAY}{more}").json()["totals"]]


@pytest.mark.parametrize("name", ["owner", "finance", "operator", "viewer"])
def test_readers_of_the_organisation_get_the_whole_to_the_last_digit(as_person: AsPerson, name: str) -> None:
    assert totals(as_person(name)) == ["14.000000000000000001"]
    assert as_person(name).get("/api/v1/reconciliation").status_code == 200


@pytest.mark.parametrize(
    ("name", "total", "seen"),
    [
        ("lead of ml", "8.000000000000000001", {"ml", "ml-eval"}),
        ("member of sales", "4", {"sales"}),
    ],
)
def test_a_team_reader_gets_the_team_and_those_below(
    as_person: AsPerson, name: str, total: str, seen: set[str]
) -> None:
    client = as_person(name)

    answer = client.get(f"/api/v1/costs?{MAY}&group_by=team").json()

    assert {row["group"]["team"] for row in answer["rows"]} == seen
    assert totals(client) == [total]


def test_nothing_in_any_answer_to_a_team_reader_names_another_team_or_its_figures(as_person: AsPerson) -> None:
    client = as_person("lead of ml")
    asked = [
        *(
            f"/api/v1/costs?{MAY}&group_by={one}"
            for one in ("team", "provider", "model", "reason", "billing_account_id")
        ),
        f"/api/v1/costs?{MAY}&filter[team]=sales",
        f"/api/v1/costs?{MAY}&filter[team][not]=ml",
        f"/api/v1/costs?{MAY}&filter[team][null]=true&group_by=reason",
        f"/api/v1/costs?{MAY}&filter[model]=gpt-5&basis=list",
        f"/api/v1/costs?{MAY}&filter[charge_scope]=inference,platform,other&group_by=method",
        f"/api/v1/unit-costs?{MAY}&group_by=team,provider",
        f"/api/v1/unit-costs?{MAY}&filter[provider]=azure",
        "/api/v1/reconciliation",
    ]
    for address in asked:
        text = client.get(address).content.decode()
        for secret in ("sales", "gpt-5", "azure", "bypass", "222", '"4"', '"14', '"2"', '"10.'):
            assert secret not in text, address


def test_a_team_that_exists_answers_like_one_that_does_not(as_person: AsPerson) -> None:
    client = as_person("lead of ml")

    exists = client.get(f"/api/v1/costs?{MAY}&filter[team]=sales")
    absent = client.get(f"/api/v1/costs?{MAY}&filter[team]=nobody")

    assert (exists.status_code, exists.json()) == (absent.status_code, absent.json())


@pytest.mark.parametrize("name", ["lead of ml", "member of sales", "outsider"])
def test_reconciliation_is_refused_without_a_figure(as_person: AsPerson, name: str) -> None:
    response = as_person(name).get("/api/v1/reconciliation")

    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "14" not in response.content.decode()


@pytest.mark.parametrize("address", [f"/api/v1/costs?{MAY}", f"/api/v1/unit-costs?{MAY}", "/api/v1/reconciliation"])
def test_an_outsider_and_a_stranger_are_told_who_can_help(as_person: AsPerson, address: str) -> None:
    outsider = as_person("outsider").get(address)
    stranger = Client().get(address)

    assert (outsider.status_code, stranger.status_code) == (403, 401)
    assert "owner" in outsider.json()["detail"]
    assert stranger.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_session_sees_what_its_person_sees(client: Client, people: dict[str, User]) -> None:
    client.force_login(people["member of sales"])

    assert totals(client) == ["4"]


def test_a_token_of_the_owner_for_one_team_sees_that_team(people: dict[str, User], teams: dict[str, Team]) -> None:
    client = bearer(services.issue_token(people["owner"], name="ci", team=teams["sales"]).secret)

    assert totals(client) == ["4"]
    assert client.get("/api/v1/reconciliation").status_code == 403


def test_a_token_beside_a_session_decides_alone(people: dict[str, User], teams: dict[str, Team]) -> None:
    client = bearer(services.issue_token(people["owner"], name="ci", team=teams["sales"]).secret)
    client.force_login(people["owner"])

    assert totals(client) == ["4"]


def test_a_bad_token_beside_a_good_session_is_refused(people: dict[str, User]) -> None:
    client = bearer("weir_wrong")
    client.force_login(people["owner"])

    assert client.get(f"/api/v1/costs?{MAY}").status_code == 401


def test_a_token_ends_with_its_person(people: dict[str, User]) -> None:
    client = bearer(services.issue_token(people["owner"], name="ci").secret)
    User.objects.filter(pk=people["owner"].pk).update(is_active=False)

    assert client.get(f"/api/v1/costs?{MAY}").status_code == 401


def test_a_token_shrinks_with_its_persons_membership(people: dict[str, User]) -> None:
    client = bearer(services.issue_token(people["owner"], name="ci").secret)
    services.end_membership(people["owner"].memberships.get(), timezone.now())

    assert client.get(f"/api/v1/costs?{MAY}").status_code == 403


def test_expired_revoked_and_unknown_tokens_get_one_and_the_same_answer(people: dict[str, User]) -> None:
    now = timezone.now()
    expired = services.issue_token(people["owner"], name="old", expires_at=now - timedelta(seconds=1))
    revoked = services.issue_token(people["owner"], name="lost")
    services.revoke_token(revoked.token, now)

    answers = [bearer(secret).get(f"/api/v1/costs?{MAY}") for secret in (expired.secret, revoked.secret, "weir_x", "é")]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_a_token_is_kept_as_a_digest_and_its_use_is_noted(people: dict[str, User]) -> None:
    issued = services.issue_token(people["owner"], name="ci")
    assert issued.secret not in json.dumps(list(ServiceToken.objects.values()), default=str)
    assert issued.secret not in repr(issued)

    bearer(issued.secret).get(f"/api/v1/costs?{MAY}")

    used = ServiceToken.objects.get(pk=issued.token.pk).last_used_at
    assert used is not None
    assert timezone.now() - used < timedelta(minutes=1)


def test_shares_of_the_teams_and_the_rest_are_the_whole(as_person: AsPerson) -> None:
    """8.000000000000000001 + 4 + 2 = 14.000000000000000001: nothing is lost between the readers."""
    parts = [totals(as_person(name))[0] for name in ("lead of ml", "member of sales")]
    rest = totals(as_person("owner"), "&filter[team][null]=true")

    assert sum(Decimal(part) for part in [*parts, *rest]) == Decimal("14.000000000000000001")
