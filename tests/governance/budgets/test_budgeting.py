"""Making, changing, copying and reading budgets: who may, what two editors see, what the trail holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from attribution import audit
from attribution.actors import Forbidden
from attribution.lake.serving import build_serving_file
from attribution.models import AuditEntry, Team
from attribution.scope import EVERYTHING
from governance import budgeting
from governance.budget_drafts import BudgetDraft, Invalid
from governance.budget_imports import MAX_LINES, ImportRefused, import_csv
from governance.budgets import LIMIT_CEILING, BudgetStatus
from governance.models import Budget
from tests.attribution.serving_lake import publish_lake, rollup, usage
from tests.governance.budgets.personas import NOW, People

Draft = Callable[..., BudgetDraft]


def test_a_lead_makes_a_budget_of_a_team_below_theirs(people: People, draft: Draft, lake: Path) -> None:
    view = budgeting.create(draft(), actor=people.lead, now=NOW)

    assert (view.name, view.team, view.limit, view.consumed, view.version) == ("Search", "search", 1000, 0, 1)
    assert (view.first_day, view.last_day) == (date(2026, 5, 1), date(2026, 5, 31))
    assert view.days_left == Decimal("11.5")
    assert view.state is BudgetStatus.OK
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.team) == ("Lead", "budget.create", "search")
    assert entry.after is not None
    assert entry.after["amount"] == "1000.00"


@pytest.mark.parametrize("who", ["other_lead", "member", "outsider"])
def test_who_does_not_lead_the_team_makes_none(who: str, people: People, draft: Draft, lake: Path) -> None:
    with pytest.raises(Forbidden):
        budgeting.create(draft(), actor=getattr(people, who), now=NOW)
    assert not AuditEntry.objects.exists()


def test_only_an_owner_makes_one_of_the_organisation(people: People, draft: Draft, lake: Path) -> None:
    with pytest.raises(Forbidden):
        budgeting.create(draft("All", dims=()), actor=people.lead, now=NOW)
    assert budgeting.create(draft("All", dims=()), actor=people.owner, now=NOW).team is None


def test_each_sees_the_budgets_of_their_teams_only(people: People, draft: Draft, lake: Path) -> None:
    for name, dims in (("All", ()), ("Search", (("team", "search"),)), ("Labs", (("team", "labs"),))):
        made = budgeting.create(draft(name, dims=dims), actor=people.owner, now=NOW)

    def seen(who: str) -> list[str]:
        return [view.name for view in budgeting.budgets(getattr(people, who).scope, NOW)]

    assert seen("owner") == ["All", "Labs", "Search"]
    assert seen("lead") == ["Search"]
    assert seen("other_lead") == ["Labs"]
    assert seen("member") == ["Search"]
    assert seen("outsider") == []
    # Another team's budget is not there, rather than forbidden.
    for change in (
        lambda: budgeting.budget(people.lead.scope, made.id, NOW),
        lambda: budgeting.edit(made.id, 1, draft("Labs"), actor=people.lead, now=NOW),
        lambda: budgeting.archive(made.id, 1, actor=people.lead, now=NOW),
        lambda: budgeting.copy_for_next_year(made.id, actor=people.lead, now=NOW),
    ):
        with pytest.raises(budgeting.Missing):
            change()


def test_a_budget_of_a_unit_counts_the_teams_below_it(people: People, draft: Draft, lake: Path) -> None:
    publish_lake(
        [
            rollup("2026-05-03", "100", team="search"),
            rollup("2026-05-04", "20.5", team="ads"),
            rollup("2026-05-05", "7", team="labs"),
            rollup("2026-04-30", "3", team="search", billing_period="2026-04"),
        ],
        [usage("2026-05-18", "search", "10"), usage("2026-05-19", "labs", "4")],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()
    view = budgeting.create(draft("Products", dims=(("team", "products"),)), actor=people.lead, now=NOW)

    assert (view.billed, view.estimated, view.consumed) == (Decimal("120.5"), Decimal(10), Decimal("130.5"))
    # Over the seven days before the 20th: 10 / 7.
    assert view.burn_per_day == Decimal("1.428571")


def test_a_team_that_moved_counts_where_it_was(
    people: People, company: dict[str, Team], draft: Draft, lake: Path
) -> None:
    company["ads"].placements.all().delete()
    company["ads"].placements.create(parent=company["products"], valid_to=date(2026, 5, 10))
    publish_lake(
        [rollup("2026-05-09", "1", team="ads"), rollup("2026-05-10", "10", team="ads")],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()

    view = budgeting.create(draft("Products", dims=(("team", "products"),)), actor=people.owner, now=NOW)
    assert view.consumed == 1


def test_the_second_of_two_editors_is_told_and_nothing_is_lost(people: People, draft: Draft, lake: Path) -> None:
    made = budgeting.create(draft(), actor=people.owner, now=NOW)
    first, second = draft(amount="1500"), draft("Search and find", amount="2000")
    budgeting.edit(made.id, made.version, first, actor=people.owner, now=NOW)

    with pytest.raises(budgeting.Conflict) as told:
        budgeting.edit(made.id, made.version, second, actor=people.lead, now=NOW + timedelta(minutes=1))

    assert "Owner changed this budget at 2026-05-20 12:00 UTC" in str(told.value)
    assert (told.value.current.version, told.value.current.limit) == (2, 1500)
    assert told.value.proposed == second
    assert budgeting.budget(EVERYTHING, made.id, NOW).limit == 1500
    # They look, and decide: their change is made from what they now see.
    budgeting.edit(made.id, 2, replace(second, amount=Decimal(1700)), actor=people.lead, now=NOW)

    trail = [(entry.actor, entry.action, entry.after["amount"]) for entry in audit.entries(EVERYTHING)]
    assert trail == [
        ("Lead", "budget.edit", "1700.00"),
        ("Lead", "budget.edit_refused", "2000.00"),
        ("Owner", "budget.edit", "1500.00"),
        ("Owner", "budget.create", "1000.00"),
    ]
    assert not list(audit.verify())


def test_a_budget_is_not_moved_to_a_team_that_one_does_not_lead(people: People, draft: Draft, lake: Path) -> None:
    made = budgeting.create(draft(), actor=people.lead, now=NOW)
    with pytest.raises(Forbidden):
        budgeting.edit(made.id, 1, draft(dims=(("team", "labs"),)), actor=people.lead, now=NOW)
    assert budgeting.budget(EVERYTHING, made.id, NOW).team == "search"


def test_an_archived_budget_is_gone_and_its_name_free(people: People, draft: Draft, lake: Path) -> None:
    made = budgeting.create(draft(), actor=people.lead, now=NOW)
    budgeting.archive(made.id, 1, actor=people.lead, now=NOW)

    assert budgeting.budgets(EVERYTHING, NOW) == []
    assert [view.archived for view in budgeting.budgets(EVERYTHING, NOW, archived=True)] == [True]
    assert budgeting.create(draft(), actor=people.lead, now=NOW).id != made.id


def test_children_that_allow_more_than_their_parent_are_said(people: People, draft: Draft, lake: Path) -> None:
    parent = budgeting.create(draft("Products", "1000", dims=(("team", "products"),)), actor=people.owner, now=NOW)
    budgeting.create(draft("Search", "700"), actor=people.owner, now=NOW)
    budgeting.create(draft("Ads", "400", dims=(("team", "ads"),)), actor=people.owner, now=NOW)

    by_name = {view.name: view for view in budgeting.budgets(EVERYTHING, NOW)}
    excess = by_name["Products"].children_exceed
    assert excess is not None
    assert (excess.children, excess.by) == (1100, 100)
    assert by_name["Search"].parent_id == parent.id
    said = "Together with the budgets beside it, it allows 1,100.00 USD: 100.00 more than Products."
    assert by_name["Search"].exceeds_parent == said
    # A member of search sees neither the unit's budget nor its figures.
    mine = budgeting.budgets(people.member.scope, NOW)
    assert [(view.name, view.parent_id) for view in mine] == [("Search", None)]
    assert "1,100" not in mine[0].exceeds_parent


def test_a_lead_stays_within_the_budget_around_theirs(people: People, draft: Draft, lake: Path) -> None:
    budgeting.create(draft("All", "1000", dims=()), actor=people.owner, now=NOW)
    budgeting.create(draft("Labs", "300", dims=(("team", "labs"),)), actor=people.owner, now=NOW)
    with pytest.raises(Invalid) as told:
        budgeting.create(draft("Products", "701", dims=(("team", "products"),)), actor=people.lead, now=NOW)
    assert [each.field for each in told.value.mistakes] == ["amount"]
    assert "allow at most 700.00 there" in told.value.mistakes[0].fix

    made = budgeting.create(draft("Products", "700", dims=(("team", "products"),)), actor=people.lead, now=NOW)
    with pytest.raises(Invalid):
        budgeting.edit(
            made.id, 1, draft("Products", "700.01", dims=(("team", "products"),)), actor=people.lead, now=NOW
        )
    # Who answers for all may, and sees that it exceeds.
    wider = draft("Products", "900", dims=(("team", "products"),))
    assert budgeting.edit(made.id, 1, wider, actor=people.owner, now=NOW).exceeds_parent


def test_what_was_left_goes_over(people: People, draft: Draft, lake: Path) -> None:
    publish_lake(
        [
            rollup("2026-03-03", "60", team="search", billing_period="2026-03"),
            rollup("2026-04-03", "130", team="search", billing_period="2026-04"),
            rollup("2026-05-03", "10", team="search"),
        ],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()
    made = draft(amount="100", starts_on=date(2026, 3, 1), rollover="unused")
    view = budgeting.create(made, actor=people.owner, now=NOW)
    # March leaves 40; April has 140, consumes 130, leaves 10; May has 110.
    assert (view.base_limit, view.rolled_over, view.limit) == (100, 10, 110)
    spans = budgeting.periods_of(EVERYTHING, view.id, NOW)
    assert [(limit, used.consumed) for _, limit, used in spans] == [(100, 60), (140, 130), (110, 10)]


def test_a_period_of_which_nothing_is_known_leaves_nothing_over(people: People, draft: Draft, lake: Path) -> None:
    """A budget that is made in May and begins in 2020: there is no unspent money of six years before the first bill."""
    publish_lake(
        [
            rollup("2026-04-03", "70", team="search", billing_period="2026-04"),
            rollup("2026-05-03", "10", team="search"),
        ],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()
    made = draft(amount="100", starts_on=date(2020, 1, 1), rollover="unused", hard=True)
    view = budgeting.create(made, actor=people.owner, now=NOW)
    # April leaves 30; nothing goes over from the months before it.
    assert (view.base_limit, view.rolled_over, view.limit) == (100, 30, 130)
    assert [limit for _, limit, _ in budgeting.periods_of(EVERYTHING, view.id, NOW)] == [100, 130]


def test_growth_that_runs_away_is_refused_and_one_that_stands_breaks_no_page(
    people: People, draft: Draft, lake: Path
) -> None:
    runaway = draft(amount="100", starts_on=date(2020, 1, 1), period_kind="week", growth_ppm=1_000_000)
    with pytest.raises(Invalid, match="within ten years the limit grows beyond 1,000,000,000,000,000"):
        budgeting.create(runaway, actor=people.owner, now=NOW)
    view = budgeting.create(replace(runaway, growth_ppm=10_000), actor=people.owner, now=NOW)
    Budget.objects.update(growth_ppm=1_000_000)
    (shown,) = budgeting.budgets(EVERYTHING, NOW)
    assert shown.limit == LIMIT_CEILING
    assert budgeting.periods_of(EVERYTHING, view.id, NOW)


def test_an_import_that_would_hold_up_everybody_is_refused_at_once(people: People, lake: Path) -> None:
    lines = "\n".join(f"Budget {number},10,search" for number in range(MAX_LINES + 1))
    with pytest.raises(ImportRefused, match="the file is too long"):
        import_csv(f"name,amount,team\n{lines}\n", actor=people.owner, now=NOW)
    with pytest.raises(ImportRefused, match="the column 'amount' stands twice"):
        import_csv("name,amount,amount\nSearch,1,2\n", actor=people.owner, now=NOW)
    assert not Budget.objects.exists()


def test_periods_before_the_budget_of_which_nothing_is_known_are_not_listed(
    people: People, draft: Draft, lake: Path
) -> None:
    publish_lake(
        [rollup("2026-03-03", "60", team="search", billing_period="2026-03")],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()
    view = budgeting.create(draft(starts_on=date(2026, 1, 1)), actor=people.owner, now=NOW)
    spans = budgeting.periods_of(EVERYTHING, view.id, NOW)
    # Made in May: of January, February and April nothing is known; March cost 60; in May nothing came yet.
    assert [(span.first.month, used.consumed) for span, _, used in spans] == [(3, 60), (5, 0)]


def test_a_copy_for_next_year_begins_where_this_one_ends(people: People, draft: Draft, lake: Path) -> None:
    made = budgeting.create(draft("Search 2026", "100", growth_ppm=10_000), actor=people.lead, now=NOW)
    copied = budgeting.copy_for_next_year(made.id, actor=people.lead, now=NOW)

    # 100 x 1.01^12 = 112.6825...
    assert (copied.name, copied.draft.starts_on, copied.limit) == ("Search 2027", date(2027, 1, 1), Decimal("112.68"))
    old = budgeting.budget(EVERYTHING, made.id, NOW)
    assert (old.draft.ends_on, old.version) == (date(2027, 1, 1), 2)
    assert [entry.action for entry in audit.entries(EVERYTHING)] == ["budget.create", "budget.edit", "budget.create"]


def test_amounts_of_other_currencies_without_a_rate_are_left_out_and_said(
    people: People, draft: Draft, lake: Path
) -> None:
    publish_lake(
        [rollup("2026-05-03", "60", team="search"), rollup("2026-05-03", "5", team="search", currency="EUR")],
        billed_through={("aws", "111"): "2026-05-18"},
    )
    build_serving_file()
    view = budgeting.create(draft(), actor=people.lead, now=NOW)
    assert (view.consumed, view.left_out, view.state) == (60, (("EUR", Decimal(5)),), BudgetStatus.UNKNOWN)


def test_every_mistake_is_named_with_its_fix(people: People, draft: Draft, lake: Path) -> None:
    wrong = draft(
        " ",
        "-1",
        dims=(("team", "nobody"),),
        currency="dollars",
        zone="Mars/Olympus",
        period_kind="dates",
        growth_ppm=5_000_000,
        tell_actual_ppm=(0,),
    )
    with pytest.raises(Invalid) as told:
        budgeting.create(wrong, actor=people.owner, now=NOW)
    fields = ["name", "team", "amount", "currency", "zone", "ends_on", "growth_ppm", "tell_actual_ppm"]
    assert [each.field for each in told.value.mistakes] == fields
    assert all(each.fix for each in told.value.mistakes)
