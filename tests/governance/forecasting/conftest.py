"""A company of one unit with two teams and one beside it, 60 days of flat spend, people of every role."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client

from attribution.lake.serving import build_serving_file
from attribution.models import Placement, Team
from governance.forecasts import forget_read
from governance.identity import services
from governance.models import Membership, Role, User
from tests.attribution.serving_lake import publish_lake, rollup

NOW = datetime(2026, 5, 20, 2, 30, tzinfo=UTC)
FIRST = date(2026, 3, 21)


@pytest.fixture(autouse=True)
def nothing_read() -> None:
    forget_read()


@pytest.fixture
def spending(lake_root: Path, db: None) -> None:
    """A day: search 10 on claude and 2 on nova, ads 5 on claude, labs 3 on claude; all in USD, all billed.

    Every third day a cent more: an error that is always 0 scales nothing.
    """
    placed = (("search", "claude", "10"), ("search", "nova", "2"), ("ads", "claude", "5"), ("labs", "claude", "3"))
    rows = []
    for ahead in range(60):
        day = FIRST + timedelta(days=ahead)
        for team, model, amount in placed:
            cost = f"{amount}.01" if ahead % 3 == 0 else amount
            rows.append(
                rollup(
                    f"{day}",
                    cost,
                    team=team,
                    model=model,
                    billing_period=f"{day:%Y-%m}",
                    metered_tokens=int(amount) * 100,
                )
            )
    publish_lake(rows, billed_through={("aws", "111"): "2026-05-20"})
    build_serving_file()


@pytest.fixture
def company(db: None) -> dict[str, Team]:
    kinds = (("products", "business_unit"), ("search", "team"), ("ads", "team"), ("labs", "team"))
    made = {slug: Team.objects.create(slug=slug, name=slug.title(), kind=kind) for slug, kind in kinds}
    for slug in ("search", "ads"):
        Placement.objects.create(team=made[slug], parent=made["products"])
    return made


@pytest.fixture
def people(company: dict[str, Team]) -> dict[str, User]:
    held = {
        "owner": (Role.OWNER, None),
        "operator": (Role.OPERATOR, None),
        "viewer": (Role.VIEWER, None),
        "lead": (Role.LEAD, "products"),
        "other_lead": (Role.LEAD, "labs"),
        "member": (Role.MEMBER, "search"),
        "outsider": (None, None),
    }
    users = {}
    for name, (role, team) in held.items():
        users[name] = User.objects.create_user(f"{name}@weir.example", password="correct horse", name=name.title())
        if role is not None:
            where = company[team] if team else None
            Membership.objects.create(
                user=users[name], role=role, team=where, valid_from=datetime(2026, 1, 1, tzinfo=UTC)
            )
    return users


@pytest.fixture
def api(people: dict[str, User]) -> Callable[[str], Client]:
    def make(name: str) -> Client:
        issued = services.issue_token(people[name], name="test", may_write=True)
        return Client(headers={"authorization": f"Bearer {issued.secret}"})

    return make


@pytest.fixture
def browse(people: dict[str, User]) -> Callable[[str], Client]:
    def make(name: str) -> Client:
        client = Client()
        client.force_login(people[name])
        return client

    return make
