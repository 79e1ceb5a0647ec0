"""The engine runs models: exact integers, UTC, views of one run only, nothing lossy into Parquet."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attribution.lake import engine as engine_module
from attribution.lake.engine import DuckDBEngine, Files, ModelFailed, UnknownModel, WideInteger
from attribution.lake.schemas import MONEY, TIME

HUGE = st.integers(-(10**36), 10**36)


@pytest.fixture
def run_sql(tmp_path, monkeypatch):
    """Run a text as if it were a model."""
    monkeypatch.setattr(engine_module, "SQL_ROOT", tmp_path / "sql")
    engine_module.model_sql.cache_clear()
    with DuckDBEngine(memory_limit="500MB", threads=1, temp_directory=tmp_path / "tmp") as engine:

        def run(sql: str, *, params=None, into=None, **inputs):
            path = tmp_path / "sql" / "marts" / f"m{abs(hash(sql))}.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(sql)
            return engine.run(f"marts/{path.stem}", params=params or {}, inputs=inputs, into=into)

        yield run
    engine_module.model_sql.cache_clear()


def pairs(*rows: tuple[int, int], kind: str = "decimal(38,0)") -> pa.Table:
    """Two columns of 128-bit integers, as decimal(38,0)."""
    a, b = zip(*rows, strict=True)
    return pa.table(
        {"a": pa.array(map(Decimal, a), pa.decimal128(38, 0)), "b": pa.array(map(Decimal, b), pa.decimal128(38, 0))}
    )


DIVIDE = "select cast(exact_div(a, b) as decimal(38,0)) as q, cast(exact_mod(a, b) as decimal(38,0)) as r from pairs"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.tuples(HUGE, HUGE.filter(bool)), min_size=1, max_size=200))
@example([(7, 2), (-7, 2), (7, -2), (-7, -2), (0, -5), (10**36, 1), (-(10**36), 10**36), (10**36, 3), (1, 10**36)])
def test_exact_division_is_that_of_integers(run_sql, rows):
    result = run_sql(DIVIDE, pairs=pairs(*rows)).to_pylist()
    assert [(int(row["q"]), int(row["r"])) for row in result] == [divmod(a, b) for a, b in rows]


def test_exact_division_takes_small_integers_and_unknown_ones(run_sql):
    result = run_sql(
        "select cast(exact_div(x, 2) as bigint) as q, cast(exact_mod(x, 2) as bigint) as r from t",
        t=pa.table({"x": pa.array([-3, 3, None], pa.int64())}),
    )
    assert result.to_pylist() == [{"q": -2, "r": 1}, {"q": 1, "r": 1}, {"q": None, "r": None}]


@pytest.mark.parametrize("macro", ["exact_div", "exact_mod"])
def test_division_by_zero_fails_and_loses_nothing_in_silence(run_sql, macro):
    with pytest.raises(ModelFailed, match=f"{macro}: division by zero"):
        run_sql(f"select cast({macro}(a, b) as decimal(38,0)) as x from pairs", pairs=pairs((1, 1), (5, 0)))


def test_an_overflow_fails(run_sql):
    with pytest.raises(ModelFailed, match=r"(?i)overflow|out of range"):
        run_sql("select a * b as x from pairs", pairs=pairs((10**30, 10**30)))


@pytest.mark.parametrize(
    "column",
    ["sum(n)", "cast(1 as hugeint)", "[cast(1 as hugeint)]", "{'x': cast(1 as hugeint)}", "cast(1 as uhugeint)"],
)
def test_a_128_bit_integer_never_reaches_parquet(run_sql, tmp_path, column):
    with pytest.raises(WideInteger, match=r"wide is HUGEINT.*decimal\(38,0\)"):
        run_sql(f"select {column} as wide from t", t=pa.table({"n": [1, 2]}), into=tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_sum_cast_to_a_decimal_reaches_parquet_whole(run_sql, tmp_path):
    out = tmp_path / "out.parquet"
    table = pa.table({"n": [9_007_199_254_740_993_123, 1]})
    shape = run_sql("select cast(sum(n) as decimal(38,0)) as total from t", t=table, into=out)
    assert (shape.num_rows, shape.column_names) == (0, ["total"])
    assert pq.read_table(out)["total"].to_pylist() == [Decimal(9_007_199_254_740_993_124)]


def test_a_sum_that_stays_in_memory_is_exact(run_sql):
    table = pa.table({"n": [9_007_199_254_740_993_123, 1]})
    assert run_sql("select sum(n) as total from t", t=table)["total"].to_pylist() == [9_007_199_254_740_993_124]


def test_a_model_that_fails_half_way_leaves_no_file(run_sql, tmp_path):
    out = tmp_path / "out.parquet"
    table = pa.table({"n": [*range(500_000), 0]})
    with pytest.raises(ModelFailed, match="division by zero"):
        run_sql("select cast(exact_div(1, n - 499_999) as bigint) as x from t", t=table, into=out)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_money_and_instants_come_back_as_they_went(run_sql, tmp_path):
    cost, at = Decimal("12345678901234567890.123456789012345678"), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    table = pa.table({"cost": pa.array([cost], MONEY), "at": pa.array([at], TIME)})
    assert run_sql("select * from t", t=table).equals(table)
    run_sql("select * from t", t=table, into=tmp_path / "out.parquet")
    stored = pq.read_table(tmp_path / "out.parquet")
    assert stored.schema.equals(table.schema)
    assert stored.equals(table)
    assert run_sql("select * from t", t=Files([tmp_path / "out.parquet"])).equals(table)


def test_days_are_utc_days_whatever_the_machine_says(run_sql, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Apia")
    table = pa.table({"at": pa.array([datetime(2026, 5, 1, 23, 59, tzinfo=UTC)], TIME)})
    assert str(run_sql("select cast(t.at as date) as day from t", t=table)["day"][0]) == "2026-05-01"


def test_parameters_are_values_never_sql(run_sql):
    table = pa.table({"name": ["a", "b'; drop table t; --"]})
    sql = "select name from t where name = $wanted"
    assert run_sql(sql, params={"wanted": "b'; drop table t; --"}, t=table).num_rows == 1
    with pytest.raises(ModelFailed, match="wanted"):
        run_sql(sql, t=table)
    with pytest.raises(ModelFailed):
        run_sql(sql, params={"wanted": "a", "unknown": 1}, t=table)


def test_a_parameter_may_be_a_decimal_a_time_a_list_or_unknown(run_sql, tmp_path):
    params = {
        "d": Decimal("0.000000000000000001"),
        "at": datetime(2026, 5, 1, tzinfo=UTC),
        "n": None,
        "names": ["a", "b"],
    }
    sql = """
        select cast($d as decimal(38,18)) as d, cast($at as timestamptz) as at, cast($n as bigint) as n
        where list_contains($names, 'a')
    """
    expected = {"d": params["d"], "at": params["at"], "n": None}
    assert run_sql(sql, params=params).to_pylist() == [expected]
    run_sql(sql, params=params, into=tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [expected]


def test_no_files_are_an_empty_input_of_their_schema(run_sql, charges):
    result = run_sql("select sum(billed_cost) as total, count(*) as n from c", c=Files([], charges().schema))
    assert result.to_pylist() == [{"total": None, "n": 0}]
    with pytest.raises(ModelFailed, match="no files and no schema"):
        run_sql("select 1 as x from c", c=Files([]))


def test_folder_names_are_no_columns(run_sql, tmp_path):
    folder = tmp_path / "scope=aws%2Fcur" / "day=2026-05-01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), folder / "a.parquet")
    assert run_sql("select * from t", t=Files([folder / "a.parquet"])).column_names == ["x"]


def test_a_file_with_a_name_like_a_pattern_is_that_file(run_sql, tmp_path):
    for name in ("a[1].parquet", "a1.parquet", "it's *.parquet"):
        pq.write_table(pa.table({"name": [name]}), tmp_path / name)
    for name in ("a[1].parquet", "it's *.parquet"):
        assert run_sql("select * from t", t=Files([tmp_path / name]))["name"].to_pylist() == [name]


def test_batches_are_read_as_they_come(run_sql, tmp_path):
    def batches():
        for start in range(0, 1_000, 100):
            yield pa.record_batch({"n": pa.array(range(start, start + 100))})

    schema = pa.schema([("n", pa.int64())])
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    assert run_sql("select cast(sum(n) as bigint) as total from t", t=reader)["total"].to_pylist() == [499_500]
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    run_sql("select n from t order by n desc", t=reader, into=tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["n"].to_pylist() == list(range(999, -1, -1))


def test_inputs_of_one_run_are_unknown_to_the_next(run_sql):
    run_sql("select * from only_here", only_here=pa.table({"x": [1]}))
    with pytest.raises(ModelFailed, match="only_here"):
        run_sql("select x + 1 as y from only_here")


def test_runs_of_several_threads_see_their_own_inputs(run_sql):
    sums: dict[int, int] = {}
    sql = "select cast(sum(n) as bigint) as total from t"
    run_sql(sql, t=pa.table({"n": [1]}))

    def work(number: int) -> None:
        sums[number] = run_sql(sql, t=pa.table({"n": [number] * 1_000}))["total"][0].as_py()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == {number: number * 1_000 for number in range(8)}


@pytest.mark.parametrize(
    "model", ["marts/nothing_like_that", "nothing", "../../etc/passwd", "marts/../marts/x", "Marts/x", ""]
)
def test_a_model_is_a_file_below_the_sql_folder(run_sql, model, tmp_path):
    with (
        DuckDBEngine(threads=1, temp_directory=tmp_path / "tmp") as engine,
        pytest.raises(UnknownModel, match="below attribution/sql"),
    ):
        engine.run(model, inputs={})


@pytest.mark.parametrize("name", ["T", "1t", 't" as select 1; --', "a-b", ""])
def test_a_view_has_a_plain_name(run_sql, name):
    with pytest.raises(ModelFailed, match="lower case"):
        run_sql("select 1 as x", **{name: pa.table({"x": [1]})})


def test_a_comment_and_a_semicolon_at_the_end_do_no_harm(run_sql, tmp_path):
    sql = "-- $not_a_parameter; grain: one row\nselect 1 as x -- done\n;\n"
    assert run_sql(sql).to_pylist() == [{"x": 1}]
    run_sql(sql, into=tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 1


def test_a_big_sort_spills_below_its_folder_and_leaves_nothing(tmp_path):
    table = pa.table({"n": pa.array(range(1_000_000))})
    with DuckDBEngine(memory_limit="40MB", threads=1, temp_directory=tmp_path / "tmp") as engine:
        [folder] = (tmp_path / "tmp").iterdir()
        sql = "select n, repeat(cast(n as varchar), 5) as t from t order by t desc"
        engine._run_sql(sql, "big", params={}, inputs={"t": table}, into=tmp_path / "out.parquet")
        assert folder.is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 1_000_000


def test_what_is_no_query_is_refused(run_sql):
    with pytest.raises(ModelFailed, match="is no query"):
        run_sql("-- nothing here")


def test_every_shipped_model_is_one_query():
    root = Path(engine_module.__file__).parents[1] / "sql"
    folders = ("staging", "marts", "audits")
    models = [f"{folder}/{path.stem}" for folder in folders for path in (root / folder).glob("*.sql")]
    kinds = {
        model: [str(s.type) for s in duckdb.extract_statements(engine_module.model_sql(model))] for model in models
    }
    assert {model: kind for model, kind in kinds.items() if kind != ["StatementType.SELECT"]} == {}


def test_files_of_one_run_are_invisible_to_other_threads_and_to_later_runs(tmp_path):
    paths = [tmp_path / f"it's {number}.parquet" for number in range(8)]
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"provider": [str(number)]}), path)
    with DuckDBEngine(threads=1, temp_directory=tmp_path / "tmp") as engine, ThreadPoolExecutor(4) as pool:

        def provider(path):
            return engine.run("marts/usage_providers", inputs={"usage_hourly": Files([path])})["provider"].to_pylist()

        assert list(pool.map(provider, paths * 8)) == [[str(number)] for number in range(8)] * 8
        with pytest.raises(ModelFailed, match="usage_hourly"):
            engine.run("marts/usage_providers", inputs={})
