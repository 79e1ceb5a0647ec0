"""The company's own words: teams, projects, where they are placed, ownership rules, bindings. Read for attribution, and
written
from one file by `manage.py configure`.

The file is JSON or TOML:

    teams            [{slug, name?, kind? (team | business_unit), parent?, valid_from?, valid_to?}]
    projects         [{slug, name?, team?, valid_from?, valid_to?}]
    ownership_rules  [{position, kind?, field, operator?, value?, team?, project?, environment?, takes?, valid_from?,
    valid_to?}] bindings         [{provider, endpoint, billing_account_id, sub_account_id?, valid_from?, valid_to?}]
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q

from attribution.ledger import BoundEndpoint
from attribution.models import Binding, OwnershipRule, Placement, Project, Team
from attribution.ownership import BadRule, Membership, Rule, RuleBook


class BadConfiguration(ValueError):
    """The file can't be used; the message names the entry, the value and the fix. Nothing of it was applied."""


_KEYS: Mapping[str, frozenset[str]] = {
    "teams": frozenset({"slug", "name", "kind", "parent", "valid_from", "valid_to"}),
    "projects": frozenset({"slug", "name", "team", "valid_from", "valid_to"}),
    "ownership_rules": frozenset(
        {
            "position",
            "kind",
            "field",
            "operator",
            "value",
            "team",
            "project",
            "environment",
            "takes",
            "valid_from",
            "valid_to",
        }
    ),
    "bindings": frozenset({"provider", "endpoint", "billing_account_id", "sub_account_id", "valid_from", "valid_to"}),
}
_REQUIRED = {
    "teams": ("slug",),
    "projects": ("slug",),
    "ownership_rules": ("position", "field"),
    "bindings": ("provider", "endpoint", "billing_account_id"),
}


@dataclass(frozen=True)
class Configured:
    """How many entries of each kind are new; the same file again makes none."""

    teams: int
    projects: int
    placements: int
    ownership_rules: int
    bindings: int


def load_rule_book() -> RuleBook:
    """All ownership rules and the projects' teams. Raises BadRule."""
    rules = tuple(
        Rule(
            position=row.position,
            kind=row.kind,
            field=row.field,
            operator=row.operator,
            value=row.value,
            team=row.team,
            project=row.project,
            environment=row.environment,
            takes=row.takes,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
        )
        for row in OwnershipRule.objects.all()
    )
    placed = Placement.objects.filter(project__isnull=False).select_related("project", "parent").order_by("pk")
    memberships = tuple(
        Membership(row.project.slug, row.parent.slug, row.valid_from, row.valid_to) for row in placed if row.project
    )
    return RuleBook(rules, memberships)


def load_bindings(provider: str, first: date, end: date) -> tuple[BoundEndpoint, ...]:
    """The provider's bindings that hold on some day in [first, end), the later ones first where two overlap."""
    overlapping = Binding.objects.filter(
        Q(valid_from__isnull=True) | Q(valid_from__lt=end),
        Q(valid_to__isnull=True) | Q(valid_to__gt=first),
        provider=provider,
    )
    return tuple(
        BoundEndpoint(row.endpoint, row.billing_account_id, row.sub_account_id, row.valid_from, row.valid_to)
        for row in sorted(overlapping, key=lambda row: (row.endpoint, row.valid_from or date.min), reverse=True)
    )


def read_configuration(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The checked content of a configuration file. Raises BadConfiguration."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path.name}: can't be read as UTF-8 text: {error}") from error
    try:
        loaded = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise BadConfiguration(f"{path.name}: not {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}") from error
    if not isinstance(loaded, dict) or not set(loaded) <= set(_KEYS):
        raise BadConfiguration(f"{path.name}: expected the keys {', '.join(_KEYS)}; found {_shown(loaded)}")
    return {kind: [_entry(kind, place, entry) for place, entry in enumerate(loaded.get(kind, []))] for kind in _KEYS}


def configure(content: Mapping[str, Sequence[Mapping[str, Any]]]) -> Configured:
    """Apply a checked configuration, all or nothing; what is there already stays. Raises BadConfiguration."""
    with transaction.atomic():
        teams = sum(_team(entry) for entry in content.get("teams", ()))
        projects = sum(_project(entry) for entry in content.get("projects", ()))
        placements = sum(_place_team(entry) for entry in content.get("teams", ()))
        placements += sum(_place_project(entry) for entry in content.get("projects", ()))
        return Configured(
            teams=teams,
            projects=projects,
            placements=placements,
            ownership_rules=sum(_rule(entry) for entry in content.get("ownership_rules", ())),
            bindings=sum(_added(Binding, entry) for entry in content.get("bindings", ())),
        )


