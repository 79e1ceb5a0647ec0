"""The demo is loaded once, survives being killed, and has people who can sign in."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from attribution.management.commands.compare_truth import read_ledger, read_truth
from attribution.models import Delivery, Team
from attribution.oracle import compare
from governance import demo
from governance.models import Membership, Role

TODAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 10, 9, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def load(home: Path) -> bool:
    return demo.load(home, today=TODAY, now=NOW, say=lambda _: None, months=1, size=20)


def test_it_is_loaded_once_over_a_half_written_company_and_its_ledger_is_the_truth(
    lake_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "company.partial" / "bills").mkdir(parents=True)
    assert load(tmp_path)
    assert not load(tmp_path)
    assert not (tmp_path / "company.partial").exists()
    assert Delivery.objects.count() == 2
    compared = compare(read_truth(tmp_path / "company" / "truth" / "costs.csv"), read_ledger())
    assert compared.is_equal


def test_a_killed_load_goes_on_where_it_was(lake_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo, "ingest_telemetry", killed)
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path)
    assert not demo.is_loaded(tmp_path)
    assert load(tmp_path)
    assert compare(read_truth(tmp_path / "company" / "truth" / "costs.csv"), read_ledger()).is_equal


def test_its_people_sign_in_with_one_password(tmp_path: Path) -> None:
    for slug in ("insurance", "fraud"):
        Team.objects.create(slug=slug, name=slug)
    password = demo.password_of(tmp_path)
    for _ in range(2):
        demo.make_people(NOW, password)
    for person in demo.PEOPLE:
        assert authenticate(username=person.email, password=password) is not None
    lead = Membership.objects.get(role=Role.LEAD)
    assert lead.team is not None
    assert lead.team.slug == "insurance"
    assert demo.password_of(tmp_path) == password
    assert (tmp_path / "demo_password").stat().st_mode & 0o777 == 0o600


def test_the_command_stays_out_of_a_folder_of_real_bills(settings: Settings) -> None:
    settings.WEIR_DEMO = False
    with pytest.raises(CommandError, match="own data folder"):
        call_command("demo")


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 11, 24), date(2026, 11, 17)),  # a Tuesday: its own is not billed yet
        (date(2026, 11, 27), date(2026, 11, 24)),  # a Friday: three days later it is
        (date(2026, 11, 26), date(2026, 11, 17)),
    ],
)
def test_the_runaway_agent_ran_on_the_newest_billed_tuesday(today: date, expected: date) -> None:
    assert demo.runaway_day(today) == expected
