"""Proportional pacing: the fallback where no forecast is. Spend of the last day against an even run to the end."""

import math

GAIN = 0.12
LEAST, MOST = 0.3, 40.0


def pace(price: float, *, spent_last_hour: float, available: float, hours_left: float) -> float:
    """The next shadow price: up while money goes faster than an even run allows, down while slower.

    price: the one that holds. spent_last_hour: mean of the last day, an hour. A price at LEAST asks for nothing: 0.
    """
    if available <= 0:
        return MOST
    even = available / max(hours_left, 1.0)
    fast = min(max(spent_last_hour / even - 1.0, -1.0), 2.0)
    moved = min(max(max(price, LEAST) * math.exp(GAIN * fast), LEAST), MOST)
    return 0.0 if moved <= LEAST * 1.03 else moved
