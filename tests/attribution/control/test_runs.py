"""A slot of a periodic task is worked once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution import runs
from attribution.models import TaskRun

NOW = datetime(2026, 3, 1, 12, 7, 30, tzinfo=UTC)
SLOT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)


def claim(now: datetime = NOW) -> runs.Run | None:
    return runs.claim("fit", SLOT, lease=LEASE, now=now)


@pytest.mark.django_db
def test_the_second_of_two_clocks_gets_nothing():
    first = claim()
    assert first is not None
    assert claim() is None
    first.finish({"fitted": 3}, NOW)
    assert claim(NOW + timedelta(days=1)) is None
    assert TaskRun.objects.get().outcome == {"fitted": 3}


@pytest.mark.django_db
def test_a_killed_workers_slot_is_taken_over_when_its_lease_ends_and_not_before():
    first = claim()
    assert first is not None
    assert claim(NOW + LEASE - timedelta(microseconds=1)) is None
    second = claim(NOW + LEASE)
    assert second is not None
    with pytest.raises(runs.LeaseLost):
        first.heartbeat(NOW + LEASE)
    with pytest.raises(runs.LeaseLost):
        first.finish(None, NOW + LEASE)
    second.finish(None, NOW + LEASE)
    assert TaskRun.objects.get().attempts == 2


@pytest.mark.django_db
def test_a_heartbeat_keeps_the_slot():
    first = claim()
    assert first is not None
    first.heartbeat(NOW + timedelta(minutes=4))
    assert claim(NOW + timedelta(minutes=8)) is None
    assert claim(NOW + timedelta(minutes=9)) is not None


@pytest.mark.django_db
def test_a_slot_that_fails_is_tried_three_times():
    for _ in range(runs.MAX_ATTEMPTS):
        run = claim()
        assert run is not None
        run.fail("the bucket is not reachable", NOW)
    assert claim() is None
    assert TaskRun.objects.get().error == "the bucket is not reachable"


def test_a_slot_starts_at_the_hour_for_hours():
    assert runs.slot_of(NOW, timedelta(hours=1)) == SLOT


@given(st.datetimes(timezones=st.just(UTC)), st.integers(1, 7 * 24 * 3600))
def test_slots_tile_time(moment, seconds):
    every = timedelta(seconds=seconds)
    slot = runs.slot_of(moment, every)
    assert slot <= moment < slot + every
    assert runs.slot_of(slot, every) == slot
