"""What else could be done about a budget, with its figures: doing nothing, each rung to its end, a hard stop. Pure."""

from functools import cached_property

import numpy as np

from .control import Alternative, ControlInputs, Floats, Ints
from .ladder import GRID, Ladders, build
from .links import Links
from .rungs import Rung
from .wording import Facts, money

_LADDER = (Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE)
_NAMES = {
    Rung.PREFER_CHEAPER: "cheaper pools only",
    Rung.SMALLER_MODEL: "smaller models too",
    Rung.THROTTLE: "refuse what does not fit",
}
_TOP = len(GRID) - 1


class Alternatives:
    """Works out the choices that were not taken. Ladders are made once a tick, for all budgets that ask."""

    def __init__(self, inputs: ControlInputs, links: Links) -> None:
        self.inputs, self.links = inputs, links

    @cached_property
    def _kinds(self) -> tuple[Floats, Ints]:
        """(menu, weight) of each kind of cell, and the kind of each cell."""
        cells = self.inputs.cells
        kinds, place = np.unique(np.column_stack([cells.menu, cells.weight]), axis=0, return_inverse=True)
        return kinds, place.reshape(-1)

    @cached_property
    def _ladders(self) -> dict[Rung, Ladders]:
        """For each rung as the last one the ladder of each kind, as if no pool were limited."""
        kinds = self._kinds[0]
        menus = [self.inputs.menus[int(each)] for each in kinds[:, 0]]
        free = np.ones((len(kinds), self.inputs.cells.shares.shape[1] - 1))
        most = self.inputs.rails.most_refused
        return {
            rung: build(
                menus, [frozenset(each for each in _LADDER if each <= rung)] * len(kinds), kinds[:, 1], free, most
            )
            for rung in _LADDER
        }

    def of(self, at: int, facts: Facts) -> tuple[Alternative, ...]:
        """The mildest first; each says whether it would have held the limit."""
        mine = self.links.of(at)
        nothing = _alternative(facts, "change nothing", facts.without, 0.0, 0.0, possible=True)
        rungs = (self._to_its_end(mine, facts, rung) for rung in _LADDER)
        return (nothing, *rungs, _hard_stop(self.inputs, self.links, mine, facts))

    def _to_its_end(self, mine: Ints, facts: Facts, rung: Rung) -> Alternative:
        """The lowest price that fits with this rung as the last; at the top of the ladder where none does."""
        kinds, place = self._kinds
        ladders = self._ladders[rung]
        kind = place[self.links.cell[mine]]
        owed = np.bincount(kind, weights=self.links.owed[mine], minlength=len(kinds))
        tokens = np.bincount(kind, weights=_tokens(self.inputs, self.links, mine), minlength=len(kinds))
        spend: Floats = owed @ ladders.cost
        position = int(np.flatnonzero(spend * (1 + facts.margin) <= facts.available).min(initial=_TOP))
        refused = float(ladders.shares[:, position, -1] @ tokens)
        harm = float((ladders.harm[:, position] - ladders.harm[:, 0]) @ owed)
        end = facts.budget.spent + facts.budget.committed + float(spend[position])
        return _alternative(facts, _NAMES[rung], end, harm, refused, rung in facts.budget.permitted)


def _hard_stop(inputs: ControlInputs, links: Links, mine: Ints, facts: Facts) -> Alternative:
    owed = float(links.owed[mine].sum())
    part = min(max(facts.available, 0.0) / owed, 1.0) if owed > 0 else 1.0
    refused = float(_tokens(inputs, links, mine).sum()) * (1 - part)
    refusal = np.array([menu.refusal for menu in inputs.menus])[inputs.cells.menu[links.cell[mine]]]
    harm = float((refusal * inputs.cells.weight[links.cell[mine]] * links.owed[mine]).sum()) * (1 - part)
    end = facts.budget.spent + facts.budget.committed + owed * part
    return _alternative(facts, "stop at the limit", end, harm, refused, Rung.STOP in facts.budget.permitted)


def _tokens(inputs: ControlInputs, links: Links, mine: Ints) -> Floats:
    usd = np.maximum(inputs.cells.usd_per_mtok[links.cell[mine]], 1e-12)
    tokens: Floats = links.owed[mine] / usd
    return tokens


def _alternative(facts: Facts, name: str, end: float, harm: float, refused: float, possible: bool) -> Alternative:
    over = end - facts.budget.limit
    amount = money(abs(over), facts.currency)
    words = f"ends at {money(end, facts.currency)}, " + (f"{amount} over" if over > 0 else f"{amount} left")
    if refused > 0.005:
        words += f", refusing {refused:,.1f} million tokens"
    if not possible:
        words += "; the policy does not permit it now"
    return Alternative(name, end, harm, refused, possible, words)
