"""The nightly fit: read the history, fit it, keep what it says; and the back-test on the customer's own series.

    fit_forecasts(now)   every measure, basis and currency in use: a run each, with its kept forecasts
    judge_forecasts(now) the back-test, kept for the page

Both can run again: another run of a night is another row, and the newest counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from attribution import spend
from attribution.models import Price
from attribution.periods import Period
from attribution.pricing.book import PriceBook, Quote
from attribution.pricing.store import load_book
from attribution.queries import Dimension
from attribution.spend import SpendRow
from attribution.vocabulary import Basis
from governance.budget_figures import Asked, consumptions, learn
from governance.forecasting import backtest, bets
from governance.forecasting.events import MILLION, EventKind, KnownEvent
from governance.forecasting.fitting import METHOD, Night, fit_night, kept_scopes, summed
from governance.forecasting.hierarchy import Leaf, membership, scopes_of
from governance.forecasting.hourly import PROFILE_DAYS, profile_of
from governance.forecasting.series import KEPT_DAYS, History, HistoryRow, history
from governance.forecasting.values import Below, ForecastScope, StoredForecast
from governance.forecasts import COST, LEAF_FIELDS, TOKENS, calibration_of, packed, unpacked
from governance.models import Budget, ForecastEvent, ForecastRun, ForecastVerdict, KeptForecast, LearnedEstimates
from governance.team_tree import TeamTree

Floats = NDArray[np.float64]
# The order of LEAF_FIELDS.
_BY = (Dimension.TEAM, Dimension.PROJECT, Dimension.MODEL, Dimension.PROVIDER, Dimension.ENVIRONMENT)
# Older than this, figures are a record and not today's: the forecast begins where they end.
STALE_DAYS = 14
# Runs from which any scope can still be summed; of older ones the kept scopes stay.
SUMMABLE_DAYS = 45
# How far a price of the book may lie from what was paid, before and after a change, for the change to be believed.
_PRICE_FIT = 0.1
_PRICE_WINDOW = 14
_JUDGED_MONTHS = 6
_OF_PRICES = (EventKind.PRICE_CHANGE,)


@dataclass(frozen=True)
class Fitted:
    """What one call left: runs, and scopes kept."""

    runs: int
    scopes: int
    leaves: int


@dataclass(frozen=True)
class _Read:
    """All history of one basis in one currency."""

    currency: str
    basis: Basis
    history: History


def fit_forecasts(now: datetime, *, bases: Sequence[Basis] | None = None) -> Fitted:
    """Fit what there is history of, on the bases that budgets use; keep it in one transaction a run."""
    # What settled days teach about estimates comes first: histories are corrected by it.
    learn(now)
    tree, events = TeamTree.read(), known_events()
    fingerprint, hours = spend.fingerprint(), hour_profiles(now.date())
    nights: list[tuple[ForecastRun, Night, Below]] = []
    for basis in bases or _bases():
        for read in read_history(now, basis):
            below = _below(tree, read.history)
            night = fit_night(
                read.history,
                measure_values=read.history.costs,
                events=[event.value for event in events if event.currency in ("", read.currency)],
                schedule=_schedule(read.history),
                below=below,
            )
            nights.append((_run(now, COST, read, fingerprint, night, below, hours), night, below))
    for read in read_history(now, Basis.EFFECTIVE, currencies_apart=False):
        below = _below(tree, read.history)
        # Money that an event adds is no tokens, and a price moves none.
        usage = [event.value for event in events if not event.value.amount and event.value.kind not in _OF_PRICES]
        night = fit_night(read.history, measure_values=read.history.tokens, events=usage, below=below)
        nights.append((_run(now, TOKENS, read, fingerprint, night, below, hours), night, below))
    kept = 0
    for run, night, below in nights:
        kept += _keep(run, night, below)
    forget(now)
    return Fitted(len(nights), kept, sum(len(night.leaves) for _, night, _ in nights))


def judge_forecasts(now: datetime, *, basis: Basis = Basis.EFFECTIVE, months: int = _JUDGED_MONTHS) -> int:
    """Back-test on the customer's own series; returns how many verdicts were kept."""
    fingerprint, made = spend.fingerprint(), 0
    for read in read_history(now, basis):
        verdict = judged(read.history, months)
        ForecastVerdict.objects.create(
            made_at=now,
            currency=read.currency,
            basis=basis.value,
            inputs_revision=fingerprint,
            verdict={**verdict.to_json(), "shown": shown_errors(read)},
        )
        made += 1
    return made


