"""The bar is its URL: what it reads, what it writes, what it refuses."""

from datetime import date, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.queries import Dimension, Filter, Granularity, Operator
from governance.dashboards.bar import BASES, COMPARISONS, DIMENSIONS, PERIODS, Bar, Span, previous, read

TODAY = date(2026, 11, 24)


def parsed(text: str, today: date = TODAY, newest: date | None = TODAY) -> Bar:
    return read(parse_qs(text, keep_blank_values=True), today, newest)


def span(start: str, end: str) -> Span:
    return Span(date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize(
    ("query", "shown", "against"),
    [
        ("", span("2026-11-01", "2026-11-24"), span("2026-10-01", "2026-10-24")),
        ("period=last-month", span("2026-10-01", "2026-11-01"), span("2026-09-01", "2026-10-01")),
        ("period=30d", span("2026-10-25", "2026-11-24"), span("2026-09-25", "2026-10-25")),
        ("period=13m", span("2025-11-01", "2026-11-24"), span("2024-10-01", "2025-11-01")),
        (
            "period=custom&from=2026-05-01&to=2026-05-31",
            span("2026-05-01", "2026-06-01"),
            span("2026-04-01", "2026-05-01"),
        ),
        (
            "period=custom&from=2026-05-03&to=2026-05-04",
            span("2026-05-03", "2026-05-05"),
            span("2026-05-01", "2026-05-03"),
        ),
    ],
)
def test_periods_are_of_complete_days_and_compare_with_those_before(query: str, shown: Span, against: Span) -> None:
    bar = parsed(query)
    assert (bar.span, bar.against) == (shown, against)


def test_thirty_days_of_march_compare_with_the_whole_february() -> None:
    assert previous("this-month", span("2026-03-01", "2026-03-31")) == span("2026-02-01", "2026-03-01")


def test_on_the_first_of_a_month_today_is_shown_as_there_is_nothing_else() -> None:
    assert parsed("period=this-month", date(2026, 11, 1)).span == span("2026-11-01", "2026-11-02")


def test_without_a_period_the_newest_month_with_figures_is_shown() -> None:
    assert parsed("", newest=date(2026, 8, 14)).span == span("2026-08-01", "2026-09-01")
    assert parsed("period=this-month", newest=date(2026, 8, 14)).span == span("2026-11-01", "2026-11-24")


@pytest.mark.parametrize(
    "query",
    [
        "period=forever",
        "period=custom&from=2026-05-31&to=2026-05-01",
        "period=custom&from=x&to=y",
        "basis=gross",
        "group_by=colour",
        "filter[colour]=red",
        "filter[provider]=",
        "filter[",
        "compare=2025",
        "sort=mood",
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(query: str) -> None:
    bar = parsed(query)
    assert len(bar.ignored) == 1
    assert (bar.basis, bar.group_by, bar.filters, bar.sort) == (parsed("").basis, Dimension.MODEL, (), "-cost")


def test_one_unreadable_filter_does_not_take_the_others_along() -> None:
    bar = parsed("filter[colour]=red&filter[provider]=aws")
    assert bar.filters == (Filter(Dimension.PROVIDER, Operator.IN, ("aws",)),)


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)
bars = st.builds(
    Bar,
    period=st.sampled_from([each for each in PERIODS if each != "custom"]),
    span=st.just(Span(TODAY, TODAY)),
    compare=st.sampled_from(list(COMPARISONS)),
    basis=st.sampled_from(list(BASES)),
    group_by=st.sampled_from(list(DIMENSIONS)),
    filters=st.dictionaries(st.sampled_from(list(DIMENSIONS)), st.sets(names, min_size=1, max_size=3), max_size=3).map(
        lambda chosen: tuple(
            Filter(each, Operator.IN, tuple(sorted(values))) for each, values in sorted(chosen.items())
        )
    ),
)


@given(bars)
def test_a_url_reproduces_the_bar_that_wrote_it(bar: Bar) -> None:
    again = parsed(bar.query())
    assert again.query() == bar.query()
    assert (again.basis, again.group_by, again.compare) == (bar.basis, bar.group_by, bar.compare)
    assert set(again.filters) == set(bar.filters)
    assert again.ignored == ()


@given(st.sampled_from([each for each in PERIODS if each != "custom"]), st.dates(date(2020, 1, 1), date(2035, 1, 1)))
def test_a_comparison_ends_before_its_period_begins(period: str, today: date) -> None:
    bar = parsed(f"period={period}", today)
    assert bar.against is not None
    assert bar.against.start < bar.against.end <= bar.span.start < bar.span.end <= today + timedelta(days=1)


def test_drilling_goes_from_provider_to_model_to_token_type_and_ends_there() -> None:
    models = parsed("group_by=provider").drilled("aws")
    assert models is not None
    assert (models.group_by, models.filters) == (Dimension.MODEL, (Filter(Dimension.PROVIDER, Operator.IN, ("aws",)),))
    types = models.drilled(None)
    assert types is not None
    assert types.filters[-1] == Filter(Dimension.MODEL, Operator.NULL)
    assert types.group_by is Dimension.TOKEN_TYPE
    assert types.drilled("output") is None


def test_a_team_opens_projects_and_a_project_models() -> None:
    projects = parsed("group_by=team").drilled("claims")
    assert projects is not None
    assert projects.group_by is Dimension.PROJECT
    models = projects.drilled("triage")
    assert models is not None
    assert models.group_by is Dimension.MODEL


def test_choosing_the_sorted_column_again_turns_it_round() -> None:
    bar = parsed("")
    assert bar.sorted_by("cost").sort == "cost"
    assert bar.sorted_by("tokens").sort == "-tokens"
    assert bar.sorted_by("tokens").sorted_by("tokens").sort == "tokens"
    assert bar.sorted_by("name").sorted_by("name").sort == "-name"


def test_long_periods_are_shown_by_month() -> None:
    assert parsed("period=90d").granularity is Granularity.DAY
    assert parsed("period=13m").granularity is Granularity.MONTH
