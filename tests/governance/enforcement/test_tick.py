"""The tick on a small company: search spends $60 a day on gpt-large at aws; the same tokens cost half at gcp."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from attribution import spend
from attribution.actors import SYSTEM, Action, Actor
from attribution.lake.serving import build_serving_file
from attribution.models import Team
from attribution.scope import EVERYTHING
from attribution.spend import CountRow
from governance import budgeting, control_tasks, policies
from governance.budget_drafts import BudgetDraft
from governance.budgeting import BudgetView
from governance.enforcement.quota_orders import enforce_quotas
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung, Step, Substitute
from governance.enforcement.tick import Reason, look, tick
from governance.models import BudgetControl, ControlTick, Decision, SteeredRoute
from governance.quotas import QuotaDraft, archive_quota, create_quota
from routing import selectors, services
from routing.desired import DesiredState, Route, Target, Tier
from routing.models import ChangeSet
from routing.orchestrators.fake import FakeOrchestrator
from routing.services import Why
from tests.attribution.serving_lake import publish_lake, rollup

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
OWNER = Actor("Olga Owner", 1, EVERYTHING, everywhere=frozenset(Action))
TARGETS = (
    Target(
        "aws-eu",
        "aws",
        "eu-central-1",
        "http://127.0.0.1:9101",
        residency="eu",
        attributes=(("usd_per_mtok:small", "1.0"),),
    ),
    Target("gcp-eu", "gcp", "europe-west4", "http://127.0.0.1:9102", residency="eu"),
    Target("aws-us", "aws", "us-east-1", "http://127.0.0.1:9103", residency="us"),
)
COMMON = Route("gpt-large", (Tier.of({"aws-eu": 1_000_000}), Tier.of({"gcp-eu": 1_000_000})))


@dataclass
class World:
    """The orchestrator `edge`, and the loop around it, driven by hand."""

    fake: FakeOrchestrator

    def push(self, now: datetime) -> None:
        services.push_pending(now=now, connect=lambda _row: self.fake)

    def weights(self, team: str) -> dict[str, int]:
        state = selectors.standing_state("edge")
        assert state is not None
        route = state.route("gpt-large", team)
        return route.tiers[0].weights if route is not None else {}

    def blocks(self) -> list[str | None]:
        state = selectors.standing_state("edge")
        return [] if state is None else [each.team for each in state.blocks]


@pytest.fixture
def world(lake_root: Path, db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    for slug in ("search", "ads"):
        Team.objects.create(slug=slug, name=slug.title())
    days = [f"2026-05-{day:02}" for day in range(1, 20)]
    large = {"model": "gpt-large", "publisher": "openai"}
    rows = [rollup(day, "60", team="search", metered_tokens=6_000_000, **large) for day in days]
    rows += [rollup(day, "30", team="ads", metered_tokens=3_000_000, **large) for day in days]
    gcp = {"provider": "gcp", "billing_account_id": "222", **large}
    rows += [rollup(day, "1", team="ads", metered_tokens=200_000, **gcp) for day in days]
    publish_lake(rows, billed_through={("aws", "111"): "2026-05-20", ("gcp", "222"): "2026-05-20"})
    build_serving_file()
    monkeypatch.setattr(spend, "last_telemetry", lambda: NOW + timedelta(days=30))
    fake = FakeOrchestrator("edge")
    monkeypatch.setattr("routing.orchestrators.registry._OPENERS", {"fake": lambda _name, _settings: fake})
    services.register_orchestrator("edge", "fake", {}, actor=OWNER, now=NOW)
    start = DesiredState("edge", 0, TARGETS, (COMMON,))
    assert services.propose_change("edge", start, why=Why("person", "", "the start"), actor=OWNER, now=NOW)
    made = World(fake)
    made.push(NOW - timedelta(days=2))
    made.push(NOW)
    return made


Make = Callable[..., BudgetView]


@pytest.fixture
def make() -> Make:
    """A month's budget of search with a ladder."""

    def _make(
        amount: str, *steps: Step, name: str = "Search", team: str | None = "search", hard: bool = False
    ) -> BudgetView:
        dims = (("team", team),) if team else ()
        draft = BudgetDraft(name=name, amount=Decimal(amount), dims=dims, starts_on=date(2026, 1, 1), hard=hard)
        return policies.create_budget(OWNER, draft, Policy(0, 0, steps), now=NOW)

    return _make


