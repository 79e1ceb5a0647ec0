"""Forecasts as they are read: of any scope, what was said earlier, how wrong it was. A reader never fits.

A stored run holds every leaf, so that any scope can be summed from it (see forecasting.hierarchy); what the standard
scopes' forecasts said is kept for good beside it. Writes are in `governance.forecast_fits`.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.scope import TeamScope
from attribution.selectors import NotAllowed
from governance.forecasting import bets
from governance.forecasting.fitting import Night, Summed, summed
from governance.forecasting.hierarchy import Leaf, Outlook
from governance.forecasting.hourly import HourForecast, hours_of
from governance.forecasting.intervals import Pool, Quantiles
from governance.forecasting.values import (
    HORIZONS,
    LEVELS,
    Below,
    Crossing,
    DayForecast,
    ForecastScope,
    PeriodForecast,
    Spread,
    StoredForecast,
    exact,
)
from governance.models import ForecastRun, ForecastVerdict, KeptForecast

__all__ = [
    "Crossing",
    "DayForecast",
    "ForecastScope",
    "PeriodForecast",
    "Spread",
    "StoredForecast",
    "forecast_for",
]

Floats = NDArray[np.float64]
COST = ForecastRun.Measure.COST.value
TOKENS = ForecastRun.Measure.TOKENS.value
LEAF_FIELDS = ("team", "project", "model", "provider", "environment")


@dataclass(frozen=True)
class Verdict:
    """What the newest back-test said: see forecasting.backtest.Verdict.to_json."""

    made_at: datetime
    currency: str
    basis: str
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """What was foretold of a month on one of its days. Amounts are for the days from `said_on` to the month's end."""

    month: date
    said_on: date
    made_at: datetime
    p10: Decimal
    p50: Decimal
    p90: Decimal


def forecast_for(
    scope: ForecastScope,
    *,
    currency: str,
    basis: str = "effective",
    as_of: datetime | None = None,
    measure: str = COST,
) -> StoredForecast | None:
    """The newest stored forecast of `scope` (made at or before `as_of`).

    None where none was made yet, and for a scope in which nothing was ever spent. Tokens have no currency or basis.
    Whoever shows it has checked that the reader may see the scope: see `readable`.
    """
    run = _newest(measure, currency, basis, as_of)
    if run is None:
        return None
    if run["has_misses"]:
        return _summed(run["id"], run["made_at"], scope)
    kept = KeptForecast.objects.select_related("run").filter(run_id=run["id"], scope_key=scope.key).first()
    return None if kept is None else _kept(kept)


def hours_for(stored: StoredForecast, now: datetime) -> tuple[HourForecast, ...]:
    """The 72 hours from the one that holds `now` on; none of a forecast whose leaves are kept no more."""
    measure = COST if stored.currency else TOKENS
    run = _newest(measure, stored.currency, stored.basis, stored.made_at)
    if run is None or not run["has_misses"] or run["made_at"] != stored.made_at:
        return ()
    night, below = night_of(run["id"], run["made_at"])
    parts: dict[str, Floats] = {}
    for index, leaf in enumerate(night.leaves):
        if stored.scope.contains(leaf.values, below):
            provider = leaf.provider or ""
            parts[provider] = parts.get(provider, 0.0) + night.outlook.path[index]
    profiles = {name: np.array(rows) for name, rows in _hours(run["id"]).items()}
    bands = np.array([[float(day.p10), float(day.p50), float(day.p90)] for day in stored.days])
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return tuple(hours_of(stored.first_day, bands, parts, profiles, start))


def _hours(run_id: int) -> dict[str, list[list[float]]]:
    calibration = ForecastRun.objects.values_list("calibration", flat=True).get(pk=run_id)
    found: dict[str, list[list[float]]] = calibration.get("hours", {})
    return found


def currencies(basis: str = "effective") -> tuple[str, ...]:
    """The currencies that have forecasts, US dollars first."""
    found = ForecastRun.objects.filter(measure=COST, basis=basis).values_list("currency", flat=True).distinct()
    return tuple(sorted(found, key=lambda one: (one != "USD", one)))


def scopes(currency: str, basis: str = "effective") -> tuple[ForecastScope, ...]:
    """The scopes whose forecasts the newest run kept, everything first."""
    run = _newest(COST, currency, basis, None)
    if run is None:
        return ()
    rows = KeptForecast.objects.filter(run_id=run["id"]).values_list("dims", flat=True)
    found = [ForecastScope(tuple((name, value) for name, value in dims)) for dims in rows]
    return tuple(sorted(found, key=lambda scope: (len(scope.dims), scope.dims)))


def readable(scope: ForecastScope, reader: TeamScope) -> ForecastScope:
    """`scope`, if the reader may see all of it. Raises NotAllowed: a total of others is told by difference."""
    if reader.everything or reader.allows(scope.team):
        return scope
    raise NotAllowed("a forecast that is not of your teams: name one of your teams in the scope")


def newest_verdict(currency: str, basis: str = "effective") -> Verdict | None:
    """What the newest back-test on the customer's own series said."""
    row = ForecastVerdict.objects.filter(currency=currency, basis=basis).order_by("-made_at").first()
    return None if row is None else Verdict(row.made_at, row.currency, row.basis, row.verdict)


