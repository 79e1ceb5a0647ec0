"""The sweeper removes what nobody can read, and nothing else."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from attribution.lake.catalogue import NoLongerKept, current, pin, publish, read_table, stage, sweep
from attribution.lake.sweeper import RETENTION
from attribution.models import Revision
from attribution.vocabulary import Dataset

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("lake_root")]

HOUR = timedelta(hours=1)


def make_older(path, by: timedelta) -> None:
    then = timezone.now().timestamp() - by.total_seconds()
    os.utime(path, (then, then))


def supersede_before(by: timedelta) -> None:
    Revision.objects.filter(current=False).update(superseded_at=timezone.now() - by)


def test_every_dataset_has_a_retention():
    assert set(RETENTION) == set(Dataset)


def test_it_removes_orphans_older_than_the_grace_only(key, charges, lake_root):
    published = stage(key(1), charges("1"))
    publish([published])
    young, old = stage(key(2), charges("2")), stage(key(3), charges("3"))
    make_older(lake_root / published.path, 2 * HOUR)
    make_older(lake_root / old.path, 2 * HOUR)
    size = (lake_root / old.path).stat().st_size
    report = sweep(HOUR)
    assert (report.orphans, report.expired, report.leftovers, report.bytes_freed) == (1, 0, 0, size)
    assert (lake_root / published.path).is_file()
    assert (lake_root / young.path).is_file()
    assert not (lake_root / old.path).exists()


def test_a_replaced_revision_is_kept_for_its_retention(key, charges, lake_root):
    publish([stage(key(), charges("1"))])
    publish([stage(key(), charges("2"))])
    for path in lake_root.rglob("*.parquet"):
        make_older(path, 2 * HOUR)
    supersede_before(RETENTION[Dataset.CHARGES] - HOUR)
    assert sweep(HOUR).bytes_freed == 0
    assert read_table(current(Dataset.CHARGES, as_of=1)[0]).num_rows == 1


def test_past_its_retention_a_question_about_that_instant_is_refused_not_answered_with_nothing(key, charges, lake_root):
    publish([stage(key(), charges("1"))])
    publish([stage(key(), charges("2"))])
    supersede_before(RETENTION[Dataset.CHARGES] + HOUR)
    report = sweep(HOUR)
    assert (report.expired, report.orphans) == (1, 0)
    assert len(list(lake_root.rglob("*.parquet"))) == 1
    with pytest.raises(NoLongerKept, match="past its retention"):
        current(Dataset.CHARGES, as_of=1)
    assert [revision.rev for revision in current(Dataset.CHARGES)] == [2]
    assert [revision.rev for revision in current(Dataset.CHARGES, as_of=2)] == [2]
    assert sweep(HOUR).expired == 0


def test_a_pinned_revision_is_never_removed(key, charges, lake_root):
    publish([stage(key(), charges("1"))])
    first = current(Dataset.CHARGES)[0]
    assert pin(first, "statement 2026-05") == pin(first, "statement 2026-05")
    publish([stage(key(), charges("2"))])
    supersede_before(RETENTION[Dataset.CHARGES] * 3)
    assert sweep(HOUR).expired == 0
    assert read_table(current(Dataset.CHARGES, as_of=1)[0]).num_rows == 1


def test_a_swept_revision_cannot_be_pinned(key, charges):
    publish([stage(key(), charges("1"))])
    publish([stage(key(), charges("2"))])
    supersede_before(RETENTION[Dataset.CHARGES] + HOUR)
    sweep(HOUR)
    with pytest.raises(ValueError, match="was swept"):
        pin(Revision.objects.get(rev=1), "too late")


def test_a_sweep_killed_between_row_and_file_is_finished_by_the_next(key, charges, lake_root):
    publish([stage(key(), charges("1"))])
    publish([stage(key(), charges("2"))])
    first = Revision.objects.get(rev=1)
    Revision.objects.filter(rev=1).update(swept_at=timezone.now())
    make_older(lake_root / first.path, 2 * HOUR)
    assert sweep(HOUR).orphans == 1
    assert not (lake_root / first.path).exists()


def test_leftovers_of_dead_engines_go_and_living_ones_stay(lake_root):
    dead, living = lake_root / "tmp" / "engine-dead", lake_root / "tmp" / "engine-living"
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "spill.tmp").write_bytes(b"x" * 10)
        make_older(folder / "spill.tmp", 3 * HOUR)
    make_older(dead, 2 * HOUR)
    report = sweep(HOUR)
    assert (report.leftovers, report.bytes_freed) == (1, 10)
    assert not dead.exists()
    assert living.exists()


def test_an_empty_lake_is_swept_without_complaint():
    assert sweep(HOUR).bytes_freed == 0
