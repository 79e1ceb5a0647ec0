"""All that one tick decides on, read from budgets, policies, forecasts, orchestrators and usage.

`gather` answers with the controller's inputs and with what is needed to turn its plan into orders again. What can't be
steered is left out and counted: cost of models that no orchestrator routes, and scopes that no route can tell apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

import numpy as np
from django.db.models import Q

from attribution import spend
from attribution.scope import EVERYTHING
from attribution.vocabulary import Basis
from governance import budgeting, policies
from governance.budgeting import BudgetView
from governance.models import BudgetControl, SteeredRoute
from governance.quotas import quotas
from governance.team_tree import TeamTree
from routing import rebase, selectors, snapshots
from routing.desired import PPM, DesiredState, Quota, Route, from_plain
from routing.models import ChangeSet, Orchestrator
from routing.orchestrators.base import Capabilities, OrchestratorError, QuotaKind
from routing.orchestrators.registry import open_orchestrator

from .control import Cells, ControlBudget, ControlInputs, Menu, Rails
from .orders import Base, Subject
from .policy import decide
from .pools import Kitchen, menu
from .quota_orders import declared_quotas
from .rungs import ActiveRung, BudgetState, Decision, Policy, Rung, Substitute
from .usage import Prices, Use, latencies, requests_by_place, usual_days

# How long the loop leaves a budget alone after a person, or a guard, took back or refused what it did.
RESPECT = timedelta(hours=24)
WEIGHT = {1: 1.0, 2: 2.0, 3: 4.0}
# Weights are told in whole percents: a step with its rounding stays within the quarter that needs nobody's yes.
RAILS = Rails(step=0.24, loosening_step=0.12)
# Changes that say what a person wants to stand.
BY_PERSONS = ("person", "plan", "drift")
# Scopes that routes can tell apart.
STEERABLE = frozenset({"team", "model"})


@dataclass(frozen=True)
class Place:
    """One team's use of one model at one orchestrator, and what stood there before the loop steered.

    rate: Mtok an hour; requests: an hour. counts_requests: the orchestrator can limit a team's requests for a model.
    """

    orchestrator: str
    team: str
    model: str
    base: Base
    steered: SteeredRoute | None
    rate: float
    requests: float = 0.0
    counts_requests: bool = True


@dataclass(frozen=True)
class Judged:
    """A budget with what its policy permits now. held: why the loop leaves it alone, in words, or ""."""

    view: BudgetView
    policy: Policy
    state: BudgetState
    decision: Decision
    control: BudgetControl | None
    held: str = ""

    @property
    def turned(self) -> bool:
        return self.control is not None and self.control.period_start != self.view.period_start


@dataclass(frozen=True)
class Gathered:
    """The controller's inputs of one currency and basis, and where each cell stands.

    unsteered: budget -> why nothing can be done about it. declared: quotas that people have set. teams: budget -> the
    teams that it counts, None: all.
    """

    inputs: ControlInputs
    judged: tuple[Judged, ...]
    places: tuple[Place, ...]
    states: Mapping[str, DesiredState]
    figures: str
    commit_seq: int
    unsteered: Mapping[int, str] = field(default_factory=dict)
    declared: Mapping[Subject, Quota] = field(default_factory=dict)
    teams: Mapping[int, frozenset[str] | None] = field(default_factory=dict)


def judge_all(now: datetime) -> list[Judged]:
    """Every standing budget that is in its period, with what its policy permits."""
    views = [each for each in budgeting.budgets(EVERYTHING, now) if each.period_start <= now < each.period_end]
    found = policies.policies_of([each.id for each in views])
    controls = {each.budget_id: each for each in BudgetControl.objects.all()}
    ages = _ages(now)
    frozen = selectors.is_frozen()
    judged = []
    for view in views:
        control = controls.get(view.id)
        state = _state(view, control, frozen, *ages)
        policy = found[view.id]
        judged.append(Judged(view, policy, state, decide(policy, state, now), control, _held(view, state, now)))
    return judged


def gather(judged: Sequence[Judged], now: datetime) -> list[Gathered]:
    """The inputs of a tick, one for each currency and basis in which somebody has a budget."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for each in judged:
        groups.setdefault((each.view.currency, each.view.basis), []).append(each)
    halls = _halls()
    return [_gather(group, currency, Basis(basis), halls, now) for (currency, basis), group in sorted(groups.items())]


# --- budgets ---------------------------------------------------------------------------------------------------------


