"""Bills come a day late and the estimator is low: consumption still is what it will have been, a plain sum is not."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from attribution.periods import Period
from governance.budgets import (
    CarriedRate,
    SpendCell,
    consumption,
)
from governance.learned_ratios import Ratios, SettledDay, learn_ratios

FIRST = date(2026, 4, 1)
MONTH = Period.of_month("2026-05")
# The book says 12 % less than the bill will on the whole: 13 % for one model, 8 % for the other, and each day
# 1.5 % more or less than that.
LOW = {"large": Decimal("0.87"), "small": Decimal("0.92")}
WOBBLE = (Decimal("0.985"), Decimal("1.015"), Decimal("1"))


def truth(day: date, model: str) -> Decimal:
    """What a day costs: growing 1 % a day, less at weekends."""
    base = {"large": Decimal(300), "small": Decimal(80)}[model]
    weekend = Decimal("0.6") if day.weekday() >= 5 else Decimal(1)
    return base * weekend * (1 + Decimal((day - FIRST).days) / 100)


def estimate(day: date, model: str) -> Decimal:
    """What the book says of a day."""
    return truth(day, model) * LOW[model] * WOBBLE[day.toordinal() % 3]


def _seen(now: datetime, late: timedelta) -> tuple[list[SpendCell], Ratios]:
    """What Weir holds at `now`: bills of days that ended at least `late` ago, and estimates up to now."""
    watermark = (now - late).date()
    cells, settled = [], []
    day = FIRST
    while day <= now.date():
        for model in ("large", "small"):
            whole = truth(day, model)
            if day < watermark:
                cells.append(SpendCell(day, "USD", "aws", model, billed=whole))
                settled.append(SettledDay(day, "aws", model, estimate(day, model), whole))
            else:
                part = min(Decimal(1), Decimal(int((now - _midnight(day)).total_seconds())) / 86_400)
                cells.append(SpendCell(day, "USD", "aws", model, estimated=estimate(day, model) * part))
        day += timedelta(days=1)
    return cells, learn_ratios(settled, {"aws": watermark - timedelta(days=1)})


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _true(now: datetime) -> Decimal:
    total, day = Decimal(0), MONTH.start.date()
    while day <= now.date():
        part = min(Decimal(1), Decimal(int((now - _midnight(day)).total_seconds())) / 86_400)
        total += part * (truth(day, "large") + truth(day, "small"))
        day += timedelta(days=1)
    return total


def test_consumption_is_within_two_percent_of_the_truth_at_every_hour() -> None:
    """Also in the month's first hours, when all of it is one day's estimate, with that day's own error."""
    worst = {"first day": Decimal(0), "later": Decimal(0)}
    naive = dict(worst)
    for hour in range(1, 31 * 24):
        now = MONTH.start + timedelta(hours=hour)
        cells, ratios = _seen(now, timedelta(hours=24))
        used = consumption(cells, period=MONTH, now=now, currency="USD", ratios=ratios)
        true, when = _true(now), "first day" if hour <= 24 else "later"
        worst[when] = max(worst[when], abs(used.consumed - true) / true)
        naive[when] = max(naive[when], abs(used.naive - true) / true)

    for when in worst:
        print(f"worst error, {when}: learned {worst[when]:.2%}, naive sum {naive[when]:.2%}")
    assert max(worst.values()) < Decimal("0.02")
    # In the first two days of the month nothing is billed yet: a plain sum is 12 % low and more.
    assert naive["later"] > Decimal("0.11")


def test_the_ratio_follows_a_change_of_the_discount_within_days() -> None:
    """From 10 May on the bill is 20 % dearer than before; half the way is learned in 72 hours."""
    settled = []
    for ahead in range(24):
        day = date(2026, 5, 1) + timedelta(days=ahead)
        dearer = Decimal("1.2") if day >= date(2026, 5, 10) else Decimal(1)
        settled.append(SettledDay(day, "aws", "large", Decimal(88), 100 * dearer))

    def learned(through: date) -> Decimal:
        known = [each for each in settled if each.day <= through]
        return learn_ratios(known, {"aws": through}).of("aws", "large") * Decimal("0.88")

    assert abs(learned(date(2026, 5, 9)) - 1) < Decimal("1e-6")
    # Weights halve every three days: (1.2 x 7 + 1 x 1 x ...) after nine days seven eighths of the step are learned.
    assert Decimal("1.09") < learned(date(2026, 5, 12)) < Decimal("1.12")
    assert learned(date(2026, 5, 18)) > Decimal("1.17")


def test_capacity_without_an_estimate_is_carried_on_by_the_hour() -> None:
    since = datetime(2026, 5, 18, tzinfo=UTC)
    gpu = CarriedRate("azure", "own-model", "USD", since, Decimal("2.5"))
    now = datetime(2026, 5, 20, 12, tzinfo=UTC)
    cells = [SpendCell(date(2026, 5, 17), "USD", "azure", "own-model", billed=Decimal(60))]
    used = consumption(cells, period=MONTH, now=now, currency="USD", carried=[gpu])
    # 60 billed; then 60 hours at 2.50.
    assert (used.billed, used.carried, used.consumed) == (60, 150, 210)
    assert used.naive == 60


def test_carried_cost_ends_with_the_period() -> None:
    gpu = CarriedRate("azure", None, "USD", datetime(2026, 5, 31, tzinfo=UTC), Decimal(1))
    used = consumption([], period=MONTH, now=MONTH.end + timedelta(days=3), currency="USD", carried=[gpu])
    assert used.carried == 24


@pytest.mark.parametrize(
    ("zone_hours", "expected"),
    # The month begins at 18:30 UTC: 5.5 of 24 hours by time; by its hours, only what was used after 18:30.
    [(None, Decimal("22.916667")), ([Decimal(1)] + [Decimal(0)] * 23, Decimal(0))],
)
def test_a_day_that_the_edge_cuts_counts_in_part(zone_hours: list[Decimal] | None, expected: Decimal) -> None:
    period = Period(datetime(2026, 4, 30, 18, 30, tzinfo=UTC), datetime(2026, 5, 31, 18, 30, tzinfo=UTC))
    day = date(2026, 4, 30)
    hours = None if zone_hours is None else {(day, "aws"): zone_hours}
    used = consumption(
        [SpendCell(day, "USD", "aws", None, billed=Decimal(100))],
        period=period,
        now=period.end,
        currency="USD",
        hours=hours,
    )
    assert used.consumed == expected


def test_a_moving_bill_is_shown_and_not_added() -> None:
    cells = [SpendCell(date(2026, 5, 19), "USD", "aws", "large", estimated=Decimal(10), moving=Decimal(7))]
    used = consumption(cells, period=MONTH, now=MONTH.end, currency="USD")
    assert (used.consumed, used.moving, used.learned_ratio) == (10, 7, 1)


def test_other_currencies_are_converted_by_their_rate_or_left_out() -> None:
    cells = [
        SpendCell(date(2026, 5, 19), "EUR", "gcp", "large", billed=Decimal(100)),
        SpendCell(date(2026, 5, 19), "GBP", "gcp", "large", billed=Decimal(3)),
    ]
    used = consumption(cells, period=MONTH, now=MONTH.end, currency="USD", rates={"EUR": Decimal("1.10")})
    assert (used.consumed, used.left_out) == (110, (("GBP", Decimal(3)),))
