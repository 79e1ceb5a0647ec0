"""The Budgets and Quotas pages as each persona meets them; a small lake of the last four months, 10 dollars a day."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from attribution import audit
from attribution.lake.serving import build_serving_file
from attribution.models import Price, Team
from attribution.scope import EVERYTHING
from governance.budget_drafts import draft_of
from governance.dashboards.budget_form import BudgetForm, Choices, initial_of, initial_of_draft, with_parts_of
from governance.enforcement.rungs import Approval, FreezeWindow, Measure, Policy, Rung, Step
from governance.identity import services
from governance.models import Budget, PolicyVersion, Quota, Role
from governance.policies import policy_of
from tests.attribution.serving_lake import publish_lake, rollup

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
TODAY = datetime.now(UTC).date()

FORM = {
    "team": "claims",
    "name": "Claims",
    "amount": "200",
    "currency": "USD",
    "kind": "month",
    "zone": "Europe/Berlin",
    "basis": "effective",
    "notify_on": "on",
    "notify_at": "80",
    "notify_measure": "actual",
    "notify_ask": "none",
    "smaller_model_on": "on",
    "smaller_model_at": "103",
    "smaller_model_measure": "forecast",
    "smaller_model_ask": "one",
    "sub-0-model": "big",
    "sub-0-to": "small",
    "sub-0-harm": "bad",
    "version": "0",
    "policy_version": "0",
}


@pytest.fixture
def lake(lake_root: object) -> None:
    for kind in ("input_uncached", "output"):
        Price.objects.create(
            provider="aws",
            model="small",
            tier="standard",
            token_type=kind,
            usd_per_token=Decimal("0.000001"),
            source="contract",
            version="1",
        )
    days = [TODAY - timedelta(days=back) for back in range(1, 130)]
    rows = [
        rollup(f"{day}", "10", team=team, model="big", metered_tokens=1_000_000, billing_period=f"{day:%Y-%m}")
        for day in days
        for team in ("claims", "growth")
    ]
    publish_lake(rows, [], billed_through={("aws", "111"): f"{TODAY}"})
    build_serving_file()


@pytest.fixture
def people(lake: None) -> dict[str, Client]:
    """owner; lead of claims; member of claims; lead of growth; outsider (nobody's member); anonymous."""
    claims, growth = (Team.objects.create(slug=slug, name=slug.title()) for slug in ("claims", "growth"))
    found = {}
    for name, role, team in (
        ("owner", Role.OWNER, None),
        ("lead", Role.LEAD, claims),
        ("member", Role.MEMBER, claims),
        ("other", Role.LEAD, growth),
    ):
        email = f"{name}@example.org"
        user = services.create_person(email=email, name=name.title(), role=role, team=team, now=START)
        found[name] = Client()
        found[name].force_login(user)
    outsider = services.create_person(
        email="out@example.org", name="Out", role=Role.MEMBER, team=Team.objects.create(slug="x", name="X"), now=START
    )
    found["outsider"] = Client()
    found["outsider"].force_login(outsider)
    found["anonymous"] = Client()
    return found


def text(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def make(client: Client, **more: str) -> Budget:
    response = client.post("/budgets/new", FORM | more)
    assert response.status_code == 302, text(response)
    return Budget.objects.latest("pk")


def test_a_lead_makes_a_budget_with_its_ladder(people: dict[str, Client]) -> None:
    made = make(people["lead"])

    assert (made.name, made.team, made.amount, made.zone) == ("Claims", "claims", 200, "Europe/Berlin")
    assert made.tell_actual_ppm == [800_000, 1_000_000]
    policy = policy_of(made.pk)
    assert [(step.rung, step.threshold_ppm, step.clear_ppm, step.approval) for step in policy.steps] == [
        (Rung.NOTIFY, 800_000, 750_000, Approval.NONE),
        (Rung.SMALLER_MODEL, 1_030_000, 980_000, Approval.ONE),
    ]
    assert [(each.model, each.disutility.value) for each in policy.substitutes["big"]] == [("small", "bad")]
    assert policy.zone == "Europe/Berlin"
    entries = audit.entries(EVERYTHING, object_type="budget", object_id=made.pk)
    assert [each.action for each in entries] == ["policy.save", "budget.create"]


def test_the_name_is_what_it_covers_when_none_is_given(people: dict[str, Client]) -> None:
    assert make(people["lead"], name="", model="big").name == "Claims, big"


def test_the_list_and_the_page_of_a_budget_show_how_it_stands(people: dict[str, Client]) -> None:
    made = make(people["lead"], amount="100000")
    listed = text(people["lead"].get("/budgets"))
    assert "Claims" in listed
    assert "100,000.00" in listed
    assert "On course" in listed
    page = text(people["lead"].get(f"/budgets/{made.pk}"))
    assert "Team Claims; each month, Europe/Berlin" in page
    assert "one person approves" in page
    assert "big: Small (bad)" in page or "Big: Small (bad)" in page


def test_the_what_if_shows_what_the_typed_policy_would_have_done(people: dict[str, Client]) -> None:
    response = people["lead"].post("/budgets/what-if", FORM)
    assert response.status_code == 200
    page = text(response)
    assert "It would have acted in 3 of 3 periods" in page
    assert "none refused" in page
    assert b'class="would"' in response.content
    assert response.content.count(b"style=") == 0

    idle = text(people["lead"].post("/budgets/what-if", FORM | {"sub-0-to": ""}))
    assert "No model may stand in for another, so the smaller-model step moves nothing." in idle
    calm = text(people["lead"].post("/budgets/what-if", FORM | {"amount": "5000"}))
    assert "It would have moved and refused nothing in 3 periods" in calm


def test_a_scope_that_no_route_can_tell_apart_is_only_told_about(people: dict[str, Client]) -> None:
    page = text(people["lead"].post("/budgets/what-if", FORM | {"provider": "aws"}))
    assert "It would have moved and refused nothing in 3 periods; it would have told people in 3." in page
    assert "of this scope people are told, no more" in page


def test_when_typing_pauses_the_loops_own_controller_is_asked(people: dict[str, Client]) -> None:
    page = people["lead"].post("/budgets/what-if?by=controller", FORM)
    assert "Chosen by the loop's own controller" in text(page).replace("&#x27;", "'")
    assert "It would have acted in 3 of 3 periods" in text(page)
    assert b"by=controller" not in page.content
    assert b"by=controller" in people["lead"].post("/budgets/what-if", FORM).content


def test_the_what_if_says_what_is_still_missing(people: dict[str, Client]) -> None:
    assert "Type a limit" in text(people["lead"].post("/budgets/what-if", FORM | {"amount": ""}))
    assert "is no time zone" in text(people["lead"].post("/budgets/what-if", FORM | {"zone": "Berlin"}))
    unused = text(people["lead"].post("/budgets/what-if", FORM | {"model": "unheard-of"}))
    assert "No cost in USD is attributed to this scope" in unused


def test_without_a_script_the_same_form_shows_the_what_if(people: dict[str, Client]) -> None:
    page = people["lead"].post("/budgets/new", FORM | {"preview": "1"})
    assert page.status_code == 200
    assert "It would have acted" in text(page)
    assert 'value="200"' in page.content.decode()
    assert Budget.objects.count() == 0


def test_mistakes_stand_beside_their_fields_and_nothing_is_lost(people: dict[str, Client]) -> None:
    response = people["lead"].post(
        "/budgets/new", FORM | {"amount": "-3", "smaller_model_at": "", "zone": "Mars", "name": "Mine"}
    )
    page = response.content.decode()
    assert response.status_code == 400
    assert "Smaller model: say at how many percent of the limit." in page
    assert "Mars is no time zone: write it as Europe/Berlin" in page
    assert 'value="Mine"' in page
    assert "selected>small" in page.replace("Small, ", "small, ") or 'value="small" selected' in page


def test_a_name_that_is_taken_is_said(people: dict[str, Client]) -> None:
    make(people["lead"])
    response = people["lead"].post("/budgets/new", FORM)
    assert response.status_code == 400
    assert "Another budget has this name: choose another name." in text(response)


# Two people


def test_the_second_person_sees_both_values_and_can_put_theirs_in_place(people: dict[str, Client]) -> None:
    made = make(people["lead"])
    mine = FORM | {"version": "1", "policy_version": "1"}
    first = people["owner"].post(f"/budgets/{made.pk}/edit", mine | {"amount": "300"})
    assert first.status_code == 302

    second = people["lead"].post(f"/budgets/{made.pk}/edit", mine | {"amount": "250", "smaller_model_at": "105"})
    assert second.status_code == 409
    page = text(second)
    assert "Owner saved this budget meanwhile" in page
    assert "Limit 300 250" in page
    assert "Smaller model: at % of the limit 103 105" in page
    assert 'value="250"' in second.content.decode()
    made.refresh_from_db()
    assert (made.amount, made.version) == (300, 2)

    again = people["lead"].post(
        f"/budgets/{made.pk}/edit", mine | {"amount": "250", "smaller_model_at": "105", "version": "2"}
    )
    assert again.status_code == 302
    made.refresh_from_db()
    assert (made.amount, policy_of(made.pk).step(Rung.SMALLER_MODEL).threshold_ppm) == (250, 1_050_000)
    actions = [each.action for each in audit.entries(EVERYTHING, object_type="budget", object_id=made.pk)]
    assert actions == [
        "policy.save",
        "budget.edit",
        "policy.save_refused",
        "budget.edit_refused",
        "budget.edit",
        "policy.save",
        "budget.create",
    ]
    assert list(audit.verify()) == []


def test_a_policy_that_somebody_else_saved_is_a_conflict_too(people: dict[str, Client]) -> None:
    made = make(people["lead"])
    mine = FORM | {"version": "1", "policy_version": "1"}
    people["owner"].post(f"/budgets/{made.pk}/edit", mine | {"smaller_model_at": "110"})

    second = people["lead"].post(f"/budgets/{made.pk}/edit", mine | {"smaller_model_at": "120"})
    assert second.status_code == 409
    assert "Smaller model: at % of the limit 110 120" in text(second)
    assert PolicyVersion.objects.filter(budget=made).count() == 2
    refused = audit.entries(EVERYTHING, object_type="budget", object_id=made.pk).first()
    assert refused.action == "policy.save_refused"
    assert refused.after["steps"][1]["threshold_ppm"] == 1_200_000


def test_saving_what_stands_makes_no_version(people: dict[str, Client]) -> None:
    made = make(people["lead"])
    people["lead"].post(f"/budgets/{made.pk}/edit", FORM | {"version": "1", "policy_version": "1"})
    made.refresh_from_db()
    assert (made.version, policy_of(made.pk).version) == (1, 1)


# Personas

OPEN = ("/budgets", "/quotas", "/budgets.csv")
EDITORS_ONLY = ("/budgets/new", "/budgets/import", "/quotas/new")


@pytest.mark.parametrize("path", OPEN + EDITORS_ONLY)
def test_pages_ask_strangers_to_sign_in(people: dict[str, Client], path: str) -> None:
    response = people["anonymous"].get(path)
    assert response.status_code == 302
    assert "/sign-in" in response.headers["Location"]


@pytest.mark.parametrize("path", EDITORS_ONLY)
@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("lead", 200), ("member", 403), ("outsider", 403)])
def test_only_those_who_may_set_budgets_see_the_forms(
    people: dict[str, Client], path: str, who: str, status: int
) -> None:
    assert people[who].get(path).status_code == status


