"""Keys name partitions, whatever scopes and accounts are called; their paths are short, plain and inside the lake."""

from datetime import date
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attribution.lake.partitions import MAX_TEXT, PartitionKey
from attribution.vocabulary import Dataset

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=200)
KEYS = st.builds(
    PartitionKey,
    st.sampled_from(Dataset),
    scope=NAMES | st.text("漢/é", min_size=250, max_size=300),
    billing_account_id=NAMES,
    billing_period=st.sampled_from(["", "2026-05", "2026-06"]),
    day=st.none() | st.dates(),
    provider=NAMES.map(lambda name: name[:64]),
)
TRICKY = [
    "a",
    "a/b",
    "../..",
    ".",
    "a&day=2026-05-01",
    "a%2Fb",
    "a=b",
    "A",
    " a",
    "é",
    "漢字",
    "a\nb",
    "a+b",
    "*",
    "[a]",
]


@given(KEYS)
@example(PartitionKey(Dataset.CHARGES_AMORTIZED, "漢" * 300, "語" * 200, "2026-05", date(2026, 5, 1), "字" * 64))
def test_texts_and_paths_are_short_and_plain(key):
    path = key.file_path("0" * 32)
    assert len(key.text) <= MAX_TEXT
    assert len(path) <= 300
    assert (key.text + path).isascii()
    assert not set(path) & set("*?[]\\: \n'\"")
    assert path.startswith(f"{key.dataset}/")
    assert all(0 < len(segment) <= 255 and segment.strip(".") for segment in path.split("/"))


@given(st.lists(KEYS, min_size=2, max_size=5, unique=True))
def test_different_keys_have_different_names(keys):
    assert len({key.name for key in keys}) == len(keys)


def test_tricky_names_never_meet():
    keys = [PartitionKey(Dataset.CHARGES, scope=name) for name in TRICKY]
    keys += [PartitionKey(Dataset.CHARGES, billing_account_id=name) for name in TRICKY]
    keys += [PartitionKey(Dataset.LEDGER, scope=name) for name in TRICKY]
    assert len({key.name for key in keys}) == len(keys)
    assert len({key.folder for key in keys}) == len(keys)


def test_long_names_that_differ_at_the_end_never_meet():
    keys = [PartitionKey(Dataset.CHARGES, scope="漢" * 299 + end) for end in "abc"]
    # The shortened text of a long key, taken for a name.
    keys.append(PartitionKey(Dataset.CHARGES, scope=keys[0].text.removeprefix("scope=")))
    for one, other in combinations(keys, 2):
        assert one.name != other.name
        assert one.folder != other.folder


def test_a_key_reads_well_where_names_are_plain():
    key = PartitionKey(Dataset.CHARGES, "aws/cur", "123456789012", "2026-05", date(2026, 5, 1), "aws")
    assert key.text == "provider=aws&scope=aws%2Fcur&account=123456789012&period=2026-05&day=2026-05-01"
    assert key.name == f"charges?{key.text}"
    assert key.file_path("ab") == (
        "charges/provider=aws/scope=aws%2Fcur/account=123456789012/period=2026-05/2026-05-01-ab.parquet"
    )
    assert PartitionKey(Dataset.USAGE_HOURLY).file_path("ab") == "usage_hourly/ab.parquet"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"scope": "a" * 301}, "301 characters, more than 300"),
        ({"billing_account_id": "a" * 201}, "more than 200"),
        ({"provider": "a" * 65}, "more than 64"),
        ({"scope": "a\x00b"}, "NUL"),
        ({"scope": "a\ud800b"}, "half a character"),
        ({"billing_period": "2026-13"}, "not YYYY-MM"),
        ({"billing_period": "2026-5"}, "not YYYY-MM"),
    ],
)
def test_what_cannot_be_stored_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        PartitionKey(Dataset.CHARGES, **parts)
