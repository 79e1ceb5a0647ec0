"""The what-if on a lake that can be added by hand: claims use 'big' at aws for 10 a day; 'big' is half price at gcp."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from attribution.lake.serving import build_serving_file
from attribution.models import Placement, Price, Team
from attribution.scope import EVERYTHING, TeamScope
from attribution.vocabulary import Basis
from governance.budgets import PeriodKind
from governance.enforcement.rungs import Approval, Disutility, Measure, Policy, Rung, Step, Substitute
from governance.replays import cheaper_models, known_past, offers, replayed_spans, what_if
from tests.attribution.serving_lake import publish_lake, rollup

pytestmark = pytest.mark.django_db
TODAY = date(2026, 6, 2)
TEAM = (("team", "claims"),)


@pytest.fixture
def lake(lake_root: object) -> None:
    # The book is not empty, so nothing is seeded: big-mini at aws costs a tenth of what big was billed.
    for kind in ("input_uncached", "output"):
        Price.objects.create(
            provider="aws",
            model="big-mini",
            tier="standard",
            token_type=kind,
            usd_per_token=Decimal("0.000001"),
            source="contract",
            version="1",
        )
    rows = []
    for index in range(60):
        day = f"{date(2026, 4, 1) + timedelta(days=index)}"
        rows += [
            rollup(day, "10", team="claims", model="big", metered_tokens=1_000_000),
            rollup(day, "5", team="claims", model="big", token_type="capacity", metered_tokens=400_000),
            rollup(day, "1", team="claims", model=None, token_type=None, charge_category="Tax"),
            rollup(day, "5", team="growth", provider="gcp", billing_account_id="g", model="big", metered_tokens=10**6),
        ]
    publish_lake(rows, [], billed_through={("aws", "111"): "2026-06-01", ("gcp", "g"): "2026-06-01"})
    build_serving_file()


def test_the_past_tells_what_follows_tokens_from_what_does_not(lake: None) -> None:
    past = known_past(EVERYTHING, TEAM, currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    first = [each for each in past.used if each.day == date(2026, 4, 1)]
    assert {(each.model, each.cost, each.movable, each.tokens) for each in first} == {
        ("big", 15, 10, 1_000_000),
        (None, 1, 0, 0),
    }
    assert past.models == ("big",)


def test_a_history_is_read_once_for_a_state_of_the_data(lake: None, django_assert_max_num_queries) -> None:
    first = known_past(EVERYTHING, TEAM, currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    with django_assert_max_num_queries(3):
        assert known_past(EVERYTHING, TEAM, currency="USD", basis=Basis.EFFECTIVE, today=TODAY) is first


def test_it_never_leaves_the_readers_scope(lake: None) -> None:
    growth = TeamScope(teams=frozenset({"growth"}))
    assert known_past(growth, TEAM, currency="USD", basis=Basis.EFFECTIVE, today=TODAY).used == ()
    everything_of_growth = known_past(growth, (), currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    assert sum(each.cost for each in everything_of_growth.used) == 300


def test_a_business_unit_is_all_teams_below_it(lake: None) -> None:
    unit, claims = (Team.objects.create(slug=slug, name=slug) for slug in ("insurance", "claims"))
    Placement.objects.create(team=claims, parent=unit)
    dims = (("team", "insurance"),)
    past = known_past(EVERYTHING, dims, currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    assert sum(each.cost for each in past.used) == 60 * 16


def test_offers_are_the_same_model_elsewhere_and_the_substitutes(lake: None) -> None:
    past = known_past(EVERYTHING, (), currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    policy = Policy(1, 1, (), substitutes={"big": (Substitute("big-mini", Disutility.BAD), Substitute("unheard-of"))})
    found = [
        (each.provider, each.rung, each.to_model, each.to_provider, each.ratio, each.harm)
        for each in offers(policy, past)
    ]
    # big costs 10 for a million tokens at aws, 5 at gcp; big-mini 1 at aws.
    assert found == [
        ("aws", Rung.PREFER_CHEAPER, "big", "gcp", Decimal("0.5"), 0.0),
        ("aws", Rung.SMALLER_MODEL, "big-mini", "aws", Decimal("0.1"), 1.0),
        ("gcp", Rung.SMALLER_MODEL, "big-mini", "aws", Decimal("0.2"), 1.0),
    ]
    assert cheaper_models(past, "big") == (("big-mini", Decimal("0.133333")),)


def test_a_what_if_over_real_months(lake: None) -> None:
    # Only April and May have figures. Team claims alone knows no cheaper pool, so the substitute must do: 16 a day, of
    # which 6 stay whatever happens. May: 31 x 16 = 496; the limit is 300, aimed at 294: 202 to save, at 9 of 10 each.
    past = known_past(EVERYTHING, TEAM, currency="USD", basis=Basis.EFFECTIVE, today=TODAY)
    policy = Policy(
        1,
        1,
        (Step(Rung.SMALLER_MODEL, Measure.FORECAST, 950_000, 900_000, Approval.ONE),),
        substitutes={"big": (Substitute("big-mini", Disutility.WORSE),)},
    )
    spans = replayed_spans(PeriodKind.MONTH, "UTC", TODAY)
    assert [each.label for each in spans] == ["March", "April", "May"]
    found = what_if(policy, past, dict.fromkeys(spans, Decimal(300)), dims=TEAM)

    march, april, may = found.periods
    assert (march.known, april.actual, may.actual) == (False, 480, 30 * 16)
    assert may.first == {Rung.SMALLER_MODEL: date(2026, 5, 1)}
    # The thirty days of May that have figures end at 294 less the day that never came.
    assert may.would_be == pytest.approx(Decimal(288), abs=7)
    assert found.asked == (Rung.SMALLER_MODEL,)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (PeriodKind.MONTH, ["March", "April", "May"]),
        (PeriodKind.DATES, ["March", "April", "May"]),
        (PeriodKind.QUARTER, ["Q1 2026"]),
    ],
)
def test_which_periods_are_replayed(kind: PeriodKind, labels: list[str]) -> None:
    assert [each.label for each in replayed_spans(kind, "Europe/Berlin", TODAY)] == labels


def test_weeks_are_the_thirteen_before_this_one() -> None:
    spans = replayed_spans(PeriodKind.WEEK, "UTC", TODAY)
    assert (len(spans), spans[0].start, spans[-1].end) == (13, date(2026, 3, 2), date(2026, 6, 1))
    assert spans[-1].label == "25 May"