CHEAPER = Step(Rung.PREFER_CHEAPER, Measure.ACTUAL, 700_000, 650_000)


def test_a_team_that_will_pass_its_budget_is_moved_step_by_step(world: World, make: Make) -> None:
    # 19 days of 60 are 1,140 of 1,500; 11.5 more days would cost 690, 360 are left.
    search = make("1500", CHEAPER)
    tick(NOW)
    decision = Decision.objects.get()
    assert decision.spent == Decimal(1140)
    assert decision.without == Decimal("1830")
    assert decision.words.startswith("Search will pass $1,500 on 26 May and end at $1,830 if nothing changes. Moving ")
    assert "gpt-large traffic to gcp-eu" in decision.words
    change = ChangeSet.objects.get(reference=f"budget:{search.id}")
    assert (change.status, change.team, change.approval) == ("approved", "search", "none")
    assert decision.changes.get().change == change.pk
    world.push(NOW)
    assert world.weights("search") == {"aws-eu": 760_000, "gcp-eu": 240_000}
    # Ads has no budget: it stays on the route of all teams.
    assert world.weights("ads") == {"aws-eu": 1_000_000}
    tick(NOW + timedelta(hours=1))
    world.push(NOW + timedelta(hours=1))
    assert world.weights("search") == {"aws-eu": 520_000, "gcp-eu": 480_000}
    assert look(NOW + timedelta(hours=1, minutes=1)) is None


def test_the_same_tick_twice_proposes_nothing_twice(world: World, make: Make) -> None:
    make("1500", CHEAPER)
    tick(NOW)
    tick(NOW)
    assert ChangeSet.objects.filter(kind="decision").exclude(status="superseded").count() == 1
    world.push(NOW)
    tick(NOW + timedelta(minutes=1))
    world.push(NOW + timedelta(minutes=11))
    assert ChangeSet.objects.filter(kind="decision", status="accepted").count() == 1


def test_a_budget_that_only_tells_moves_nothing(world: World, make: Make) -> None:
    make("1500", Step(Rung.NOTIFY, Measure.ACTUAL, 700_000, 650_000))
    tick(NOW)
    assert not ChangeSet.objects.filter(kind="decision").exists()
    assert Decision.objects.get().method == "none"


def test_a_hard_budget_with_nothing_left_is_stopped_at_once_and_back_at_the_turn(world: World, make: Make) -> None:
    search = make("1100", CHEAPER, hard=True)
    assert look(NOW) == Reason.BREACH
    tick(NOW, reason=Reason.BREACH)
    change = ChangeSet.objects.get(reference=f"budget:{search.id}")
    assert (change.status, change.approval, change.urgent) == ("approved", "standing", True)
    world.push(NOW)
    assert world.blocks() == ["search"]
    body = change.wanted["blocks"][0]
    # The whole team is stopped, also for models that it has never used.
    assert (body["team"], body["model"]) == ("search", None)
    assert (body["budget"], body["spend"], body["limit"]) == ("Search", "1140.00", "1100.00")
    assert body["resets_at"] == "2026-06-01T00:00:00+00:00"
    june = datetime(2026, 6, 1, 0, 0, 30, tzinfo=UTC)
    assert look(june) == Reason.TURN
    tick(june, reason=Reason.TURN)
    services.turn_periods(now=june)
    world.push(june)
    world.push(june)
    assert world.blocks() == []
    assert world.weights("search") == {"aws-eu": 1_000_000}


def test_a_hard_budget_of_the_organisation_stops_everything_with_two_persons_only(world: World, make: Make) -> None:
    company = make("1500", CHEAPER, name="Company", team=None, hard=True)
    tick(NOW)
    # What needs nobody is done at once; the stop waits, under one link, for two.
    moved = ChangeSet.objects.get(reference=f"budget:{company.id}")
    assert (moved.status, moved.wanted["blocks"]) == ("approved", [])
    asked = ChangeSet.objects.get(reference=f"budget:{company.id}:ask")
    assert [(each["team"], each["model"]) for each in asked.wanted["blocks"]] == [(None, None)]
    assert (asked.status, asked.approval) == ("proposed", "two")
    tick(NOW + timedelta(hours=1))
    assert ChangeSet.objects.get(pk=asked.pk).status == "proposed"


