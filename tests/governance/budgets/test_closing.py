"""Closing a month freezes it; what arrives later is shown apart, told once, and never mixed in."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from attribution import audit
from attribution.actors import Forbidden
from attribution.lake.serving import build_serving_file
from attribution.models import Pin
from attribution.scope import EVERYTHING
from governance import budgeting, closing
from governance.budget_drafts import BudgetDraft
from governance.budget_watch import watch
from governance.models import BudgetOutcome, ClosedPeriod, Notification
from tests.attribution.serving_lake import publish_lake, rollup, usage
from tests.governance.budgets.personas import People

Draft = Callable[..., BudgetDraft]
JUNE = datetime(2026, 6, 5, 12, tzinfo=UTC)


def _bill(search: str = "700", *, through: str = "2026-06-04") -> None:
    publish_lake(
        [
            rollup("2026-05-10", search, team="search"),
            rollup("2026-05-11", "50", team="labs"),
            rollup("2026-05-12", "8", method="unattributed", reason="bypass"),
        ],
        billed_through={("aws", "111"): through},
    )
    build_serving_file()


def test_a_close_freezes_figures_outcomes_and_rates(people: People, draft: Draft, lake: Path) -> None:
    _bill()
    budgeting.create(draft(amount="600"), actor=people.owner, now=JUNE)
    budgeting.create(draft("Labs", dims=(("team", "labs"),)), actor=people.owner, now=JUNE)
    closing.set_rate("EUR", "USD", date(2026, 5, 1), Decimal("1.1"), source="ECB", actor=people.owner, now=JUNE)
    closed = closing.close_month("2026-05", actor=people.owner, now=JUNE, reason="reviewed", despite_open_points=True)

    assert closed.frozen == {"USD": Decimal(758)}
    assert closed.adjusted == {}
    assert [(one.name, one.limit, one.consumed, one.kept) for one in closed.outcomes] == [
        ("Labs", 1000, 50, True),
        ("Search", 600, 700, False),
    ]
    assert {(each["currency"], each["into"]): each["rate"] for each in closed.exchange_rates}["EUR", "USD"] == (
        "1.100000000000000000"
    )
    assert Pin.objects.filter(reason="period 2026-05").count() == closed.pinned_revisions == 1
    entry = next(iter(audit.entries(EVERYTHING, object_type="period")))
    assert (entry.action, entry.object_id, entry.reason) == ("period.close", "2026-05", "reviewed")


def test_later_adjustments_stand_apart(people: People, draft: Draft, lake: Path) -> None:
    _bill()
    search = budgeting.create(draft(amount="800", rollover="unused"), actor=people.owner, now=JUNE)
    assert search.limit == 900  # 800, and 100 of May; of January to April nothing is known
    closing.close_month("2026-05", actor=people.owner, now=JUNE, despite_open_points=True)
    # The provider corrects May by 60 dollars.
    _bill("760")

    closed = closing.closed_month(EVERYTHING, "2026-05", JUNE)
    assert closed.frozen == {"USD": Decimal(758)}
    assert closed.adjusted == {"USD": Decimal(60)}
    assert [(one.team, one.frozen, one.now, one.by) for one in closed.adjustments] == [("search", 700, 760, 60)]
    assert [(one.consumed, one.consumed_now, one.adjusted_by) for one in closed.outcomes] == [(700, 760, 60)]
    # What goes over into June is what was left when May was closed.
    assert budgeting.budget(EVERYTHING, search.id, JUNE).limit == 900
    # Each sees theirs.
    mine = closing.closed_month(people.lead.scope, "2026-05", JUNE)
    assert (mine.frozen, mine.adjusted, len(mine.outcomes)) == ({"USD": 700}, {"USD": 60}, 1)
    other = closing.closed_month(people.other_lead.scope, "2026-05", JUNE)
    assert (other.frozen, other.adjusted, other.outcomes) == ({"USD": 50}, {}, ())


def test_an_adjustment_is_told_once(people: People, draft: Draft, lake: Path) -> None:
    _bill()
    closing.close_month("2026-05", actor=people.owner, now=JUNE, despite_open_points=True)
    watch(JUNE)
    assert set(Notification.objects.values_list("kind", flat=True)) == {"period.closed"}
    _bill("760")
    for minutes in range(3):
        watch(JUNE + timedelta(minutes=minutes))
    told = Notification.objects.get(kind="restatement")
    assert told.subject == "Bills changed the closed month 2026-05 by +60.00 USD"


def test_open_points_are_said_and_stop_the_close(people: People, lake: Path) -> None:
    publish_lake(
        [rollup("2026-05-10", "7", team="search")],
        [usage("2026-05-30", "search", "3")],
        billed_through={("aws", "111"): "2026-05-29"},
    )
    build_serving_file()
    with pytest.raises(closing.NotReady) as told:
        closing.close_month("2026-05", actor=people.owner, now=JUNE)
    assert told.value.points[0] == "aws: billed to 2026-05-29 only, 3 days are missing"
    assert told.value.points[-1] == "3.00 USD of the month are estimates without a settled bill"
    assert not ClosedPeriod.objects.exists()

    closed = closing.close_month("2026-05", actor=people.owner, now=JUNE, despite_open_points=True)
    assert closed.open_points == told.value.points
    assert closed.frozen == {"USD": Decimal(10)}


def test_a_month_is_closed_once_and_only_when_it_is_over(people: People, lake: Path) -> None:
    for month in ("2026-06", "2026-13", "soon"):
        with pytest.raises(closing.NotOver):
            closing.close_month(month, actor=people.owner, now=JUNE)
    closing.close_month("2026-05", actor=people.owner, now=JUNE)
    with pytest.raises(closing.AlreadyClosed):
        closing.close_month("2026-05", actor=people.owner, now=JUNE)
    with pytest.raises(Forbidden):
        closing.close_month("2026-04", actor=people.lead, now=JUNE)


def test_what_was_frozen_can_not_be_written_again(people: People, draft: Draft, lake: Path) -> None:
    _bill()
    budgeting.create(draft(), actor=people.owner, now=JUNE)
    closing.close_month("2026-05", actor=people.owner, now=JUNE, despite_open_points=True)
    outcome = BudgetOutcome.objects.get()
    outcome.consumed = Decimal(1)
    with pytest.raises(ValueError, match="never changed"):
        outcome.save()


def test_each_period_of_a_budget_is_closed_with_the_month_it_ends_in(people: People, draft: Draft, lake: Path) -> None:
    _bill()
    weekly = draft("Weekly", period_kind="week", starts_on=date(2026, 4, 1))
    quarter = draft("Quarter", period_kind="quarter")
    for each in (weekly, quarter, draft("Kolkata", zone="Asia/Kolkata")):
        budgeting.create(each, actor=people.owner, now=JUNE)
    closing.close_month("2026-05", actor=people.owner, now=JUNE, despite_open_points=True)
    ended = BudgetOutcome.objects.order_by("name", "period_start").values_list("name", "period_end")
    assert list(ended) == [
        ("Kolkata", datetime(2026, 5, 31, 18, 30, tzinfo=UTC)),
        *(("Weekly", datetime(2026, 5, day, tzinfo=UTC)) for day in (4, 11, 18, 25)),
        ("Weekly", datetime(2026, 6, 1, tzinfo=UTC)),
    ]


def test_the_command_says_what_is_open_and_closes(people: People, lake: Path) -> None:
    _bill()
    with pytest.raises(CommandError, match="open points"):
        call_command("close_period", "2026-05", "--by", "owner@weir.example", stdout=StringIO())
    out = StringIO()
    call_command("close_period", "2026-05", "--by", "owner@weir.example", "--despite-open-points", "--json", stdout=out)
    assert '"frozen": {"USD": "758"}' in out.getvalue()
    with pytest.raises(CommandError, match="closed already"):
        call_command("close_period", "2026-05", "--by", "owner@weir.example")
    with pytest.raises(CommandError, match="may not close period"):
        call_command("close_period", "2026-04", "--by", "lead@weir.example")
