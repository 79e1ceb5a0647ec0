"""One protocol for every orchestrator, and the values that cross it.

An orchestrator is told a whole `DesiredState` and answers with proof. The order of a push:

    observed = it.observe()
    plan = it.plan(desired, observed)        pure
    it.validate(plan)                        dry run
    receipt = it.apply(plan, now=now)        idempotent under plan.key
    proof = it.verify(receipt, now=now)      again and again until it is effective or overdue

All of it is synchronous, bounded by timeouts, and keeps nothing in memory that a restart would miss: a receipt and a
cursor are plain values that a database can hold. Not here: who may push, when to give up, what is written down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from routing.desired import DesiredState, Difference, Problem


class OrchestratorError(Exception):
    """Why a call failed. `retryable`: the same call may work later; the words say the value and the fix."""

    retryable = False


class Unreachable(OrchestratorError):
    """No answer: refused, timed out, cut off. Whether it acted is unknown; `apply` again under the same key is safe."""

    retryable = True


class Overloaded(OrchestratorError):
    """It answers that it is busy (429) or broken (5xx)."""

    retryable = True

    def __init__(self, words: str, retry_after: timedelta | None = None) -> None:
        super().__init__(words)
        self.retry_after = retry_after


class Refused(OrchestratorError):
    """It understood and says no (4xx, an invalid snapshot): the same snapshot will not be taken later either."""


class Unauthorized(Refused):
    """Our credential is not accepted."""


class Conflict(OrchestratorError):
    """Its state isn't the one that the plan expects: someone else changed it. Show drift and let a person decide."""

    def __init__(self, words: str, differences: Sequence[Difference] = ()) -> None:
        super().__init__(words)
        self.differences = tuple(differences)


class Stale(Conflict):
    """It already holds this generation with other content, or a later one."""


class Malformed(OrchestratorError):
    """Its answer can't be read: a wrong version, or not the orchestrator that we think it is."""


class Unsupported(Refused):
    """The snapshot needs what `capabilities()` says it can't do."""


class Level(StrEnum):
    """How far a push is proved. The order is that of the proof."""

    ACCEPTED = "accepted"  # the API or the file took it
    LIVE = "live"  # the data plane reads that version back
    EFFECTIVE = "effective"  # the observed traffic follows
    DRIFT = "drift"  # it holds something that we did not write
    REJECTED = "rejected"  # the data plane refused it, and runs the last good version


class Atomic(StrEnum):
    """What changes as one. Where it isn't `ALL`, plans raise before they lower."""

    ALL = "all"
    ROUTE = "route"
    NOTHING = "nothing"


class QuotaKind(StrEnum):
    """Which quotas it enforces; "_all" counts over every team."""

    TEAM_RPM = "team_rpm"
    TEAM_TPM = "team_tpm"
    KEY_RPM = "key_rpm"
    KEY_TPM = "key_tpm"
    MODEL_RPM = "model_rpm"
    MODEL_TPM = "model_tpm"
    TEAM_MODEL_RPM = "team_model_rpm"
    TEAM_MODEL_TPM = "team_model_tpm"


@dataclass(frozen=True)
class Capabilities:
    """What one orchestrator can do, said honestly: what is absent is named in `absent`, with its reason.

    cas: `apply` is refused by the orchestrator itself when its state isn't the expected one.
    weight_step_ppm: the finest share that it distinguishes.
    propagation: from `apply` to live on every data plane, at most.
    renames_model: a Route's served_model can be honoured. per_team_routes: a Route's team can.
    credentials_per_target, dialects_per_target: each provider's own key, and its own request format.
    exact_split: traffic follows weights deterministically, not by chance for each request.
    absent: (what, why) for what a page should say is not there.
    """

    atomic: Atomic
    cas: bool
    weight_step_ppm: int
    propagation: timedelta
    tiers: bool = True
    per_team_routes: bool = True
    blocks: bool = True
    block_bodies: bool = True
    quotas: frozenset[QuotaKind] = frozenset()
    dry_run: bool = True
    renames_model: bool = False
    credentials_per_target: bool = False
    dialects_per_target: bool = False
    observes_split: bool = True
    reads_usage: bool = True
    exact_split: bool = False
    absent: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Observed:
    """What it holds now, read back.

    state: as far as it can be read in our terms; None when it holds nothing of ours yet.
    generation: the one that it names itself; None when it can't.
    versions: a token for each resource, as configured; live: the same for what the data plane runs, where it differs.
    foreign: what nobody of ours wrote, or wrote over ours.
    rejected: words of the data plane's last refusals; ejected: targets that it avoids as unhealthy now.
    reachable: False when only what is written could be read, and not what runs.
    """

    state: DesiredState | None
    generation: int | None
    versions: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)
    foreign: tuple[Difference, ...] = ()
    rejected: tuple[str, ...] = ()
    ejected: frozenset[str] = frozenset()
    reachable: bool = True


@dataclass(frozen=True)
class Step:
    """One call or file of a plan. resource: what it writes; words: for people; body: what is sent, JSON values."""

    resource: str
    words: str
    body: Any = None
    method: str = "PUT"


