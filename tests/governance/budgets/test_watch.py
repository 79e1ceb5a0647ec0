"""Passed thresholds: the highest once a period, told with what a lead needs, however often and by whom it is looked."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from attribution.lake.serving import build_serving_file
from attribution.models import TaskRun
from governance import budget_forecasts, budgeting
from governance.budget_drafts import BudgetDraft
from governance.budget_tasks import watch_budgets
from governance.budget_watch import watch
from governance.forecasting.values import HORIZONS, LEVELS, DayForecast, ForecastScope, Spread, StoredForecast
from governance.models import Notification, ThresholdPassed
from tests.attribution.serving_lake import publish_lake, rollup
from tests.governance.budgets.personas import NOW, People

Draft = Callable[..., BudgetDraft]


def _spend(amount: str, day: str = "2026-05-10") -> None:
    publish_lake(
        [rollup(day, amount, team="search", billing_period=day[:7])], billed_through={("aws", "111"): "2026-06-02"}
    )
    build_serving_file()


def test_each_threshold_is_told_once_a_period(people: People, draft: Draft, lake: Path) -> None:
    made = budgeting.create(draft(tell_actual_ppm=(500_000, 800_000, 1_000_000)), actor=people.owner, now=NOW)
    _spend("850")
    assert (watch(NOW).passed, watch(NOW + timedelta(minutes=2)).passed) == (1, 0)

    told = Notification.objects.get()
    assert (told.kind, told.team, told.budget_id, told.link_path) == (
        "budget.crossed",
        "search",
        made.id,
        f"/budgets/{made.id}",
    )
    assert told.subject == "Search passed 80 % of its budget"
    assert told.figures["words"] == "Search has consumed 850.00 USD, more than 80 % of 1,000.00."
    assert (told.figures["spend"], told.figures["limit"]) == ("850.000000", "1000.00")
    assert told.figures["resets_at"] == "2026-06-01T00:00:00+00:00"

    _spend("1000")
    assert watch(NOW).passed == 1
    assert Notification.objects.filter(subject="Search passed 100 % of its budget").exists()
    # A correction takes it below again: what was told stays told, and is not told again.
    for amount in ("700", "900"):
        _spend(amount)
        assert watch(NOW).passed == 0
    assert ThresholdPassed.objects.count() == 2


def test_a_new_period_begins_anew(people: People, draft: Draft, lake: Path) -> None:
    budgeting.create(draft(), actor=people.owner, now=NOW)
    _spend("900")
    assert watch(NOW).passed == 1
    june = datetime(2026, 6, 2, tzinfo=UTC)
    assert watch(june).passed == 0
    _spend("950", "2026-06-01")
    assert watch(june).passed == 1


def test_a_budget_that_has_not_begun_or_has_ended_is_not_told(people: People, draft: Draft, lake: Path) -> None:
    _spend("900")
    budgeting.create(draft("Later", starts_on=date(2026, 7, 1)), actor=people.owner, now=NOW)
    budgeting.create(draft("Before", ends_on=date(2026, 5, 1)), actor=people.owner, now=NOW)
    assert watch(NOW).passed == 0


def _forecast(scope: ForecastScope, **_: object) -> StoredForecast | None:
    """40 dollars a day for search from 20 May on; 1 standard deviation of 10 a day."""
    if scope.team != "search":
        return None
    day = date(2026, 5, 20)
    return StoredForecast(
        scope=scope,
        currency="USD",
        basis="effective",
        made_at=NOW,
        first_day=day,
        inputs_revision="1",
        provisional=False,
        cold_start=False,
        days=tuple(
            DayForecast(day + timedelta(days=ahead), Decimal(30), Decimal(40), Decimal(50)) for ahead in range(90)
        ),
        spread=Spread(tuple(tuple((level - 0.5) * 20 * horizon for level in LEVELS) for horizon in HORIZONS)),
    )


def test_an_expected_crossing_is_told_with_its_day(
    people: People, draft: Draft, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_forecasts, "forecast_for", _forecast)
    made = budgeting.create(draft(), actor=people.owner, now=NOW)
    _spend("600")
    view = budgeting.budget(people.lead.scope, made.id, NOW)
    # 600, and 12 days of 40 from the 20th to the 31st; the limit of 1,000 is passed on the 11th of them.
    assert view.forecast is not None
    assert view.crossing is not None
    assert (view.forecast.p50, view.crossing.date) == (1080, date(2026, 5, 30))
    assert 0.6 < view.crossing.probability < 0.999
    assert view.state == "warning"

    watch(NOW)
    told = Notification.objects.get()
    assert told.kind == "budget.forecast_crossed"
    assert told.figures["words"] == (
        "Search is expected to end at 1,080.00 USD and to pass its limit of 1,000.00 on 2026-05-30."
    )


def test_two_beats_look_once(people: People, draft: Draft, lake: Path) -> None:
    watch_budgets()
    watch_budgets()
    run = TaskRun.objects.get(task="governance.watch_budgets")
    assert (run.state, run.attempts) == (TaskRun.State.DONE, 1)
