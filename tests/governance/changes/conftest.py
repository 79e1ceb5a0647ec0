"""The orchestrator of routing's tests, seen from above."""

from tests.routing.changes.conftest import edge as edge
from tests.routing.changes.conftest import teams as teams
