"""What the loop reads before it decides: who uses which model for how much, what pools cost and how late they are.

Reads only; within no scope: the loop acts for the whole organisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from attribution import spend
from attribution.pricing.book import Quote
from attribution.queries import Dimension
from attribution.scope import EVERYTHING
from attribution.vocabulary import Basis, TokenType
from governance import replays
from governance.replays import KnownPast
from routing import guards
from routing.models import Observation

from .pools import Latency

DAYS = 14
_LATELY = timedelta(hours=24)
_MEGA = 1_000_000


@dataclass(frozen=True)
class Use:
    """A team's use of a model on a usual day lately. model None: cost that follows no model."""

    team: str | None
    model: str | None
    dollars: float
    mtok: float
    requests: float = 0.0


def usual_days(now: datetime, basis: Basis, currency: str) -> tuple[Use, ...]:
    """The mean day of the last fortnight that has figures, newer days counting more (half-life five days)."""
    today = now.astimezone(UTC).date()
    rows = spend.daily(today - timedelta(days=DAYS), today, (Dimension.TEAM, Dimension.MODEL), basis)
    costs: dict[tuple[str | None, str | None], dict[date, float]] = {}
    for row in rows:
        if row.currency == currency:
            team, model = row.group
            amount = float((row.cost or Decimal(0)) + (row.estimated_cost or Decimal(0)))
            held = costs.setdefault((team or None, model or None), {})
            held[row.day] = held.get(row.day, 0.0) + amount
    days = sorted({day for held in costs.values() for day in held})
    counted = _counted(days)
    weights = {day: 0.5 ** ((days[-1] - day).days / 5) for day in days}
    total = sum(weights.values()) or 1.0
    return tuple(
        Use(
            team,
            model,
            sum(weights[day] * amount for day, amount in held.items()) / total,
            *(
                sum(weights[day] * counted.get((day, team, model), (0.0, 0.0))[at] for day in days) / total
                for at in (0, 1)
            ),
        )
        for (team, model), held in sorted(costs.items(), key=lambda each: (each[0][0] or "", each[0][1] or ""))
    )


def _counted(days: Sequence[date]) -> dict[tuple[date, str | None, str | None], tuple[float, float]]:
    """(day, team, model) -> million tokens and requests."""
    if not days:
        return {}
    found: dict[tuple[date, str | None, str | None], tuple[float, float]] = {}
    for row in spend.usage_counts(days[0], days[-1] + timedelta(days=1)):
        place = (row.day, row.team or None, row.model)
        mtok, requests = found.get(place, (0.0, 0.0))
        found[place] = (mtok + (row.tokens or 0) / _MEGA, requests + row.requests)
    return found


class Prices:
    """(provider, model) -> dollars for a million tokens of the mix in which the model is used, None where unknown.

    As it was billed, else as the price book says for that mix.
    """

    def __init__(self, past: KnownPast) -> None:
        self._past = past
        self._mix: dict[str, dict[str, int]] = {}
        for (model, _), mix in past.mix.items():
            held = self._mix.setdefault(model, {})
            for kind, count in mix.items():
                held[kind] = held.get(kind, 0) + count
        self._known: dict[tuple[str, str], float | None] = {}

    @classmethod
    def read(cls, currency: str, basis: Basis, today: date) -> "Prices":
        return cls(replays.known_past(EVERYTHING, (), currency=currency, basis=basis, today=today))

    def __call__(self, provider: str, model: str) -> float | None:
        place = (provider, model)
        if place not in self._known:
            self._known[place] = self._find(provider, model)
        return self._known[place]

    def _find(self, provider: str, model: str) -> float | None:
        mix = self._mix.get(model) or _USUAL_MIX
        rates: Mapping[str, Decimal] | None = self._past.rates.get((model, provider))
        if rates is None and self._past.currency == "USD":
            quote = self._past.book.quote(provider, model, None, None, self._past.day)
            rates = None if quote is None else _rates(quote)
        return None if rates is None else _cost(mix, rates)


# Four fifths of what is sent is read, where nobody has used a model yet.
_USUAL_MIX = {TokenType.INPUT_UNCACHED.value: 4, TokenType.OUTPUT.value: 1}


def _rates(quote: Quote) -> dict[str, Decimal]:
    return {kind.value: rate for kind, rate in quote.band_for(0).rates.items()}


def _cost(mix: Mapping[str, int], rates: Mapping[str, Decimal]) -> float | None:
    total, count = 0.0, 0
    for kind, tokens in mix.items():
        fallback = None if kind == TokenType.OUTPUT.value else rates.get(TokenType.INPUT_UNCACHED.value)
        rate = rates.get(kind, fallback)
        if rate is None:
            return None
        total, count = total + float(rate) * tokens, count + tokens
    return total / count * _MEGA if count else None


def latencies(orchestrator: str, objective_ms: float | None, now: datetime) -> dict[str, Latency]:
    """Target -> how it answered in the last day, where its requests were timed."""
    counts: dict[str, list[int]] = {}
    rows = Observation.objects.filter(orchestrator__name=orchestrator, minute__gte=now - _LATELY, minute__lt=now)
    for target, latency in rows.exclude(target="").values_list("target", "latency"):
        held = counts.setdefault(target, [0] * (len(guards.LATENCY_MS) + 1))
        for at, count in enumerate(latency):
            held[at] += count
    return {target: _latency(held, objective_ms) for target, held in counts.items() if sum(held)}


def _latency(counts: Sequence[int], objective_ms: float | None) -> Latency:
    p95 = guards.Traffic(latency=tuple(counts)).p95_ms()
    total = sum(counts)
    late = 0
    if objective_ms is not None:
        bounds = (*guards.LATENCY_MS, float("inf"))
        late = sum(count for count, bound in zip(counts, bounds, strict=True) if bound > objective_ms)
    return Latency(float(p95) if p95 is not None else None, late / total)


def requests_by_place(now: datetime) -> dict[tuple[str, str, str], int]:
    """(orchestrator, team, model) -> requests of the last day."""
    rows = Observation.objects.filter(minute__gte=now - _LATELY, minute__lt=now)
    summed = rows.values_list("orchestrator__name", "team", "model").annotate(total=Sum("requests"))
    return {(name, team, model): total for name, team, model, total in summed}