def _state(
    view: BudgetView,
    control: BudgetControl | None,
    frozen: bool,
    telemetry_age: timedelta | None,
    bills_age: timedelta | None,
) -> BudgetState:
    active = control.active if control is not None else []
    return BudgetState(
        budget_id=view.id,
        team=view.team,
        dims=view.dims,
        period_start=view.period_start,
        period_end=view.period_end,
        limit=view.limit,
        consumed=view.consumed,
        forecast_p50=view.forecast.p50 if view.forecast else None,
        forecast_p90=view.forecast.p90 if view.forecast else None,
        hard=view.hard,
        active=tuple(ActiveRung(Rung.of(key), datetime.fromisoformat(since)) for key, since in active),
        telemetry_age=telemetry_age,
        bills_age=bills_age,
        frozen=frozen,
        currency=view.currency,
    )


def _ages(now: datetime) -> tuple[timedelta | None, timedelta | None]:
    """How old the newest telemetry and the oldest provider's settled bills are."""
    telemetry = spend.last_telemetry()
    settled = spend.settled_through()
    oldest = min(settled.values(), default=None)
    bills = None if oldest is None else now - datetime.combine(oldest, time(), UTC)
    return (None if telemetry is None else max(now - telemetry, timedelta(0))), bills


def _held(view: BudgetView, state: BudgetState, now: datetime) -> str:
    """A person said no lately: then the loop waits, unless a hard limit is passed.

    What a guard took back by itself is tried again when the rails of the layer below say so.
    """
    if view.hard and view.consumed >= view.limit:
        return ""
    status = ChangeSet.Status
    no = (status.REJECTED, status.ROLLED_BACK)
    by_a_person = Q(status=status.REJECTED) | Q(status=status.ROLLED_BACK, rollbacks__proposed_by_id__isnull=False)
    found = ChangeSet.objects.filter(
        by_a_person, reference__in=references(view.id), proposed_at__gte=max(now - 2 * RESPECT, state.period_start)
    )
    last = found.order_by("-id").first()
    step = None if last is None else last.transitions.filter(after__in=no).order_by("-id").first()
    if last is None or step is None or step.at <= now - RESPECT:
        return ""
    what = "refused" if last.status == status.REJECTED else "rolled back"
    return f"{last.name} was {what}; the loop leaves this budget alone until {step.at + RESPECT:%d %b %H:%M} UTC"


def reference(budget_id: int) -> str:
    """How a change says which budget it came from."""
    return f"budget:{budget_id}"


def ask_reference(budget_id: int) -> str:
    """The same, for what waits for a person's yes beside what needs none."""
    return f"budget:{budget_id}:ask"


def references(budget_id: int) -> tuple[str, str]:
    return reference(budget_id), ask_reference(budget_id)


# --- orchestrators ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Hall:
    """One orchestrator that can be steered: what it should hold, can do, and how late its pools are."""

    name: str
    state: DesiredState
    able: Capabilities
    objective_ms: float | None
    steered: Mapping[tuple[str, str], SteeredRoute]

    @cached_property
    def routes(self) -> dict[tuple[str | None, str], Route]:
        return {(each.team, each.model): each for each in self.state.routes}

    @cached_property
    def blocks(self) -> frozenset[tuple[str | None, str | None]]:
        return frozenset((each.team, each.model) for each in self.state.blocks)

    @cached_property
    def quotas(self) -> dict[Subject, Quota]:
        return {(each.team, each.key, each.model): each for each in self.state.quotas}

    def route(self, team: str, model: str) -> Route | None:
        """The route that serves them: their own, else that of all teams."""
        return self.routes.get((team, model)) or self.routes.get((None, model))

    def base(self, team: str, model: str) -> Base:
        """What stands without the loop: as it was kept, or as it is where the loop does not steer."""
        steered, own = self.steered.get((team, model)), self.routes.get((team, model))
        if steered is not None:
            own = None if steered.base is None else route_from(steered.base)
        return Base(own, self.routes.get((None, model)))

    def shares(self, found: Menu, place: "Place") -> list[float]:
        """Shares of each option, and of what is refused, as they should stand now."""
        team, model = place.team, place.model
        blocked = any(each in self.blocks for each in ((team, model), (team, None), (None, model), (None, None)))
        held = self.quotas.get((team, None, model)) if place.steered is not None else None
        refused = 1.0 if blocked else _refused(held, place)
        return [each * (1 - refused) for each in _served(self.route(team, model), found)] + [refused]


