"""Control state of the loop."""

from .changes import (
    ChangeApproval,
    ChangeSet,
    FreezeWindow,
    KillSwitch,
    Observation,
    Orchestrator,
    PushOutbox,
    Transition,
)

__all__ = [
    "ChangeApproval",
    "ChangeSet",
    "FreezeWindow",
    "KillSwitch",
    "Observation",
    "Orchestrator",
    "PushOutbox",
    "Transition",
]
