"""The query grammar: what URLs say, and what is wrong with them. No database."""

import contextlib
from datetime import date, timedelta
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.api.grammar import UNIT_COST_DIMENSIONS, NotUnderstood, parse_costs, parse_unit_costs, to_parameters
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator, Order, UnitCostQuery
from attribution.vocabulary import Basis

MAY = "start=2026-05-01&end=2026-06-01"


def read(text: str) -> dict[str, list[str]]:
    return parse_qs(text, keep_blank_values=True)


def test_the_words_of_the_documentation() -> None:
    asked = f"{MAY}&group_by=team,model&filter[provider]=aws&granularity=day&basis=effective"

    assert parse_costs(read(asked)) == CostQuery(
        start=date(2026, 5, 1),
        end=date(2026, 6, 1),
        group_by=(Dimension.TEAM, Dimension.MODEL),
        filters=(Filter(Dimension.PROVIDER, Operator.IN, ("aws",)),),
        granularity=Granularity.DAY,
        basis=Basis.EFFECTIVE,
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("aws", ("aws",)),
        ("aws,azure", ("aws", "azure")),
        ("azure,aws,aws", ("aws", "azure")),
        ("a\\,b", ("a,b",)),
        ("a\\\\,b", ("a\\", "b")),
    ],
)
def test_values_stand_between_commas(text: str, values: tuple[str, ...]) -> None:
    query = parse_costs(read(MAY) | {"filter[team]": [text]})

    assert query.filters == (Filter(Dimension.TEAM, Operator.IN, values),)


def test_a_filter_given_twice_has_the_values_of_both() -> None:
    query = parse_costs(read(f"{MAY}&filter[team]=a&filter[team]=b"))

    assert query.filters == (Filter(Dimension.TEAM, Operator.IN, ("a", "b")),)


@pytest.mark.parametrize(
    ("asked", "field", "fix"),
    [
        ("end=2026-06-01", "start", "add start=YYYY-MM-DD"),
        ("start=1.5.2026&end=2026-06-01", "start", "write YYYY-MM-DD"),
        ("start=20260501&end=2026-06-01", "start", "write YYYY-MM-DD"),
        ("start=2026-05-32&end=2026-06-01", "start", "write YYYY-MM-DD"),
        ("start=2026-06-01&end=2026-06-01", "end", "the day after the last one"),
        ("start=0001-01-01&end=9999-12-31", "end", "at most 3660 days"),
        (f"{MAY}&start=2026-05-02", "start", "give it once"),
        (f"{MAY}&group_by=colour", "group_by", "use one of provider"),
        (f"{MAY}&group_by=team,team", "group_by", "give each once"),
        (f"{MAY}&group_by=team,model,tier,region,state", "group_by", "at most 4"),
        (f"{MAY}&granularity=hour", "granularity", "use one of total, day, month"),
        (f"{MAY}&basis=net", "basis", "use one of billed"),
        (f"{MAY}&limit=0", "limit", "give 1 to 5000"),
        (f"{MAY}&limit=1e3", "limit", "give 1 to 5000"),
        (f"{MAY}&page=2", "page", "use start"),
        (f"{MAY}&filter[colour]=red", "filter[colour]", "use one of provider"),
        (f"{MAY}&filter[team][like]=a", "filter[team][like]", "use [in]"),
        (f"{MAY}&filter[team]=", "filter[team]", "[null]=true"),
        (f"{MAY}&filter[team]=a%00b", "filter[team]", "leave it out"),
        (f"{MAY}&filter[team][null]=maybe", "filter[team][null]", "write filter[team][null]=true"),
        (f"{MAY}&filter[team", "filter[team", "write filter[provider]=aws"),
    ],
)
def test_a_mistake_is_named_with_its_fix(asked: str, field: str, fix: str) -> None:
    with pytest.raises(NotUnderstood) as raised:
        parse_costs(read(asked))

    (mistake,) = raised.value.mistakes
    assert mistake.field == field
    assert fix in mistake.fix


def test_unit_costs_know_fewer_dimensions_and_no_order() -> None:
    with pytest.raises(NotUnderstood) as raised:
        parse_unit_costs(read(f"{MAY}&group_by=method&order_by=total"))

    assert [one.field for one in raised.value.mistakes] == ["order_by", "group_by"]


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def filters(dimensions: tuple[Dimension, ...]) -> st.SearchStrategy[tuple[Filter, ...]]:
    def one(dimension: Dimension, operator: Operator, values: list[str]) -> Filter:
        bare = operator in (Operator.NULL, Operator.NOT_NULL)
        return Filter(dimension, operator, () if bare else tuple(sorted(set(values))))

    some = st.builds(
        one, st.sampled_from(dimensions), st.sampled_from(Operator), st.lists(WORDS, min_size=1, max_size=3)
    )

    def key(found: Filter) -> tuple[Dimension, bool, str]:
        bare = found.operator in (Operator.NULL, Operator.NOT_NULL)
        return found.dimension, bare, "" if bare else found.operator

    def ordered(found: list[Filter]) -> tuple[Filter, ...]:
        return parse_costs(dict(_lists(CostQuery(date(2026, 1, 1), date(2026, 1, 2), filters=tuple(found))))).filters

    return st.lists(some, max_size=4, unique_by=key).map(ordered)


def _lists(query: CostQuery | UnitCostQuery) -> dict[str, list[str]]:
    return parse_qs(urlencode(to_parameters(query)), keep_blank_values=True)


@given(
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.integers(1, 3660),
    st.lists(st.sampled_from(list(Dimension)), max_size=4, unique=True),
    filters(tuple(Dimension)),
    st.sampled_from(Granularity),
    st.sampled_from(Basis),
    st.sampled_from(Order),
    st.integers(1, 5000),
    st.none() | WORDS,
)
def test_a_question_survives_its_url(
    start: date,
    days: int,
    group_by: list[Dimension],
    some: tuple[Filter, ...],
    granularity: Granularity,
    basis: Basis,
    order_by: Order,
    limit: int,
    after: str | None,
) -> None:
    query = CostQuery(
        start, start + timedelta(days=days), tuple(group_by), some, granularity, basis, order_by, limit, after
    )

    assert parse_costs(_lists(query)) == query


@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["start", "end", "filter[team]"]), st.lists(st.text(), max_size=2)
    )
)
def test_nothing_that_is_sent_breaks_the_grammar(parameters: dict[str, list[str]]) -> None:
    for parse in (parse_costs, parse_unit_costs):
        with contextlib.suppress(NotUnderstood):
            parse(parameters)


def test_every_dimension_of_unit_costs_is_one_of_costs() -> None:
    assert set(UNIT_COST_DIMENSIONS) < set(Dimension)
