"""What settled bills teach about estimates: billed over estimated, by provider and model. Pure; money is Decimal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from attribution.money import rounded

HALF_LIFE = timedelta(hours=72)
# A model's own ratio counts against its provider's as if this share of the provider's estimate stood behind the latter.
PRIOR_SHARE = Decimal("0.02")
_HOUR = timedelta(hours=1)
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Ratios:
    """What bills said of what the book had estimated: by provider and model, else by provider, else 1."""

    by_model: Mapping[tuple[str, str | None], Decimal] = field(default_factory=dict)
    by_provider: Mapping[str, Decimal] = field(default_factory=dict)

    def of(self, provider: str, model: str | None) -> Decimal:
        return self.by_model.get((provider, model), self.by_provider.get(provider, Decimal(1)))

    def knows(self, provider: str) -> bool:
        return provider in self.by_provider


NO_RATIOS = Ratios()


@dataclass(frozen=True)
class SettledDay:
    """Of one settled day, provider and model: what the book had estimated, and what the bill says of the same usage."""

    day: date
    provider: str
    model: str | None
    estimated: Decimal
    billed: Decimal


def learn_ratios(days: Iterable[SettledDay], newest: Mapping[str, date]) -> Ratios:
    """Billed / estimated as an exponentially weighted mean, half-life 72 h, ages counted from a provider's newest day.

    A model with little behind it is drawn to its provider's ratio. Nothing estimated: no ratio.
    """
    sums: dict[tuple[str, str | None], list[Decimal]] = {}
    for one in days:
        weight = _weight(newest[one.provider] - one.day)
        pair = sums.setdefault((one.provider, one.model), [_ZERO, _ZERO])
        pair[0] += _WIDE.multiply(one.billed, weight)
        pair[1] += _WIDE.multiply(one.estimated, weight)
    totals: dict[str, list[Decimal]] = {}
    for (provider, _), (billed, estimated) in sums.items():
        pair = totals.setdefault(provider, [_ZERO, _ZERO])
        pair[0] += billed
        pair[1] += estimated
    by_provider = {
        provider: rounded(_WIDE.divide(billed, estimated), 9)
        for provider, (billed, estimated) in totals.items()
        if estimated > 0
    }
    by_model = {}
    for (provider, model), (billed, estimated) in sums.items():
        if provider not in by_provider or estimated <= 0:
            continue
        prior = _WIDE.multiply(totals[provider][1], PRIOR_SHARE)
        drawn = billed + _WIDE.multiply(prior, by_provider[provider])
        by_model[provider, model] = rounded(_WIDE.divide(drawn, estimated + prior), 9)
    return Ratios(by_model, by_provider)


def _weight(age: timedelta) -> Decimal:
    halvings = _WIDE.divide(Decimal(int(age / _HOUR)), Decimal(int(HALF_LIFE / _HOUR)))
    return _WIDE.power(Decimal("0.5"), halvings)