def _entry(kind: str, place: int, entry: object) -> dict[str, Any]:
    name = f"{kind}[{place}]"
    if not isinstance(entry, dict):
        raise BadConfiguration(f"{name}: expected an object, found {_shown(entry)}")
    if unknown := set(entry) - _KEYS[kind]:
        raise BadConfiguration(f"{name}: unknown {', '.join(sorted(unknown))}; use {', '.join(sorted(_KEYS[kind]))}")
    if missing := [key for key in _REQUIRED[kind] if entry.get(key) in (None, "")]:
        raise BadConfiguration(f"{name}: {', '.join(missing)} missing")
    return {key: _value(name, key, value) for key, value in entry.items() if value is not None}


def _value(name: str, key: str, value: object) -> object:
    if key in ("valid_from", "valid_to"):
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError as error:
            raise BadConfiguration(f"{name}.{key}: {value!r} is no date; write YYYY-MM-DD") from error
    if key == "position":
        if not isinstance(value, int) or value < 0:
            raise BadConfiguration(f"{name}.position: {value!r}; use a whole number from 0 on")
        return value
    if not isinstance(value, str):
        raise BadConfiguration(f"{name}.{key}: {value!r} is no text")
    return value


def _team(entry: Mapping[str, Any]) -> int:
    kind = entry.get("kind", Team.Kind.TEAM)
    if kind not in Team.Kind.values:
        raise BadConfiguration(f"team {entry['slug']!r}: kind is {kind!r}; use {' or '.join(Team.Kind.values)}")
    values = {"name": entry.get("name", entry["slug"]), "kind": kind, "discovered": False}
    _, made = Team.objects.update_or_create(slug=entry["slug"], defaults=values)
    return int(made)


def _project(entry: Mapping[str, Any]) -> int:
    values = {"name": entry.get("name", entry["slug"]), "discovered": False}
    _, made = Project.objects.update_or_create(slug=entry["slug"], defaults=values)
    return int(made)


def _place_team(entry: Mapping[str, Any]) -> int:
    if "parent" not in entry:
        return 0
    if entry["parent"] == entry["slug"]:
        raise BadConfiguration(f"team {entry['slug']!r} is its own parent")
    team = Team.objects.get(slug=entry["slug"])
    return _place({"team": team}, _parent(entry["parent"], f"team {entry['slug']!r}"), entry)


def _place_project(entry: Mapping[str, Any]) -> int:
    if "team" not in entry:
        return 0
    project = Project.objects.get(slug=entry["slug"])
    return _place({"project": project}, _parent(entry["team"], f"project {entry['slug']!r}"), entry)


def _parent(slug: str, whose: str) -> Team:
    found = Team.objects.filter(slug=slug).first()
    if found is None:
        raise BadConfiguration(f"{whose}: there is no team {slug!r}; list it under teams")
    return found


def _place(what: Mapping[str, Team | Project], parent: Team, entry: Mapping[str, Any]) -> int:
    dates = {"valid_from": entry.get("valid_from"), "valid_to": entry.get("valid_to")}
    return _added(Placement, {**what, "parent": parent, **dates})


def _rule(entry: Mapping[str, Any]) -> int:
    values = {"kind": "proof", "operator": "equals", **entry}
    try:
        Rule(**values)
    except BadRule as error:
        raise BadConfiguration(str(error)) from error
    return _added(OwnershipRule, values)


def _added(model: Any, values: Mapping[str, Any]) -> int:
    """1 if there was no such row yet. Asked by equality and NULL: get_or_create would look for `= NULL`."""
    absent = {f"{name}__isnull": True for name in ("valid_from", "valid_to") if values.get(name) is None}
    given = {name: value for name, value in values.items() if value is not None}
    defaults = {name: "" for name in ("sub_account_id",) if model is Binding and name not in given}
    if model.objects.filter(**given, **defaults, **absent).exists():
        return 0
    model.objects.create(**given)
    return 1


def _shown(value: object) -> str:
    return repr(sorted(value) if isinstance(value, dict) else value)[:120]
