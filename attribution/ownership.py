"""Whose is it: ordered, dated rules from what a bill line or an event says to a team, a project, an environment. Pure.

A rule looks at one field. On bill lines: `tag:<key>` or a column of CHARGES; on telemetry: `event:<column of a
series>`. The first valid rule by position that matches wins, for each part of the owner it names: one rule may name the
team and a later one the project. A project without a team takes the team that it is placed in on that day.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise

# What rules may look at, by the evidence's own names (= the columns of the evidence models).
CHARGE_FIELDS = (
    "billing_account_id",
    "sub_account_id",
    "sub_account_name",
    "service_name",
    "service_code",
    "sku_meter",
    "charge_description",
    "charge_category",
    "region_id",
    "resource_id",
    "resource_name",
    "resource_type",
    "publisher_name",
    "invoice_issuer_name",
    "principal",
)
EVENT_FIELDS = (
    "endpoint",
    "billing_account_id",
    "sub_account_id",
    "region",
    "model",
    "pool",
    "team",
    "project",
    "environment",
    "api_key",
    "principal",
    "service",
)
TAG, EVENT = "tag:", "event:"
# The tag by which a capacity resource names the pool that telemetry calls by the same name.
POOL_TAGS = ("pool", "weir:pool", "user:pool", "Pool")
PARTS = ("team", "project", "environment")


class BadRule(ValueError):
    """A rule that can't be understood; the message names the rule, the value and what would do."""


@dataclass(frozen=True)
class Rule:
    """`field` `operator` `value` -> parts of an owner (or, kind `platform`, the platform scope). Valid in [valid_from,
    valid_to)."""

    position: int
    kind: str  # proof, manual, platform
    field: str
    operator: str  # equals, prefix, value
    value: str = ""
    team: str = ""
    project: str = ""
    environment: str = ""
    takes: str = ""
    valid_from: date | None = None
    valid_to: date | None = None

    def __post_init__(self) -> None:
        check_rule(self)

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)

    @property
    def label(self) -> str:
        """How the rule is named in `method_version`: by what it says, so that other rules can change without changing
        it."""
        match self.operator:
            case "value":
                return f"{self.field}={self.takes}"
            case "prefix":
                return f"{self.field}={self.value}*"
            case _:
                return f"{self.field}={self.value}"

    def parts(self, seen: str) -> dict[str, str]:
        """The parts of the owner that this rule names when its field holds `seen`."""
        named = {part: getattr(self, part) for part in PARTS if getattr(self, part)}
        if self.operator == "value":
            named[self.takes] = as_slug(seen)
        return named

    def matches(self, seen: str | None) -> bool:
        if seen is None or not seen.strip():
            return False
        match self.operator:
            case "value":
                return bool(as_slug(seen))
            case "prefix":
                return seen.startswith(self.value)
            case _:
                return seen == self.value


def check_rule(rule: Rule) -> None:
    """Raise BadRule where a rule can't work."""
    name = f"ownership rule {rule.position} ({rule.field} {rule.operator} {rule.value!r})"
    if rule.kind not in ("proof", "manual", "platform"):
        raise BadRule(f"{name}: kind is {rule.kind!r}; use proof, manual or platform")
    if rule.operator not in ("equals", "prefix", "value"):
        raise BadRule(f"{name}: operator is {rule.operator!r}; use equals, prefix or value")
    known = rule.field.startswith(TAG) or rule.field in CHARGE_FIELDS or rule.field.removeprefix(EVENT) in EVENT_FIELDS
    if not known:
        raise BadRule(
            f"{name}: unknown field; use tag:<key>, event:<{'|'.join(EVENT_FIELDS)}> or {', '.join(CHARGE_FIELDS)}"
        )
    if rule.operator == "value" and rule.kind != "platform" and rule.takes not in PARTS:
        raise BadRule(f"{name}: takes is {rule.takes!r}; say which part takes the value: team, project or environment")
    if rule.operator != "value" and not rule.value:
        raise BadRule(f"{name}: value is empty; it would match nothing (equals) or everything (prefix)")
    if rule.operator != "value" and rule.kind != "platform" and not (rule.team or rule.project or rule.environment):
        raise BadRule(f"{name}: names no owner; give team, project or environment")


@dataclass(frozen=True)
class Membership:
    """A project is placed in a team in [valid_from, valid_to)."""

    project: str
    team: str
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True)
class Owner:
    """Who pays. Unknown parts are None; an owner without team and project is nobody."""

    team: str | None = None
    project: str | None = None
    environment: str | None = None
    kind: str | None = None  # proof or manual: of the rule that named the team, else the project
    rules: str | None = None  # labels of the rules that named team and project

    @property
    def is_somebody(self) -> bool:
        return self.team is not None or self.project is not None


NOBODY = Owner()