def test_a_stop_of_a_soft_budget_is_asked_for(world: World, make: Make) -> None:
    search = make("1100", CHEAPER, Step(Rung.STOP, Measure.ACTUAL, 1_000_000, 900_000, Approval.ONE))
    tick(NOW)
    moved = ChangeSet.objects.get(reference=f"budget:{search.id}")
    asked = ChangeSet.objects.get(reference=f"budget:{search.id}:ask")
    assert (moved.status, asked.status, asked.approval) == ("approved", "proposed", "one")
    # The link that somebody was sent stays good.
    tick(NOW + timedelta(hours=1))
    assert ChangeSet.objects.get(pk=asked.pk).status == "proposed"
    services.approve(asked.pk, actor=OWNER, now=NOW + timedelta(hours=1))
    assert ChangeSet.objects.get(pk=asked.pk).status == "approved"


LATE = {
    "last_telemetry": lambda: NOW - timedelta(hours=3),
    "settled_through": lambda: {"aws": date(2026, 5, 16), "gcp": date(2026, 5, 20)},
}


@pytest.mark.parametrize("late", LATE)
def test_late_data_stops_nothing_and_loosens_nothing(
    late: str, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend, late, LATE[late])
    make("1100", CHEAPER, hard=True)
    tick(NOW)
    decision = Decision.objects.get()
    assert decision.method != "stop"
    assert decision.blocked
    assert not decision.inputs["may_loosen"]
    assert not any(each.wanted["blocks"] for each in ChangeSet.objects.filter(kind="decision"))


def test_the_kill_switch_freezes_the_last_known_good(world: World, make: Make) -> None:
    make("1500", CHEAPER)
    services.freeze(actor=OWNER, now=NOW)
    tick(NOW)
    assert Decision.objects.get().method == "frozen"
    assert look(NOW) is None
    assert not ChangeSet.objects.filter(kind="decision").exists()


def test_what_a_person_took_back_is_left_alone_for_a_day(world: World, make: Make) -> None:
    search = make("1500", CHEAPER)
    tick(NOW)
    world.push(NOW)
    change = ChangeSet.objects.get(reference=f"budget:{search.id}")
    services.roll_back(change.pk, actor=OWNER, now=NOW, reason="users complain")
    world.push(NOW)
    assert world.weights("search") == {"aws-eu": 1_000_000}
    tick(NOW + timedelta(hours=1))
    newest = Decision.objects.order_by("-id")[0]
    assert newest.words.startswith(f"{change.name} was rolled back; the loop leaves this budget alone until 21 May")
    assert ChangeSet.objects.filter(kind="decision").count() == 1
    tick(NOW + timedelta(hours=25))
    assert ChangeSet.objects.filter(kind="decision").count() == 2


def test_a_raised_budget_goes_back_to_what_stood_before(world: World, make: Make) -> None:
    search = make("1500", CHEAPER)
    tick(NOW)
    world.push(NOW)
    draft = replace(budgeting.budget(EVERYTHING, search.id, NOW).draft, amount=Decimal(9000))
    budgeting.edit(search.id, search.version, draft, actor=OWNER, now=NOW)
    for hours in range(2, 9):
        tick(NOW + timedelta(hours=hours))
        world.push(NOW + timedelta(hours=hours))
    assert world.weights("search") == {"aws-eu": 1_000_000}
    state = selectors.standing_state("edge")
    assert state is not None
    assert [each.team for each in state.routes] == [None]
    tick(NOW + timedelta(hours=10))
    assert not SteeredRoute.objects.exists()


def test_a_route_that_a_person_sets_meanwhile_is_the_new_base(world: World, make: Make) -> None:
    search = make("1500", CHEAPER)
    tick(NOW)
    world.push(NOW)
    state = selectors.standing_state("edge")
    assert state is not None
    theirs = Route("gpt-large", (Tier.of({"aws-eu": 900_000, "gcp-eu": 100_000}),), "search")
    routes = tuple(each for each in state.routes if each.team is None)
    wanted = replace(state, routes=(*routes, theirs))
    later = NOW + timedelta(minutes=20)
    assert services.propose_change(
        "edge", wanted, why=Why("person", "", "by hand"), actor=OWNER, team="search", now=later
    )
    world.push(later)
    draft = replace(budgeting.budget(EVERYTHING, search.id, NOW).draft, amount=Decimal(9000))
    budgeting.edit(search.id, search.version, draft, actor=OWNER, now=later)
    for hours in range(1, 9):
        tick(NOW + timedelta(hours=hours))
        world.push(NOW + timedelta(hours=hours))
    assert world.weights("search") == {"aws-eu": 900_000, "gcp-eu": 100_000}


