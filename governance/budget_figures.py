"""What budgets consumed: spend, learned ratios, carried costs and exchange rates, read once for many budgets.

Reads, and one write: `learn`, which keeps what settled days teach about estimates. The arithmetic is in
`governance.budgets`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db import transaction

from attribution import spend
from attribution.models import BillingAccount
from attribution.periods import Period, month_of
from attribution.queries import Dimension
from attribution.spend import SpendRow, UnestimatedRow
from attribution.vocabulary import Basis
from governance.budgets import (
    SATURDAY,
    BudgetDimension,
    Calendar,
    CarriedRate,
    Consumption,
    Dims,
    LimitRule,
    PeriodKind,
    Rollover,
    SpendCell,
    consumption,
)
from governance.learned_ratios import Ratios, SettledDay, learn_ratios
from governance.models import Budget, ClosedPeriod, ExchangeRate, LearnedEstimates
from governance.team_tree import TeamTree

KEPT_LEARNED = 400
_DAY = timedelta(days=1)
_ZERO = Decimal(0)
_DIMENSIONS = {one: Dimension(one.value) for one in BudgetDimension}
# Always grouped by: the ratio is learned by them.
_ALWAYS = (Dimension.PROVIDER, Dimension.MODEL)


def spent_by_period(
    one: Budget,
    asked: Sequence["Asked"],
    figures: Mapping["Asked", Consumption],
    frozen: Mapping[tuple[int, datetime], Decimal],
) -> list[Decimal | None]:
    """What a budget consumed in each of its periods (in order): what a close froze, else what is known now.

    frozen: (budget, start of the period) -> consumed.

    None for those before it was made of which nothing is known: that is no period in which nothing was spent.
    """
    spent: list[Decimal | None] = []
    begun = False
    for each in asked:
        used, closed = figures.get(each), frozen.get((one.pk, each.period.start))
        known = closed is not None or (used is not None and is_known(used))
        begun = begun or known or each.period.end > one.created_at
        consumed = closed if closed is not None else used.consumed if used is not None else None
        spent.append(consumed if begun else None)
    return spent


def is_known(used: Consumption) -> bool:
    return bool(used.consumed or used.moving or used.left_out or used.unknown_parts)


def calendar_of(budget: Budget) -> Calendar:
    return Calendar(PeriodKind(budget.period_kind), budget.zone, budget.starts_on, budget.ends_on)


def rule_of(budget: Budget) -> LimitRule:
    return LimitRule(budget.amount, budget.growth_ppm, Rollover(budget.rollover), budget.rollover_cap)


def dims_of(budget: Budget) -> Dims:
    return tuple((str(dimension), str(value)) for dimension, value in budget.dims)


@dataclass(frozen=True)
class Asked:
    """A budget's scope and basis, and the instants that are asked about."""

    dims: Dims
    basis: Basis
    currency: str
    period: Period

    @classmethod
    def of(cls, budget: Budget, period: Period) -> "Asked":
        return cls(dims_of(budget), Basis(budget.basis), budget.currency, period)


@dataclass(frozen=True)
class _Carried:
    """A carried rate with its owner, on one basis."""

    rate: CarriedRate
    owner: Mapping[str, str | None]


def consumptions(asked: Sequence[Asked], now: datetime, *, tree: TeamTree | None = None) -> dict[Asked, Consumption]:
    """What each of `asked` consumed up to `now`."""
    tree = tree or TeamTree.read()
    hours = spend.hour_shares(_edge_days(asked, now))
    rates: dict[tuple[str, date], dict[str, Decimal]] = {}
    found: dict[Asked, Consumption] = {}
    for group in _alike(asked):
        by = _grouped_by(group)
        start, end = group[0].period.start.date(), _last_day(group, now)
        rows = _Rows(spend.daily(start, end, by, group[0].basis), by)
        ratios, carried = _learned(group[0].basis)
        for one in group:
            rated = (one.currency, min(now, one.period.end - _DAY).date())
            if rated not in rates:
                rates[rated] = exchange_rates(*rated)
            found[one] = consumption(
                rows.of(one.dims, tree),
                period=one.period,
                now=now,
                currency=one.currency,
                ratios=ratios,
                carried=[each.rate for each in carried if _owns(one.dims, each.owner, now.date(), tree)],
                rates=rates[rated],
                hours=hours,
            )
    return found