@pytest.mark.parametrize(
    ("who", "seen", "edit"),
    [("owner", 200, 200), ("lead", 200, 200), ("member", 200, 403), ("other", 404, 404), ("outsider", 404, 404)],
)
def test_who_sees_and_who_edits_a_teams_budget(people: dict[str, Client], who: str, seen: int, edit: int) -> None:
    made = make(people["lead"])
    assert people[who].get(f"/budgets/{made.pk}").status_code == seen
    assert people[who].get(f"/budgets/{made.pk}/edit").status_code == edit
    listed = text(people[who].get("/budgets"))
    assert ("Claims; " in listed or "team Claims" in listed) is (seen == 200)
    assert ("Claims" in people[who].get("/budgets.csv").content.decode()) is (seen == 200)
    refused = {404: 404, 403: 403}.get(edit)
    if refused:
        changed = FORM | {"version": "1", "policy_version": "1", "amount": "1"}
        assert people[who].post(f"/budgets/{made.pk}/edit", changed).status_code == refused
        assert people[who].post(f"/budgets/{made.pk}/archive", {"version": "1"}).status_code == refused
        assert people[who].post(f"/budgets/{made.pk}/copy").status_code == refused
        made.refresh_from_db()
        assert (made.amount, made.version, made.archived_at) == (200, 1, None)


