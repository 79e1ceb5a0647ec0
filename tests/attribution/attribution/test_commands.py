"""`configure`, `reconcile` and `attribute` as people and programs call them."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from attribution.configuration import load_bindings, load_rule_book
from attribution.models import Binding, OwnershipRule, Placement, Project, Team
from tests.attribution.attribution import tables

pytestmark = pytest.mark.django_db

COMPANY = {
    "teams": [
        {"slug": "bank", "kind": "business_unit", "name": "Bank"},
        {"slug": "fraud", "parent": "bank", "valid_from": "2026-01-01"},
    ],
    "projects": [{"slug": "graph", "team": "fraud"}],
    "ownership_rules": [{"position": 1, "field": "sub_account_id", "value": "77", "team": "fraud"}],
    "bindings": [{"provider": "azure", "endpoint": "gpt", "billing_account_id": "88"}],
}


def configured(tmp_path: Path, content: Any, name: str = "company.json") -> str:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    out = StringIO()
    call_command("configure", str(path), stdout=out)
    return out.getvalue()


def test_configure_applies_a_file_and_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    rules = OwnershipRule.objects.count()
    assert configured(tmp_path, COMPANY) == "Added 2 teams, 1 projects, 2 placements, 1 ownership rules, 1 bindings.\n"
    assert configured(tmp_path, COMPANY) == "Added 0 teams, 0 projects, 0 placements, 0 ownership rules, 0 bindings.\n"
    assert Placement.objects.get(team__slug="fraud").parent.slug == "bank"
    assert OwnershipRule.objects.count() == rules + 1
    book = load_rule_book()
    assert book.memberships[0].team == "fraud"
    (binding,) = load_bindings("azure", tables.DAY, tables.DAY.replace(day=5))
    assert binding.covers("gpt", tables.DAY)


def test_configure_confirms_a_discovered_team(tmp_path: Path) -> None:
    Team.objects.create(slug="fraud", name="fraud", discovered=True)
    configured(tmp_path, {"teams": [{"slug": "fraud", "name": "Fraud desk"}]})
    assert Team.objects.get().name == "Fraud desk"
    assert not Team.objects.get().discovered


def test_configure_reads_toml(tmp_path: Path) -> None:
    configured(tmp_path, '[[projects]]\nslug = "graph"\nvalid_from = 2026-01-01\n', "company.toml")
    assert Project.objects.get().slug == "graph"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ([], "expected the keys teams"),
        ({"people": []}, "expected the keys teams"),
        ({"teams": ["a"]}, r"teams\[0\]: expected an object"),
        ({"teams": [{"name": "A"}]}, r"teams\[0\]: slug missing"),
        ({"teams": [{"slug": "a", "colour": "red"}]}, r"teams\[0\]: unknown colour"),
        ({"teams": [{"slug": "a", "kind": "tribe"}]}, "kind is 'tribe'; use business_unit or team"),
        ({"teams": [{"slug": "a", "parent": "a"}]}, "its own parent"),
        ({"projects": [{"slug": "p", "team": "nobody"}]}, "there is no team 'nobody'"),
        ({"projects": [{"slug": "p", "valid_from": "May"}]}, "'May' is no date"),
        ({"ownership_rules": [{"position": 1, "field": "colour", "value": "x", "team": "a"}]}, "unknown field"),
        ({"ownership_rules": [{"position": "1", "field": "tag:a"}]}, "whole number"),
    ],
)
def test_a_wrong_file_is_refused_whole_with_the_fix(tmp_path: Path, content: Any, message: str) -> None:
    good = {"bindings": COMPANY["bindings"]}
    with pytest.raises(CommandError, match=message):
        configured(tmp_path, {**good, **content} if isinstance(content, dict) else content)
    assert not Binding.objects.exists()
    assert not Project.objects.exists()


def test_the_default_rules_are_there_and_sound() -> None:
    book = load_rule_book()
    assert book.owner_of_charge({"tags": '{"user:team":"Fraud"}'}, tables.DAY).team == "fraud"
    assert book.owner_of_event({"team": "fraud", "project": "graph"}, tables.DAY).project == "graph"


def test_reconcile_prints_exact_strings_and_fails_on_a_difference(lake_root: Path) -> None:
    tables.control_total(Decimal("0.000000000000000001"))
    out = StringIO()
    with pytest.raises(SystemExit) as exit_:
        call_command("reconcile", "--json", stdout=out)
    assert exit_.value.code == 1
    assert json.loads(out.getvalue()) == [
        {
            "provider": "aws",
            "billing_account_id": "payer",
            "billing_period": "2026-05",
            "currency": "USD",
            "billed": "0.000000000000000001",
            "attributed": "0",
            "unattributed": {},
            "difference": "0.000000000000000001",
        }
    ]


def test_reconcile_of_nothing_says_so(lake_root: Path) -> None:
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert "no bill has been ingested" in out.getvalue()


def test_attribute_of_nothing_does_nothing(lake_root: Path) -> None:
    out = StringIO()
    call_command("attribute", stdout=out)
    assert out.getvalue() == "0 changes in 0 provider months; 0 had nothing new.\n"
