"""A company of three teams on two models, 60 steady days, and a last day on which something happens."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from attribution.actors import Actor
from attribution.lake.serving import build_serving_file
from attribution.models import Placement, Team
from governance.anomaly_search import Judged, judge
from governance.identity import services
from governance.identity.permissions import actor_of_person
from governance.models import Role, User
from tests.attribution.serving_lake import publish_lake, rollup

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
LAST = date(2026, 5, 31)
DAYS = tuple(LAST - timedelta(days=back) for back in range(59, -1, -1))
TEAMS, MODELS = ("ml", "sales", "support"), ("large", "small")

Company = Callable[..., Judged]


def leaf_rows(days: Iterable[date], team: str | None, model: str, cost: str, tokens: int) -> list[dict[str, Any]]:
    return [
        rollup(
            f"{day}",
            cost,
            team=team,
            model=model,
            metered_tokens=tokens,
            billing_period=f"{day:%Y-%m}",
            **({} if team else {"method": "unattributed", "reason": "unowned"}),
        )
        for day in days
    ]


@pytest.fixture
def company(lake_root: object, db: None) -> Company:
    """Publishes the company and judges it: 100 dollars for 1,000 tokens a day each (30 for 300
    without an owner), and on `day` or `days`
    (by default the last) what `changed` says: (team, model) -> (cost, tokens). Asked again, it replaces the figures."""

    def made(changed: dict[tuple[str | None, str], tuple[str, int]], *, now: datetime = NOW, **more: Any) -> Judged:
        odd, until = more.get("days", [more.get("day", LAST)]), now.date()
        days = [*DAYS, *(LAST + timedelta(days=ahead) for ahead in range(1, (until - LAST).days))]
        rows = []
        for team in more.get("teams", TEAMS):
            for model in MODELS:
                usual = ("100", 1000) if team else ("30", 300)
                others = [one for one in days if one not in odd]
                rows += leaf_rows(others, team, model, *usual)
                cost, tokens = changed.get((team, model), usual)
                rows += leaf_rows(odd, team, model, cost, tokens)
        publish_lake(rows, billed_through={("aws", "111"): more.get("billed_through", f"{until}")})
        build_serving_file()
        return judge(now)

    return made


@pytest.fixture
def teams(db: None) -> dict[str, Team]:
    return {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("ml", "ml-eval", "sales", "support")}


@pytest.fixture
def people(teams: dict[str, Team]) -> dict[str, User]:
    """An owner, a viewer, a lead and a member of ml, a lead of sales, and somebody of no team."""
    Placement.objects.create(team=teams["ml-eval"], parent=teams["ml"])
    who = {
        "owner": (Role.OWNER, None),
        "viewer": (Role.VIEWER, None),
        "lead": (Role.LEAD, teams["ml"]),
        "member": (Role.MEMBER, teams["ml"]),
        "other": (Role.LEAD, teams["sales"]),
    }
    made = {
        name: services.create_person(email=f"{name}@example.org", name=name.title(), role=role, team=team, now=START)
        for name, (role, team) in who.items()
    }
    return made | {"outsider": User.objects.create_user("outsider@example.org", name="Outsider")}


@pytest.fixture
def actors(people: dict[str, User]) -> dict[str, Actor]:
    return {name: actor_of_person(user, NOW) for name, user in people.items()}