def test_nobody_sets_a_budget_for_a_team_that_is_not_theirs(people: dict[str, Client]) -> None:
    response = people["other"].post("/budgets/new", FORM)
    assert response.status_code == 400
    assert Budget.objects.count() == 0
    assert people["member"].post("/budgets/new", FORM).status_code == 403


def test_the_what_if_never_leaves_the_readers_scope(people: dict[str, Client]) -> None:
    everything = FORM | {"team": ""}
    # The lead may not choose the whole organisation; so nothing is replayed.
    assert "It would have" not in text(people["lead"].post("/budgets/what-if", everything))
    assert "It would have" in text(people["owner"].post("/budgets/what-if", everything))
    assert people["member"].post("/budgets/what-if", FORM).status_code == 403
    assert "big" not in text(people["other"].post("/budgets/substitutes", FORM))


def test_a_member_is_offered_nothing_that_they_can_not_do(people: dict[str, Client]) -> None:
    made = make(people["lead"])
    listed = people["member"].get("/budgets").content.decode()
    assert "New budget" not in listed
    assert "Import CSV" not in listed
    assert f"/budgets/{made.pk}/edit" not in people["member"].get(f"/budgets/{made.pk}").content.decode()


# Archive, copy, import, export


def test_archive_and_copy(people: dict[str, Client]) -> None:
    made = make(people["lead"])
    copied = people["lead"].post(f"/budgets/{made.pk}/copy")
    copy = Budget.objects.latest("pk")
    assert copied.headers["Location"] == f"/budgets/{copy.pk}?done=copied"
    assert policy_of(copy.pk).steps == policy_of(made.pk).steps
    made.refresh_from_db()
    assert people["lead"].post(f"/budgets/{made.pk}/archive", {"version": "1"}).headers["Location"].endswith("conflict")
    people["lead"].post(f"/budgets/{made.pk}/archive", {"version": f"{made.version}"})
    made.refresh_from_db()
    assert made.archived_at is not None


