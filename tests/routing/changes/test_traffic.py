"""Requests counted once by minute, and changes taken back when their traffic does worse."""

from dataclasses import replace
from datetime import timedelta

from routing import guards, selectors, services
from routing.guards import Traffic, judge
from routing.models import Observation

from .conftest import LEAD, Edge, block, status


def fast(requests: int, failed: int = 0, bucket: int = 4) -> Traffic:
    """All requests take up to LATENCY_MS[bucket]."""
    latency = [0] * (len(guards.LATENCY_MS) + 1)
    latency[bucket] = requests - failed
    return Traffic(requests, failed, tuple(latency))


def test_failures_beyond_those_before_and_chance_are_worse():
    before = fast(1000, failed=5)
    assert [each.worse for each in judge(before, fast(1000, failed=20), {})] == [False, False]
    failures, _slow = judge(before, fast(1000, failed=80), {})
    assert failures.worse
    assert failures.words == "8.00 % of 1,000 requests failed since, limit 2.50 %"


def test_few_requests_prove_nothing():
    failures, slow = judge(fast(1000), fast(49, failed=49), {})
    assert (failures.worse, slow.worse) == (False, False)
    assert failures.words == "49 requests since: too few to tell"


def test_slower_than_before_or_than_the_objective_is_worse():
    before = fast(1000, bucket=4)  # 300 ms; without an objective 450 ms are allowed
    assert not judge(before, fast(1000, bucket=5), {})[1].worse
    assert judge(before, fast(1000, bucket=6), {})[1].worse
    assert not judge(before, fast(1000, bucket=9), {"p95_ms": 2000})[1].worse
    assert judge(before, fast(1000, bucket=11), {"p95_ms": 2000})[1].worse


def test_an_objective_that_was_missed_before_blames_no_change():
    before = fast(1000, failed=100)
    assert not judge(before, fast(1000, failed=100), {"errors_ppm": 10_000})[0].worse


def fail(edge: Edge, number: int, of: int, latency_ms: int = 120) -> None:
    """Requests of team search now, some of which the target fails."""
    start = len(edge.fake.server.events)
    edge.traffic(of)
    events = edge.fake.server.events
    for at in range(start, len(events)):
        bad = at < start + number
        events[at] = replace(events[at], status=503 if bad else 200, latency_ms=latency_ms)


def test_each_request_is_counted_once_whatever_reads_twice(edge: Edge):
    services.record_traffic(connect=edge.connect)
    before = sum(Observation.objects.values_list("requests", flat=True))
    fail(edge, 3, 100)
    assert services.record_traffic(connect=edge.connect) == 100
    assert services.record_traffic(connect=edge.connect) == 0
    rows = Observation.objects.all()
    assert sum(each.requests for each in rows) == before + 100
    assert sum(each.failed for each in rows) == 3


def test_a_change_whose_traffic_fails_more_is_taken_back_within_minutes(edge: Edge):
    for _minute in range(8):
        edge.clock.after(minutes=1)
        fail(edge, 1, 200)
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    edge.fake.server.forget_traffic()
    edge.clock.after(seconds=20)
    edge.look()
    for _minute in range(3):
        edge.clock.after(minutes=1)
        fail(edge, 40, 200)
    services.record_traffic(connect=edge.connect)
    edge.look()
    (back,) = change.rollbacks.all()
    assert "of 600 requests failed since" in back.words
    assert edge.push() == [back.pk]
    assert status(change) == "rolled_back"


def test_a_change_is_guarded_also_after_another_team_was_pushed(edge: Edge):
    for _minute in range(8):
        edge.clock.after(minutes=1)
        fail(edge, 1, 200)
    mine = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    edge.fake.server.forget_traffic()
    edge.clock.after(seconds=20)
    edge.look()
    other = edge.propose(
        edge.blocked(block("ads")), team="ads", approval="standing", why=services.Why("decision", "budget:13")
    )
    edge.push()
    for _minute in range(3):
        edge.clock.after(minutes=1)
        fail(edge, 40, 200)
    services.record_traffic(connect=edge.connect)
    edge.look()
    (back,) = mine.rollbacks.all()
    assert edge.push() == [back.pk]
    assert status(mine) == "rolled_back"
    assert not other.rollbacks.exists()
    assert [each.team for each in edge.standing().blocks] == ["ads"]


def test_a_change_whose_traffic_is_as_before_stays(edge: Edge):
    for _minute in range(8):
        edge.clock.after(minutes=1)
        fail(edge, 1, 200)
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    edge.fake.server.forget_traffic()
    for _minute in range(12):
        edge.clock.after(minutes=1)
        fail(edge, 1, 200)
        services.record_traffic(connect=edge.connect)
        edge.look()
    assert status(change) == "effective"
    assert not change.rollbacks.exists()


def test_the_page_shows_the_observed_split_beside_the_wanted_one(edge: Edge):
    change = edge.propose(edge.moved(aws=500_000, gcp=500_000))
    edge.push()
    edge.clock.after(seconds=20)
    edge.look()
    edge.clock.after(minutes=1)
    fail(edge, 0, 200)
    services.record_traffic(connect=edge.connect)
    shown = selectors.change(LEAD.scope, change.pk, edge.clock.after(minutes=1))
    (moved,) = shown.routes
    assert [(each.target, each.before_ppm, each.wanted_ppm, each.observed_ppm) for each in moved.weights] == [
        ("aws", 600_000, 500_000, 500_000),
        ("gcp", 400_000, 500_000, 500_000),
    ]
    assert shown.split[-1].shares == (("aws", 500_000), ("gcp", 500_000))
    assert shown.split[-1].at == edge.clock.now.replace(second=0) - timedelta(minutes=1)
