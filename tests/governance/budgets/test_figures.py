"""What settled days teach, read from a lake: ratios by provider and model, costs that are carried on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from attribution.lake.serving import build_serving_file
from attribution.models import BillingAccount
from governance import budgeting
from governance.budget_drafts import BudgetDraft
from governance.budget_figures import learn
from governance.models import LearnedEstimates
from tests.attribution.serving_lake import publish_lake, rollup, usage
from tests.governance.budgets.personas import NOW, People

Draft = Callable[..., BudgetDraft]
SONNET, HAIKU = "claude-sonnet-4.5", "claude-haiku-4.5"


def _lake(*more: dict[str, Any], through: str = "2026-05-19") -> None:
    """Ten settled days: sonnet is billed 25 % above its estimate, haiku as estimated; a GPU pool at 48 a day."""
    rollups, used = list(more), []
    for number in range(9, 19):
        day = f"2026-05-{number:02d}"
        rollups += [
            rollup(day, "100", team="search", model=SONNET),
            rollup(day, "10", team="search", model=HAIKU),
            rollup(day, "30", team="ads", model="own-model", token_type="capacity", method="capacity_share"),
            rollup(day, "18", model="own-model", token_type="capacity", method="unattributed", reason="idle"),
            # Nobody's telemetry explains it: it teaches nothing about estimates, and goes on.
            rollup(day, "24", model=SONNET, method="unattributed", reason="bypass"),
        ]
        used += [
            usage(day, "search", "80", model=SONNET),
            usage(day, "search", "10", model=HAIKU),
            usage(day, "ads", None, model="own-model"),
        ]
    used += [
        usage("2026-05-19", "search", "80", model=SONNET),
        usage("2026-05-20", "search", "40", model=SONNET),
        usage("2026-05-19", "ads", None, model="own-model"),
    ]
    publish_lake(rollups, used, billed_through={("aws", "111"): through})
    build_serving_file()


def test_settled_days_teach_the_ratio_and_what_goes_on(people: People, draft: Draft, lake: Path) -> None:
    _lake()
    learned = learn(NOW)

    assert learned is not None
    ratios = {row["model"]: Decimal(row["ratio"]) for row in learned.ratios if row["basis"] == "effective"}
    # On the whole 110 / 90; each model close to its own, drawn to that by 2 %.
    assert ratios["*"] == Decimal("1.222222222")
    assert Decimal("1.2490") < ratios[SONNET] < Decimal("1.25")
    assert Decimal("1") < ratios[HAIKU] < Decimal("1.04")
    carried = {(row["team"], row["model"]): Decimal(row["effective"]) for row in learned.carried}
    # 30, 18 and 24 a day, by the hour.
    assert carried == {
        ("ads", "own-model"): Decimal("1.25"),
        (None, "own-model"): Decimal("0.75"),
        (None, SONNET): Decimal("1"),
    }


def test_budgets_count_estimates_by_the_ratio_and_carry_capacity_on(people: People, draft: Draft, lake: Path) -> None:
    _lake()
    learn(NOW)
    search = budgeting.create(draft(), actor=people.owner, now=NOW)
    ads = budgeting.create(draft("Ads", dims=(("team", "ads"),)), actor=people.owner, now=NOW)
    everything = budgeting.create(draft("All", "99999", dims=()), actor=people.owner, now=NOW)

    # 10 days at 110, then 120 estimated dollars of sonnet at nearly 1.25.
    assert search.billed == 1100
    assert search.learned_ratio is not None
    assert Decimal("1.2490") < search.learned_ratio < Decimal("1.25")
    assert abs(search.estimated - 150) < Decimal("0.1")
    assert search.naive == 1220
    # 10 days at 30, then a day and a half at 1.25 an hour.
    assert (ads.billed, ads.estimated, ads.carried) == (300, 0, Decimal("45"))
    # Of all: also idle capacity and usage without telemetry go on: 1.25 + 0.75 + 1 an hour for 36 hours.
    assert everything.carried == 108
    assert everything.consumed == everything.billed + everything.estimated + 108


def test_what_is_carried_ends_where_the_next_bill_begins(people: People, draft: Draft, lake: Path) -> None:
    _lake()
    learn(NOW)
    BillingAccount.objects.update(billed_through=datetime(2026, 5, 20).date())
    ads = budgeting.create(draft("Ads", dims=(("team", "ads"),)), actor=people.owner, now=NOW)
    # Nothing was learned anew yet; only the twelve hours since the newer bill are carried.
    assert ads.carried == 15


def test_a_line_that_comes_once_a_month_is_not_carried_on(people: People, draft: Draft, lake: Path) -> None:
    _lake(rollup("2026-05-18", "720", team="ads", model="own-model", token_type="other", service="Licence"))
    learned = learn(NOW)
    assert learned is not None
    assert {row["effective"] for row in learned.carried if row["team"] == "ads"} == {"1.250000000000"}


def test_the_same_figures_are_learned_once(lake: Path) -> None:
    assert learn(NOW) is None
    _lake()
    first, second = learn(NOW), learn(NOW + timedelta(minutes=5))
    assert first == second
    assert LearnedEstimates.objects.count() == 1


def test_a_budget_in_another_zone_counts_the_edge_day_by_its_hours(people: People, draft: Draft, lake: Path) -> None:
    """May begins in Kolkata at 18:30 UTC on 30 April: of that UTC day 5.5 of 24 hours count, by time."""
    publish_lake(
        [
            rollup("2026-04-30", "240", team="search", billing_period="2026-04"),
            rollup("2026-05-01", "1", team="search"),
        ],
        billed_through={("aws", "111"): "2026-05-19"},
    )
    build_serving_file()
    view = budgeting.create(draft(zone="Asia/Kolkata"), actor=people.owner, now=NOW)
    assert (view.period_start, view.period_end) == (
        datetime(2026, 4, 30, 18, 30, tzinfo=UTC),
        datetime(2026, 5, 31, 18, 30, tzinfo=UTC),
    )
    assert view.consumed == 56  # 55 + 1
