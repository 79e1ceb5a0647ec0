"""From the ledger to an anomaly that is kept and told. 100 dollars for 1,000 tokens a day and leaf, by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from attribution import audit
from attribution.actors import Actor
from attribution.scope import EVERYTHING, TeamScope
from governance.anomalies import State, anomalies, triage
from governance.anomaly_search import Judged, judge
from governance.anomaly_words import cause_words, why
from governance.forecasting.drivers import Drivers
from governance.models import Anomaly, AnomalyPart, Notification
from tests.governance.anomalies.conftest import DAYS, LAST, MODELS, NOW, TEAMS, Company

pytestmark = pytest.mark.django_db
D = Decimal


def test_an_empty_house_is_not_judged(lake_root: object) -> None:
    assert judge(NOW) == Judged()


def test_steady_days_are_no_anomaly(company: Company) -> None:
    judged = company({})

    assert (judged.opened, judged.days) == (0, 36)
    assert anomalies(EVERYTHING) == []


def test_a_burst_is_kept_with_its_day_its_excess_and_its_driver(company: Company) -> None:
    assert company({("ml", "large"): ("300", 3000)}).opened == 1

    (found,) = anomalies(EVERYTHING)

    assert found.cause == (("team", "ml"), ("model", "large"), ("provider", "aws"))
    assert (found.first_day, found.last_day, found.state) == (LAST, LAST, State.OPEN)
    assert found.actual == 300
    assert found.expected == pytest.approx(D(100), abs=D(1))
    # Three times the tokens at the old price: all of it is volume, to the last digit.
    assert found.drivers == Drivers(volume=found.excess)


def test_a_price_jump_over_all_teams_is_one_anomaly_and_one_message(company: Company) -> None:
    company({(team, "large"): ("150", 1000) for team in TEAMS})

    (found,) = anomalies(EVERYTHING)

    assert found.cause == (("model", "large"), ("provider", "aws"))
    assert set(found.teams) == set(TEAMS)
    assert found.drivers.largest() == "price"
    assert found.drivers.total == found.excess
    (told,) = Notification.objects.all()
    assert told.team is None
    assert told.link_path == f"/anomalies/{found.id}"
    assert told.subject == "3 teams, Large on AWS: $150.00 above expected"
    assert told.figures["words"].endswith("most of it a higher price per token.")


def test_a_team_s_own_anomaly_is_told_to_that_team(company: Company) -> None:
    company({("ml", "large"): ("300", 3000)})

    assert [told.team for told in Notification.objects.all()] == ["ml"]


def test_judging_again_changes_nothing(company: Company) -> None:
    company({("ml", "large"): ("300", 3000)})
    before = list(AnomalyPart.objects.values_list("day", "team", "actual", "expected", "volume"))

    again = judge(NOW + timedelta(hours=1))

    assert (again.opened, again.continued, again.closed) == (0, 1, 0)
    assert list(AnomalyPart.objects.values_list("day", "team", "actual", "expected", "volume")) == before
    assert Notification.objects.count() == 1


def test_the_next_day_of_the_same_trouble_is_the_same_anomaly(company: Company) -> None:
    yesterday = LAST - timedelta(days=1)
    company({("ml", "large"): ("300", 3000)}, day=yesterday, now=NOW - timedelta(days=1))

    judged = company({("ml", "large"): ("300", 3000)}, days=[yesterday, LAST])

    (found,) = anomalies(EVERYTHING)
    assert (judged.opened, judged.continued) == (0, 1)
    assert (found.first_day, found.last_day, found.actual) == (yesterday, LAST, 600)
    assert Notification.objects.count() == 1


def test_a_bill_that_takes_the_estimate_s_place_closes_what_it_explains(company: Company) -> None:
    company({("ml", "large"): ("300", 3000)})

    assert company({}).closed == 1

    assert anomalies(EVERYTHING) == []
    one = Anomaly.objects.get()
    assert (one.state, one.state_by) == (State.RESOLVED, "Weir")
    assert [entry.action for entry in audit.entries(EVERYTHING)] == ["anomaly.closed"]


def test_a_bill_that_says_another_amount_renews_the_parts(company: Company) -> None:
    company({("ml", "large"): ("300", 3000)})
    company({("ml", "large"): ("330", 3000)})

    (found,) = anomalies(EVERYTHING)

    assert found.actual == 330
    # 3,000 tokens at 0.10 would have been 300: 30 of it is price.
    assert found.drivers.price == 30


def test_what_was_expected_must_be_worse_to_be_told_again(company: Company, actors: dict[str, Actor]) -> None:
    first = LAST - timedelta(days=10)
    company({("ml", "large"): ("125", 1250)}, day=first, now=NOW - timedelta(days=10))
    (found,) = anomalies(EVERYTHING)
    triage(actors["lead"], found.id, State.EXPLAINED, version=1, note="monthly re-index", now=NOW - timedelta(days=9))
    assert company({("ml", "large"): ("126", 1260)}).opened == 0
    assert company({("sales", "large"): ("126", 1260)}).opened == 1
    assert company({("ml", "large"): ("300", 3000)}).opened == 1


def test_a_muted_cause_is_kept_and_not_told(company: Company, actors: dict[str, Actor]) -> None:
    first = LAST - timedelta(days=10)
    company({("ml", "large"): ("300", 3000)}, day=first, now=NOW - timedelta(days=10))
    until = NOW + timedelta(days=30)
    (found,) = anomalies(EVERYTHING)
    triage(actors["owner"], found.id, State.MUTED, version=1, muted_until=until, now=NOW - timedelta(days=9))

    company({("ml", "large"): ("300", 3000)})

    newest, _ = anomalies(EVERYTHING)
    assert (newest.first_day, newest.state, newest.muted_until) == (LAST, State.MUTED, until)
    assert Notification.objects.count() == 1


def test_what_was_resolved_comes_back_as_a_new_one(company: Company, actors: dict[str, Actor]) -> None:
    company({("ml", "large"): ("300", 3000)}, day=LAST - timedelta(days=1), now=NOW - timedelta(days=1))
    (found,) = anomalies(EVERYTHING)
    triage(actors["lead"], found.id, State.RESOLVED, version=1, note="batch stopped", now=NOW - timedelta(hours=20))

    company({("ml", "large"): ("300", 3000)}, days=[LAST - timedelta(days=1), LAST])

    assert [one.first_day for one in anomalies(EVERYTHING)] == [LAST, LAST - timedelta(days=1)]


def test_a_day_that_costs_more_than_all_of_it_should_is_told_while_it_runs(company: Company) -> None:
    at_noon = datetime(2026, 5, 31, 12, tzinfo=UTC)
    half = {(team, model): ("50", 500) for team in TEAMS for model in MODELS}

    assert company(half, now=at_noon, billed_through="2026-06-01").opened == 0
    assert company({**half, ("ml", "large"): ("180", 1800)}, now=at_noon, billed_through="2026-06-01").opened == 1
    (found,) = anomalies(EVERYTHING)
    assert (found.first_day, found.actual, found.teams) == (LAST, 180, ("ml",))


def test_a_past_that_nobody_was_told_of_is_kept_without_a_message(company: Company) -> None:
    assert company({("ml", "large"): ("300", 3000)}, day=DAYS[-20]).opened == 1
    assert Notification.objects.count() == 0


def test_what_has_no_owner_says_why_and_is_for_those_who_see_everything(company: Company) -> None:
    company({(None, "large"): ("90", 900)}, teams=(*TEAMS, None))

    (found,) = anomalies(EVERYTHING)
    assert (found.cause[0], found.reason) == (("team", None), "unowned")
    assert found.drivers == Drivers(volume=found.excess)
    assert anomalies(TeamScope(teams=frozenset(TEAMS))) == []
    assert [told.team for told in Notification.objects.all()] == [None]


def test_words_of_a_cause() -> None:
    names = {"ml": "Machine learning"}

    assert cause_words((("team", "ml"), ("model", "gpt-5"), ("provider", "azure")), 1, names) == (
        "Machine learning, GPT-5 on Azure"
    )
    assert cause_words((("model", "gpt-5"), ("provider", "azure")), 9, names) == "9 teams, GPT-5 on Azure"
    assert cause_words((("provider", "azure"),), 1, names) == "Azure"
    assert cause_words((("team", None),), 1, names) == "Without an owner"
    assert cause_words((("team", None), ("provider", "aws")), 1, names, "idle") == "Idle capacity on AWS"
    assert cause_words((), 1, names) == "Everything"


def test_words_of_a_driver() -> None:
    assert why(Drivers(volume=D(87), price=D(13)), D(100)) == "More tokens, 87 %"
    assert why(Drivers(price=D(120), volume=D(-20)), D(100)) == "A higher price per token"
    assert why(Drivers(), D(0)) == "–"


def test_the_parts_sum_to_the_excess_to_the_last_digit(company: Company) -> None:
    company({(team, model): ("150.123456789012345678", 1333) for team in TEAMS for model in MODELS})

    for found in anomalies(EVERYTHING):
        assert found.drivers.total == found.excess
        assert sum(part.excess for part in found.parts) == found.excess
        assert found.opened_at == datetime(2026, 6, 1, 6, tzinfo=UTC)
