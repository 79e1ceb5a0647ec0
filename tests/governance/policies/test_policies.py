"""Policies in the database: versions, who may, two people at once, the audit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given

from attribution import audit
from attribution.actors import Action, Actor, Forbidden, Grant
from attribution.scope import EVERYTHING
from governance.enforcement.codec import Unfit, from_json, to_json
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung, Step, Substitute
from governance.models import Budget, PolicyVersion
from governance.policies import StalePolicy, policies_of, policy_history, policy_of, save_policy
from tests.properties.test_policy_laws import policies

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OWNER = Actor("Olga Owner", 1, EVERYTHING, frozenset(Action))
LEAD = Actor("Liam Lead", 2, within=(Grant(frozenset({"search"}), frozenset({Action.EDIT_POLICY})),))
OTHER_LEAD = Actor("Lena Lead", 3, within=(Grant(frozenset({"growth"}), frozenset({Action.EDIT_POLICY})),))
MEMBER = Actor("Mina Member", 4)

LADDER = Policy(
    0,
    0,
    (
        Step(Rung.NOTIFY, Measure.ACTUAL, 800_000, 750_000),
        Step(Rung.SMALLER_MODEL, Measure.FORECAST, 1_030_000, 980_000, Approval.ONE),
    ),
    substitutes={"gpt-5": (Substitute("gpt-5-mini", Disutility.FINE),)},
)


def budget(team: str | None = "search", **more) -> Budget:
    fields = {
        "name": f"b{Budget.objects.count()}",
        "dims": [["team", team]] if team else [],
        "team": team,
        "amount": Decimal(1000),
        "starts_on": date(2026, 11, 1),
        "created_at": NOW,
        "created_by": "x",
        "updated_at": NOW,
        "updated_by": "x",
    }
    return Budget.objects.create(**fields | more)


@pytest.mark.django_db
def test_without_a_policy_people_are_told_and_traffic_is_left_alone() -> None:
    found = policy_of(budget().pk)
    assert found.version == 0
    assert [(step.rung, step.threshold_ppm) for step in found.steps] == [(Rung.NOTIFY, 800_000)]


@pytest.mark.django_db
def test_each_save_is_a_new_version_and_the_old_ones_stay() -> None:
    made = budget()
    first = save_policy(LEAD, made, LADDER, expected_version=0, now=NOW)
    second = save_policy(LEAD, made, Policy(0, 0, LADDER.steps[:1]), expected_version=1, now=NOW + timedelta(hours=1))

    assert (first.version, second.version, policy_of(made.pk)) == (1, 2, second)
    assert first.substitutes == LADDER.substitutes
    history = policy_history(made.pk)
    assert [(each.policy.version, each.made_by) for each in history] == [(2, "Liam Lead"), (1, "Liam Lead")]
    assert history[1].policy == first


@pytest.mark.django_db
def test_the_same_again_is_no_new_version() -> None:
    made = budget()
    save_policy(LEAD, made, LADDER, expected_version=0, now=NOW)
    assert save_policy(LEAD, made, LADDER, expected_version=1, now=NOW).version == 1
    assert PolicyVersion.objects.count() == 1


@pytest.mark.django_db
def test_the_second_of_two_people_is_told_and_gets_the_firsts() -> None:
    made = budget()
    save_policy(OWNER, made, LADDER, expected_version=0, now=NOW)
    with pytest.raises(StalePolicy, match="at version 1, not 0") as caught:
        save_policy(LEAD, made, Policy(0, 0, ()), expected_version=0, now=NOW)
    assert caught.value.current.steps == LADDER.steps
    assert policy_of(made.pk).version == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("actor", "team", "may"),
    [
        (OWNER, "search", True),
        (OWNER, None, True),
        (LEAD, "search", True),
        (LEAD, None, False),
        (OTHER_LEAD, "search", False),
        (MEMBER, "search", False),
        (Actor("Otto Outsider", 5), "search", False),
    ],
)
def test_who_may_save(actor: Actor, team: str | None, may: bool) -> None:
    made = budget(team)
    if may:
        assert save_policy(actor, made, LADDER, expected_version=0, now=NOW).version == 1
        return
    with pytest.raises(Forbidden):
        save_policy(actor, made, LADDER, expected_version=0, now=NOW)
    assert PolicyVersion.objects.count() == 0


@pytest.mark.django_db
def test_an_unfit_policy_is_not_stored() -> None:
    stop = Policy(0, 0, (Step(Rung.STOP, Measure.ACTUAL, 1_000_000, 900_000),))
    with pytest.raises(Unfit, match="a stop needs a person's yes"):
        save_policy(LEAD, budget(), stop, expected_version=0, now=NOW)
    assert save_policy(LEAD, budget(hard=True), stop, expected_version=0, now=NOW).version == 1


@pytest.mark.django_db
def test_the_audit_holds_both_versions() -> None:
    made = budget()
    save_policy(OWNER, made, LADDER, expected_version=0, now=NOW)
    save_policy(LEAD, made, Policy(0, 0, ()), expected_version=1, now=NOW, reason="calmer")

    entries = list(audit.entries(EVERYTHING, object_type="budget", object_id=made.pk))
    assert [(each.actor, each.action, each.reason) for each in entries] == [
        ("Liam Lead", "policy.save", "calmer"),
        ("Olga Owner", "policy.save", ""),
    ]
    assert entries[0].before["steps"][1]["threshold_ppm"] == 1_030_000
    assert (entries[0].after["version"], entries[0].after["steps"]) == (2, [])
    assert entries[1].before is None
    assert list(audit.verify()) == []


@pytest.mark.django_db
def test_many_policies_are_one_query(django_assert_num_queries) -> None:
    made = [budget() for _ in range(4)]
    for one in made[:2]:
        save_policy(OWNER, one, LADDER, expected_version=0, now=NOW)
    with django_assert_num_queries(1):
        found = policies_of([each.pk for each in made])
    assert [found[each.pk].version for each in made] == [1, 1, 0, 0]


# As plain JSON


@given(policies())
def test_a_policy_reads_back_as_it_was_written(policy: Policy) -> None:
    try:
        read = from_json(to_json(policy), id=1, version=1, hard=True)
    except Unfit:
        return
    # Quiet hours are kept to the minute.
    assert to_json(read) == to_json(policy)
    assert read.steps == policy.steps


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        ({"steps": [{"rung": "explode", "threshold_ppm": 1}]}, "steps.0", "use one of notify, prefer_cheaper"),
        ({"steps": [{"rung": "notify", "threshold_ppm": 0.8}]}, "steps.notify", "use a whole number"),
        ({"steps": [{"rung": "notify", "threshold_ppm": 1, "measure": "guess"}]}, "steps.notify", "actual, forecast"),
        ({"steps": "all"}, "steps", "this is a list"),
        ({"substitutes": {"a": [{"disutility": "fine"}]}}, "substitutes", "name the model that stands in"),
        ({"substitutes": {"a": [{"model": "b", "disutility": "ok"}]}}, "substitutes", "fine, worse, bad"),
        ({"quiet_hours": {"start": "10 pm"}}, "quiet_hours", "22:00"),
        ({"freeze_windows": [{"start": "2026-11-27", "end": "2026-11-28"}]}, "freeze_windows", "with their zone"),
        ({"minimum_dwell_minutes": "1h"}, "minimum_dwell", "use a whole number"),
        ({"ladder": []}, "ladder", "there is no such part"),
    ],
)
def test_what_can_not_be_read_is_named_with_the_fix(content: dict, field: str, words: str) -> None:
    with pytest.raises(Unfit) as caught:
        from_json(content)
    assert caught.value.mistakes[0].field == field
    assert words in caught.value.mistakes[0].words
