"""The serving file: built once per set of facts, at a new path, read by many."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from attribution.lake import serving
from attribution.lake.serving_sql import TABLES, costs_statement
from attribution.models import ServingFile
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator
from attribution.scope import EVERYTHING
from tests.attribution.serving_lake import publish_lake, rollup, usage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("lake_root")]

MAY = CostQuery(start=date(2026, 5, 1), end=date(2026, 6, 1))
THROUGH_MAY = {("aws", "111"): "2026-06-01"}


def test_without_facts_there_is_nothing_to_serve() -> None:
    assert serving.build_serving_file() is None
    assert serving.newest() is None


def test_the_same_facts_are_built_once() -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)

    first = serving.build_serving_file()

    assert serving.build_serving_file() == first
    assert ServingFile.objects.count() == 1


@pytest.mark.parametrize("what", ["a cost", "a watermark"])
def test_a_change_makes_a_new_file_at_a_new_path(what: str) -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)
    first = serving.build_serving_file()
    if what == "a cost":
        publish_lake([rollup("2026-05-01", "2")], billed_through=THROUGH_MAY)
    else:
        publish_lake(billed_through={("aws", "111"): "2026-05-01"})

    second = serving.build_serving_file()

    assert first is not None
    assert second is not None
    assert first.path != second.path
    assert first.fingerprint != second.fingerprint
    assert serving.newest() == second


def test_a_reader_of_the_old_file_is_not_disturbed_by_the_new_one() -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)
    old = serving.build_serving_file()
    publish_lake([rollup("2026-05-01", "2")], billed_through=THROUGH_MAY)
    new = serving.build_serving_file()
    assert old is not None
    assert new is not None

    statement = costs_statement(EVERYTHING, MAY, None, 10)

    assert serving.fetch(old, statement)[0][2] == Decimal(1)
    assert serving.fetch(new, statement)[0][2] == Decimal(2)
    assert serving.fetch(old, statement)[0][2] == Decimal(1)


def test_old_files_age_out_and_the_served_one_never() -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)
    old = serving.build_serving_file()
    publish_lake([rollup("2026-05-01", "2")], billed_through=THROUGH_MAY)
    new = serving.build_serving_file()
    assert old is not None
    assert new is not None

    serving.age_out(timezone.now() + serving.KEPT + timedelta(seconds=1))

    assert list(ServingFile.objects.all()) == [new]
    assert [path.name for path in serving.folder().iterdir()] == [new.path]


def test_a_lost_file_is_built_again() -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)
    lost = serving.build_serving_file()
    assert lost is not None
    (serving.folder() / lost.path).unlink()

    again = serving.build_serving_file()

    assert again is not None
    assert (serving.folder() / again.path).is_file()


def test_a_builder_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)

    def fail(*_: object) -> str:
        raise RuntimeError("stop")

    monkeypatch.setattr(serving, "_rolled_up", fail)
    with pytest.raises(RuntimeError, match="stop"):
        serving.build_serving_file()

    assert list(serving.folder().iterdir()) == []
    assert serving.newest() is None


def test_every_table_says_the_same() -> None:
    """The small tables are only faster: each sums to 1 + 2 + 4 = 7, and 6 of it is of team ml."""
    rows = [
        rollup("2026-05-01", "1", team="sales", region="eu-west-1"),
        rollup("2026-05-02", "2", team="ml"),
        rollup("2026-05-02", "4", team="ml", region="eu-west-1"),
    ]
    publish_lake(rows, billed_through=THROUGH_MAY)
    file = serving.build_serving_file()
    assert file is not None

    for table in TABLES:
        sql = f"select sum(effective_cost), sum(effective_cost) filter (where team = 'ml') from {table.name}"
        assert serving.fetch(file, serving.Statement(sql, {})) == ((Decimal(7), Decimal(6)),), table.name


@pytest.mark.parametrize(
    ("query", "table"),
    [
        (CostQuery(MAY.start, MAY.end, (Dimension.TEAM,)), "costs_narrow_by_month"),
        (CostQuery(MAY.start, MAY.end, (Dimension.TEAM,), granularity=Granularity.DAY), "costs_narrow"),
        (CostQuery(date(2026, 5, 2), MAY.end, (Dimension.TEAM,)), "costs_narrow"),
        (CostQuery(MAY.start, MAY.end, (Dimension.PROJECT,)), "costs_by_month"),
        (CostQuery(MAY.start, date(2026, 5, 20), (), (Filter(Dimension.REGION, Operator.NULL),)), "costs"),
    ],
)
def test_a_question_goes_to_the_smallest_table_that_can_answer_it(query: CostQuery, table: str) -> None:
    assert f"from {table}\n" in costs_statement(EVERYTHING, query, None, 10).sql


def test_eight_threads_read_one_file_at_once() -> None:
    publish_lake([rollup("2026-05-01", "1")], [usage("2026-05-01", "ml", "1")], billed_through=THROUGH_MAY)
    file = serving.build_serving_file()
    assert file is not None

    def read(number: int) -> Decimal:
        return serving.fetch(file, costs_statement(EVERYTHING, MAY, None, 10 + number % 3))[0][2]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(64))) == {Decimal(1)}


def test_a_question_that_failed_can_be_asked_again(tmp_path: Path) -> None:
    publish_lake([rollup("2026-05-01", "1")], billed_through=THROUGH_MAY)
    file = serving.build_serving_file()
    assert file is not None
    bad = serving.Statement("select no_such_column from costs", {})

    for _ in range(2):
        with pytest.raises(Exception, match="no_such_column"):
            serving.fetch(file, bad)