def exchange_rates(into: str, day: date) -> dict[str, Decimal]:
    """Currency -> units of `into` for one unit, as last said on or before `day`; of a closed month, as frozen."""
    closed = ClosedPeriod.objects.filter(month=month_of(day)).first()
    if closed is not None:
        return {row["currency"]: Decimal(row["rate"]) for row in closed.exchange_rates if row["into"] == into}
    found: dict[str, Decimal] = {}
    for row in ExchangeRate.objects.filter(into=into, day__lte=day).order_by("day"):
        found[row.currency] = row.rate
    return found


def learn(now: datetime) -> LearnedEstimates | None:
    """Keep what settled days teach, unless that is known for the figures as they are; None while there are none."""
    mark = spend.fingerprint()
    if not mark:
        return None
    known = LearnedEstimates.objects.filter(fingerprint=mark).first()
    if known is not None:
        return known
    ratios, carried = _learn_ratios(), _learn_carried()
    with transaction.atomic():
        made, _ = LearnedEstimates.objects.get_or_create(
            fingerprint=mark, defaults={"learned_at": now, "ratios": ratios, "carried": carried}
        )
        kept = LearnedEstimates.objects.order_by("-id").values_list("id", flat=True)[KEPT_LEARNED:]
        LearnedEstimates.objects.filter(id__in=list(kept)).delete()
    return made


class _Rows:
    """Spend rows, found by the budget's team first: most budgets are a team's."""

    def __init__(self, rows: Iterable[SpendRow], by: Sequence[Dimension]) -> None:
        self._places = {dimension.value: index for index, dimension in enumerate(by)}
        self._all = tuple(rows)
        self._by_team: dict[str | None, list[SpendRow]] = {}
        at = self._places.get(BudgetDimension.TEAM.value)
        if at is not None:
            for row in self._all:
                self._by_team.setdefault(row.group[at], []).append(row)

    def of(self, dims: Dims, tree: TeamTree) -> Iterable[SpendCell]:
        wanted = dict(dims)
        team = wanted.pop(BudgetDimension.TEAM.value, None)
        conditions = [(self._places[dimension], value) for dimension, value in wanted.items()]
        for row in self._all if team is None else self._of_team(team, tree):
            if all(row.group[at] == value for at, value in conditions):
                yield self._cell(row)

    def _of_team(self, team: str, tree: TeamTree) -> Iterable[SpendRow]:
        for member, rows in self._by_team.items():
            if member is not None:
                yield from (row for row in rows if member in tree.below(team, row.day))

    def _cell(self, row: SpendRow) -> SpendCell:
        return SpendCell(
            day=row.day,
            currency=row.currency,
            provider=row.group[self._places["provider"]] or "",
            model=row.group[self._places["model"]],
            billed=row.cost,
            estimated=row.estimated_cost,
            moving=row.uncounted_cost,
            unknown_parts=row.unknown_parts,
        )


