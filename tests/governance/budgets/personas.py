"""Who the tests of budgets are about, and their clock."""

from dataclasses import dataclass
from datetime import UTC, datetime

from attribution.actors import Actor
from governance.models import User

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class People:
    """owner: of everything. lead: of unit `products` (search, ads). other_lead: of labs. member: of search."""

    owner: Actor
    lead: Actor
    other_lead: Actor
    member: Actor
    outsider: Actor
    users: dict[str, User]
