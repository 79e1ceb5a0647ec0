"""The live demo as `make run` starts it: a real Envoy, the stubs and their traffic, up to the lake; and its end."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from attribution import spend
from attribution.models import Price
from governance.livedemo import feed, layout, setup
from governance.livedemo.layout import LiveLayout
from routing import selectors
from routing.models import ChangeSet
from routing.orchestrators.base import Unreachable
from routing.orchestrators.envoy import admin
from tests.routing.orchestrators.conformance import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

Live = tuple[Path, LiveLayout, list["subprocess.Popen[bytes]"]]


@pytest.fixture
def live(lake_root: Path, settings: Settings, tmp_path: Path) -> Iterator[Live]:
    """Prepared and started; killed at the end if a test did not stop it."""
    home = tmp_path
    chosen = setup.prepare(home, now=datetime.now(UTC))
    log = (home / "programs.log").open("ab")
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _name, command in setup.commands(home, chosen, sys.executable)
    ]
    try:
        up = until(lambda: _is_ready(home) and all(map(_listens, chosen.ports.values())), 20)
        assert up, (home / "programs.log").read_text()[-2000:]
        yield home, chosen, processes
    finally:
        log.close()
        for each in processes:
            each.kill()
            each.wait()


def _is_ready(home: Path) -> bool:
    try:
        return admin.is_ready(str(setup.admin_socket(home)))
    except Unreachable:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((layout.HOST, port)) == 0


def test_requests_of_the_demo_s_teams_reach_the_lake_and_all_of_it_ends(live: Live) -> None:
    home, chosen, processes = live
    edge = setup.open_edge(home, chosen)
    assert selectors.standing_state("edge") is not None
    assert until(lambda: edge.observe().live == edge.observe().versions)
    assert until(lambda: len(edge.read_usage("").events) >= 10, 30)

    fed = feed.feed(edge, home, now=datetime.now(UTC))
    assert fed is not None
    assert fed.events >= 10
    counts = spend.hourly_counts(datetime.now(UTC).date())
    assert sum(each.requests for each in counts) == fed.events
    assert {each.status for each in edge.read_usage("").events} == {200}
    assert {each.team for each in counts} <= {"claims", "policy-service", "payments", "devex"}

    for process in reversed(processes):
        process.terminate()
        assert process.wait(10) == 0


def test_a_second_start_changes_nothing(live: Live) -> None:
    home, chosen, processes = live
    made, prices = ChangeSet.objects.count(), Price.objects.filter(source="halden-contract").count()
    for each in processes:
        each.kill()
        each.wait()
    assert setup.prepare(home, now=datetime.now(UTC)) == chosen
    assert (ChangeSet.objects.count(), Price.objects.filter(source="halden-contract").count()) == (made, prices)


def test_pools_that_had_to_move_are_told_to_the_gateway(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    home, chosen, _processes = live
    # The stubs run: their ports are taken, so another start chooses others.
    moved = setup.prepare(home, now=datetime.now(UTC))
    assert moved.ports != chosen.ports
    (change,) = ChangeSet.objects.exclude(title="Start the live demo's gateway")
    endpoints: dict[str, Any] = {each["name"]: each["endpoint"] for each in change.wanted["targets"]}
    assert endpoints == {name: f"http://{layout.HOST}:{port}" for name, port in moved.ports.items()}
