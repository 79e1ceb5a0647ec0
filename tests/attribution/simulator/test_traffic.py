"""Requests are a pure function of seed and day, and look like the trace that they come from."""

from collections import Counter
from datetime import date, timedelta

from attribution.simulator.company import BUCKETS, company
from attribution.simulator.traffic import POOL_IDLE_DAY, Surge, Traffic

MONDAY, SUNDAY = date(2026, 8, 3), date(2026, 8, 9)


def traffic(seed: int = 1, size: int = 300) -> Traffic:
    return Traffic(company(), seed, size)


def test_the_company_is_the_one_that_was_asked_for() -> None:
    known = company()
    models = {offer.model for offer in known.offers.values()}
    assert (len(known.units), len(known.teams), len(known.projects), len(models)) == (3, 8, 20, 12)
    assert {project.team for project in known.projects} == {slug for slug, _, _ in known.teams}
    used = {use.offer.id for project in known.projects for use in project.uses}
    assert used == set(known.offers)


def test_a_day_is_the_same_whenever_it_is_drawn() -> None:
    assert list(traffic().day(MONDAY)) == list(traffic().day(MONDAY))


def test_another_seed_is_another_day() -> None:
    ids = [{request.id for request in traffic(seed).day(MONDAY)} for seed in (1, 2)]
    assert not ids[0] & ids[1]


def test_sundays_are_quiet() -> None:
    assert len(list(traffic().day(SUNDAY))) < len(list(traffic().day(MONDAY))) / 2


def test_buckets_are_those_that_the_offer_sells() -> None:
    for request in traffic(size=3000).day(MONDAY):
        sold = [request.offer.has(bucket) for bucket in range(len(BUCKETS))]
        assert all(count == 0 for count, is_sold in zip(request.tokens, sold, strict=True) if not is_sold)
        assert all(count >= 0 for count in request.tokens)
        assert request.reasoning <= request.tokens[4]
        assert 0 <= request.second < 86_400


def test_the_long_band_holds_requests_with_more_than_200_000_tokens_of_context() -> None:
    requests = [request for request in traffic(size=3000).day(MONDAY) if request.offer.id == "gemini-pro"]
    assert {request.band for request in requests} == {0, 1}
    assert all((sum(request.tokens[:4]) > 200_000 * request.calls) == (request.band == 1) for request in requests)


def test_busy_projects_count_many_calls_in_a_line_and_others_one() -> None:
    calls: dict[str, set[int]] = {}
    for request in traffic(size=3000).day(MONDAY):
        calls.setdefault(request.project.slug, set()).add(request.calls)
    assert calls["treaty-reader"] == calls["portfolio-letters"] == {1}
    assert min(calls["claims-triage"]) > 50
    assert not [one for one in traffic(size=3000).day(MONDAY) if one.failed and one.calls > 1]


def test_calls_follow_their_projects_trend() -> None:
    # code-assistant: 9 percent of January's calls more every month.
    def mean(day: date) -> float:
        lines = [one.calls for one in traffic(size=3000).day(day) if one.project.slug == "code-assistant"]
        return sum(lines) / len(lines)

    assert 1.10 < mean(date(2026, 11, 2)) / mean(date(2026, 8, 3)) < 1.30


def test_a_pool_rests_on_its_maintenance_day() -> None:
    day = date(2026, 8, POOL_IDLE_DAY["gpu-west"])
    assert not [request for request in traffic().day(day) if request.offer.pool == "gpu-west"]


def test_a_surge_multiplies_one_project_on_its_days_and_leaves_the_rest_as_it_was() -> None:
    day = date(2026, 10, 20)
    surge = Surge("fraud-graph", day, day + timedelta(days=1), times=6)
    calm, surging = Traffic(company(), 1, 300), Traffic(company(), 1, 300, (surge,))
    usual, jumped = list(calm.day(day)), list(surging.day(day))
    added = Counter(request.project.slug for request in jumped) - Counter(request.project.slug for request in usual)
    assert added == {"fraud-graph": 5 * sum(request.project.slug == "fraud-graph" for request in usual)}
    assert added["fraud-graph"] > 0
    assert {request.id for request in usual} < {request.id for request in jumped}
    assert len({request.id for request in jumped}) == len(jumped)
    after = day + timedelta(days=1)
    assert list(surging.day(after)) == list(calm.day(after))
