"""What a budget asked of the gateways ends with the budget."""

from dataclasses import replace
from datetime import timedelta

from attribution.actors import SYSTEM
from governance import budgeting
from routing import services
from routing.desired import DesiredState, Route, Target, Tier
from routing.models import ChangeSet, Orchestrator
from routing.services import Why

from .conftest import NOW


def test_changes_that_wait_end_with_their_budget_and_others_stay(people, draft, lake):
    made = budgeting.create(draft(), actor=people.lead, now=NOW)
    Orchestrator.objects.create(name="edge", kind="http")
    target = Target("aws", "aws", "eu", "http://127.0.0.1:1")
    state = DesiredState("edge", 0, (target,), (Route("m", (Tier.of({"aws": 1_000_000}),), "search"),))
    later = NOW + timedelta(minutes=1)
    references = (f"budget:{made.id}", f"budget:{made.id}:ask", f"budget:{made.id}0")
    for number, reference in enumerate(references):
        wanted = replace(state, routes=(*state.routes, Route(f"m{number}", state.routes[0].tiers)))
        services.propose_change("edge", wanted, why=Why("decision", reference), actor=SYSTEM, approval="one", now=NOW)
    budgeting.archive(made.id, 1, actor=people.lead, now=later)
    assert dict(ChangeSet.objects.values_list("reference", "status")) == {
        references[0]: "superseded",
        references[1]: "superseded",
        references[2]: "proposed",
    }
