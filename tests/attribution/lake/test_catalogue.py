"""Partitions are staged, swapped in one transaction, read as they are or as they were."""

import os
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from attribution.lake import catalogue
from attribution.lake import engine as engine_module
from attribution.lake.catalogue import Stale, current, files, lake_hash, publish, read_table, seen, stage, stage_many
from attribution.lake.content import EMPTY, WrongSchema
from attribution.models import CommitSequence, Revision
from attribution.vocabulary import Dataset

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("lake_root")]


def costs(revision: Revision) -> list[str]:
    return [f"{cost:f}".rstrip("0").rstrip(".") for cost in read_table(revision)["billed_cost"].to_pylist()]


def test_staged_content_is_invisible_until_it_is_published(key, charges, lake_root):
    staged = stage(key(), charges("1.5"))
    assert current(Dataset.CHARGES) == []
    assert (lake_root / staged.path).is_file()
    published = publish([staged])
    assert published.commit_seq == 1
    [revision] = current(Dataset.CHARGES)
    assert (revision.rev, revision.rows, revision.path) == (1, 1, staged.path)
    assert costs(revision) == ["1.5"]


def test_it_replaces_a_partition_and_keeps_the_old_revision_readable(key, charges):
    publish([stage(key(), charges("1", "2"))])
    publish([stage(key(), charges("3"))])
    [revision] = current(Dataset.CHARGES)
    assert (revision.rev, costs(revision)) == (2, ["3"])
    [old] = current(Dataset.CHARGES, as_of=1)
    assert (old.rev, old.superseded_seq, costs(old)) == (1, 2, ["1", "2"])
    assert current(Dataset.CHARGES, as_of=0) == []


def test_as_of_an_instant_is_what_was_current_then(key, charges):
    before = timezone.now()
    publish([stage(key(), charges("1"))])
    between = timezone.now()
    publish([stage(key(), charges("2"))])
    assert current(Dataset.CHARGES, as_of=before) == []
    assert [revision.rev for revision in current(Dataset.CHARGES, as_of=between)] == [1]
    assert [revision.rev for revision in current(Dataset.CHARGES, as_of=timezone.now())] == [2]
    with pytest.raises(ValueError, match="no time zone"):
        current(Dataset.CHARGES, as_of=between.replace(tzinfo=None))


def test_the_same_content_again_is_no_change(key, charges, lake_root):
    publish([stage(key(), charges("1", "2"))])
    again = publish([stage(key(), charges("2", "1"))])
    assert (again.commit_seq, again.changed, again.unchanged) == (None, (), (key(),))
    assert Revision.objects.count() == 1
    assert len(list(lake_root.rglob("*.parquet"))) == 1


def test_the_same_content_staged_twice_before_either_is_published_leaves_one_file(key, charges, lake_root):
    first, second = stage(key(), charges("1")), stage(key(), charges("1"))
    publish([first])
    with pytest.raises(Stale):
        publish([second])
    assert [path.name for path in lake_root.rglob("*.parquet")] == [first.path.rsplit("/", 1)[1]]


def test_an_identical_row_more_is_a_change(key, charges):
    publish([stage(key(), charges("1"))])
    assert publish([stage(key(), charges("1", "1"))]).commit_seq == 2
    [revision] = current(Dataset.CHARGES)
    assert costs(revision) == ["1", "1"]


def test_unchanged_content_from_newer_inputs_names_the_newer_inputs(key, charges):
    publish([stage(key(), charges("1"), inputs={"rules": 1})])
    publish([stage(key(), charges("1"), inputs={"rules": 2})])
    [revision] = current(Dataset.CHARGES)
    assert (revision.rev, revision.inputs) == (1, {"rules": 2})


def test_a_vanished_day_gets_an_empty_revision_without_a_file(key, charges):
    publish([stage(key(), charges("1"))])
    publish([stage(key(), charges(), reason="gone from the delivery")])
    [revision] = current(Dataset.CHARGES)
    assert (revision.rev, revision.rows, revision.path, revision.content_hash) == (2, 0, "", EMPTY)
    assert revision.reason == "gone from the delivery"
    assert files(Dataset.CHARGES).paths == []
    assert read_table(revision).num_rows == 0


def test_nothing_where_nothing_was_is_no_revision(key, charges):
    assert publish([stage(key(), charges())]).commit_seq is None
    assert Revision.objects.count() == 0