def _alike(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Those that one question to the serving file answers: same basis, first day and dimensions."""
    groups: dict[tuple[Basis, date, frozenset[str]], list[Asked]] = {}
    for one in dict.fromkeys(asked):
        names = frozenset(dimension for dimension, _ in one.dims)
        groups.setdefault((one.basis, one.period.start.date(), names), []).append(one)
    return list(groups.values())


def _grouped_by(group: Sequence[Asked]) -> tuple[Dimension, ...]:
    names = [_DIMENSIONS[BudgetDimension(dimension)] for dimension, _ in group[0].dims]
    return (*_ALWAYS, *(name for name in names if name not in _ALWAYS))


def _last_day(group: Sequence[Asked], now: datetime) -> date:
    """The UTC day after the last one that may count."""
    end = max(one.period.end for one in group)
    return min(end.date() + _DAY, now.astimezone(UTC).date() + 2 * _DAY)


def _edge_days(asked: Iterable[Asked], now: datetime) -> set[date]:
    """The UTC days that a period's edge cuts."""
    edges = {edge for one in asked for edge in (one.period.start, one.period.end) if edge <= now}
    return {edge.date() for edge in edges if edge != datetime.combine(edge.date(), time(), UTC)}


def _owns(dims: Dims, owner: Mapping[str, str | None], day: date, tree: TeamTree) -> bool:
    for dimension, value in dims:
        held = owner.get(dimension)
        if dimension == BudgetDimension.TEAM.value:
            if held is None or held not in tree.below(value, day):
                return False
        elif held != value:
            return False
    return True


# --- learning --------------------------------------------------------------------------------------------------------


def _learn_ratios() -> list[dict[str, str | None]]:
    rows = spend.settled_estimates()
    found: list[dict[str, str | None]] = []
    for basis in Basis:
        days = [
            SettledDay(row.day, row.provider, row.model, row.estimated_cost, amount)
            for row in rows
            if (amount := row.costs[basis]) is not None
        ]
        newest: dict[str, date] = {}
        for each in days:
            newest[each.provider] = max(newest.get(each.provider, each.day), each.day)
        learned = learn_ratios(days, newest)
        for provider, ratio in learned.by_provider.items():
            found.append({"basis": basis.value, "provider": provider, "model": "*", "ratio": f"{ratio:f}"})
        for (provider, model), ratio in learned.by_model.items():
            found.append({"basis": basis.value, "provider": provider, "model": model, "ratio": f"{ratio:f}"})
    return found


def _learn_carried() -> list[dict[str, str | None]]:
    """Per account, model, owner and currency: the cost of an hour on each basis, from the account's settled end on."""
    groups: dict[tuple[str | date | None, ...], dict[int, UnestimatedRow]] = {}
    for row in spend.unestimated_days():
        place = (
            row.provider,
            row.billing_account_id,
            row.billed_through,
            row.currency,
            row.model,
            row.team,
            row.project,
            row.environment,
        )
        groups.setdefault(place, {})[row.age] = row
    found: list[dict[str, str | None]] = []
    for by_age in groups.values():
        last = by_age[min(by_age)]
        hourly: dict[str, str | None] = {}
        for basis in Basis:
            hourly[basis.value] = _per_hour(by_age, basis, weekend=False)
            hourly[f"{basis.value}_weekend"] = _per_hour(by_age, basis, weekend=True)
        if any(amount is not None and Decimal(amount) for amount in hourly.values()):
            found.append(
                {
                    "provider": last.provider,
                    "account": last.billing_account_id,
                    "model": last.model,
                    "team": last.team,
                    "project": last.project,
                    "environment": last.environment,
                    "currency": last.currency,
                    "since": last.billed_through.isoformat(),
                    **hourly,
                }
            )
    return found


def _per_hour(by_age: Mapping[int, UnestimatedRow], basis: Basis, *, weekend: bool) -> str | None:
    """The cost of an hour of the last settled workday (or weekend day); None: not known.

    A day that is more than twice the others of the week holds a line that comes once a month, not a running cost: then
    the highest of the others counts.
    """
    billed_through = by_age[min(by_age)].billed_through
    days = {age: billed_through - timedelta(days=age) for age in range(1, 8)}
    # A day without such a line cost nothing; one whose cost is unknown on this basis says nothing.
    costs = {age: by_age[age].costs[basis] if age in by_age else _ZERO for age in days}
    age = min(age for age, day in days.items() if (day.weekday() >= SATURDAY) == weekend)
    last = costs.pop(age)
    if last is None:
        return None
    others = max((each for each in costs.values() if each is not None), default=_ZERO)
    steady = others if last > 2 * others else last
    return f"{max(steady, _ZERO) / 24:.12f}"


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _learned(basis: Basis) -> tuple[Ratios, list[_Carried]]:
    newest = LearnedEstimates.objects.order_by("-id").first()
    if newest is None:
        return Ratios(), []
    mine = [row for row in newest.ratios if row["basis"] == basis.value]
    ratios = Ratios(
        {(row["provider"], row["model"]): Decimal(row["ratio"]) for row in mine if row["model"] != "*"},
        {row["provider"]: Decimal(row["ratio"]) for row in mine if row["model"] == "*"},
    )
    through = {
        (provider, account): billed
        for provider, account, billed in BillingAccount.objects.values_list(
            "provider", "billing_account_id", "billed_through"
        )
    }
    carried = []
    for row in newest.carried:
        if row[basis.value] is None:
            continue
        since = date.fromisoformat(row["since"])
        # A bill that arrived since then has taken the place of what is carried.
        since = max(since, through.get((row["provider"], row["account"])) or since)
        rate = CarriedRate(
            provider=row["provider"],
            model=row["model"],
            currency=row["currency"],
            since=datetime.combine(since, time(), UTC),
            per_hour=Decimal(row[basis.value]),
            weekend_per_hour=_decimal(row.get(f"{basis.value}_weekend")),
        )
        carried.append(_Carried(rate, row))
    return ratios, carried
