"""What the Overview says of the days to come, and what stands beside it; by hand, and by persona."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from attribution.queries import Dimension, Filter, Operator
from attribution.scope import EVERYTHING, TeamScope
from attribution.selectors import ProviderFreshness, ReconciliationRow
from governance.anomalies import AnomalyView, DayView, PartView
from governance.dashboards import beside, outlook
from governance.dashboards.bar import Bar, Span
from governance.forecasting.drivers import Drivers
from governance.forecasting.values import DayForecast, ForecastScope, Spread, StoredForecast
from governance.team_tree import Edge, TeamTree
from tests.governance.anomalies.conftest import company as company
from tests.governance.anomalies.conftest import people as people
from tests.governance.anomalies.conftest import teams as teams

D = Decimal
TODAY = date(2026, 11, 24)
NOVEMBER = Bar("this-month", Span(date(2026, 11, 1), TODAY))
TREE = TeamTree([Edge("insurance", "claims"), Edge("insurance", "fraud")])
INSURANCE = TeamScope(teams=frozenset({"insurance", "claims", "fraud"}))


def forecast(days: int = 90) -> StoredForecast:
    """10 dollars a day, 8 to 13, from today on."""
    return StoredForecast(
        scope=ForecastScope(),
        currency="USD",
        basis="effective",
        made_at=datetime(2026, 11, 24, 3, tzinfo=UTC),
        first_day=TODAY,
        inputs_revision="x",
        provisional=False,
        cold_start=False,
        days=tuple(DayForecast(TODAY + timedelta(days=ahead), D(8), D(10), D(13)) for ahead in range(days)),
        spread=Spread(()),
    )


def seen(state: str = "open", *, team: str | None = "claims", excess: str = "50", day: date = TODAY) -> AnomalyView:
    at, amount = datetime(2026, 11, 24, tzinfo=UTC), D(excess)
    part = PartView(team, "gpt-5", "azure", amount + 100, D(100), Drivers(volume=amount))
    return AnomalyView(
        id=1,
        cause=(("team", team), ("model", "gpt-5")),
        reason="",
        currency="USD",
        first_day=day,
        last_day=day,
        z=D(4),
        state=state,
        note="",
        state_by="",
        state_at=at,
        muted_until=None,
        opened_at=at,
        version=1,
        is_share=False,
        days=(DayView(day, amount + 100, D(100)),),
        parts=(part,),
    )


def test_the_tile_is_what_is_spent_and_the_forecast_of_the_days_left() -> None:
    # 24 to 30 November are 7 days of 10.
    tile = outlook.tile(NOVEMBER, forecast(), D(230), "USD", None, TODAY)

    assert tile is not None
    assert (tile.label, tile.figure.text) == ("Forecast for November", "$300.00")
    assert tile.against_words == "no budget of this month for it"
    assert tile.bullet is not None
    assert (tile.bullet.spent, tile.bullet.middle) == (145, 190)


def test_without_a_stored_forecast_the_tile_says_why() -> None:
    tile = outlook.tile(NOVEMBER, None, D(230), "USD", None, TODAY)

    assert tile is not None
    assert tile.figure.text == "–"
    assert "No forecast is stored" in tile.interval


def test_pages_of_other_periods_have_no_forecast_of_the_month() -> None:
    october = Bar("last-month", Span(date(2026, 10, 1), date(2026, 11, 1)))

    assert outlook.tile(october, forecast(), D(1), "USD", None, TODAY) is None
    assert outlook.ahead(october, forecast(), TODAY) is None


def test_bars_run_on_to_the_month_s_end_or_for_two_weeks() -> None:
    to_the_end = outlook.ahead(NOVEMBER, forecast(), TODAY)
    of_30_days = outlook.ahead(Bar("30d", Span(TODAY - timedelta(days=30), TODAY)), forecast(), TODAY)

    assert to_the_end is not None
    assert (to_the_end.days[0], to_the_end.days[-1]) == (TODAY, date(2026, 11, 30))
    assert (to_the_end.low[0], to_the_end.middle[0], to_the_end.high[0]) == (D(8), D(10), D(13))
    assert of_30_days is not None
    assert len(of_30_days.days) == 14


def test_whose_forecast_a_page_shows() -> None:
    claims = NOVEMBER.with_filter(Dimension.TEAM, "claims")

    assert outlook.forecast_scope(NOVEMBER, EVERYTHING, TREE, TODAY) == ForecastScope()
    assert outlook.forecast_scope(claims, EVERYTHING, TREE, TODAY) == ForecastScope.of(team="claims")
    # A lead's own page is that of the team that holds all of his.
    assert outlook.forecast_scope(NOVEMBER, INSURANCE, TREE, TODAY) == ForecastScope.of(team="insurance")
    assert outlook.forecast_scope(claims, INSURANCE, TREE, TODAY) == ForecastScope.of(team="claims")


@pytest.mark.parametrize(
    "bar",
    [
        NOVEMBER.with_filter(Dimension.TEAM, "claims", "fraud"),
        NOVEMBER.with_filter(Dimension.TEAM, None),
        NOVEMBER.with_filter(Dimension.REGION, "eu"),
        replace(NOVEMBER, filters=(Filter(Dimension.MODEL, Operator.PREFIX, ("claude-",)),)),
    ],
)
def test_what_a_forecast_can_t_name_has_none(bar: Bar) -> None:
    assert outlook.forecast_scope(bar, EVERYTHING, TREE, TODAY) is None


def test_a_reader_gets_no_forecast_that_holds_others() -> None:
    two = TeamScope(teams=frozenset({"claims", "fraud"}))
    insurance = NOVEMBER.with_filter(Dimension.TEAM, "insurance")

    # Nobody but insurance holds both, and its own spend is not theirs.
    assert outlook.forecast_scope(NOVEMBER, two, TREE, TODAY) is None
    assert outlook.forecast_scope(insurance, two, TREE, TODAY) is None
    assert outlook.forecast_scope(NOVEMBER.with_filter(Dimension.TEAM, "payments"), two, TREE, TODAY) is None


def test_the_dearest_day_is_marked_first_and_what_was_expected_is_not() -> None:
    days = [TODAY - timedelta(days=back) for back in (1, 2, 3, 40)]
    views = [
        seen(excess="50", day=days[0]),
        seen(excess="90", day=days[1]),
        seen("explained", excess="900", day=days[2]),
        seen(excess="900", day=days[3]),
    ]

    marks = outlook.marks(NOVEMBER, views, "USD", {"claims": "Claims"})

    assert [mark.title for mark in marks] == ["22 Nov: +$90.00 above expected", "23 Nov: +$50.00 above expected"]
    assert marks[0].words == "Claims, GPT-5"


def test_a_filtered_page_marks_only_what_it_shows() -> None:
    views = [seen(day=TODAY - timedelta(days=1))]

    assert len(outlook.marks(NOVEMBER.with_filter(Dimension.TEAM, "claims"), views, "USD", {})) == 1
    assert outlook.marks(NOVEMBER.with_filter(Dimension.TEAM, "fraud"), views, "USD", {}) == ()
    assert outlook.marks(NOVEMBER.with_filter(Dimension.TEAM, None), views, "USD", {}) == ()
    assert outlook.marks(NOVEMBER.with_filter(Dimension.REGION, "eu"), views, "USD", {}) == ()
    assert outlook.marks(NOVEMBER, views, "EUR", {}) == ()


def test_months_are_open_until_every_bill_reaches_their_end() -> None:
    def row(provider: str, month: str, difference: str = "0") -> ReconciliationRow:
        return ReconciliationRow(provider, "1", month, "USD", D(5), D(5), {}, D(difference))

    rows = [row("aws", "2026-11"), row("gcp", "2026-11"), row("aws", "2026-10"), row("aws", "2026-09", "0.02")]
    found = [
        ProviderFreshness("aws", date(2026, 11, 22), None, None),
        ProviderFreshness("gcp", date(2026, 12, 1), None, None),
    ]

    lines = beside.months_open(rows, found)

    assert [(line.name, line.amount.text, line.detail) for line in lines] == [
        ("Nov 2026", "open", "bill not whole yet: AWS"),
        ("Sep 2026", "0.02", "AWS departs from its bill"),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "sees", "reconciles"),
    [("owner", True, True), ("viewer", True, True), ("lead", True, False), ("other", False, False)],
)
def test_the_panels_keep_to_what_the_reader_may_see(
    company: Callable[..., object], people: dict[str, object], who: str, sees: bool, reconciles: bool
) -> None:
    company({("ml", "large"): ("300", 3000)})
    client = Client()
    client.force_login(people[who])  # type: ignore[arg-type]

    page = client.get("/?period=custom&from=2026-05-01&to=2026-05-31").content.decode()

    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert ("Ml, Large on AWS +200.00" in text) is sees
    assert ("Nothing unusual is open." in text) is not sees
    assert ("Not yet reconciled" in text) is reconciles
    assert "No change waits." in text
