"""What a dollar of estimate turns out to cost: billed / estimated, learned for each pool from the bills that have come.

Retries, cached-token rules, rounding and price changes make bills differ from estimates by 5 to 14 %. Spend for control
is billed up to the watermark and estimate x ratio after it; without this the best controller overshoots by 7 %.
"""

import math
from dataclasses import dataclass

HALF_LIFE_HOURS = 72.0
# A pool with less than this part of a usual day behind it stays near what it was.
PRIOR_DAYS = 0.02
# Two days in a row that say the same are a price change, not noise: older days then count a tenth.
JUMP = 0.04
FORGET = 0.1


@dataclass(frozen=True)
class Ratio:
    """The learned ratio of one pool: decayed sums of bill and estimate, and what the newest day said.

    through_hours: up to where bills were learned, in hours since any fixed start.
    """

    value: float = 1.0
    billed: float = 0.0
    estimated: float = 0.0
    newest: float | None = None
    through_hours: float | None = None


def learn(known: Ratio, *, billed: float, estimated: float, usual_day: float, at_hours: float) -> Ratio:
    """The ratio after a day (or more) of bills is complete.

    billed, estimated: of the same hours, which end at at_hours. usual_day: estimate of a usual day of all pools, the
    size of the prior. Hours that were learned before are not learned again.
    """
    if known.through_hours is not None and at_hours <= known.through_hours:
        return known
    if estimated <= 0:
        return known
    newest = billed / estimated
    passed = at_hours - known.through_hours if known.through_hours is not None else 0.0
    decay = math.exp2(-passed / HALF_LIFE_HOURS)
    if _jumped(known, newest):
        decay *= FORGET
    total, base = known.billed * decay + billed, known.estimated * decay + estimated
    prior = PRIOR_DAYS * usual_day
    value = (total + prior * known.value) / (base + prior)
    return Ratio(value, total, base, newest, at_hours)


def _jumped(known: Ratio, newest: float) -> bool:
    if known.newest is None:
        return False
    before, now = known.newest / known.value - 1.0, newest / known.value - 1.0
    return abs(before) > JUMP and abs(now) > JUMP and before * now > 0