@dataclass(frozen=True)
class Plan:
    """An ordered way from what was observed to what is desired. Pure, deterministic.

    expected: the versions that it starts from; `apply` raises Conflict when they have changed since.
    overwrites: what of others it would write over: a person must have decided so (`force` of `plan`).
    """

    desired: DesiredState
    before: DesiredState | None
    steps: tuple[Step, ...]
    differences: tuple[Difference, ...]
    expected: Mapping[str, str] = field(default_factory=dict)
    overwrites: tuple[Difference, ...] = ()

    @property
    def key(self) -> str:
        return self.desired.key()

    @property
    def is_empty(self) -> bool:
        """Nothing differs: applying it only writes the new generation."""
        return not self.differences


@dataclass(frozen=True)
class Receipt:
    """What `apply` leaves: enough to verify and to take it back, after any restart. versions: as written."""

    key: str
    orchestrator: str
    generation: int
    digest: str
    applied_at: datetime
    versions: Mapping[str, str] = field(default_factory=dict)
    repeated: bool = False  # the key was there already: nothing was changed

    def to_plain(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "orchestrator": self.orchestrator,
            "generation": self.generation,
            "digest": self.digest,
            "applied_at": self.applied_at.isoformat(),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Receipt":
        return cls(**{**plain, "applied_at": datetime.fromisoformat(plain["applied_at"])})


@dataclass(frozen=True)
class RouteSplit:
    """First attempts of one team's requests for one model, by the target that took them, since some instant.

    Retries and failover don't count here: they say how healthy a target is, not how requests are shared.
    """

    model: str
    team: str
    requests: Mapping[str, int]
    refused: int = 0  # answered by a block or a quota
    failed: int = 0  # no target was asked: none is healthy, or nobody serves the model
    retried: int = 0  # a first target failed, so that another was asked

    @property
    def total(self) -> int:
        return sum(self.requests.values())


@dataclass(frozen=True)
class ObservedSplit:
    """Requests in [since, until), by team and model. Incomplete when the log does not reach back to `since`."""

    since: datetime
    until: datetime
    routes: tuple[RouteSplit, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class Proof:
    """How far a push is proved now.

    effect_unproven: live, and too little traffic (or none that could tell) to say more.
    overdue: the next level should have been reached by its deadline.
    """

    level: Level
    words: str
    effect_unproven: bool = False
    overdue: bool = False
    differences: tuple[Difference, ...] = ()
    split: ObservedSplit | None = None


@dataclass(frozen=True)
class UsageEvent:
    """One finished request, as telemetry takes it (docs/telemetry.md has the same names)."""

    request_id: str
    completed_at: datetime
    provider: str
    region: str | None
    target: str | None
    request_model: str | None
    response_model: str | None
    team: str | None
    status: int
    key: str | None = None  # the API key's name, never the secret
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    ttft_ms: int | None = None
    attempts: int | None = None
    cost: Decimal | None = None  # only where the orchestrator prices requests itself


@dataclass(frozen=True)
class Usage:
    """Events since a cursor, and the cursor to go on from; `more`: call again at once. lost: bytes or pages skipped."""

    events: tuple[UsageEvent, ...]
    cursor: str
    more: bool = False
    lost: int = 0


class Orchestrator(Protocol):
    """What every module in this folder offers. All but `plan` may raise OrchestratorError."""

    name: str

    def capabilities(self) -> Capabilities:
        """What it can do; no call goes out."""
        ...

    def observe(self) -> Observed:
        """What it holds and runs now."""
        ...

    def plan(self, desired: DesiredState, observed: Observed, *, force: bool = False) -> Plan:
        """The steps to `desired`. Pure.

        Raises Refused for an unsound snapshot or one that it can't hold (Unsupported), Stale for a generation that is
        not later than the observed one (an equal one with equal content gives a plan without steps), and Conflict when
        others' changes would be written over, unless `force`: a person has decided so.
        """
        ...

    def validate(self, plan: Plan) -> list[Problem]:
        """Dry run: what it would say to the plan; [] when it would take it. Changes nothing."""
        ...

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        """Do the steps. Safe to repeat under the same key, also after a crash half-way. Raises Conflict, Stale."""
        ...

    def verify(
        self, receipt: Receipt, desired: DesiredState, *, before: DesiredState | None = None, now: datetime
    ) -> Proof:
        """How far it is proved at `now`. One look; the caller looks again.

        desired: what the receipt is for. before: what stood until then; an effect counts as proved only where the
        traffic could not as well be that of `before`.
        """
        ...

    def rollback(self, receipt: Receipt, earlier: DesiredState, *, now: datetime) -> Receipt:
        """Push `earlier` (a new generation, later than the receipt's) over exactly what the receipt wrote."""
        ...

    def read_usage(self, cursor: str, *, limit: int = 5000) -> Usage:
        """Finished requests since `cursor` ("" is the beginning of what is kept)."""
        ...

    def observed_split(self, since: datetime, *, now: datetime) -> ObservedSplit:
        """How requests were shared in [since, now)."""
        ...
