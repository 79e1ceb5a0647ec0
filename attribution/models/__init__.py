"""Control state of the bottom layer: the catalogue of the company, imports, the catalogue of the lake, prices."""

from .attributed import AttributedUnit
from .audit import AuditEntry, AuditHead
from .catalogue import Authority, BillingAccount, Binding, OwnershipRule, Placement, Project, Team
from .imports import ControlTotal, Delivery, ImportedFile, QuarantinedRow
from .lake import CommitSequence, Pin, Revision, ServingFile
from .prices import Price
from .runs import TaskRun

__all__ = [
    "AttributedUnit",
    "AuditEntry",
    "AuditHead",
    "Authority",
    "BillingAccount",
    "Binding",
    "CommitSequence",
    "ControlTotal",
    "Delivery",
    "ImportedFile",
    "OwnershipRule",
    "Pin",
    "Placement",
    "Price",
    "Project",
    "QuarantinedRow",
    "Revision",
    "ServingFile",
    "TaskRun",
    "Team",
]
