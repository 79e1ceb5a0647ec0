"""A company of two units and three teams, people of every role, and its budgets' clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from attribution.models import Placement, Team
from governance.budget_drafts import BudgetDraft
from governance.identity.permissions import actor_of_person
from governance.models import Membership, Role, User
from tests.governance.budgets.personas import NOW, People


@pytest.fixture
def company(db: None) -> dict[str, Team]:
    """products (a business unit) holds search and ads; labs stands beside it."""
    made = {
        slug: Team.objects.create(slug=slug, name=slug.title(), kind=kind)
        for slug, kind in (("products", "business_unit"), ("search", "team"), ("ads", "team"), ("labs", "team"))
    }
    for slug in ("search", "ads"):
        Placement.objects.create(team=made[slug], parent=made["products"])
    return made


@pytest.fixture
def people(company: dict[str, Team]) -> People:
    held = {
        "owner": (Role.OWNER, None),
        "lead": (Role.LEAD, "products"),
        "other_lead": (Role.LEAD, "labs"),
        "member": (Role.MEMBER, "search"),
        "outsider": (None, None),
    }
    users = {}
    for name, (role, team) in held.items():
        user = User.objects.create_user(f"{name}@weir.example", password="correct horse", name=name.title())
        users[name] = user
        if role is not None:
            where = company[team] if team else None
            Membership.objects.create(user=user, role=role, team=where, valid_from=datetime(2026, 1, 1, tzinfo=UTC))
    actors = {name: actor_of_person(user, NOW) for name, user in users.items()}
    return People(**actors, users=users)


@pytest.fixture
def draft() -> Callable[..., BudgetDraft]:
    """A month's budget of 1,000 USD for search, from 2026 on, but for what is said."""

    def make(name: str = "Search", amount: str = "1000", **values: object) -> BudgetDraft:
        given = {"dims": (("team", "search"),), "starts_on": datetime(2026, 1, 1).date(), **values}
        return BudgetDraft(name=name, amount=Decimal(amount), **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def lake(lake_root: Path, db: None) -> Path:
    return lake_root