@dataclass(frozen=True)
class RuleBook:
    """All rules and placements; pure look-ups by day."""

    rules: tuple[Rule, ...] = ()
    memberships: tuple[Membership, ...] = ()
    _ordered: tuple[Rule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ordered", tuple(sorted(self.rules, key=_rule_order)))

    def owner_of_charge(self, evidence: Mapping[str, str | None], day: date) -> Owner:
        """The owner that a bill line proves (or a manual rule names); NOBODY if none."""
        return self._owner(evidence, day, [rule for rule in self._ordered if _is_about_charges(rule)])

    def owner_of_event(self, evidence: Mapping[str, str | None], day: date) -> Owner:
        """The owner of telemetry, by `event:` rules; NOBODY if none."""
        return self._owner(evidence, day, [rule for rule in self._ordered if rule.field.startswith(EVENT)])

    def is_platform(self, evidence: Mapping[str, str | None], day: date) -> bool:
        """Whether a platform rule claims the bill line."""
        return any(
            rule.kind == "platform" and rule.is_valid_on(day) and rule.matches(_seen(evidence, rule.field))
            for rule in self._ordered
        )

    def _owner(self, evidence: Mapping[str, str | None], day: date, rules: Sequence[Rule]) -> Owner:
        parts: dict[str, str] = {}
        named_by: dict[str, Rule] = {}
        for rule in rules:
            seen = _seen(evidence, rule.field)
            if rule.kind == "platform" or seen is None or not rule.is_valid_on(day) or not rule.matches(seen):
                continue
            for part, slug in rule.parts(seen).items():
                if part not in parts:
                    parts[part], named_by[part] = slug, rule
        if "team" not in parts and "project" in parts and (team := self._team_of(parts["project"], day)):
            parts["team"] = team
        if "team" not in parts and "project" not in parts:
            return NOBODY
        first = named_by.get("team") or named_by["project"]
        labels = dict.fromkeys(named_by[part].label for part in ("team", "project") if part in named_by)
        return Owner(
            team=parts.get("team"),
            project=parts.get("project"),
            environment=parts.get("environment"),
            kind=first.kind,
            rules="+".join(labels),
        )

    def _team_of(self, project: str, day: date) -> str | None:
        for membership in self.memberships:
            starts = membership.valid_from is None or membership.valid_from <= day
            ends = membership.valid_to is not None and membership.valid_to <= day
            if membership.project == project and starts and not ends:
                return membership.team
        return None

    def epochs(self, first: date, end: date, extra: Iterable[date | None] = ()) -> list[tuple[date, date]]:
        """[first, end) cut where a rule or a placement begins or ends: inside a piece every day has the same rules."""
        dated: list[Rule | Membership] = [*self.rules, *self.memberships]
        cuts = {cut for item in dated for cut in (item.valid_from, item.valid_to)} | set(extra)
        marks = sorted({first, end} | {cut for cut in cuts if cut is not None and first < cut < end})
        return list(pairwise(marks))

    def charge_fields(self) -> frozenset[str]:
        """Which evidence the rules look at on bill lines (`tags` for any tag)."""
        about = [rule for rule in self.rules if _is_about_charges(rule) or rule.kind == "platform"]
        return frozenset("tags" if rule.field.startswith(TAG) else rule.field for rule in about)

    def event_fields(self) -> frozenset[str]:
        return frozenset(rule.field.removeprefix(EVENT) for rule in self.rules if rule.field.startswith(EVENT))

    def version(self, first: date, end: date) -> str:
        """A short hash of what can matter in [first, end); rules valid at other times don't change it."""
        dated: list[Rule | Membership] = [*self._ordered, *sorted(self.memberships, key=repr)]
        overlapping = [
            repr(item)
            for item in dated
            if (item.valid_from is None or item.valid_from < end) and (item.valid_to is None or first < item.valid_to)
        ]
        return sha256("\n".join(overlapping).encode()).hexdigest()[:12]


def _rule_order(rule: Rule) -> tuple[int, str]:
    return rule.position, repr(rule)


def _is_about_charges(rule: Rule) -> bool:
    return not rule.field.startswith(EVENT) and rule.kind != "platform"


def _seen(evidence: Mapping[str, str | None], name: str) -> str | None:
    if name.startswith(TAG):
        return _tags(evidence.get("tags")).get(name.removeprefix(TAG))
    return evidence.get(name.removeprefix(EVENT))


@lru_cache(maxsize=65_536)
def _tags(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    loaded = json.loads(text)
    return {key: str(value) for key, value in loaded.items() if value is not None} if isinstance(loaded, dict) else {}


def pool_named_by(tags: str | None) -> str | None:
    """The capacity pool that a resource's tags name."""
    found = _tags(tags)
    return next((found[key] for key in POOL_TAGS if found.get(key)), None)


def as_slug(value: str) -> str:
    """A tag's value as a slug: trimmed, lower case, blanks as hyphens; `Search Ads` and `search-ads` are one team."""
    return "-".join(value.casefold().split())[:100]
