"""The content hash is that of a multiset of rows: order and layout mean nothing, every value and every copy counts."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.lake.content import EMPTY, WrongSchema, canonical, content_hash
from attribution.lake.schemas import MONEY, SCHEMAS, TEXT, TIME, TOKENS

SCHEMA = pa.schema(
    [
        ("name", TEXT), ("cost", MONEY), ("day", pa.date32()), ("at", TIME), ("tokens", TOKENS), ("error", pa.bool_()),
        ("series_id", pa.int32()),
    ]
)  # fmt: skip
# Few values each, so that rows meet: NULL, zero and the empty text are three things.
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "", "a", "ab", "b", "漢"]),
        st.sampled_from([None, Decimal(0), Decimal("0.000000000000000001"), Decimal("-99999999999999999999")]),
        st.sampled_from([None, date(1970, 1, 1), date(2026, 5, 1)]),
        st.sampled_from([None, datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, microsecond=1, tzinfo=UTC)]),
        st.sampled_from([None, 0, 2**62]),
        st.sampled_from([None, False, True]),
        st.sampled_from([None, 0, 7]),
    ),
    max_size=12,
)


def table(rows) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[]] * len(SCHEMA)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def hashed(any_table: pa.Table) -> str:
    return content_hash(canonical(any_table, SCHEMA, "test"))


@given(ROWS, st.randoms(use_true_random=False))
def test_order_means_nothing(rows, chance):
    shuffled = rows[:]
    chance.shuffle(shuffled)
    assert hashed(table(rows)) == hashed(table(shuffled))
    assert canonical(table(rows), SCHEMA, "test").equals(canonical(table(shuffled), SCHEMA, "test"))


@given(ROWS, ROWS)
def test_equal_hashes_are_equal_multisets(rows, others):
    assert (hashed(table(rows)) == hashed(table(others))) == (Counter(rows) == Counter(others))


@given(ROWS.filter(bool), st.data())
def test_a_copy_of_a_row_counts(rows, data):
    assert hashed(table([*rows, data.draw(st.sampled_from(rows))])) != hashed(table(rows))


@given(ROWS, st.integers(0, 12))
def test_layout_means_nothing(rows, cut):
    whole = table(rows)
    expected = hashed(whole)
    assert hashed(pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])) == expected
    # A slice of a larger table still has its neighbours' bytes in its buffers.
    longer = pa.concat_tables([table([("zz", None, None, None, 1, True, 1)]), whole]).combine_chunks()
    assert hashed(longer.slice(1)) == expected
    encoded = whole.set_column(0, "name", whole["name"].dictionary_encode())
    assert hashed(encoded) == expected
    assert hashed(whole.select(SCHEMA.names[::-1])) == expected


def test_values_under_a_null_mean_nothing():
    hidden = pa.Array.from_buffers(TOKENS, 2, [pa.py_buffer(b"\x01"), pa.py_buffer((7).to_bytes(8, "little") * 2)])
    schema = pa.schema([("tokens", TOKENS)])
    assert hidden.to_pylist() == [7, None]
    plain = pa.table([pa.array([7, None], TOKENS)], schema=schema)
    assert content_hash(pa.table([hidden], schema=schema)) == content_hash(plain)


def test_where_a_text_ends_counts():
    schema = pa.schema([("a", TEXT), ("b", TEXT)])
    hashes = {
        content_hash(pa.table([pa.array(a, TEXT), pa.array(b, TEXT)], schema=schema))
        for a, b in [(["ab"], ["c"]), (["a"], ["bc"]), (["abc"], [""]), (["abc"], [None]), (["ab", ""], ["c", ""])]
    }
    assert len(hashes) == 5


def test_column_names_and_types_count():
    value = pa.array([1], TOKENS)
    hashes = {
        content_hash(pa.table({"a": value})),
        content_hash(pa.table({"b": value})),
        content_hash(pa.table({"a": value.cast(pa.int32())})),
    }
    assert len(hashes) == 3


def test_no_rows_are_the_empty_hash_in_every_dataset():
    assert {content_hash(canonical(schema.empty_table(), schema, name)) for name, schema in SCHEMAS.items()} == {EMPTY}


def test_rows_are_sorted_by_every_column_nulls_last():
    rows = [("b", None, None, None, 1, None, None), (None, None, None, None, 0, None, None)]
    rows += [("a", Decimal(2), None, None, 1, None, None), ("a", Decimal(1), None, None, 1, None, None)]
    ordered = canonical(table(rows), SCHEMA, "test").select(["name", "cost"]).to_pylist()
    assert [(row["name"], row["cost"]) for row in ordered] == [("a", 1), ("a", 2), ("b", None), (None, None)]


@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal128(38, 9), pa.decimal128(20, 18), pa.int64(), TEXT])
def test_money_of_another_type_is_refused(kind):
    wrong = table([]).set_column(1, "cost", pa.array([], kind))
    with pytest.raises(WrongSchema, match=r"test.cost is .*, expected decimal128\(38, 18\)"):
        canonical(wrong, SCHEMA, "test")


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns", tz="UTC"), pa.timestamp("us", tz="Etc/UTC")])
def test_times_are_utc_microseconds_by_that_name(kind):
    wrong = table([]).set_column(3, "at", pa.array([], kind))
    with pytest.raises(WrongSchema, match=r"test\.at is timestamp"):
        canonical(wrong, SCHEMA, "test")


def test_one_column_twice_is_refused():
    with pytest.raises(WrongSchema):
        canonical(table([]).append_column("name", pa.array([], TEXT)), SCHEMA, "test")
