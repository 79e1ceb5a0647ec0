"""What changed: the waterfall's parts sum to the difference to the last digit, whoever looks, however it is grouped."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from attribution.lake.serving import build_serving_file
from attribution.models import Team
from attribution.money import exact_sum
from attribution.queries import CostQuery, Dimension
from attribution.selectors import Amounts, Availability, CostRow, CostTable, Snapshot
from governance.dashboards import changed
from governance.dashboards.bar import Bar, Span
from governance.dashboards.reading import CELL_DIMENSIONS
from governance.identity import services
from governance.models import Role
from tests.attribution.serving_lake import publish_lake, rollup

D = Decimal
START = datetime(2026, 1, 1, tzinfo=UTC)
MAY = Bar("custom", Span(date(2026, 5, 1), date(2026, 6, 1)))


def table(*rows: tuple[str, str, str, Decimal, int | None]) -> CostTable:
    """(model, team, project, cost, tokens), all on one provider."""
    query = CostQuery(date(2026, 5, 1), date(2026, 6, 1), group_by=CELL_DIMENSIONS)
    found = tuple(
        CostRow(None, "USD", ("aws", model, team, project), Amounts(cost, None, None, cost, 0, cost, None, tokens))
        for model, team, project, cost, tokens in rows
    )
    return CostTable(query, Snapshot(Availability.READY), found, (), None)


APRIL = table(
    ("large", "ml", "search", D(100), 1000), ("small", "ml", "search", D(10), 1000), ("old", "ml", "x", D(7), 1)
)
NOW = table(
    ("large", "ml", "search", D(150), 1500), ("small", "ml", "search", D(20), 1500), ("new", "ml", "x", D(3), 1)
)


def test_the_waterfall_by_hand() -> None:
    found = changed.changed(APRIL, NOW, "USD")
    assert found is not None

    drawn = changed.waterfall(found, MAY, "USD", {})

    # 1,500 for 1,000 tokens of both: +50 % of 110. small's token is twice as dear: 20 - 15. new 3, gone -7.
    assert [(step.name, step.amount.text) for step in drawn.steps] == [
        ("Volume", "+55.00"),
        ("Price", "+5.00"),
        ("Mix", "0"),
        ("New", "+3.00"),
        ("Gone", "−7.00"),
    ]
    assert (drawn.before.text, drawn.after.text, drawn.total.amount.text) == ("117.00", "173.00", "+56.00")
    assert drawn.steps[0].words == "mostly Large, +50.00"
    assert drawn.steps[1].words == "only Small, +5.00"
    assert drawn.steps[0].link == f"{MAY.query()}&driver=volume"


def test_bars_begin_where_the_one_before_ended() -> None:
    found = changed.changed(APRIL, NOW, "USD")
    assert found is not None

    drawn = changed.waterfall(found, MAY, "USD", {})

    volume, price, _, new, gone = drawn.steps
    assert volume.x == drawn.zero
    assert price.x == pytest.approx(volume.x + volume.width, abs=1)
    # Down: it ends left of where it began; the foot's bar ends there too.
    assert gone.x + gone.width == pytest.approx(new.x + new.width, abs=1)
    assert drawn.total.x + drawn.total.width == pytest.approx(gone.x, abs=1)


def test_one_side_without_figures_or_too_long_is_no_waterfall() -> None:
    assert changed.changed(table(), NOW, "USD") is None
    assert changed.changed(APRIL, NOW, "EUR") is None
    assert changed.changed(replace(APRIL, next_after="more"), NOW, "USD") is None


AMOUNTS = st.decimals(min_value=-(10**9), max_value=10**9, places=18)
ROWS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("ml", "sales")), st.sampled_from("xy")),
    st.tuples(AMOUNTS, st.one_of(st.none(), st.integers(0, 10**12))),
    min_size=1,
)
DIMENSIONS = st.sampled_from([Dimension.MODEL, Dimension.TEAM, Dimension.PROVIDER, Dimension.PROJECT])


def exact(title: str) -> Decimal:
    return Decimal(title.split(" ")[0])


@given(ROWS, ROWS, DIMENSIONS, st.sampled_from(["", "volume", "price", "mix", "new", "gone"]))
def test_every_row_and_column_sums_to_the_last_digit(
    before: dict[tuple[str, str, str], tuple[Decimal, int | None]],
    after: dict[tuple[str, str, str], tuple[Decimal, int | None]],
    by: Dimension,
    driver: str,
) -> None:
    old, new = (table(*((*key, *value) for key, value in side.items())) for side in (before, after))
    found = changed.changed(old, new, "USD")
    assert found is not None
    bar = replace(MAY, group_by=by)
    difference = exact_sum([cost for cost, _ in after.values()] + [cost.copy_negate() for cost, _ in before.values()])

    drawn = changed.waterfall(found, bar, "USD", {})
    listed = changed.by_entity(found, bar, driver, "USD", {})

    assert exact_sum(exact(step.amount.title) for step in drawn.steps) == difference == exact(drawn.total.amount.title)
    assert exact_sum(exact(row.difference.title) for row in listed.rows) == difference
    for row in (*listed.rows, listed.total):
        assert exact_sum(exact(part.title) for part in row.parts) == exact(row.difference.title)
    for place, part in enumerate(listed.total.parts):
        assert exact_sum(exact(row.parts[place].title) for row in listed.rows) == exact(part.title)


@pytest.fixture
def two_months(lake_root: object, db: None) -> None:
    rows = [
        rollup("2026-04-10", "10", team="ml", project="p", metered_tokens=100, billing_period="2026-04"),
        rollup("2026-05-10", "20.000000000000000001", team="ml", project="p", metered_tokens=200),
        rollup("2026-05-11", "4", team="sales", project="q", metered_tokens=10, model="gpt-5"),
    ]
    publish_lake(rows, billed_through={("aws", "111"): "2026-06-01"})
    build_serving_file()


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def signed_in(role: Role, team: object = None) -> Client:
    client = Client()
    client.force_login(
        services.create_person(email=f"{role.value}@example.org", name="A", role=role, team=team, now=START)  # type: ignore[arg-type]
    )
    return client


QUERY = "period=custom&from=2026-05-01&to=2026-05-31"


def test_the_overview_says_what_changed_and_each_bar_is_a_link(two_months: None) -> None:
    client = signed_in(Role.OWNER)

    shown = client.get(f"/?{QUERY}").content.decode()

    assert "What changed against 1–30 Apr" in shown
    for driver in ("volume", "price", "mix", "new", "gone"):
        assert f"&amp;driver={driver}" in shown
    assert 'title="14.000000000000000001 USD"' in shown
    assert "Volume +10.00" in page(client, f"/?{QUERY}")


def test_each_driver_s_page_lists_who_moved_it(two_months: None) -> None:
    client = signed_in(Role.OWNER)

    by_team = page(client, f"/what-changed?{QUERY}&group_by=team&driver=new")

    assert "sales 0 4.00 +4.00 0 0 0 +4.00 0 ml 10.00 20.00 +10.00 +10.00" in by_team
    assert "All 10.00 24.00 +14.00 +10.00" in by_team
    assert "Nothing to compare" in page(client, f"/what-changed?{QUERY}&compare=none")
    assert client.get(f"/what-changed?{QUERY}&driver=nonsense").status_code == 200


def test_a_lead_s_difference_holds_no_other_team(two_months: None) -> None:
    client = signed_in(Role.LEAD, Team.objects.create(slug="ml", name="Ml"))

    shown = page(client, f"/what-changed?{QUERY}&group_by=team")

    assert "All 10.00 20.00 +10.00 +10.00" in shown
    assert not re.search("sales|gpt|24.00", shown, re.IGNORECASE)
    assert Client().get("/what-changed").status_code == 302
