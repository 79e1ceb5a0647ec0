"""What the cost selector answers: settled bills, moving bills, estimates, groups, filters, pages."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from attribution import selectors
from attribution.lake.serving import build_serving_file
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator, Order
from attribution.scope import EVERYTHING, NOTHING, TeamScope
from attribution.vocabulary import Basis
from tests.attribution.serving_lake import publish_lake, rollup, usage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("lake_root")]

MAY = CostQuery(start=date(2026, 5, 1), end=date(2026, 6, 1))
ML = TeamScope(teams=frozenset({"ml"}))


def serve(
    rollups: Iterable[Mapping[str, Any]] = (),
    used: Iterable[Mapping[str, Any]] = (),
    *,
    through: str | None = "2026-06-01",
) -> None:
    publish_lake(rollups, used, billed_through={("aws", "111"): through})
    build_serving_file()


def groups(scope: TeamScope, query: CostQuery) -> dict[tuple[str | None, ...], Decimal | None]:
    return {row.group: row.amounts.total for row in selectors.costs(scope, query).rows}


def by(*dimensions: Dimension, **fields: Any) -> CostQuery:
    return CostQuery(MAY.start, MAY.end, group_by=dimensions, **fields)


def test_before_anything_came_in_the_answer_is_empty_and_says_so() -> None:
    table = selectors.costs(EVERYTHING, MAY)

    assert table.snapshot.availability is selectors.Availability.EMPTY
    assert table.rows == ()
    assert table.totals == ()


def test_a_total_is_exact_to_the_last_digit() -> None:
    serve(
        [
            rollup("2026-05-01", "0.082749984127434935", team="ml"),
            rollup("2026-05-02", "12345678901234567.1", team="ml"),
        ]
    )

    (total,) = selectors.costs(EVERYTHING, MAY).totals

    assert total.amounts.total == Decimal("12345678901234567.182749984127434935")


def test_the_period_is_half_open() -> None:
    serve([rollup("2026-04-30", "1"), rollup("2026-05-01", "2"), rollup("2026-05-31", "4"), rollup("2026-06-01", "8")])

    assert groups(EVERYTHING, MAY) == {(): Decimal(6)}


def test_a_bill_and_an_estimate_never_add_up() -> None:
    """Watermark 3 May: 1 + 2 are settled; of the 3rd the bill says 4 so far and the book 5, and only the 5 counts."""
    serve(
        [rollup("2026-05-01", "1"), rollup("2026-05-02", "2"), rollup("2026-05-03", "4")],
        [usage("2026-05-02", "ml", "2.5"), usage("2026-05-03", "ml", "5")],
        through="2026-05-03",
    )

    (total,) = selectors.costs(EVERYTHING, MAY).totals

    assert total.amounts.cost == Decimal(3)
    assert total.amounts.estimated_cost == Decimal(5)
    assert total.amounts.uncounted_cost == Decimal(4)
    assert total.amounts.total == Decimal(8)


def test_tokens_of_estimated_days_are_counted_and_unknown_ones_stay_unknown() -> None:
    used = [usage("2026-05-03", "ml", "5", output=2, cache_read=3), usage("2026-05-03", "sales", None)]
    serve([rollup("2026-05-01", "1", team="ml", metered_tokens=7)], used, through="2026-05-03")

    rows = {row.group: row.amounts.metered_tokens for row in selectors.costs(EVERYTHING, by(Dimension.TEAM)).rows}

    assert rows == {("ml",): 12, ("sales",): None}


@pytest.mark.parametrize("account", [None, "a linked account that no bill names"])
def test_usage_of_no_known_account_retires_with_its_providers_newest_bill(account: str | None) -> None:
    used = [
        usage("2026-05-02", "ml", "2", billing_account_id=account),
        usage("2026-05-03", "ml", "5", billing_account_id=account),
    ]
    serve([rollup("2026-05-01", "1")], used, through="2026-05-03")

    assert groups(EVERYTHING, MAY) == {(): Decimal(6)}


def test_usage_of_a_provider_without_a_bill_is_estimated() -> None:
    serve([rollup("2026-05-01", "1")], [usage("2026-05-01", "ml", "7", provider="openai", billing_account_id=None)])

    assert groups(EVERYTHING, by(Dimension.PROVIDER)) == {("aws",): Decimal(1), ("openai",): Decimal(7)}


def test_an_account_without_usage_on_its_bill_counts_whole() -> None:
    serve([rollup("2026-05-01", "1", charge_category="Tax", token_type=None)], through=None)

    assert groups(EVERYTHING, MAY) == {(): Decimal(1)}


def test_unknown_is_none_and_counted_never_zero() -> None:
    serve([rollup("2026-05-01", None, team="ml"), rollup("2026-05-01", "1", team="sales")])

    rows = {row.group: row.amounts for row in selectors.costs(EVERYTHING, by(Dimension.TEAM)).rows}

    assert rows["ml",].total is None
    assert rows["ml",].unknown_parts == 1
    assert rows["sales",].total == Decimal(1)
    assert rows["sales",].unknown_parts == 0


def test_each_basis_has_its_own_figures() -> None:
    serve([rollup("2026-05-01", "1", list_cost=Decimal(3), contracted_cost=None, contracted_unknown=1)])

    figures = {basis: selectors.costs(EVERYTHING, by(basis=basis)).totals[0].amounts for basis in Basis}

    assert figures[Basis.EFFECTIVE].cost == Decimal(1)
    assert figures[Basis.LIST].cost == Decimal(3)
    assert figures[Basis.CONTRACTED].cost is None
    assert figures[Basis.CONTRACTED].unknown_parts == 1


def test_currencies_stay_apart() -> None:
    serve([rollup("2026-05-01", "1"), rollup("2026-05-01", "2", currency="EUR")])

    table = selectors.costs(EVERYTHING, MAY)

    assert [(row.currency, row.amounts.total) for row in table.rows] == [("EUR", Decimal(2)), ("USD", Decimal(1))]
    assert [(one.currency, one.amounts.total) for one in table.totals] == [("EUR", Decimal(2)), ("USD", Decimal(1))]


def test_the_rest_of_the_cloud_is_shown_only_when_asked_for() -> None:
    serve(
        [
            rollup("2026-05-01", "1"),
            rollup("2026-05-01", "2", charge_scope="platform"),
            rollup("2026-05-01", "4", charge_scope="other", method="unattributed", reason="other_scope"),
        ]
    )
    other = Filter(Dimension.CHARGE_SCOPE, Operator.IN, ("other",))

    assert groups(EVERYTHING, MAY) == {(): Decimal(3)}
    assert groups(EVERYTHING, by(filters=(other,))) == {(): Decimal(4)}


def test_attributed_and_unattributed_add_up_to_the_cost() -> None:
    serve([rollup("2026-05-01", "1", team="ml"), rollup("2026-05-01", "2", method="unattributed", reason="bypass")])

    (total,) = selectors.costs(EVERYTHING, MAY).totals

    assert (total.amounts.attributed_cost, total.amounts.unattributed_cost) == (Decimal(1), Decimal(2))
    assert total.amounts.cost == Decimal(3)


SIX = [
    rollup("2026-05-01", "1", team="ml", model="claude-sonnet-4.5"),
    rollup("2026-05-01", "2", team="ml", model="claude-haiku-4.5"),
    rollup("2026-05-01", "4", team="sales", model="gpt-5", provider="azure"),
    rollup("2026-05-02", "8", team="sales", model="gpt-5-mini", provider="azure"),
    rollup("2026-05-02", "16", team=None, model=None, method="unattributed", reason="shared_unassigned"),
    rollup("2026-05-02", "32", team="sales,eu", model="gpt-4o", provider="azure"),
]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (Filter(Dimension.TEAM, Operator.IN, ("ml",)), 3),
        (Filter(Dimension.TEAM, Operator.IN, ("ml", "sales")), 15),
        (Filter(Dimension.TEAM, Operator.IN, ("sales,eu",)), 32),
        (Filter(Dimension.TEAM, Operator.IN, ("nobody",)), None),
        (Filter(Dimension.TEAM, Operator.IN, ("nobody", "ml")), 3),
        (Filter(Dimension.TEAM, Operator.NOT, ("ml",)), 60),
        (Filter(Dimension.TEAM, Operator.NOT, ("nobody",)), 63),
        (Filter(Dimension.MODEL, Operator.PREFIX, ("claude-",)), 3),
        (Filter(Dimension.MODEL, Operator.PREFIX, ("gpt-5", "claude-h")), 14),
        (Filter(Dimension.MODEL, Operator.PREFIX, ("%",)), None),
        (Filter(Dimension.TEAM, Operator.NULL), 16),
        (Filter(Dimension.TEAM, Operator.NOT_NULL), 47),
        (Filter(Dimension.METHOD, Operator.NOT, ("unattributed",)), 47),
    ],
)
def test_filters(one: Filter, expected: int | None) -> None:
    serve(SIX)

    totals = selectors.costs(EVERYTHING, by(filters=(one,))).totals

    assert [total.amounts.total for total in totals] == ([] if expected is None else [Decimal(expected)])


def test_several_filters_must_all_hold() -> None:
    serve(SIX)
    both = (Filter(Dimension.TEAM, Operator.IN, ("sales",)), Filter(Dimension.MODEL, Operator.NOT, ("gpt-5",)))

    assert groups(EVERYTHING, by(filters=both)) == {(): Decimal(8)}


def test_buckets_are_days_or_months() -> None:
    serve([rollup("2026-05-01", "1"), rollup("2026-05-31", "2"), rollup("2026-06-01", "4")], through="2026-07-01")

    def buckets(granularity: Granularity) -> list[tuple[date | None, Decimal | None]]:
        query = CostQuery(date(2026, 5, 1), date(2026, 7, 1), granularity=granularity)
        return [(row.bucket, row.amounts.total) for row in selectors.costs(EVERYTHING, query).rows]

    assert buckets(Granularity.TOTAL) == [(None, Decimal(7))]
    assert buckets(Granularity.MONTH) == [(date(2026, 5, 1), Decimal(3)), (date(2026, 6, 1), Decimal(4))]
    assert buckets(Granularity.DAY) == [
        (date(2026, 5, 1), Decimal(1)),
        (date(2026, 5, 31), Decimal(2)),
        (date(2026, 6, 1), Decimal(4)),
    ]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_pages_give_every_row_once_in_order(order: Order, size: int) -> None:
    serve([*SIX, rollup("2026-05-03", None, team="free"), rollup("2026-05-03", "4", team="twin")])
    query = by(Dimension.TEAM, Dimension.MODEL, order_by=order)
    whole = selectors.costs(EVERYTHING, query)
    assert whole.next_after is None

    read: list[selectors.CostRow] = []
    after = None
    for _ in range(20):
        page = selectors.costs(EVERYTHING, by(Dimension.TEAM, Dimension.MODEL, order_by=order, limit=size, after=after))
        read.extend(page.rows)
        after = page.next_after
        if after is None:
            break

    assert tuple(read) == whole.rows
    assert len(read) == 8


def test_the_dearest_come_first_and_the_unknown_last() -> None:
    serve(
        [rollup("2026-05-01", "1", team="a"), rollup("2026-05-01", "3", team="b"), rollup("2026-05-01", None, team="c")]
    )

    table = selectors.costs(EVERYTHING, by(Dimension.TEAM, order_by=Order.TOTAL))

    assert [row.group for row in table.rows] == [("b",), ("a",), ("c",)]


@pytest.mark.parametrize("after", ["", "x", "bm90IGpzb24", "WzEsMiwzXQ", "é", "WyJhIiwgMSwgMl0="])
def test_a_place_that_nobody_gave_out_is_refused(after: str) -> None:
    with pytest.raises(selectors.UnknownPage):
        selectors.costs(EVERYTHING, by(after=after))


def test_the_place_of_another_question_is_refused() -> None:
    serve(SIX)
    page = selectors.costs(EVERYTHING, by(Dimension.TEAM, limit=1))

    with pytest.raises(selectors.UnknownPage, match="another question"):
        selectors.costs(EVERYTHING, by(Dimension.MODEL, limit=1, after=page.next_after))


class TestReadersOfATeam:
    """A lead of ml reads 3 of 63 and nothing from which the rest could be worked out."""

    def test_totals_are_the_teams(self) -> None:
        serve(SIX)

        table = selectors.costs(ML, by(Dimension.PROVIDER, Dimension.TEAM))

        assert {row.group: row.amounts.total for row in table.rows} == {("aws", "ml"): Decimal(3)}
        assert [one.amounts.total for one in table.totals] == [Decimal(3)]

    @pytest.mark.parametrize(
        "one",
        [
            Filter(Dimension.TEAM, Operator.IN, ("sales",)),
            Filter(Dimension.TEAM, Operator.NOT, ("ml",)),
            Filter(Dimension.TEAM, Operator.PREFIX, ("s",)),
            Filter(Dimension.TEAM, Operator.NULL),
            Filter(Dimension.PROVIDER, Operator.IN, ("azure",)),
            Filter(Dimension.METHOD, Operator.IN, ("unattributed",)),
        ],
    )
    def test_no_filter_reaches_past_the_scope(self, one: Filter) -> None:
        serve(SIX)
        unknown = Filter(one.dimension, Operator.IN, ("no such word",))

        refused = selectors.costs(ML, by(Dimension.TEAM, filters=(one,)))
        absent = selectors.costs(ML, by(Dimension.TEAM, filters=(unknown,)))

        # What exists but is somebody else's looks exactly like what does not exist.
        assert (refused.rows, refused.totals, refused.next_after) == (absent.rows, absent.totals, absent.next_after)
        assert refused.rows == ()

    def test_a_place_from_a_wider_reader_shows_nothing_more(self) -> None:
        serve(SIX)
        wide = selectors.costs(EVERYTHING, by(Dimension.TEAM, limit=1))

        rows = selectors.costs(ML, by(Dimension.TEAM, limit=5, after=wide.next_after)).rows

        assert {row.group for row in rows} <= {("ml",)}

    def test_no_team_means_no_rows(self) -> None:
        serve(SIX)

        assert selectors.costs(NOTHING, MAY).rows == ()
        assert selectors.costs(TeamScope(teams=frozenset({"nobody"})), MAY).rows == ()

    def test_freshness_names_only_providers_of_the_team_and_no_share(self) -> None:
        serve(SIX)

        (one,) = selectors.freshness(ML)

        assert (one.provider, one.billed_through, one.captured_share) == ("aws", date(2026, 6, 1), None)

    @pytest.mark.parametrize(
        "read", [selectors.sources, selectors.imports, selectors.quarantine, selectors.reconciliation]
    )
    def test_what_is_of_the_whole_organisation_is_refused(self, read: Any) -> None:
        with pytest.raises(selectors.NotAllowed):
            read(ML)