def said(
    scope: ForecastScope, *, currency: str, basis: str = "effective", since: date, days: Iterable[int] = (1, 11, 21)
) -> tuple[Said, ...]:
    """What was foretold of each month on these days of it, as it was shown then, oldest first."""
    rows = (
        KeptForecast.objects.select_related("run")
        .defer("run__paths", "run__misses", "run__leaves", "run__leaf_days", "run__leaf_events", "run__calibration")
        .filter(
            scope_key=scope.key,
            run__measure=COST,
            run__currency=currency,
            run__basis=basis,
            run__first_day__gte=since,
            run__first_day__day__in=tuple(days),
        )
        .order_by("run__first_day", "run__made_at")
    )
    found: dict[date, Said] = {}
    for row in rows:
        stored = _kept(row)
        month = stored.first_day.replace(day=1)
        following = (month + timedelta(days=32)).replace(day=1)
        total = stored.period_total(stored.first_day, following, Decimal(0))
        # Of two runs on one day the later one counts.
        found[stored.first_day] = Said(month, stored.first_day, stored.made_at, total.p10, total.p50, total.p90)
    return tuple(found[day] for day in sorted(found))


# --- how runs are packed ---


def packed(array: Floats) -> bytes:
    """Floats as compressed float32: seven digits are more than a forecast has."""
    return zlib.compress(np.asarray(array, np.float32).tobytes(), 6)


def unpacked(packed_bytes: bytes | memoryview, *shape: int) -> Floats:
    flat = np.frombuffer(zlib.decompress(bytes(packed_bytes)), np.float32).astype(np.float64)
    return flat.reshape(shape)


def calibration_of(night: Night, below: Below, hours: Mapping[str, Floats]) -> dict[str, Any]:
    """What of a night is kept as JSON."""
    return {
        "relative": night.pool.relative.tolist(),
        "borders": night.pool.borders.tolist(),
        "offsets": np.round(night.quantiles.offsets, 6).tolist(),
        "seen": night.quantiles.seen.tolist(),
        "hours": {provider: np.round(profile, 6).tolist() for provider, profile in hours.items()},
        "below": {team: sorted(members) for team, members in below.items()},
    }


@lru_cache(maxsize=16)
def night_of(run_id: int, made_at: datetime) -> tuple[Night, dict[str, frozenset[str]]]:
    """A run as the fit left it, and who was below whom then. A run never changes, so it is read once a process.

    made_at: part of what it is known by, should a database come back from a backup and number anew.
    """
    run = ForecastRun.objects.get(pk=run_id, made_at=made_at)
    leaves = tuple(Leaf(**dict(zip(LEAF_FIELDS, one, strict=True))) for one in run.leaves)
    calibration = run.calibration
    night = Night(
        first_day=run.first_day,
        leaves=leaves,
        leaf_days=tuple(run.leaf_days),
        leaf_events=tuple(tuple(words) for words in run.leaf_events),
        outlook=Outlook(
            unpacked(run.paths, len(leaves), bets.DAYS_AHEAD),
            unpacked(run.misses, len(leaves), bets.OWN_ORIGINS, len(bets.OWN_HORIZONS)),
        ),
        pool=Pool(np.array(calibration["relative"]), np.array(calibration["borders"])),
        quantiles=Quantiles(np.array(calibration["offsets"]), np.array(calibration["seen"], np.intp)),
        history_days=run.history_days,
        provisional=run.provisional,
    )
    return night, {team: frozenset(members) for team, members in calibration["below"].items()}


def forget_read() -> None:
    """Forget what this process has read; for tests, whose databases number anew."""
    night_of.cache_clear()
    _summed.cache_clear()


def _newest(measure: str, currency: str, basis: str, as_of: datetime | None) -> dict[str, Any] | None:
    runs = ForecastRun.objects.filter(measure=measure)
    if measure == COST:
        runs = runs.filter(currency=currency, basis=basis)
    if as_of is not None:
        runs = runs.filter(made_at__lte=as_of)
    found = runs.order_by("-made_at", "-id").values("id", "made_at", "misses_dropped").first()
    return None if found is None else {**found, "has_misses": not found["misses_dropped"]}


@lru_cache(maxsize=4096)
def _summed(run_id: int, made_at: datetime, scope: ForecastScope) -> StoredForecast | None:
    night, below = night_of(run_id, made_at)
    if not any(scope.contains(leaf.values, below) for leaf in night.leaves):
        return None
    run = ForecastRun.objects.defer("paths", "misses", "leaves", "leaf_days", "leaf_events", "calibration").get(
        pk=run_id
    )
    return stored(scope, summed(night, [scope], below)[0], run)


def stored(scope: ForecastScope, one: Summed, run: ForecastRun) -> StoredForecast:
    """A summed scope as the value that everybody reads."""
    return StoredForecast(
        scope=scope,
        currency=run.currency,
        basis=run.basis,
        made_at=run.made_at,
        first_day=run.first_day,
        inputs_revision=run.inputs_revision,
        provisional=one.provisional,
        cold_start=one.cold_start,
        days=_days(run.first_day, one.days.tolist()),
        spread=one.spread,
        history_days=one.history_days,
        events=one.events,
    )


def _kept(row: KeptForecast) -> StoredForecast:
    run = row.run
    spread = unpacked(row.spread, len(HORIZONS), len(LEVELS))
    return StoredForecast(
        scope=ForecastScope(tuple((name, value) for name, value in row.dims)),
        currency=run.currency,
        basis=run.basis,
        made_at=run.made_at,
        first_day=run.first_day,
        inputs_revision=run.inputs_revision,
        provisional=row.provisional,
        cold_start=row.cold_start,
        days=_days(run.first_day, unpacked(row.days, bets.DAYS_AHEAD, 3).tolist()),
        spread=Spread(tuple(tuple(line) for line in spread.tolist())),
        history_days=row.history_days,
        events=tuple(row.events),
    )


def _days(first_day: date, rows: Sequence[Sequence[float]]) -> tuple[DayForecast, ...]:
    return tuple(
        DayForecast(first_day + timedelta(days=number), *(exact(amount) for amount in row))
        for number, row in enumerate(rows)
    )
