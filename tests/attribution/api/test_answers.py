"""The API's answers and errors: exact text, pages, ETags, problems."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client, RequestFactory
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.lake.serving import build_serving_file
from tests.attribution.serving_lake import publish_lake, rollup

pytestmark = pytest.mark.usefixtures("figures")

MAY = "start=2026-05-01&end=2026-06-01"


@pytest.fixture
def owner(as_person: Callable[[str], Client]) -> Client:
    return as_person("owner")


def test_costs_grouped_filtered_and_dated(owner: Client) -> None:
    answer = owner.get(f"/api/v1/costs?{MAY}&group_by=team,model&filter[provider]=aws&granularity=day&basis=effective")

    assert [(row["bucket"], row["group"], row["total"]) for row in answer.json()["rows"]] == [
        ("2026-05-01", {"team": "ml", "model": "claude-sonnet-4.5"}, "5"),
        ("2026-05-02", {"team": "ml-eval", "model": "claude-sonnet-4.5"}, "3.000000000000000001"),
        ("2026-05-02", {"team": None, "model": "claude-sonnet-4.5"}, "2"),
    ]
    assert answer.json()["totals"][0]["total"] == "10.000000000000000001"
    assert answer.json()["totals"][0]["attributed_cost"] == "8.000000000000000001"
    assert answer.json()["snapshot"]["availability"] == "ready"


def test_unit_costs(owner: Client) -> None:
    (row,) = owner.get(f"/api/v1/unit-costs?{MAY}&filter[team]=ml").json()["rows"]

    assert row["micros_per_output_token"] == "5"
    assert row["per_million_tokens"] == "5"
    assert row["tokens"]["output"] == 1_000_000
    assert row["micros_per_token"]["cache_read"] is None


def test_reconciliation(owner: Client) -> None:
    assert owner.get("/api/v1/reconciliation").json()["rows"] == [
        {
            "provider": "aws",
            "billing_account_id": "111",
            "billing_period": "2026-05",
            "currency": "USD",
            "billed": "10.000000000000000001",
            "attributed": "8.000000000000000001",
            "unattributed": {"bypass": "2"},
            "difference": "0",
        },
        {
            "provider": "azure",
            "billing_account_id": "222",
            "billing_period": "2026-05",
            "currency": "USD",
            "billed": "4",
            "attributed": "4",
            "unattributed": {},
            "difference": "0",
        },
    ]


def test_pages_follow_each_other_by_their_address(owner: Client) -> None:
    address: str | None = f"/api/v1/costs?{MAY}&group_by=team&limit=1&order_by=-total"
    seen = []
    while address:
        answer = owner.get(address).json()
        seen += [row["group"]["team"] for row in answer["rows"]]
        assert answer["totals"][0]["total"] == "14.000000000000000001"
        address = answer["next"]

    assert seen == ["ml", "sales", "ml-eval", None]


def test_what_is_known_already_is_not_sent_again_until_the_figures_change(owner: Client) -> None:
    address = f"/api/v1/costs?{MAY}"
    first = owner.get(address)
    tag = first.headers["ETag"]

    assert owner.get(address, headers={"if-none-match": tag}).status_code == 304
    assert owner.get(address, headers={"if-none-match": f'"x", W/{tag}'}).status_code == 304
    assert owner.get(f"{address}&basis=billed", headers={"if-none-match": tag}).status_code == 200
    publish_lake([rollup("2026-05-01", "1", scope="more")], billed_through={})
    build_serving_file()
    assert owner.get(address, headers={"if-none-match": tag}).status_code == 200


def test_a_tag_of_one_reader_is_not_that_of_another(as_person: Callable[[str], Client]) -> None:
    address = f"/api/v1/costs?{MAY}"
    tag = as_person("owner").get(address).headers["ETag"]

    response = as_person("member of sales").get(address, headers={"if-none-match": tag})

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in response.headers["Vary"]


def test_all_mistakes_are_named_at_once(owner: Client) -> None:
    response = owner.get("/api/v1/costs?start=x&group_by=y&limit=z")

    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == ["end", "start", "group_by", "limit"]


def test_a_place_that_nobody_gave_out_is_a_mistake_in_after(owner: Client) -> None:
    (error,) = owner.get(f"/api/v1/costs?{MAY}&after=zzz").json()["errors"]

    assert error["field"] == "after"
    assert "send back" in error["fix"]


def test_an_undocumented_parameter_of_reconciliation_is_refused(owner: Client) -> None:
    assert owner.get("/api/v1/reconciliation?provider=aws").json()["errors"][0]["field"] == "provider"


def problem_of(response: Any) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["type"]


def test_every_error_is_a_problem(owner: Client) -> None:
    costs = f"/api/v1/costs?{MAY}"

    assert problem_of(owner.get("/api/v1/nothing")) == (404, "urn:weir:problem:not-found")
    assert problem_of(owner.get("/api/v1/costs/")) == (404, "urn:weir:problem:not-found")
    assert problem_of(owner.get("/api/")) == (404, "urn:weir:problem:not-found")
    assert problem_of(owner.post(costs)) == (405, "urn:weir:problem:no-such-method")
    assert problem_of(owner.options(costs)) == (405, "urn:weir:problem:no-such-method")
    assert "GET" in owner.post(costs).headers["Allow"]
    assert problem_of(owner.get(costs, headers={"accept": "text/csv"})) == (406, "urn:weir:problem:not-acceptable")
    assert problem_of(owner.get(f"{costs}&format=xml")) == (400, "urn:weir:problem:not-understood")
    many = "&".join(f"x{number}=1" for number in range(1001))
    assert problem_of(owner.get(f"{costs}&{many}")) == (400, "urn:weir:problem:not-understood")


class _Echo(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes = (JSONParser,)

    def post(self, request: Request) -> Response:
        if request.data == "fail":
            raise RuntimeError("a secret that must not be shown")
        return Response(request.data)


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        ("{", "application/json", 400),
        ("a=1", "application/x-www-form-urlencoded", 415),
        ('"fail"', "application/json", 500),
    ],
)
def test_bodies_that_cannot_be_read_and_failures_are_problems_too(body: str, media_type: str, code: int) -> None:
    response = _Echo.as_view()(RequestFactory().post("/x", body, content_type=media_type)).render()

    assert response.status_code == code
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in response.content.decode()


def test_before_anything_came_in(as_person: Callable[[str], Client], settings: Any, tmp_path: Any) -> None:
    from attribution.models import ServingFile

    ServingFile.objects.all().delete()

    answer = as_person("owner").get(f"/api/v1/costs?{MAY}").json()

    assert answer["snapshot"] == {"availability": "empty", "fingerprint": "", "commit_seq": None, "built_at": None}
    assert answer["rows"] == []
    assert answer["totals"] == []


def test_an_answer_costs_few_queries(owner: Client, django_assert_num_queries: Any) -> None:
    """The token with its person, the memberships, and the newest serving file, for the tag and for the answer."""
    address = f"/api/v1/costs?{MAY}&group_by=team,model"
    owner.get(address)

    with django_assert_num_queries(4):
        owner.get(address)
