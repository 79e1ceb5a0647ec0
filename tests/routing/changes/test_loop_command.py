"""`manage.py loop`: what it prints, and what it stops."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from attribution.models import AuditEntry
from routing import services

from .conftest import Edge


def loop(*words: str) -> dict[str, object]:
    out = StringIO()
    call_command("loop", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_status_names_every_gateway_with_its_generation_and_its_drift(edge: Edge):
    assert loop("status") == {
        "orchestrators": [{"name": "edge", "generation": 1, "state": "ok", "drift": []}],
        "frozen": False,
        "last_tick": None,
    }
    edge.fake.server.edit("gpt-large", {"aws": 100_000, "gcp": 900_000})
    edge.watch()
    (row,) = loop("status")["orchestrators"]
    assert row["state"] == "drifted"
    assert any("search/gpt-large: aws from 60 % to 10 %" in words for words in row["drift"])


def test_it_stops_and_resumes_and_the_trail_says_where(edge: Edge):
    assert loop("freeze", "--reason", "incident 7")["frozen"] is True
    assert services.is_frozen()
    assert loop("resume")["frozen"] is False
    entries = AuditEntry.objects.filter(object_type="loop").order_by("seq")
    assert [(each.action, each.actor, each.reason) for each in entries] == [
        ("loop.freeze", "the console", "incident 7"),
        ("loop.resume", "the console", ""),
    ]


def test_words_for_people(edge: Edge):
    out = StringIO()
    call_command("loop", "status", stdout=out)
    assert out.getvalue() == "enforcement is on; the loop has not decided yet\nedge: generation 1, ok\n"


def test_another_word_is_refused():
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("loop", "melt")
