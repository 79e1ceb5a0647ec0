"""The audit trail: append-only, chained, and checked."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution import audit
from attribution.actors import SYSTEM, Actor
from attribution.models import AuditEntry
from attribution.scope import EVERYTHING, TeamScope

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LENA = Actor(name="Lena Lead", user_id=7)


def write(count: int) -> None:
    for number in range(count):
        with transaction.atomic():
            audit.record(LENA, "edit", "budget", number, team="search", after={"amount": Decimal("10.5")}, now=NOW)


@pytest.mark.django_db
def test_a_kept_trail_verifies_and_names_its_end():
    write(3)
    assert list(audit.verify()) == []
    seq, digest = audit.newest()
    assert seq == 3
    assert AuditEntry.objects.get(seq=3).digest == digest


@pytest.mark.django_db
def test_amounts_and_times_are_kept_exactly_as_text():
    with transaction.atomic():
        entry = audit.record(
            LENA, "edit", "budget", 1, now=NOW, after={"amount": Decimal("0.1000"), "at": NOW, "teams": {"b", "a"}}
        )
    assert AuditEntry.objects.get(seq=entry.seq).after == {
        "amount": "0.1000",
        "at": "2026-03-01T12:00:00+00:00",
        "teams": ["a", "b"],
    }


@pytest.mark.django_db
def test_a_float_is_refused_because_it_may_not_read_back():
    with pytest.raises(TypeError, match="Decimal"), transaction.atomic():
        audit.record(LENA, "edit", "budget", 1, now=NOW, after={"amount": 0.1})
    assert audit.newest() == (0, "")


@transaction.atomic
def change_and_fail() -> None:
    audit.record(LENA, "edit", "budget", 1, now=NOW)
    raise RuntimeError("the change failed")


@pytest.mark.django_db(transaction=True)
def test_it_is_recorded_with_the_change_or_not_at_all():
    with pytest.raises(TransactionManagementError):
        audit.record(LENA, "edit", "budget", 1, now=NOW)
    with pytest.raises(RuntimeError, match="the change failed"):
        change_and_fail()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_the_database_refuses_to_change_an_entry():
    write(1)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AuditEntry.objects.update(reason="something else")
    entry = AuditEntry.objects.get()
    with pytest.raises(ValueError, match="never changed"):
        entry.save()


def tamper(statement: str) -> None:
    """What someone with the database's password could do."""
    with connection.cursor() as cursor:
        cursor.execute("drop trigger audit_is_append_only")
        cursor.execute(statement)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update attribution_auditentry set reason = 'x' where seq = 2", ["entry 2 was changed after it was written"]),
        ("update attribution_auditentry set actor = 'x' where seq = 2", ["entry 2 was changed after it was written"]),
        (
            "update attribution_auditentry set at = '2026-01-01' where seq = 2",
            ["entry 2 was changed after it was written"],
        ),
        ("delete from attribution_auditentry where seq = 2", ["entries 2 to 2 are missing"]),
        ("delete from attribution_auditentry where seq = 4", ["the trail ends at entry 3, its head says 4"]),
        ("delete from attribution_audithead", ["the trail has entries and no head"]),
    ],
)
def test_every_tampering_is_found(statement: str, words: list[str]):
    write(4)
    tamper(statement)
    assert [problem.words for problem in audit.verify()] == words
    with pytest.raises(CommandError, match="broken in 1 places") as caught:
        call_command("verify_audit", stdout=StringIO())
    assert caught.value.returncode == 1


@pytest.mark.django_db
def test_it_exports_every_entry_once_and_never_over_a_file(tmp_path: Path):
    write(2)
    file = tmp_path / "audit.ndjson"
    out = StringIO()
    call_command("verify_audit", "--json", "--export", str(file), stdout=out)
    assert json.loads(out.getvalue())["entries"] == 2
    assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == [1, 2]
    with pytest.raises(CommandError, match="exists"):
        call_command("verify_audit", "--export", str(file), stdout=StringIO())


@pytest.mark.django_db
def test_a_lead_reads_only_the_entries_of_their_teams():
    with transaction.atomic():
        audit.record(SYSTEM, "freeze", "kill_switch", 1, now=NOW)
        audit.record(LENA, "edit", "budget", 1, team="search", now=NOW)
        audit.record(LENA, "edit", "budget", 2, team="ads", now=NOW)
    search = TeamScope(teams=frozenset({"search"}))
    assert [entry.object_id for entry in audit.entries(search)] == ["1"]
    assert audit.entries(TeamScope()).count() == 0
    assert audit.entries(EVERYTHING).count() == 3


@pytest.mark.django_db
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.dictionaries(
        st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=20), max_size=4
    ),
    reason=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    shift=st.integers(0, 10**9),
)
def test_whatever_is_recorded_verifies_as_it_reads_back(facts, reason, shift):
    with transaction.atomic():
        audit.record(LENA, "edit", "thing", 1, before=facts, reason=reason, now=NOW + timedelta(microseconds=shift))
    assert list(audit.verify()) == []