def judged(known: History, months: int = _JUDGED_MONTHS) -> backtest.Verdict:
    """The back-test of the leaves and the standard scopes of `known`, over the last whole months."""
    tree = TeamTree.read()
    below = _below(tree, known)
    scopes = scopes_of(known.leaves, below)
    members = np.concatenate([membership(scopes, known.leaves, below), np.eye(len(known.leaves))])
    begun = np.cumsum(np.isfinite(known.costs), axis=1) > 0
    missing = members @ (begun & ~np.isfinite(known.costs)).astype(float)
    values = np.where(missing > 0, np.nan, members @ np.nan_to_num(known.costs))
    values = np.where(members @ begun.astype(float) > 0, values, np.nan)
    panel = backtest.Panel(np.maximum(values, 0), known.first_day)
    return backtest.backtest(panel, backtest.month_origins(panel, months))


def shown_errors(read: _Read) -> dict[str, object]:
    """How wrong the forecasts were that people saw: {horizon: {mase, ape_median}}, {month: {day: ape_median}}."""
    known = read.history
    kept = (
        KeptForecast.objects.select_related("run")
        .filter(
            run__measure=COST,
            run__currency=read.currency,
            run__basis=read.basis.value,
            run__first_day__gte=known.first_day + timedelta(days=7),
            run__first_day__lt=known.end - timedelta(days=7),
        )
        .order_by("id")
        .values_list("dims", "days", "run__first_day")
    )
    below = _below(TeamTree.read(), known)
    members: dict[str, Floats] = {}
    errors: dict[int, list[tuple[float, float]]] = defaultdict(list)
    months: dict[int, list[float]] = defaultdict(list)
    for dims, days, first_day in kept:
        scope = ForecastScope(tuple((name, value) for name, value in dims))
        if scope.key not in members:
            members[scope.key] = (membership([scope], known.leaves, below) @ np.nan_to_num(known.costs))[0]
        _score_shown(members[scope.key], known.first_day, first_day, _p50(days), errors, months)
    return {
        "horizons": {
            str(horizon): {
                "mase": round(float(np.mean([mase for mase, _ in pairs])), 4),
                "ape_median": round(float(np.median([ape for _, ape in pairs])), 4),
            }
            for horizon, pairs in sorted(errors.items())
        },
        "month": {str(day): round(float(np.median(values)), 4) for day, values in sorted(months.items())},
        "forecasts": len(errors.get(7, ())),
    }


def _p50(packed_days: bytes | memoryview) -> Floats:
    return unpacked(packed_days, bets.DAYS_AHEAD, 3)[:, 1]


def _score_shown(
    actual: Floats,
    known_from: date,
    first_day: date,
    path: Floats,
    errors: dict[int, list[tuple[float, float]]],
    months: dict[int, list[float]],
) -> None:
    at = (first_day - known_from).days
    scale = backtest.scaled_misses(actual[None, max(0, at - bets.HISTORY_DAYS) : at])[0]
    for horizon in backtest.JUDGED_HORIZONS:
        days = actual[at : at + horizon]
        if len(days) == horizon and days.sum() > 0 and scale > 0:
            misses = np.abs(path[:horizon] - days)
            errors[horizon].append((float(misses.mean() / scale), float(abs(path[:horizon].sum() / days.sum() - 1))))
    passed, left = first_day.day - 1, ((first_day.replace(day=28) + timedelta(days=4)).replace(day=1) - first_day).days
    if passed in backtest.MONTH_DAYS and at >= passed and at + left <= len(actual):
        month = actual[at - passed : at + left].sum()
        if month > 0:
            months[passed].append(float(abs(path[:left].sum() - actual[at : at + left].sum()) / month))


@dataclass(frozen=True)
class _Event:
    """An event, and the currency that its amount is in ('': none)."""

    value: KnownEvent
    currency: str


def known_events() -> list[_Event]:
    """The events that stand."""
    return [_event(row) for row in ForecastEvent.objects.filter(withdrawn_at=None).order_by("starts_on", "id")]


def _event(row: ForecastEvent) -> _Event:
    value = KnownEvent(
        kind=EventKind(row.kind),
        title=row.title,
        scope=ForecastScope(tuple((name, value) for name, value in row.dims)),
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        factor=1.0 if row.factor_ppm is None else row.factor_ppm / MILLION,
        amount=float(row.amount_per_day or 0),
        moved=1.0 if row.moved_ppm is None else row.moved_ppm / MILLION,
        target=tuple((name, value) for name, value in row.target),
        ramp_days=row.ramp_days,
    )
    return _Event(value, row.currency)


def read_history(now: datetime, basis: Basis, *, currencies_apart: bool = True) -> list[_Read]:
    """The history of every currency on this basis, estimates corrected by what was learned of them.

    currencies_apart False: one history of everything, for its tokens.
    """
    today = now.date()
    rows = spend.daily(today - timedelta(days=KEPT_DAYS), today, _BY, basis)
    if not rows:
        # Figures that end long ago: a sample, an archive.
        rows = spend.daily(date(2000, 1, 1), today, _BY, basis)
    if not rows:
        return []
    newest = max(row.day for row in rows)
    until = today if (today - newest).days <= STALE_DAYS else newest + timedelta(days=1)
    ratios, settled = _ratios(basis), spend.settled_through()
    by_currency: dict[str, list[HistoryRow]] = defaultdict(list)
    for row in rows:
        by_currency[row.currency if currencies_apart else ""].append(_history_row(row, ratios))
    found = [_Read(currency, basis, history(mine, until, settled)) for currency, mine in sorted(by_currency.items())]
    return [read for read in found if read.history.leaves]