def _halls() -> list[_Hall]:
    steered: dict[str, dict[tuple[str, str], SteeredRoute]] = {}
    for row in SteeredRoute.objects.all():
        steered.setdefault(row.orchestrator, {})[row.team, row.model] = row
    halls = []
    for each in Orchestrator.objects.filter(is_enabled=True, standing__isnull=False).order_by("name"):
        state = selectors.standing_state(each.name)
        try:
            able = open_orchestrator(each.kind, each.name, each.settings).capabilities()
        except OrchestratorError:
            continue
        if state is not None and able.per_team_routes:
            objective = each.objectives.get("p95_ms")
            mine = _still_steered(each, steered.get(each.name, {}))
            halls.append(_Hall(each.name, state, able, objective, mine))
    return halls


def _still_steered(
    orchestrator: Orchestrator, steered: Mapping[tuple[str, str], SteeredRoute]
) -> dict[tuple[str, str], SteeredRoute]:
    """What the loop steers; a route that a person has set since it last acted there is that person's: a new base."""
    if not steered:
        return {}
    since = min(row.since for row in steered.values())
    theirs = ChangeSet.objects.filter(orchestrator=orchestrator, kind__in=BY_PERSONS, accepted_at__gt=since)
    latest: dict[tuple[str | None, str | None], datetime] = {}
    for change in theirs.select_related("orchestrator").order_by("generation"):
        for one in rebase.touched(snapshots.before(change), snapshots.wanted(change)):
            if one.part == "routes" and change.accepted_at is not None:
                latest[one.team, one.model] = change.accepted_at
    return {place: row for place, row in steered.items() if place not in latest or latest[place] <= row.since}


def route_from(plain: dict[str, object]) -> Route:
    """A route as a snapshot writes it."""
    empty: dict[str, list[object]] = {"targets": [], "blocks": [], "quotas": [], "residency_rules": []}
    return from_plain({**empty, "routes": [plain]}, orchestrator="-", generation=1).routes[0]


# --- cells -----------------------------------------------------------------------------------------------------------


def _gather(judged: Sequence[Judged], currency: str, basis: Basis, halls: Sequence[_Hall], now: datetime) -> Gathered:
    uses = usual_days(now, basis, currency)
    tree = TeamTree.read()
    scopes = {each.view.id: _Scope.of(each.view, tree, now) for each in judged}
    prices = Prices.read(currency, basis, now.astimezone(UTC).date())
    builder = _Builder(halls, prices, judged, scopes, now)
    for use in uses:
        builder.add(use)
    cells, menus = builder.cells()
    unsteered: dict[int, str] = {}
    spending = _spending(uses)
    budgets = tuple(_budget(each, scopes[each.view.id], spending, builder, unsteered) for each in judged)
    return Gathered(
        inputs=ControlInputs(now, currency, menus, cells, budgets, RAILS),
        judged=tuple(judged),
        places=tuple(builder.places),
        states={each.name: each.state for each in halls},
        figures=spend.fingerprint(),
        commit_seq=spend.commit_seq(),
        unsteered=unsteered,
        teams={budget_id: scope.teams for budget_id, scope in scopes.items()},
        declared=declared_quotas(quotas(EVERYTHING, now)),
    )


@dataclass(frozen=True)
class _Scope:
    """Which uses a budget counts. steerable: routes can tell them from others."""

    teams: frozenset[str] | None
    model: str | None
    steerable: bool

    @classmethod
    def of(cls, view: BudgetView, tree: TeamTree, now: datetime) -> "_Scope":
        dims = dict(view.dims)
        team = dims.get("team")
        below = None if team is None else tree.below(team, now.astimezone(UTC).date())
        return cls(below, dims.get("model"), dims.keys() <= STEERABLE)

    def counts(self, team: str | None, model: str | None) -> bool:
        return (self.teams is None or team in self.teams) and (self.model is None or model == self.model)


def _spending(uses: Sequence[Use]) -> Callable[[_Scope], float]:
    """What a scope costs on a usual day."""
    by_team: dict[str | None, list[Use]] = {}
    for use in uses:
        by_team.setdefault(use.team, []).append(use)

    def daily(scope: _Scope) -> float:
        teams = by_team if scope.teams is None else scope.teams
        mine = (use for team in teams for use in by_team.get(team, ()))
        return sum(use.dollars for use in mine if scope.model is None or use.model == scope.model)

    return daily