def test_a_stale_partition_undoes_the_whole_publish(key, charges, lake_root):
    publish([stage(key(1), charges("1"))])
    staged = [stage(key(2), charges("20")), stage(key(1), charges("10"))]
    publish([stage(key(1), charges("2"))])
    called = []
    with pytest.raises(Stale, match="stands at revision 2"):
        publish(staged, also=called.append)
    assert called == []
    assert [(revision.day, revision.rev) for revision in current(Dataset.CHARGES)] == [(date(2026, 5, 1), 2)]
    assert CommitSequence.objects.get().value == 2
    assert len(list(lake_root.rglob("*.parquet"))) == 2


def test_expected_revisions_are_those_that_were_read_not_those_at_staging(key, charges):
    expected = seen([key(1), key(2)])
    assert list(expected.values()) == [None, None]
    publish([stage(key(1), charges("1"))])
    late = stage(key(1), charges("2"))  # staged after the other's publish, made from what was before it
    with pytest.raises(Stale):
        publish([late], expected=expected)
    publish([stage(key(1), charges("2"))], expected=seen([key(1)]))
    assert costs(current(Dataset.CHARGES)[0]) == ["2"]


def test_also_runs_in_the_same_transaction(key, charges):
    def fail(commit_seq: int) -> None:
        raise RuntimeError(f"import state of commit {commit_seq} could not be written")

    staged = stage(key(), charges("1"))
    with pytest.raises(RuntimeError, match="commit 1"):
        publish([staged], also=fail)
    assert Revision.objects.count() == 0
    assert CommitSequence.objects.count() == 0
    # The staged file is still there for another try.
    numbers: list[int] = []
    assert publish([staged], also=numbers.append).commit_seq == 1
    assert numbers == [1]


def test_also_runs_even_if_nothing_changed(key, charges):
    publish([stage(key(), charges("1"))])
    numbers: list[int] = []
    assert publish([stage(key(), charges("1"))], also=numbers.append).commit_seq is None
    assert publish([], also=numbers.append).commit_seq is None
    assert numbers == [1, 1]


def test_publishing_the_same_staged_content_again_changes_nothing_and_keeps_its_file(key, charges, lake_root):
    staged = [stage(key(1), charges("1")), stage(key(2), charges("2"))]
    publish(staged)
    again = publish(staged)
    assert (again.commit_seq, len(again.unchanged)) == (None, 2)
    publish([stage(key(2), charges("3"))])
    with pytest.raises(Stale):
        publish(staged)
    for revision in Revision.objects.all():
        assert (lake_root / revision.path).is_file()
    assert costs(current(Dataset.CHARGES)[0]) == ["1"]


def test_one_partition_twice_in_one_publish_is_refused(key, charges):
    with pytest.raises(ValueError, match="staged twice"):
        publish([stage(key(), charges("1")), stage(key(), charges("2"))])


def test_a_staged_file_that_was_swept_is_never_published(key, charges, lake_root):
    staged = stage(key(), charges("1"))
    (lake_root / staged.path).unlink()
    with pytest.raises(catalogue.LostFile):
        publish([staged])
    assert Revision.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["billed_cost"]), r"missing columns \['billed_cost'\]"),
        (lambda table: table.append_column("billed", table["billed_cost"]), r"unknown columns \['billed'\]"),
        (lambda table: table.set_column(16, "billed_cost", pa.array([1.0])), "billed_cost is double"),
    ],
)
def test_a_table_of_another_schema_is_refused(key, charges, lake_root, change, message):
    with pytest.raises(WrongSchema, match=message):
        stage(key(), change(charges("1")))
    assert list(lake_root.rglob("*.parquet")) == []


def test_columns_in_another_order_and_unknown_columns_of_nothing_are_put_right(key, charges):
    table = charges("1")
    shuffled = table.select(sorted(table.column_names)).set_column(0, sorted(table.column_names)[0], pa.nulls(1))
    publish([stage(key(), shuffled)])
    [revision] = current(Dataset.CHARGES)
    assert read_table(revision).schema.equals(table.schema)


def test_files_keep_every_digit_and_type(key, charges, lake_root):
    staged = stage(key(), charges("12345678901234567890.123456789012345678"))
    stored = pq.read_table(lake_root / staged.path)
    assert str(stored["billed_cost"][0].as_py()) == "12345678901234567890.123456789012345678"
    assert stored.schema.equals(charges().schema)