def _history_row(row: SpendRow, ratios: Mapping[tuple[str, str], float]) -> HistoryRow:
    leaf = Leaf(**dict(zip(LEAF_FIELDS, row.group, strict=True)))
    provider = leaf.provider or ""
    ratio = ratios.get((provider, leaf.model or ""), ratios.get((provider, "*"), 1.0))
    return HistoryRow(
        day=row.day,
        leaf=leaf,
        cost=None if row.cost is None else float(row.cost),
        estimated=None if row.estimated_cost is None else float(row.estimated_cost) * ratio,
        tokens=None if row.metered_tokens is None else float(row.metered_tokens),
    )


def _ratios(basis: Basis) -> dict[tuple[str, str], float]:
    """(provider, model or "*") -> billed / estimated, as last learned."""
    newest = LearnedEstimates.objects.order_by("-id").first()
    rows = newest.ratios if newest else ()
    return {(row["provider"], row["model"]): float(row["ratio"]) for row in rows if row["basis"] == basis.value}


def _bases() -> tuple[Basis, ...]:
    """The effective cost, and what budgets are counted on."""
    used = set(Budget.objects.values_list("basis", flat=True).distinct())
    return (Basis.EFFECTIVE, *(basis for basis in Basis if basis.value in used and basis is not Basis.EFFECTIVE))


def _below_on(day: date) -> Below:
    tree = TeamTree.read()
    return {team: tree.below(team, day) for team in tree.parents(day)}


def _below(tree: TeamTree, known: History) -> Below:
    """Every team that has others below it, with them, as of the day that is foretold first."""
    return {team: tree.below(team, known.end) for team in tree.parents(known.end)}


def hour_profiles(until: date) -> dict[str, Floats]:
    """Provider -> how its days are spread over their hours, of the last days with telemetry."""
    days = [until - timedelta(days=back + 1) for back in range(PROFILE_DAYS)]
    by_provider: dict[str, dict[date, list[float]]] = defaultdict(dict)
    for (day, provider), shares in spend.hour_shares(days).items():
        by_provider[provider][day] = [float(share) for share in shares]
    return {provider: profile_of(found) for provider, found in by_provider.items()}


def _run(
    now: datetime,
    measure: str,
    read: _Read,
    fingerprint: str,
    night: Night,
    below: Below,
    hours: Mapping[str, Floats],
) -> ForecastRun:
    is_cost = measure == COST
    return ForecastRun(
        made_at=now,
        measure=measure,
        currency=read.currency if is_cost else "",
        basis=read.basis.value if is_cost else "",
        first_day=night.first_day,
        inputs_revision=fingerprint,
        method=METHOD,
        history_days=night.history_days,
        provisional=night.provisional,
        leaves=[[getattr(leaf, name) for name in LEAF_FIELDS] for leaf in night.leaves],
        leaf_days=list(night.leaf_days),
        leaf_events=[list(words) for words in night.leaf_events],
        paths=packed(night.outlook.path),
        misses=packed(night.outlook.misses),
        calibration=calibration_of(night, below, hours),
    )


def _keep(run: ForecastRun, night: Night, below: Below) -> int:
    scopes = kept_scopes(night, below)
    found = summed(night, scopes, below)
    with transaction.atomic():
        run.save()
        KeptForecast.objects.bulk_create(
            [
                KeptForecast(
                    run=run,
                    scope_key=scope.key,
                    dims=[list(pair) for pair in scope.dims],
                    team=scope.team,
                    provisional=one.provisional,
                    cold_start=one.cold_start,
                    history_days=one.history_days,
                    days=packed(one.days),
                    spread=packed(np.array(one.spread.totals)),
                    events=list(one.events),
                )
                for scope, one in zip(scopes, found, strict=True)
            ],
            batch_size=200,
        )
    return len(scopes)


def forget(now: datetime) -> None:
    """Drop what only a sum of any scope needs from old runs, unless it is the newest of its kind."""
    old = ForecastRun.objects.filter(made_at__lt=now - timedelta(days=SUMMABLE_DAYS), misses_dropped=False)
    for kind in set(old.values_list("measure", "currency", "basis")):
        mine = dict(zip(("measure", "currency", "basis"), kind, strict=True))
        newest = ForecastRun.objects.filter(**mine).order_by("-made_at", "-id").values_list("id", flat=True).first()
        old.filter(**mine).exclude(pk=newest or 0).update(misses=b"", paths=b"", misses_dropped=True)