class _Builder:
    """Collects cells and menus."""

    def __init__(
        self,
        halls: Sequence[_Hall],
        prices: Prices,
        judged: Sequence[Judged],
        scopes: Mapping[int, _Scope],
        now: datetime,
    ) -> None:
        self.halls, self.judged, self.scopes = halls, judged, scopes
        self.places: list[Place] = []
        self.dollars: list[float] = []
        self.by_team: dict[str, list[int]] = {}
        self._policies = _policies_by_team(judged, scopes)
        self._requests = requests_by_place(now)
        self._menus: list[Menu] = []
        self._rows: list[tuple[int, float, float]] = []
        self._shares: list[list[float]] = []
        self._kitchens = {
            each.name: Kitchen(
                state=each.state,
                usd=prices,
                latency=latencies(each.name, each.objective_ms, now),
                objective_ms=each.objective_ms,
                renames=each.able.renames_model,
                throttles=bool({QuotaKind.TEAM_MODEL_RPM, QuotaKind.TEAM_MODEL_TPM} & each.able.quotas),
            )
            for each in halls
        }

    def add(self, use: Use) -> None:
        """A cell for each orchestrator that routes the team's use of the model."""
        if use.team is None or use.model is None or use.dollars <= 0:
            return
        serving = [each for each in self.halls if each.route(use.team, use.model) is not None]
        counted = [self._requests.get((each.name, use.team, use.model), 0) for each in serving]
        for hall, part in zip(serving, _parts(counted), strict=True):
            self._add(hall, use.team, use.model, use, part)

    def _add(self, hall: _Hall, team: str, model: str, use: Use, part: float) -> None:
        steered = hall.steered.get((team, model))
        base = hall.base(team, model)
        if base.route is None:
            return
        policy = self._policy(team, model)
        substitutes: tuple[Substitute, ...] = policy.substitutes.get(model, ()) if policy else ()
        found = menu(self._kitchens[hall.name], base.route, team, substitutes)
        if found is None:
            return
        mean = sum(option.usd_per_mtok * share for option, share in zip(found.options, found.base, strict=True))
        usd = use.dollars / use.mtok if use.mtok > 1e-6 else mean
        self._menus.append(found)
        self._rows.append((len(self._menus) - 1, _weight(policy, team, model), max(usd, 1e-9)))
        rate = use.dollars * part / max(usd, 1e-9) / 24
        counts = QuotaKind.TEAM_MODEL_RPM in hall.able.quotas
        self.places.append(Place(hall.name, team, model, base, steered, rate, use.requests * part / 24, counts))
        self.dollars.append(use.dollars * part)
        self._shares.append(hall.shares(found, self.places[-1]))
        self.by_team.setdefault(team, []).append(len(self.places) - 1)

    def _policy(self, team: str, model: str) -> Policy | None:
        """The policy of the narrowest budget that counts this use and says something about it."""
        ranked = self._policies.get(team, ()) or self._policies.get(None, ())
        return next((policy for wanted, policy in ranked if wanted in (None, model)), None)

    def counted_by(self, scope: "_Scope") -> list[int]:
        """The cells that a scope counts."""
        if not scope.steerable:
            return []
        teams = self.by_team if scope.teams is None else scope.teams
        found = [at for team in teams for at in self.by_team.get(team, ())]
        return sorted(at for at in found if scope.model is None or self.places[at].model == scope.model)

    def usd_of(self, at: int) -> float:
        """Dollars for a million tokens of a cell at its base."""
        return self._rows[at][2]

    def cells(self) -> tuple[Cells, tuple[Menu, ...]]:
        width = max((len(each.options) for each in self._menus), default=1)
        shares = np.zeros((len(self.places), width + 1))
        for at, held in enumerate(self._shares):
            shares[at, : len(held) - 1], shares[at, -1] = held[:-1], held[-1]
        rate = np.array([each.rate for each in self.places], dtype=float)
        cells = Cells(
            team=tuple(each.team for each in self.places),
            menu=np.array([each[0] for each in self._rows], dtype=np.int64),
            weight=np.array([each[1] for each in self._rows], dtype=float),
            usd_per_mtok=np.array([each[2] for each in self._rows], dtype=float),
            rate=rate,
            shares=shares,
            loads=rate[:, None],
            load_weights=np.ones((len(self.places), 1)),
        )
        return cells, tuple(self._menus)