def test_what_is_exported_imports_as_it_is(people: dict[str, Client]) -> None:
    make(people["lead"])
    exported = people["lead"].get("/budgets.csv").content.decode()
    assert exported.splitlines()[1].startswith("Claims,200,USD,claims,")
    # A spreadsheet must not run a name; the import takes the apostrophe off again.
    Budget.objects.update(name='=HYPERLINK("http://x","y")')
    exported = people["lead"].get("/budgets.csv").content.decode()
    assert "'=HYPERLINK" in exported
    again = people["lead"].post("/budgets/import", {"text": exported})
    assert "0 new; 0 changed; 1 as they were" in text(again)


def test_an_import_names_each_mistake_by_its_line_and_changes_nothing(people: dict[str, Client]) -> None:
    lines = "name,amount,team\nA,12,claims\nB,lots,claims\nC,5,growth\n"
    response = people["lead"].post("/budgets/import", {"text": lines})
    page = text(response)
    assert response.status_code == 400
    assert "Nothing was imported" in page
    assert "3 amount" in page
    assert "4 team not your team" in page
    assert Budget.objects.count() == 0
    checked = people["lead"].post("/budgets/import", {"text": "name,amount,team\nA,12,claims\n", "check": "1"})
    assert "This is what would happen. 1 new: A" in text(checked)
    assert Budget.objects.count() == 0


# Quotas


def quota_form(**more: str) -> dict[str, str]:
    return {
        "team": "claims",
        "key": "",
        "model": "big",
        "provider": "",
        "limit": "5000000",
        "unit": "tokens",
        "window": "day",
    } | more


