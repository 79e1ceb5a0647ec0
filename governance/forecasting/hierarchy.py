"""Parts and totals that agree: a forecast of any scope is the sum of the forecasts of its leaves. Pure numpy.

Bottom-up, not a reconciliation of separately fitted totals (MinT): a price change, a launch or a migration happens at a
model of a team, so it enters at the leaf and reaches every total it belongs to; any scope that a person thinks of has a
forecast without being fitted; and the parts a page shows add up to its total to the last digit. MinT's gain needs the
covariance of all leaves, which months of young series don't give. What bottom-up lacks, the correlation between leaves,
matters for intervals alone: they come from the signed misses of the leaves, summed origin by origin before their size
is taken, so leaves that miss together make a wide total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from governance.forecasting.bets import OWN_HORIZONS
from governance.forecasting.values import ALONE, HORIZONS, SCOPE_DIMENSIONS, Below, ForecastScope

Floats = NDArray[np.float64]

# What is fitted, kept and judged every night beside the leaves: these groupings of them.
STANDARD = (
    (),
    ("team",),
    ("project",),
    ("model",),
    ("provider",),
    ("environment",),
    ("model", "team"),
    ("provider", "team"),
    ("project", "team"),
    ("model", "provider"),
)


@dataclass(frozen=True)
class Leaf:
    """The smallest part that is forecast: one value (or none) of every dimension."""

    team: str | None = None
    project: str | None = None
    model: str | None = None
    provider: str | None = None
    environment: str | None = None

    @property
    def values(self) -> Mapping[str, str | None]:
        return {name: getattr(self, name) for name in SCOPE_DIMENSIONS}


@dataclass(frozen=True)
class Outlook:
    """What is foretold of some series: path (series, days); misses (series, origins, OWN_HORIZONS), as bets.Fit."""

    path: Floats
    misses: Floats

    def summed(self, members: Floats) -> "Outlook":
        """The outlook of sums of these series: members is (sums, series) of 0 and 1.

        A leaf that was too young at an origin adds nothing there; an origin at which no leaf was old enough stays NaN.
        """
        known = np.isfinite(self.misses)
        flat = np.where(known, self.misses, 0.0).reshape(len(self.misses), -1)
        seen = members @ known.reshape(len(self.misses), -1).astype(float)
        summed = np.where(seen > 0, members @ flat, np.nan)
        return Outlook(members @ self.path, summed.reshape(-1, *self.misses.shape[1:]))

    @property
    def scale(self) -> Floats:
        """(series, HORIZONS): the mean size of the misses; NaN where none is known; past 30 days it grows in line."""
        known = np.isfinite(self.misses)
        counted = known.sum(1)
        sizes = np.where(known, np.abs(self.misses), 0.0).sum(1)
        own = np.where(counted > 0, sizes / np.maximum(counted, 1), np.nan)
        return extended(own)


def extended(own: Floats) -> Floats:
    """From OWN_HORIZONS to HORIZONS: later ones grow with the days, as the error of a level does."""
    later = [own[:, -1:] * (days / OWN_HORIZONS[-1]) for days in HORIZONS if days > OWN_HORIZONS[-1]]
    return np.concatenate([own, *later], axis=1)


def scopes_of(leaves: Sequence[Leaf], below: Below = ALONE) -> tuple[ForecastScope, ...]:
    """The standard scopes that these leaves have, everything first; a team's leaves are also those of teams above."""
    above: dict[str | None, set[str | None]] = {}
    for team, members in below.items():
        for member in members:
            above.setdefault(member, set()).add(team)
    found = set()
    for leaf in leaves:
        own: set[str | None] = {leaf.team}
        for owner in own | above.get(leaf.team, set()):
            values = {**leaf.values, "team": owner}
            found |= {
                ForecastScope(tuple((name, value) for name in dims if (value := values[name]) is not None))
                for dims in STANDARD
                if all(values[name] is not None for name in dims)
            }
    return tuple(sorted(found, key=lambda scope: (len(scope.dims), scope.dims)))


def membership(scopes: Sequence[ForecastScope], leaves: Sequence[Leaf], below: Below = ALONE) -> Floats:
    """(scopes, leaves): 1 where the leaf lies in the scope."""
    values = [leaf.values for leaf in leaves]
    flags = chain.from_iterable((scope.contains(leaf, below) for leaf in values) for scope in scopes)
    return np.fromiter(flags, float, len(scopes) * len(leaves)).reshape(len(scopes), len(leaves))