def _policies_by_team(
    judged: Sequence[Judged], scopes: Mapping[int, _Scope]
) -> dict[str | None, list[tuple[str | None, Policy]]]:
    """Team (None: any other) -> (model or None, policy), the narrowest scope first."""
    written = [each for each in judged if each.policy.version]
    teams = {team for each in written for team in scopes[each.view.id].teams or ()}

    def width(each: Judged) -> tuple[bool, int, bool, int]:
        scope = scopes[each.view.id]
        return (scope.teams is None, len(scope.teams or ()), scope.model is None, each.view.id)

    ranked = sorted(written, key=width)
    found: dict[str | None, list[tuple[str | None, Policy]]] = {None: [], **{team: [] for team in teams}}
    for each in ranked:
        scope = scopes[each.view.id]
        for team in found if scope.teams is None else scope.teams:
            found[team].append((scope.model, each.policy))
    return found


def _parts(counted: Sequence[int]) -> list[float]:
    """How a use is divided over the orchestrators that serve it: by requests lately, else alike."""
    total = sum(counted)
    return [each / total if total else 1 / len(counted) for each in counted]


def _weight(policy: Policy | None, team: str, model: str) -> float:
    named = policy.priorities if policy is not None else {}
    for key in (f"model:{model}", f"team:{team}", "*"):
        if key in named:
            return WEIGHT.get(named[key], 2.0)
    return 2.0


def _refused(held: Quota | None, place: Place) -> float:
    """What the loop's limit refuses of what is usually asked."""
    parts = [1.0]
    if held is not None and held.rpm is not None and place.requests > 0:
        parts.append(held.rpm * 60 / place.requests)
    if held is not None and held.tpm is not None and place.rate > 0:
        parts.append(held.tpm * 60 / PPM / place.rate)
    return 1.0 - min(parts)


def _served(route: Route | None, found: Menu) -> list[float]:
    if route is not None and route.tiers:
        smaller = [
            option.substitute is not None and option.substitute == route.served_model for option in found.options
        ]
        if any(smaller):
            return [float(each) for each in smaller]
        weights = route.tiers[0].weights
        named = [weights.get(option.target, 0) if option.substitute is None else 0 for option in found.options]
        if sum(named):
            return [each / sum(named) for each in named]
    return list(found.base)


def _budget(
    each: Judged,
    scope: _Scope,
    spending: Callable[[_Scope], float],
    builder: _Builder,
    unsteered: dict[int, str],
) -> ControlBudget:
    view = each.view
    cells = builder.counted_by(scope)
    daily = spending(scope)
    mine = np.array([builder.dollars[at] for at in cells], dtype=float)
    rest, sigma = _rest(view)
    part = mine / daily if daily > 0 else np.zeros(len(cells))
    usd = np.array([builder.usd_of(at) for at in cells], dtype=float)
    if not scope.steerable:
        unsteered[view.id] = "no route can tell its requests from others of the same team and model"
    elif not cells:
        unsteered[view.id] = "no orchestrator routes what it counts"
    return ControlBudget(
        id=view.id,
        name=view.name,
        team=view.team,
        limit=float(view.limit),
        spent=float(view.consumed),
        committed=rest * max(0.0, 1.0 - float(part.sum())),
        period_end=view.period_end,
        cells=np.array(cells, dtype=np.int64),
        remaining=rest * part / np.maximum(usd, 1e-9),
        sigma=sigma,
        permitted=_permitted(each),
        hard=view.hard,
        may_loosen=each.decision.may_loosen,
        frozen=each.state.frozen or bool(each.held),
        margin_factor=float(each.decision.margin_factor),
        price=0.0 if each.control is None or each.turned else float(each.control.price),
        turned=each.turned,
        spent_last_day=float(view.burn_per_day),
    )


def _permitted(each: Judged) -> frozenset[Rung]:
    """What the loop does by itself. A stop for every team is never among it, whoever gave a standing yes."""
    automatic = each.decision.automatic
    return automatic if each.view.team is not None else automatic - {Rung.STOP}


def _rest(view: BudgetView) -> tuple[float, float | None]:
    """Dollars that the rest of the period would cost, and their relative standard error; None without a forecast."""
    if view.forecast is not None:
        rest = max(float(view.forecast.p50 - view.consumed), 0.0)
        return rest, (view.forecast.sigma / rest if rest > 0 else 0.0)
    return float(view.burn_per_day * view.days_left), None


def spent_an_hour(view: BudgetView) -> Decimal:
    """What an hour is expected to cost until the period ends."""
    if view.forecast is None or view.days_left <= 0:
        return (view.burn_per_day / 24).quantize(Decimal("0.000001"))
    return ((view.forecast.p50 - view.consumed) / (view.days_left * 24)).quantize(Decimal("0.000001"))