def test_quotas_are_set_shown_changed_and_archived(people: dict[str, Client]) -> None:
    assert people["lead"].post("/quotas/new", quota_form()).status_code == 302
    made = Quota.objects.get()
    page = text(people["lead"].get("/quotas"))
    assert "team Claims, Big, all clouds" in page
    assert "5.00 M tokens a day" in page or "5 M tokens a day" in page or "5.000 M tokens a day" in page
    twice = people["lead"].post("/quotas/new", quota_form())
    assert "There is such a quota already" in text(twice)

    assert people["owner"].post(f"/quotas/{made.pk}", quota_form(limit="7", version="1")).status_code == 302
    second = people["lead"].post(f"/quotas/{made.pk}", quota_form(limit="9", version="1"))
    assert second.status_code == 409
    assert "Owner saved this quota meanwhile" in text(second)
    assert 'value="9"' in second.content.decode()
    assert people["lead"].post(f"/quotas/{made.pk}", quota_form(limit="9", version="2")).status_code == 302
    people["lead"].post(f"/quotas/{made.pk}/archive", {"version": "3"})
    assert Quota.objects.get().archived_at is not None


@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("lead", 200), ("member", 403), ("other", 404), ("outsider", 404)]
)
def test_who_edits_a_teams_quota(people: dict[str, Client], who: str, status: int) -> None:
    people["lead"].post("/quotas/new", quota_form())
    made = Quota.objects.get()
    assert people[who].get(f"/quotas/{made.pk}").status_code == status
    if status != 200:
        assert people[who].post(f"/quotas/{made.pk}", quota_form(limit="1", version="1")).status_code == status
        assert people[who].post(f"/quotas/{made.pk}/archive", {"version": "1"}).status_code == status
        made.refresh_from_db()
        assert (made.limit, made.archived_at) == (5_000_000, None)
    assert ("team Claims" in text(people[who].get("/quotas"))) is (status != 404)


# The form by itself


def test_what_the_form_does_not_show_stays_as_it_was() -> None:
    stored = Policy(
        7,
        3,
        (
            Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000),
            Step(Rung.THROTTLE, Measure.FORECAST, 1_100_000, 900_000, Approval.TWO),
        ),
        freeze_windows=(FreezeWindow(START, START + timedelta(days=1), "fair"),),
        priorities={"*": 3, "environment:batch": 1},
    )
    choices = Choices((("claims", "Claims"),), False)
    initial = initial_of(stored) | {"team": "claims", "amount": "5", "kind": "month", "zone": "UTC"}
    data = {name: value for name, value in initial.items() if value not in (None, False)}
    form = BudgetForm(data, choices=choices, today=TODAY)
    assert form.is_valid(), form.errors
    assert with_parts_of(form.policy(), stored) == Policy(
        0, 0, stored.steps, freeze_windows=stored.freeze_windows, priorities=stored.priorities
    )


def test_a_stored_budget_comes_out_of_its_form_as_it_went_in(people: dict[str, Client]) -> None:
    make(people["lead"], growth="2.5", rollover="both", rollover_cap="50", hard="on", starts_on="2026-01-05")
    made = Budget.objects.latest("pk")
    draft = draft_of(made)
    data = {name: value for name, value in initial_of_draft(draft).items() if value not in (None, False)}
    data |= {"notify_on": "on", "notify_at": "80", "notify_measure": "actual"}
    form = BudgetForm(data, choices=Choices((("claims", "Claims"),), False), today=TODAY)
    assert form.is_valid(), form.errors
    assert form.draft(draft) == draft


def test_the_list_asks_as_many_questions_for_many_budgets_as_for_one(
    people: dict[str, Client], django_assert_max_num_queries
) -> None:
    def questions() -> int:
        with django_assert_max_num_queries(200) as asked:
            people["lead"].get("/budgets")
        return len(asked.captured_queries)

    make(people["lead"])
    questions()
    one = questions()
    for name in ("second", "third", "fourth"):
        make(people["lead"], name=name)
    # A budget's stored forecast is looked up for itself; nothing else may grow.
    assert questions() - one <= 3