def first_currency(basis: Basis) -> str:
    """US dollars if there are verdicts in them, else the first currency with one."""
    found = ForecastVerdict.objects.filter(basis=basis.value).values_list("currency", flat=True).distinct()
    return min(found, key=lambda one: (one != "USD", one), default="USD")


def spent_of(scope: ForecastScope, forecast: StoredForecast, start: date) -> Decimal:
    """What was spent in `scope` (or used, for tokens) from `start` to the day before the forecast begins."""
    return spent_between(scope, forecast, start, forecast.first_day)


def spent_between(scope: ForecastScope, forecast: StoredForecast, start: date, end: date) -> Decimal:
    """What was spent in `scope` on the days [start, end), in the forecast's currency and on its basis.

    As budgets count it: settled days by the bill, the others by corrected estimates and what has none by its last cost.
    """
    if end <= start:
        return Decimal(0)
    if not forecast.currency:
        return _tokens_between(scope, start, end)
    first, last = (datetime.combine(day, time(), UTC) for day in (start, end))
    asked = Asked(scope.dims, Basis(forecast.basis), forecast.currency, Period(first, last))
    return consumptions([asked], last)[asked].consumed.quantize(Decimal("0.000001"))


def _tokens_between(scope: ForecastScope, start: date, end: date) -> Decimal:
    below = _below_on(end)
    rows = spend.daily(start, end, _BY, Basis.EFFECTIVE)
    mine = [row for row in rows if scope.contains(dict(zip(LEAF_FIELDS, row.group, strict=True)), below)]
    return Decimal(sum(row.metered_tokens or 0 for row in mine))


# --- the price book's schedule ---


def _schedule(known: History) -> Floats | None:
    """(leaves, days + DAYS_AHEAD): relative prices by the book; None where it knows of no change.

    A change in the past counts where what was paid a token moved with it (a contract may not follow the list); one
    that is still to come counts for whatever is paid by the token.
    """
    end = known.end + timedelta(days=bets.DAYS_AHEAD)
    changes = _changes(known.first_day, end)
    if not changes:
        return None
    book = load_book({provider for provider, _ in changes})
    schedule = np.ones((len(known.leaves), known.days + bets.DAYS_AHEAD))
    for index, leaf in enumerate(known.leaves):
        if leaf.provider is None or leaf.model is None or not np.isfinite(known.tokens[index]).any():
            continue
        for day in changes.get((leaf.provider, leaf.model), ()):
            factor = _step(book, leaf.provider, leaf.model, day)
            at = (day - known.first_day).days
            if factor is None or (at < known.days and not _followed(known, index, at, factor)):
                continue
            schedule[index, at:] *= factor
    return schedule if (schedule != 1).any() else None


def _changes(start: date, end: date) -> dict[tuple[str, str], list[date]]:
    """(provider, model) -> days in (start, end) on which a standing price begins."""
    found: dict[tuple[str, str], set[date]] = defaultdict(set)
    rows = Price.objects.filter(retired_by="", valid_from__gt=start, valid_from__lt=end)
    for provider, model, day in rows.values_list("provider", "model", "valid_from").distinct():
        if day is not None:
            found[provider, model].add(day)
    return {place: sorted(days) for place, days in found.items()}


def _step(book: PriceBook, provider: str, model: str, day: date) -> float | None:
    """By what the price changes on `day`; None where the book doesn't know both sides."""
    before = book.quote(provider, model, None, None, day - timedelta(days=1))
    after = book.quote(provider, model, None, None, day)
    if before is None or after is None:
        return None
    rates = _common_rates(before, after)
    old, new = sum(one for one, _ in rates), sum(one for _, one in rates)
    if not old or not new or old == new:
        return None
    return float(new / old)


def _common_rates(before: Quote, after: Quote) -> list[tuple[Decimal, Decimal]]:
    old, new = before.bands[0].rates, after.bands[0].rates
    return [(old[kind], new[kind]) for kind in old if kind in new]


def _followed(known: History, index: int, at: int, factor: float) -> bool:
    """Did what was paid a token move with the book's price on day `at`?"""
    before, after = slice(max(0, at - _PRICE_WINDOW), at), slice(at, at + _PRICE_WINDOW)
    paid = [_paid(known.costs[index, window], known.tokens[index, window]) for window in (before, after)]
    if paid[0] is None or paid[1] is None:
        return False
    return abs(paid[1] / paid[0] / factor - 1) <= _PRICE_FIT


def _paid(costs: Iterable[float], tokens: Iterable[float]) -> float | None:
    total, count = np.nansum(np.asarray(costs)), np.nansum(np.asarray(tokens))
    return float(total / count) if total > 0 and count > 0 else None