def test_a_miss_is_a_reason_to_decide_at_once(world: World, make: Make) -> None:
    search = make("1500", CHEAPER)
    tick(NOW)
    later = NOW + timedelta(minutes=30)
    assert look(later) in (None, Reason.MISS)
    # Half an hour was expected to cost 1.25; 40 came.
    BudgetControl.objects.filter(budget_id=search.id).update(consumed=Decimal(1100))
    assert look(later) == Reason.MISS


def test_a_scope_that_no_route_can_tell_apart_is_said(world: World, make: Make) -> None:
    draft = BudgetDraft(
        name="Ranker",
        amount=Decimal(10),
        dims=(("project", "ranker"), ("team", "search")),
        starts_on=date(2026, 1, 1),
    )
    made = policies.create_budget(OWNER, draft, Policy(0, 0, (CHEAPER,)), now=NOW)
    tick(NOW)
    assert not ChangeSet.objects.filter(reference=f"budget:{made.id}").exists()


def test_only_the_loop_itself_proposes(world: World, make: Make) -> None:
    make("1500", CHEAPER)
    tick(NOW)
    assert ChangeSet.objects.get(kind="decision").proposed_by == SYSTEM.name


def test_an_hour_is_decided_once_by_two_clocks(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("1500", CHEAPER)
    monkeypatch.setattr(control_tasks.timezone, "now", lambda: NOW)
    control_tasks.control_hourly()
    control_tasks.control_hourly()
    assert ControlTick.objects.get().reason == Reason.HOURLY
    assert selectors.loop(NOW).last_tick == NOW
    # Nothing has happened since: the look between two hours decides nothing.
    control_tasks.control_look()
    assert ControlTick.objects.count() == 1


def test_a_breach_is_decided_at_once_and_its_reason_kept(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("1100", CHEAPER, hard=True)
    monkeypatch.setattr(control_tasks, "_looked", {})
    monkeypatch.setattr(control_tasks.timezone, "now", lambda: NOW)
    control_tasks.control_look()
    assert ControlTick.objects.get().reason == Reason.BREACH
    world.push(NOW)
    assert world.blocks() == ["search"]


def test_a_tick_that_fails_is_tried_again(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("1500", CHEAPER)
    monkeypatch.setattr(control_tasks.timezone, "now", lambda: NOW)
    with monkeypatch.context() as broken:
        broken.setattr(control_tasks, "tick", lambda *_args, **_more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            control_tasks.control_hourly()
    control_tasks.control_hourly()
    assert ControlTick.objects.count() == 1


def test_a_person_can_make_it_decide_now(world: World, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make("1500", CHEAPER)
    call_command("loop", "tick")
    assert "enforcement is on" in capsys.readouterr().out
    call_command("loop", "status", "--json")
    assert json.loads(capsys.readouterr().out)["orchestrators"][0]["name"] == "edge"


def test_a_used_up_quota_is_a_block_until_it_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = QuotaDraft("requests", "day", 100, team="search")
    create_quota(draft, actor=OWNER, now=NOW)
    create_quota(QuotaDraft("requests", "minute", 60, team="search"), actor=OWNER, now=NOW)
    used = CountRow(NOW.date(), "aws", "gpt-large", "search", None, 120, None)
    monkeypatch.setattr(spend, "usage_counts", lambda *_days: (used,))
    assert len(enforce_quotas(NOW)) == 1
    world.push(NOW)
    assert world.blocks() == ["search"]
    state = selectors.standing_state("edge")
    assert state is not None
    assert [(each.team, each.rpm) for each in state.quotas] == [("search", 60)]
    assert enforce_quotas(NOW) == []
    midnight = NOW.replace(day=21, hour=0, second=30)
    monkeypatch.setattr(spend, "usage_counts", lambda *_days: ())
    services.turn_periods(now=midnight)
    world.push(midnight)
    assert world.blocks() == []


def test_a_used_up_quota_of_everybody_asks_once_and_stops_asking_when_it_is_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop of everything waits for two persons; each look finds more used, and that is no new question."""
    made = create_quota(QuotaDraft("requests", "month", 100), actor=OWNER, now=NOW)
    used = [120]
    counted = lambda *_days: (CountRow(NOW.date(), "aws", "gpt-large", "search", None, used[0], None),)  # noqa: E731
    monkeypatch.setattr(spend, "usage_counts", counted)
    (asked,) = enforce_quotas(NOW)
    services.approve(asked, actor=OWNER, now=NOW)
    for again in range(1, 4):
        used[0] += 7
        assert enforce_quotas(NOW + timedelta(seconds=10 * again)) == []
    change = ChangeSet.objects.get(kind="quota")
    assert (change.pk, change.status, change.approvals.count()) == (asked, "proposed", 1)
    archive_quota(made.id, 1, actor=OWNER, now=NOW)
    assert enforce_quotas(NOW + timedelta(seconds=60)) == []
    change.refresh_from_db()
    assert change.status == "superseded"
    with pytest.raises(services.NotWaiting):
        services.approve(asked, actor=OWNER, now=NOW)


def test_throttling_is_a_limit_that_goes_down_step_by_step(world: World, make: Make) -> None:
    # 60 are left of 1,200 and 690 to come: at most nine tenths are refused, a quarter an hour.
    make("1200", Step(Rung.THROTTLE, Measure.ACTUAL, 900_000, 850_000))
    tick(NOW)
    world.push(NOW)
    state = selectors.standing_state("edge")
    assert state is not None
    # $60 a day at $10 a million are 0.25 million tokens an hour, 4,167 a minute; 76 % of them are 3,167.
    assert [(each.team, each.model, each.tpm) for each in state.quotas] == [("search", "gpt-large", 3_167)]
    tick(NOW + timedelta(hours=1))
    world.push(NOW + timedelta(hours=1))
    state = selectors.standing_state("edge")
    assert state is not None
    # 52 % would be a cut that asks a person: it goes to 76 % of what was.
    assert [each.tpm for each in state.quotas] == [2_407]
    assert "Refusing 90 % of search's gpt-large traffic" in Decision.objects.order_by("-id")[0].words


def test_a_route_is_served_by_the_smaller_model_where_the_plan_leads_there(world: World) -> None:
    # $10 a million at premium, $1 by the smaller model: 60 are left of what would cost 690.
    draft = BudgetDraft(name="Search", amount=Decimal(1200), dims=(("team", "search"),), starts_on=date(2026, 1, 1))
    step = Step(Rung.SMALLER_MODEL, Measure.ACTUAL, 900_000, 850_000)
    smaller = {"gpt-large": (Substitute("small", Disutility.FINE),)}
    policies.create_budget(OWNER, draft, Policy(0, 0, (step,), substitutes=smaller), now=NOW)
    tick(NOW)
    world.push(NOW)
    state = selectors.standing_state("edge")
    assert state is not None
    mine = state.route("gpt-large", "search")
    assert mine is not None
    assert (mine.team, mine.served_model) == ("search", "small")
    assert "by small in its place" in Decision.objects.get().words


def test_what_an_archived_budget_steered_goes_back(world: World, make: Make) -> None:
    search = make("1500", CHEAPER)
    tick(NOW)
    world.push(NOW)
    assert world.weights("search") != {"aws-eu": 1_000_000}
    budgeting.archive(search.id, search.version, actor=OWNER, now=NOW)
    later = NOW + timedelta(hours=1)
    tick(later)
    world.push(later)
    assert world.weights("search") == {"aws-eu": 1_000_000}
    tick(later + timedelta(hours=1))
    assert not SteeredRoute.objects.exists()


def test_a_clock_that_was_set_back_puts_no_look_off(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(control_tasks.spend, "fingerprint", lambda: "figures")
    monkeypatch.setattr(control_tasks, "_looked", {})
    assert control_tasks._worth_a_look(NOW)
    assert not control_tasks._worth_a_look(NOW + timedelta(seconds=5))
    assert control_tasks._worth_a_look(NOW - timedelta(hours=3))
