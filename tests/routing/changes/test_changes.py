"""The life of a change with an orchestrator that behaves, and with each kind of one that does not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from attribution import audit
from attribution.actors import SYSTEM, Forbidden
from attribution.models import AuditEntry
from routing import selectors, services, transitions
from routing.models import ChangeSet, Orchestrator, PushOutbox, Transition
from routing.orchestrators.base import Refused
from routing.orchestrators.fake import Misbehaviour
from routing.services import NotWaiting, Overlaps, RefusedChange, Unsound, Why

from .conftest import LEAD, MEMBER, OTHER, OWNER, SECOND, Edge, block, fresh, route, status


def steps_words(change: ChangeSet) -> str:
    return " ".join(each.reason for each in Transition.objects.filter(change=change))


def steps(change: ChangeSet) -> list[str]:
    return [each.after for each in Transition.objects.filter(change=change).order_by("id")]


def test_a_change_is_approved_pushed_live_and_effective_each_with_its_audit(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.until_effective(change)
    assert steps(change) == ["proposed", "approved", "accepted", "live", "effective"]
    assert edge.weights == {"aws": 500_000, "gcp": 500_000}
    actions = AuditEntry.objects.filter(object_type="change", object_id=f"{change.pk}").order_by("seq")
    assert [each.action for each in actions] == [f"change.{each}" for each in steps(change)]
    assert list(audit.verify()) == []
    assert edge.row.standing_id == change.pk
    assert fresh(change).generation == 2


def test_no_traffic_says_live_and_after_ten_watched_minutes_effect_unproven(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    for _look in range(20):
        edge.clock.after(seconds=30)
        edge.look()
    assert status(change) == "live"
    assert not fresh(change).effect_unproven
    for _look in range(2):
        edge.clock.after(seconds=30)
        edge.look()
    assert fresh(change).effect_unproven
    assert status(change) == "live"


def test_the_same_snapshot_is_no_change(edge: Edge):
    given = {"why": Why("decision"), "actor": SYSTEM, "now": edge.clock.now}
    assert services.propose_change("edge", edge.standing(), **given) is None


def test_an_unsound_snapshot_is_refused_before_anything_is_written(edge: Edge):
    before = ChangeSet.objects.count()
    with pytest.raises(Unsound, match="sum to 1000000"):
        edge.propose(edge.moved(aws=500_000, gcp=400_000))
    assert ChangeSet.objects.count() == before


def test_illegal_steps_and_lost_races_are_told_apart(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    stale = fresh(change)
    with pytest.raises(transitions.Illegal, match="approved -> live is no legal step"), _atomic():
        transitions.move(stale, ChangeSet.Status.LIVE, actor=SYSTEM, now=edge.clock.now)
    edge.push()
    with pytest.raises(transitions.Overtaken), _atomic():
        transitions.move(stale, ChangeSet.Status.ACCEPTED, actor=SYSTEM, now=edge.clock.now)


def test_a_final_status_leads_nowhere_and_every_status_is_in_the_table():
    assert set(transitions.LEGAL) == set(ChangeSet.Status)
    assert {"rejected", "failed", "rolled_back", "superseded", "expired"} == transitions.FINAL


# --- approvals


def test_a_stop_waits_for_one_person_of_the_team_and_is_not_pushed_before(edge: Edge):
    change = edge.propose(edge.blocked(block("search")))
    assert change.status == "proposed"
    assert change.approval_because == "it stops search"
    assert edge.push() == []
    for stranger in (OTHER, MEMBER, SYSTEM):
        with pytest.raises(Forbidden):
            services.approve(change.pk, actor=stranger, now=edge.clock.now)
    services.approve(change.pk, actor=LEAD, now=edge.clock.now, note="ok")
    assert edge.push() == [change.pk]


def test_a_global_stop_needs_two_persons_whatever_was_offered(edge: Edge):
    change = edge.propose(edge.blocked(block(None)), team=None, approval="standing")
    services.approve(change.pk, actor=OWNER, now=edge.clock.now)
    services.approve(change.pk, actor=OWNER, now=edge.clock.now)
    assert status(change) == "proposed"
    services.approve(change.pk, actor=SECOND, now=edge.clock.now)
    assert status(change) == "approved"
    assert change.approvals.count() == 2


def test_the_standing_approval_of_a_hard_budget_covers_its_own_scope(edge: Edge):
    assert edge.propose(edge.blocked(block("search")), approval="standing").status == "approved"


def test_a_standing_approval_never_covers_data_that_moves(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=400_000, far=100_000), approval="standing")
    assert (change.status, change.approval_because) == ("proposed", "it sends data of gpt-large to us")


def test_a_move_of_more_than_a_quarter_waits_for_a_person(edge: Edge):
    assert edge.propose(edge.moved(aws=350_000, gcp=650_000)).status == "approved"
    edge.push()
    later = edge.propose(edge.moved(aws=90_000, gcp=910_000))
    assert (later.status, later.approval_because) == ("proposed", "it moves 26 % of gpt-large at once")


def test_a_rejection_needs_a_reason_and_ends_it(edge: Edge):
    change = edge.propose(edge.blocked(block("search")))
    with pytest.raises(RefusedChange, match="say why"):
        services.reject(change.pk, actor=LEAD, now=edge.clock.now, reason=" ")
    with pytest.raises(Forbidden):
        services.reject(change.pk, actor=OTHER, now=edge.clock.now, reason="no")
    services.reject(change.pk, actor=LEAD, now=edge.clock.now, reason="not today")
    with pytest.raises(NotWaiting, match="is rejected"):
        services.approve(change.pk, actor=LEAD, now=edge.clock.now)


def test_a_change_that_touches_another_team_belongs_to_the_organisation(edge: Edge):
    change = edge.propose(edge.moved("ads", aws=500_000, gcp=500_000), team="search")
    assert change.team is None
    assert selectors.changes(LEAD.scope).rows == ()


# --- others' changes in between


def test_a_change_keeps_its_own_part_when_another_was_pushed_since(edge: Edge):
    mine = edge.propose(edge.blocked(block("search")))
    other = edge.propose(
        edge.moved("ads", aws=500_000, gcp=500_000), team="ads", why=Why("decision", "budget:13", "other")
    )
    edge.push()
    assert status(other) == "accepted"
    services.approve(mine.pk, actor=LEAD, now=edge.clock.now)
    edge.clock.after(minutes=1)
    edge.push()
    held = edge.standing()
    assert held.route("gpt-large", "ads").tiers[0].weights == {"aws": 500_000, "gcp": 500_000}
    assert [each.team for each in held.blocks] == ["search"]
    assert [(each["kind"], each["subject"]) for each in fresh(mine).differences] == [("block", "search/every model")]


def test_another_teams_push_replaces_no_change_before_its_proof(edge: Edge):
    """Both parts are in the generation that stands: each is proved, and taken back, for itself."""
    mine = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    other = edge.propose(edge.blocked(block("ads")), team="ads", approval="standing", why=Why("decision", "budget:13"))
    edge.push()
    assert (status(mine), status(other), edge.row.standing_id) == ("accepted", "accepted", other.pk)
    edge.clock.after(seconds=10)
    edge.fake.server.forget_traffic()
    edge.traffic(team="search")
    edge.traffic(team="ads")
    edge.look()
    assert (status(mine), status(other)) == ("effective", "effective")
    back = services.roll_back(mine.pk, actor=LEAD, now=edge.clock.now)
    edge.push()
    assert (status(mine), status(back)) == ("rolled_back", "accepted")
    assert edge.weights == {"aws": 600_000, "gcp": 400_000}
    assert [each.team for each in edge.standing().blocks] == ["ads"]


def test_two_changes_of_the_same_route_made_on_the_same_snapshot_are_never_mixed(edge: Edge):
    old = edge.moved(aws=350_000, gcp=650_000)
    first = edge.propose(edge.moved(aws=100_000, gcp=900_000))
    edge.propose(old, why=Why("plan", "plan:1", "other"))
    edge.push()
    services.approve(first.pk, actor=LEAD, now=edge.clock.now)
    edge.clock.after(minutes=11)
    edge.push()
    assert status(first) == "superseded"
    assert "changed since by another change: route search/gpt-large" in steps_words(first)
    with pytest.raises(Overlaps):
        edge.propose(replace(old, routes=(*old.routes[:1], route("search", aws=990_000, gcp=10_000))))


def test_a_newer_decision_takes_the_place_of_one_that_waits(edge: Edge):
    first = edge.propose(edge.moved(aws=300_000, gcp=700_000))
    second = edge.propose(edge.moved(aws=250_000, gcp=750_000))
    assert (status(first), status(second)) == ("superseded", "proposed")


# --- rails


def test_the_kill_switch_holds_everything_and_forgets_nothing(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    with pytest.raises(Forbidden):
        services.freeze(actor=LEAD, now=edge.clock.now)
    services.freeze(actor=OWNER, now=edge.clock.now, reason="incident")
    services.freeze(actor=SECOND, now=edge.clock.now, reason="again")
    edge.push()
    assert (edge.puts, fresh(change).waits_for) == (1, "all enforcement is stopped")
    assert selectors.loop(edge.clock.now).last.by == "Olga Owner"
    assert services.resume(actor=OWNER, now=edge.clock.now)
    assert not services.resume(actor=OWNER, now=edge.clock.now)
    assert edge.push() == [change.pk]


def test_the_kill_switch_stops_a_push_between_its_plan_and_its_apply(edge: Edge, monkeypatch: pytest.MonkeyPatch):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    validate = edge.fake.validate

    def stop_now(plan: object) -> object:
        services.freeze(actor=OWNER, now=edge.clock.now)
        return validate(plan)

    monkeypatch.setattr(edge.fake, "validate", stop_now)
    assert edge.push() == []
    assert (edge.puts, status(change)) == (1, "approved")


def test_no_more_than_sixteen_automatic_changes_a_day_and_twenty_with_the_urgent(edge: Edge):
    pushed = 0
    for index in range(25):
        change = edge.propose(edge.moved(aws=600_000 - 1000 * (index + 1), gcp=400_000 + 1000 * (index + 1)))
        edge.clock.after(minutes=11)
        pushed += len(edge.push())
    assert pushed == 16
    assert "16 changes in 24 hours, 16 is the limit" in fresh(change).waits_for
    for index in range(25):
        edge.propose(edge.moved(aws=500_000 - 1000 * index, gcp=500_000 + 1000 * index), urgent=True)
        edge.clock.after(minutes=11)
        pushed += len(edge.push())
    assert pushed == 20


def test_a_change_waits_until_the_one_before_it_was_watched_unless_it_is_urgent(edge: Edge):
    edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    edge.clock.after(minutes=2)
    second = edge.propose(edge.moved(aws=450_000, gcp=550_000))
    assert edge.push() == []
    assert fresh(second).waits_for == "the change before it is watched until 10:10 UTC"
    third = edge.propose(edge.moved(aws=440_000, gcp=560_000), urgent=True)
    assert edge.push() == [third.pk]


def test_what_was_taken_back_is_not_tried_again_within_the_hour_unless_it_is_urgent(edge: Edge):
    first = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.until_effective(first)
    services.roll_back(first.pk, actor=OWNER, now=edge.clock.now)
    edge.push()
    edge.clock.after(minutes=20)
    again = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    assert edge.push() == []
    assert fresh(again).waits_for == "the one before it was taken back at 10:00; it is tried again at 11:00 UTC"
    edge.clock.after(minutes=41)
    assert edge.push() == [again.pk]


def test_a_yes_that_comes_too_late_is_not_waited_for(edge: Edge):
    ends = edge.clock.now + timedelta(hours=1)
    change = edge.propose(edge.blocked(block("search")), expires_at=ends)
    assert services.expire_waiting(now=edge.clock.now) == []
    assert services.expire_waiting(now=ends) == [change.pk]
    with pytest.raises(NotWaiting, match="is expired"):
        services.approve(change.pk, actor=LEAD, now=ends)


def test_wrong_settings_hold_a_change_and_do_not_end_it(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))

    def broken(_row: Orchestrator) -> object:
        raise Refused("no token")

    services.push_pending(now=edge.clock.now, connect=broken)
    assert (status(change), "no token" in fresh(change).waits_for) == ("approved", True)
    edge.clock.after(seconds=61)
    assert edge.push() == [change.pk]


def test_a_fault_of_one_gateway_stops_no_other(edge: Edge, monkeypatch: pytest.MonkeyPatch):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    Orchestrator.objects.create(name="another", kind="fake")
    monkeypatch.setattr(edge.fake, "plan", lambda *_args, **_more: 1 / 0)
    assert edge.push() == []
    monkeypatch.undo()
    edge.clock.after(seconds=61)
    assert services.push_pending(now=edge.clock.now, connect=edge.connect) == [change.pk]


def test_a_freeze_window_holds_decisions_and_lets_rollbacks_through(edge: Edge):
    first = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.until_effective(first)
    edge.clock.after(minutes=30)
    end = edge.clock.now + timedelta(hours=2)
    services.add_freeze_window(edge.clock.now, end, actor=OWNER, now=edge.clock.now, reason="sale")
    change = edge.propose(edge.moved(aws=450_000, gcp=550_000))
    assert edge.push() == []
    assert fresh(change).waits_for.startswith("change freeze until 24 Nov")
    back = services.roll_back(first.pk, actor=LEAD, now=edge.clock.now)
    assert edge.push() == [back.pk]


# --- pushes that go wrong


@pytest.mark.parametrize(
    "misbehaviour", [Misbehaviour.OVERLOADED, Misbehaviour.BROKEN, Misbehaviour.LOSES_REQUEST, Misbehaviour.HANGS]
)
def test_what_fails_for_now_is_tried_again_and_taken_once(edge: Edge, misbehaviour: Misbehaviour):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = misbehaviour
    assert edge.push() == []
    assert "did not take it yet (attempt 1)" in fresh(change).waits_for
    assert edge.push() == []
    edge.fake.server.misbehaves = None
    edge.clock.after(seconds=61)
    assert edge.push() == [change.pk]
    assert edge.fake.server.generation == 2


def test_a_lost_answer_is_asked_for_under_the_same_key_and_changes_nothing_twice(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = Misbehaviour.LOSES_ANSWER
    edge.push()
    edge.fake.server.misbehaves = None
    edge.clock.after(seconds=61)
    assert edge.push() == [change.pk]
    assert (edge.fake.server.generation, PushOutbox.objects.filter(change=change).count()) == (2, 1)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.IGNORES, Misbehaviour.REJECTS])
def test_a_change_that_does_not_get_through_is_taken_back_as_a_new_generation(edge: Edge, misbehaviour: Misbehaviour):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = misbehaviour
    edge.push()
    for _look in range(6):
        edge.clock.after(seconds=30)
        edge.look()
    edge.fake.server.misbehaves = None
    edge.fake.server.rejected = []
    edge.push()
    assert status(change) == "rolled_back"
    assert edge.weights == {"aws": 600_000, "gcp": 400_000}
    assert edge.fake.server.generation == 3


def test_traffic_that_does_not_follow_is_taken_back_after_two_looks(edge: Edge):
    change = edge.propose(edge.moved(aws=400_000, gcp=600_000))
    edge.fake.server.misbehaves = Misbehaviour.MISROUTES
    edge.push()
    edge.clock.after(seconds=10)
    edge.look()
    edge.traffic()
    edge.look()
    assert status(change) == "live"
    edge.clock.after(seconds=10)
    edge.look()
    edge.fake.server.misbehaves = None
    edge.push()
    assert status(change) == "rolled_back"


def test_what_was_taken_in_part_is_shown_and_left_for_a_person(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = Misbehaviour.HALF_APPLIES
    edge.push()
    edge.clock.after(seconds=30)
    edge.look()
    assert (status(change), edge.row.state) == ("drifted", "drifted")
    assert edge.push() == []


def test_a_slow_orchestrator_is_not_taken_back_before_its_time(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = Misbehaviour.LATE
    edge.push()
    edge.clock.after(seconds=20)
    edge.look()
    edge.fake.server.follow()
    edge.clock.after(seconds=20)
    edge.look()
    assert status(change) == "live"


def test_a_conflict_is_held_for_a_person_and_nothing_is_written_over(edge: Edge):
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    assert edge.push() == []
    assert (status(change), edge.row.state) == ("approved", "drifted")
    edge.clock.after(hours=3)
    assert edge.push() == []
    assert edge.weights == {"aws": 100_000, "gcp": 900_000}
    with pytest.raises(Forbidden):
        services.settle_drift("edge", "overwrite", actor=LEAD, now=edge.clock.now)
    made = services.settle_drift("edge", "overwrite", actor=OWNER, now=edge.clock.now)
    with pytest.raises(NotWaiting, match=f"{made.name} decides it already"):
        services.settle_drift("edge", "keep", actor=SECOND, now=edge.clock.now, connect=edge.connect)
    assert edge.push() == [made.pk]
    assert edge.weights == {"aws": 600_000, "gcp": 400_000}
    edge.clock.after(minutes=11)
    assert edge.push() == [change.pk]
    assert edge.weights == {"aws": 500_000, "gcp": 500_000}


# --- drift


def test_a_foreign_edit_is_shown_and_left_alone_until_somebody_decides_to_keep_it(edge: Edge):
    assert edge.watch() == []
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    assert edge.watch() == ["edge"]
    assert edge.watch() == []
    assert status(edge.row.standing) == "drifted"
    assert any("search/gpt-large" in each["subject"] for each in edge.row.drift)
    assert edge.puts == 1
    made = services.settle_drift("edge", "keep", actor=OWNER, now=edge.clock.now, connect=edge.connect)
    assert edge.push() == [made.pk]
    assert edge.standing().route("gpt-large", "search").tiers[0].weights == {"aws": 100_000, "gcp": 900_000}
    assert edge.watch() == []


def test_a_drift_that_goes_away_by_itself_leaves_the_change_live_again(edge: Edge):
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    edge.watch()
    edge.fake.server.edit("gpt-large", {"aws": 600_000, "gcp": 400_000})
    edge.watch()
    assert (edge.row.state, status(edge.row.standing)) == ("ok", "live")


def test_an_orchestrator_that_forgets_is_drift(edge: Edge):
    edge.fake.server.restart()
    assert edge.watch() == ["edge"]
    assert edge.row.drift[0]["words"] == "it holds nothing of ours"


# --- rollbacks by hand


def test_a_lead_takes_back_the_own_change_and_keeps_what_others_did_since(edge: Edge):
    mine = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.until_effective(mine)
    other = edge.propose(
        edge.moved("ads", aws=450_000, gcp=550_000), team="ads", why=Why("decision", "budget:13", "other")
    )
    edge.push()
    assert status(other) == "accepted"
    for stranger in (OTHER, MEMBER):
        with pytest.raises(Forbidden):
            services.roll_back(mine.pk, actor=stranger, now=edge.clock.now)
    back = services.roll_back(mine.pk, actor=LEAD, now=edge.clock.now)
    assert services.roll_back(mine.pk, actor=LEAD, now=edge.clock.now).pk == back.pk
    edge.push()
    held = edge.standing()
    assert held.route("gpt-large", "search").tiers[0].weights == {"aws": 600_000, "gcp": 400_000}
    assert held.route("gpt-large", "ads").tiers[0].weights == {"aws": 450_000, "gcp": 550_000}
    assert (status(mine), fresh(back).generation) == ("rolled_back", 4)


def test_any_generation_comes_back_whole_as_a_new_one_for_who_may_do_so_everywhere(edge: Edge):
    for share in (550_000, 500_000, 450_000):
        change = edge.propose(edge.moved(aws=share, gcp=1_000_000 - share))
        edge.until_effective(change)
        edge.clock.after(minutes=11)
        edge.fake.server.forget_traffic()
    with pytest.raises(Forbidden):
        services.roll_back_to("edge", 2, actor=LEAD, now=edge.clock.now)
    with pytest.raises(NotWaiting, match="never accepted a generation 9"):
        services.roll_back_to("edge", 9, actor=OWNER, now=edge.clock.now)
    back = services.roll_back_to("edge", 2, actor=OWNER, now=edge.clock.now)
    edge.push()
    assert edge.weights == {"aws": 550_000, "gcp": 450_000}
    assert fresh(back).generation == 5
    statuses = dict(ChangeSet.objects.filter(generation__in=(2, 3, 4)).values_list("generation", "status"))
    assert statuses == {2: "effective", 3: "rolled_back", 4: "rolled_back"}


# --- periods and budgets


def test_a_block_is_lifted_at_the_turn_of_its_period_also_in_a_freeze_window(edge: Edge):
    turn = edge.clock.now + timedelta(hours=1)
    edge.propose(edge.blocked(block("search", turn)), approval="standing")
    edge.push()
    services.add_freeze_window(edge.clock.now, turn + timedelta(days=1), actor=OWNER, now=edge.clock.now)
    edge.clock.now = turn - timedelta(seconds=1)
    assert services.turn_periods(now=edge.clock.now) == []
    edge.clock.now = turn
    (made,) = services.turn_periods(now=edge.clock.now)
    assert services.turn_periods(now=edge.clock.now) == []
    assert edge.push() == [made]
    assert edge.standing().blocks == ()
    assert ChangeSet.objects.get(pk=made).team == "search"


def test_a_block_whose_period_turns_before_its_push_is_never_pushed(edge: Edge):
    change = edge.propose(edge.blocked(block("search", edge.clock.now + timedelta(minutes=5))))
    edge.clock.after(minutes=6)
    services.approve(change.pk, actor=LEAD, now=edge.clock.now)
    assert edge.push() == []
    assert (status(change), edge.puts) == ("expired", 1)


def test_a_period_that_turns_during_the_push_is_lifted_right_after_it(edge: Edge):
    turn = edge.clock.now + timedelta(seconds=30)
    change = edge.propose(edge.blocked(block("search", turn)), approval="standing")
    edge.fake.server.misbehaves = Misbehaviour.LOSES_ANSWER
    edge.push()
    edge.fake.server.misbehaves = None
    edge.clock.after(seconds=61)
    edge.push()
    assert status(change) == "accepted"
    (made,) = services.turn_periods(now=edge.clock.now)
    assert edge.push() == [made]
    assert edge.standing().blocks == ()


def test_a_budget_deleted_before_the_push_leaves_nothing(edge: Edge):
    change = edge.propose(edge.blocked(block("search")))
    services.withdraw("budget:12", actor=OWNER, now=edge.clock.now, reason="budget deleted")
    assert status(change) == "superseded"
    assert edge.push() == []


def test_a_budget_deleted_during_the_push_is_lifted_after_it(edge: Edge):
    change = edge.propose(edge.blocked(block("search")), approval="standing")
    edge.fake.server.misbehaves = Misbehaviour.LOSES_ANSWER
    edge.push()
    services.withdraw("budget:12", actor=OWNER, now=edge.clock.now, reason="budget deleted")
    assert status(change) == "approved"
    edge.fake.server.misbehaves = None
    edge.clock.after(seconds=61)
    edge.push()
    (made,) = services.lift_withdrawn(now=edge.clock.now)
    assert services.lift_withdrawn(now=edge.clock.now) == []
    assert edge.push() == [made]
    assert edge.standing().blocks == ()
    assert services.lift_withdrawn(now=edge.clock.now) == []


# --- clocks


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(days=30)])
def test_a_clock_that_jumps_takes_nothing_back(edge: Edge, jump: timedelta):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = Misbehaviour.LATE
    edge.push()
    edge.clock.now += jump
    edge.look()
    edge.look()
    assert status(change) == "accepted"
    edge.fake.server.follow()
    edge.look()
    assert status(change) == "live"


def test_a_lease_from_before_the_clock_went_back_binds_nobody(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.fake.server.misbehaves = Misbehaviour.LOSES_REQUEST
    edge.push()
    PushOutbox.objects.filter(change=change).update(state="claimed", lease_until=edge.clock.now + timedelta(hours=9))
    edge.fake.server.misbehaves = None
    edge.clock.after(seconds=5)
    assert edge.push() == [change.pk]


def test_an_unreachable_orchestrator_is_said_so_and_what_was_proved_stays(edge: Edge, monkeypatch: pytest.MonkeyPatch):
    from routing.orchestrators.base import Unreachable

    def gone() -> None:
        raise Unreachable("connection refused")

    monkeypatch.setattr(edge.fake, "observe", gone)
    edge.watch()
    assert (edge.row.state, edge.row.state_words) == ("unreachable", "connection refused")
    assert status(edge.row.standing) == "effective"
    monkeypatch.undo()
    assert Orchestrator.State.UNREACHABLE == "unreachable"


def _atomic():
    from django.db import transaction

    return transaction.atomic()