def test_filters_narrow_what_is_current(key, charges):
    days = [(key(day), charges(str(day), day=date(2026, 5, day))) for day in (1, 2, 3)]
    publish(stage_many([*days, (key(1, scope="gcp/export"), charges("9"))]))
    assert len(current(Dataset.CHARGES)) == 4
    assert len(current(Dataset.CHARGES, scope="aws/cur")) == 3
    wanted = {date(2026, 5, 1), date(2026, 5, 3)}
    assert [r.day.day for r in current(Dataset.CHARGES, scope="aws/cur", days=wanted)] == [1, 3]
    assert current(Dataset.CHARGES, days=[]) == []
    assert current(Dataset.CHARGES, billing_period="2026-04") == []
    assert len(current(Dataset.CHARGES, provider="aws", billing_account_id="111", billing_period="2026-05")) == 4
    assert current(Dataset.LEDGER) == []


def test_the_hash_of_a_dataset_depends_on_its_content_alone(key, charges):
    assert lake_hash(Dataset.CHARGES) == EMPTY
    publish([stage(key(1), charges("1", "2"))])
    one = lake_hash(Dataset.CHARGES)
    publish([stage(key(2), charges("3"))])
    assert lake_hash(Dataset.CHARGES) != one
    publish([stage(key(2), charges())])
    publish([stage(key(1), charges("7"))])
    publish([stage(key(1), charges("2", "1"))])
    assert lake_hash(Dataset.CHARGES) == one


def test_a_hundred_days_take_few_queries_and_sync_each_folder_once(key, charges, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    first = date(2026, 1, 1)
    batch = [
        (
            catalogue.PartitionKey(Dataset.CHARGES, "aws/cur", "111", "2026-05", first + timedelta(days=n), "aws"),
            charges(*map(str, range(50)), day=first + timedelta(days=n)),
        )
        for n in range(100)
    ]
    with CaptureQueriesContext(connection) as queries:
        assert len(publish(stage_many(batch)).changed) == 100
    # Four batches look up what is current; then lock, look up, count on, insert, and the transaction's own.
    assert len(queries) < 20
    assert len(synced) == 100 + 6


def test_file_and_folders_are_synced_before_anybody_may_see_them(key, charges, lake_root, monkeypatch):
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    staged = stage(key(), charges("1"))
    file = lake_root / staged.path
    assert synced[0] == str(file)
    folders = [str(folder) for folder in file.parents if folder == lake_root or lake_root in folder.parents]
    assert synced[1:] == folders
    assert len(folders) == 6  # period, account, scope, provider, dataset, lake


def test_a_failure_in_the_middle_of_a_delivery_leaves_no_files(key, charges, lake_root):
    def delivery():
        yield key(1), charges("1")
        yield key(2), charges("2")
        raise RuntimeError("the third file cannot be read")

    with pytest.raises(RuntimeError, match="third file"):
        stage_many(delivery())
    assert list(lake_root.rglob("*.parquet")) == []


def test_a_publish_inside_a_failed_transaction_of_the_caller_never_happened(key, charges, lake_root):
    publish([stage(key(1), charges("1"))])
    same, other = stage(key(1), charges("1")), stage(key(2), charges("2"))

    def publish_and_fail() -> None:
        with transaction.atomic():
            publish([same, other])
            raise RuntimeError("the caller's own part failed")

    with pytest.raises(RuntimeError, match="own part"):
        publish_and_fail()
    assert [(revision.day.day, revision.rev) for revision in current(Dataset.CHARGES)] == [(1, 1)]
    assert read_table(current(Dataset.CHARGES)[0]).num_rows == 1


@pytest.mark.parametrize("scope", ["../../etc", "a/b c&day=1", "漢" * 300, "NUL.txt", ".", "é" * 100])
def test_any_scope_is_a_partition_and_comes_back(key, charges, lake_root, scope):
    publish([stage(key(scope=scope), charges("1"))])
    [revision] = current(Dataset.CHARGES, scope=scope)
    assert catalogue.key_of(revision) == key(scope=scope)
    assert read_table(revision)["scope"].to_pylist() == ["aws/cur"]  # the row's, not the folder's
    assert lake_root in catalogue.path_of(revision).resolve().parents


def test_open_engine_reads_what_is_current(key, charges, lake_root, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "SQL_ROOT", tmp_path)
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts" / "total.sql").write_text("select sum(billed_cost) as total from charges")
    publish(stage_many([(key(day), charges("1.1")) for day in (1, 2, 3)]))
    with catalogue.open_engine() as engine:
        result = engine.run("marts/total", inputs={"charges": files(Dataset.CHARGES)})
        nothing = engine.run("marts/total", inputs={"charges": files(Dataset.CHARGES, scope="none")})
    engine_module.model_sql.cache_clear()
    assert (result["total"].to_pylist(), nothing["total"].to_pylist()) == ([Decimal("3.3")], [None])
    assert list((lake_root / "tmp").iterdir()) == []
