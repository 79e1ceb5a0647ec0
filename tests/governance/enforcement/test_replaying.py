"""The loop's controller inside a what-if, worked out by hand."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from governance.enforcement.replaying import choose
from governance.enforcement.rungs import Decision, Rung
from governance.enforcement.whatif import Answer, Offer, Situation, Way

NOW = datetime(2026, 11, 16, tzinfo=UTC)
CHEAPER = Offer("large", "aws", Rung.PREFER_CHEAPER, "large", "gcp", Decimal("0.72"), 0.02)
SMALLER = Offer("large", "aws", Rung.SMALLER_MODEL, "small", "gcp", Decimal("0.2"), 0.3)
DECISION = Decision(1, (), (), (), True, Decimal(1))
LADDER = frozenset({Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE})


def situation(limit: float, rungs: frozenset[Rung] = LADDER) -> Situation:
    """$400 are spent, $800 are to come, at $80 a day; the what-if aims at 98 % of the limit."""
    way = Way("large", "aws", 80.0, 8_000_000, (CHEAPER, SMALLER))
    return Situation(NOW, DECISION, rungs, limit, 400.0, 0.0, 800.0, (way,))


def test_it_moves_what_the_rest_needs() -> None:
    # 0.98 x 1,100 - 400 = 678 of 800: 1 - 0.28 x = 0.8475, so x = 0.5446.
    answer = choose(situation(1100))
    assert [(each.offer, round(each.share, 3)) for each in answer.moves] == [(CHEAPER, 0.545)]
    assert answer.refused == 0.0


def test_it_uses_no_rung_that_is_not_permitted() -> None:
    answer = choose(situation(600, frozenset({Rung.PREFER_CHEAPER})))
    assert [each.offer for each in answer.moves] == [CHEAPER]
    assert answer.moves[0].share == pytest.approx(0.95)
    assert answer.refused == 0.0


def test_it_asks_nothing_while_all_fits_and_everything_at_a_stop() -> None:
    assert choose(situation(2000)) == Answer()
    assert choose(situation(1100, frozenset())) == Answer()
    assert choose(situation(1100, LADDER | {Rung.STOP})) == Answer(refused=1.0)


def test_it_refuses_only_what_no_cheaper_way_can_serve() -> None:
    answer = choose(situation(450))
    assert {each.offer for each in answer.moves} == {SMALLER}
    assert 0 < answer.refused <= 0.9
