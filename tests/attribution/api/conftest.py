"""People and figures for the API's tests: 8 of team ml, 4 of sales, 2 unattributed, 14 in all."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from attribution.lake.serving import build_serving_file
from attribution.models import ControlTotal, Delivery, ImportedFile, Placement, Team
from governance.identity import services
from governance.models import Role, User
from tests.attribution.serving_lake import publish_lake, rollup

START = datetime(2026, 1, 1, tzinfo=UTC)
MAY = "start=2026-05-01&end=2026-06-01"


@pytest.fixture
def figures(lake_root: object, db: None) -> None:
    rows = [
        rollup("2026-05-01", "5", team="ml", project="search", metered_tokens=1_000_000),
        rollup("2026-05-02", "3.000000000000000001", team="ml-eval", metered_tokens=500_000),
        rollup(
            "2026-05-02", "4", team="sales", provider="azure", billing_account_id="222", model="gpt-5", metered_tokens=9
        ),
        rollup("2026-05-02", "2", method="unattributed", reason="bypass"),
    ]
    publish_lake(rows, billed_through={("aws", "111"): "2026-06-01", ("azure", "222"): "2026-06-01"})
    file = ImportedFile.objects.create(
        delivery=Delivery.objects.create(kind="billing", status="done", source="test", started_at=START),
        path="may.csv",
        sha256="0",
        format="focus",
        provider="aws",
    )
    for provider, account, amount in (("aws", "111", "10.000000000000000001"), ("azure", "222", "4")):
        ControlTotal.objects.create(
            file=file,
            scope="test",
            provider=provider,
            billing_account_id=account,
            billing_period="2026-05",
            currency="USD",
            basis="billed",
            amount=Decimal(amount),
            rows=1,
        )
    build_serving_file()


@pytest.fixture
def teams(db: None) -> dict[str, Team]:
    made = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("ml", "ml-eval", "sales")}
    Placement.objects.create(team=made["ml-eval"], parent=made["ml"])
    return made


@pytest.fixture
def people(teams: dict[str, Team]) -> dict[str, User]:
    def make(name: str, role: Role, team: Team | None = None) -> User:
        return services.create_person(email=f"{name}@example.org", name=name, role=role, team=team, now=START)

    return {
        "owner": make("owner", Role.OWNER),
        "finance": make("finance", Role.FINANCE),
        "operator": make("operator", Role.OPERATOR),
        "viewer": make("viewer", Role.VIEWER),
        "lead of ml": make("lead", Role.LEAD, teams["ml"]),
        "member of sales": make("member", Role.MEMBER, teams["sales"]),
        "outsider": User.objects.create_user("outsider@example.org", None, name="outsider"),
    }


@pytest.fixture
def as_person(people: dict[str, User]) -> Callable[[str], Client]:
    """A client that carries a token of the person."""

    def make(name: str) -> Client:
        return bearer(services.issue_token(people[name], name="test").secret)

    return make


def bearer(secret: str) -> Client:
    return Client(headers={"authorization": f"Bearer {secret}"})
