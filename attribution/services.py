"""Attributes what has new inputs, and publishes the ledger, owned usage and roll-ups of a unit in one transaction.

A unit is a provider's calendar month of charge days. Its inputs are fingerprinted (charges, usage, rules, bindings,
closed periods, the build's own version); a unit whose fingerprints stand in AttributedUnit is skipped. Arithmetic is in
`ledger`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from django.utils import timezone

from attribution import ledger, recognition
from attribution.configuration import load_bindings, load_rule_book
from attribution.lake import catalogue, serving
from attribution.lake.catalogue import PartitionKey, Staged, Stale
from attribution.lake.engine import Engine, Files
from attribution.lake.schemas import SCHEMAS
from attribution.lake.slices import slices
from attribution.models import AttributedUnit, Authority, BillingAccount, Project, Revision, Team
from attribution.recognition.meters import recognize_table
from attribution.vocabulary import Dataset

_ATTEMPTS = 5
# How far back from its newest partition an account's newest usage day is looked for: taxes and fees may be dated later.
_WATERMARK_DAYS = 45


@dataclass(frozen=True)
class UnitReport:
    """What one unit's run did. changes: partitions with a new revision."""

    provider: str
    month: str
    changes: int
    reason: str


@dataclass
class AttributionSummary:
    """What a run did. `skipped`: units whose inputs had not changed."""

    units: list[UnitReport] = field(default_factory=list)
    skipped: int = 0

    @property
    def changes(self) -> int:
        return sum(unit.changes for unit in self.units)


@dataclass(frozen=True)
class _Inputs:
    """What a unit is made from: revisions and, by kind, their fingerprints."""

    charges: tuple[Revision, ...]
    usage: tuple[Revision, ...]
    unit: ledger.Unit
    marks: Mapping[str, str]


@dataclass(frozen=True)
class _Providers:
    """Whose charges a partition holds: its key says so, or the authority over its account and period does."""

    by_authority: Mapping[tuple[str, str, str], frozenset[str]]

    @classmethod
    def load(cls) -> Self:
        found: dict[tuple[str, str, str], frozenset[str]] = {}
        rows = Authority.objects.values_list("scope", "billing_account_id", "billing_period", "provider")
        for scope, account, period, provider in rows:
            found[scope, account, period] = found.get((scope, account, period), frozenset()) | {provider}
        return cls(found)

    def of(self, revision: Revision) -> frozenset[str]:
        if revision.provider:
            return frozenset({revision.provider})
        place = (revision.scope, revision.billing_account_id, revision.billing_period)
        return self.by_authority.get(place, frozenset())


def attribute(*, progress: Callable[[UnitReport], None] | None = None) -> AttributionSummary:
    """Attribute every unit whose inputs changed, move the watermarks and rebuild the serving file.

    Safe to run at any time, by several processes, and again after a crash. Raises ledger.BrokenLaw (that unit keeps
    what it had) and ownership.BadRule.
    """
    summary = AttributionSummary()
    providers_of = _Providers.load()
    with catalogue.open_engine() as engine:
        for provider, month in _units(engine, providers_of):
            report = _attribute_unit(engine, provider, month, providers_of)
            if report is None:
                summary.skipped += 1
                continue
            summary.units.append(report)
            if progress is not None:
                progress(report)
        _move_watermarks(engine, providers_of)
    # Does nothing where the served file is of these roll-ups and watermarks already.
    serving.build_serving_file()
    return summary


def _attribute_unit(engine: Engine, provider: str, month: date, providers_of: _Providers) -> UnitReport | None:
    for attempt in range(_ATTEMPTS):
        inputs = _inputs_of(provider, month, providers_of)
        known = AttributedUnit.objects.filter(provider=provider, month=f"{month:%Y-%m}").first()
        if known is not None and known.inputs == inputs.marks:
            return None
        try:
            return _publish_unit(engine, inputs, _reason(known.inputs if known else None, inputs.marks))
        except Stale:
            # Somebody published a partition of this unit meanwhile: what they made it from may be newer than what we
            # read.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _publish_unit(engine: Engine, inputs: _Inputs, reason: str) -> UnitReport:
    unit = inputs.unit
    written = _ledger_keys(inputs)
    rollups = {_rollup_key(key): None for key in written}
    owned = _usage_keys(inputs)
    expected = catalogue.seen([*written, *rollups, *owned])
    charges, usage = _files(Dataset.CHARGES, inputs.charges), _files(Dataset.USAGE_HOURLY, inputs.usage)
    built = ledger.build(engine, unit, charges=charges, usage=usage, recognize=recognize_table)
    ledger.audit(engine, unit, built, charges=charges, usage=usage)
    staged = [
        *_stage(written, built.ledger, ("scope", "billing_account_id", "billing_period", "day"), inputs, reason),
        *_stage(owned, built.usage_owned, ("day",), inputs, reason),
        *_stage(
            rollups,
            _whole_rollup(built, rollups, unit),
            ("scope", "billing_account_id", "billing_period"),
            inputs,
            reason,
        ),
    ]

    def also(commit_seq: int) -> None:
        _register(Team, built.teams)
        _register(Project, built.projects)
        AttributedUnit.objects.update_or_create(
            provider=unit.provider,
            month=f"{unit.first:%Y-%m}",
            defaults={"inputs": dict(inputs.marks), "commit_seq": commit_seq, "attributed_at": timezone.now()},
        )

    published = catalogue.publish(staged, expected=expected, also=also)
    return UnitReport(unit.provider, f"{unit.first:%Y-%m}", len(published.changed), reason)


# Which units there are, and what they are made from


def _units(engine: Engine, providers_of: _Providers) -> list[tuple[str, date]]:
    """Every (provider, first day of month) that a bill or telemetry speaks of."""
    charges = catalogue.current(Dataset.CHARGES)
    found = {(provider, _month(row.day)) for row in charges for provider in providers_of.of(row)}
    by_month: dict[date, list[Revision]] = {}
    for revision in catalogue.current(Dataset.USAGE_HOURLY):
        by_month.setdefault(_month(revision.day), []).append(revision)
    for month, revisions in by_month.items():
        known = AttributedUnit.objects.filter(month=f"{month:%Y-%m}")
        providers = {unit.provider for unit in known}
        # Units of this month that were made from this very usage: then its providers are all among them.
        if not any(unit.inputs.get("usage") == _mark(revisions) for unit in known):
            usage = _files(Dataset.USAGE_HOURLY, revisions)
            providers |= set(
                engine.run("marts/usage_providers", inputs={"usage_hourly": usage})["provider"].to_pylist()
            )
        found |= {(provider, month) for provider in providers}
    return sorted(found)


def _inputs_of(provider: str, month: date, providers_of: _Providers) -> _Inputs:
    end = (month + timedelta(days=32)).replace(day=1)
    days = [month + timedelta(days=n) for n in range((end - month).days)]
    charges = tuple(row for row in catalogue.current(Dataset.CHARGES, days=days) if provider in providers_of.of(row))
    usage = tuple(catalogue.current(Dataset.USAGE_HOURLY, days=days))
    periods = {(revision.billing_account_id, revision.billing_period) for revision in charges}
    closed = Authority.objects.filter(provider=provider, closed_at__isnull=False)
    unit = ledger.Unit(
        provider=provider,
        first=month,
        end=end,
        rules=load_rule_book(),
        bindings=load_bindings(provider, month, end),
        closed=frozenset(closed.values_list("billing_account_id", "billing_period")) & periods,
    )
    marks = {
        "charges": _mark(charges),
        "usage": _mark(usage),
        "rules": unit.rules.version(month, end),
        "bindings": _digest(map(repr, unit.bindings)),
        "closed": _digest(map(repr, sorted(unit.closed))),
        "recognition": _recognition_version(),
        "build": f"{ledger.BUILD_VERSION} {unit.weights.version} tolerance_ppm={unit.tolerance_ppm}",
    }
    return _Inputs(charges, usage, unit, marks)


@lru_cache(maxsize=1)
def _recognition_version() -> str:
    """Recognition's rules and code as they are installed: an upgrade that reads a meter otherwise re-attributes it."""
    parts = [part for part in files(recognition).iterdir() if part.name.endswith((".toml", ".py"))]
    return _digest(f"{part.name} {sha256(part.read_bytes()).hexdigest()}" for part in parts)


def _mark(revisions: Iterable[Revision]) -> str:
    """A fingerprint of some revisions' content; the same content under another revision number is the same."""
    return _digest(f"{revision.key} {revision.content_hash}" for revision in revisions if revision.rows)


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _reason(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """Why there is a new revision, for people: which inputs differ from those of the last one."""
    if before is None:
        return "first attribution"
    return "changed: " + ", ".join(name for name in now if before.get(name) != now[name])


def _month(day: date | None) -> date:
    if day is None:
        raise ValueError("a partition of charges or usage without a day")
    return day.replace(day=1)


# What a unit writes


def _ledger_keys(inputs: _Inputs) -> dict[PartitionKey, Mapping[str, object]]:
    """Key -> what only this partition was made from. Partitions of the ledger whose charges are gone become empty."""
    unit = inputs.unit
    gone = catalogue.current(Dataset.LEDGER, provider=unit.provider, days=unit.days())
    keys: dict[PartitionKey, Mapping[str, object]] = {catalogue.key_of(revision): {} for revision in gone}
    for row in inputs.charges:
        key = replace(catalogue.key_of(row), dataset=Dataset.LEDGER, provider=unit.provider)
        keys[key] = {"charges_rev": row.rev}
    return keys


def _rollup_key(key: PartitionKey) -> PartitionKey:
    return replace(key, dataset=Dataset.ROLLUP_DAILY, day=None)


def _usage_keys(inputs: _Inputs) -> dict[PartitionKey, Mapping[str, object]]:
    unit = inputs.unit
    keys: dict[PartitionKey, Mapping[str, object]] = {
        catalogue.key_of(row): {}
        for row in catalogue.current(Dataset.USAGE_OWNED, provider=unit.provider, days=unit.days())
    }
    for day in sorted({row.day for row in inputs.usage if row.day is not None}):
        revisions = {row.scope: row.rev for row in inputs.usage if row.day == day}
        keys[PartitionKey(Dataset.USAGE_OWNED, provider=unit.provider, day=day)] = {"usage_revs": revisions}
    return keys


def _stage(
    keys: Mapping[PartitionKey, Mapping[str, object] | None],
    table: pa.Table,
    columns: Sequence[str],
    inputs: _Inputs,
    reason: str,
) -> list[Staged]:
    """Stage `table` cut by `columns`, which are fields of the keys; a key without rows becomes empty."""
    cut = dict(slices(table, columns))
    own = {tuple(getattr(key, name) for name in columns): key for key in keys}
    if strange := cut.keys() - own.keys():
        raise ledger.BrokenLaw(f"rows for a partition that the inputs don't have: {sorted(map(str, strange))[:3]}")
    empty = table.slice(0, 0)
    staged = catalogue.stage_many(((key, cut.get(place, empty)) for place, key in own.items()), reason=reason)
    return [replace(one, inputs={**inputs.marks, **(keys[one.key] or {})}) for one in staged]


def _whole_rollup(built: ledger.Built, keys: Iterable[PartitionKey], unit: ledger.Unit) -> pa.Table:
    """The unit's roll-up with the rows of its partitions' other months: a billing period may hold days of several."""
    tables = [built.rollup]
    for key in keys:
        for revision in catalogue.current(
            Dataset.ROLLUP_DAILY,
            provider=unit.provider,
            scope=key.scope,
            billing_account_id=key.billing_account_id,
            billing_period=key.billing_period,
        ):
            table = catalogue.read_table(revision)
            outside = pc.or_(pc.less(table["day"], unit.first), pc.greater_equal(table["day"], unit.end))
            tables.append(table.filter(outside))
    return pa.concat_tables(tables)


def _files(dataset: Dataset, revisions: Iterable[Revision]) -> Files:
    return Files([catalogue.path_of(row) for row in revisions if row.path], SCHEMAS[dataset])


def _register(model: type[Team] | type[Project], slugs: frozenset[str]) -> None:
    """Teams and projects that rules found by name are listed as discovered, for a person to confirm."""
    known = set(model.objects.filter(slug__in=slugs).values_list("slug", flat=True))
    for slug in sorted(slugs - known):
        model.objects.get_or_create(slug=slug, defaults={"name": slug, "discovered": True})


# How far each bill reaches


def _move_watermarks(engine: Engine, providers_of: _Providers) -> None:
    """Set each account's billed_through from its newest day with usage.

    That day itself is still unsettled, unless it is the last of its billing period.
    """
    newest: dict[tuple[str, str], list[Revision]] = {}
    for revision in catalogue.current(Dataset.CHARGES):
        if revision.rows:
            for provider in providers_of.of(revision):
                newest.setdefault((provider, revision.billing_account_id), []).append(revision)
    for (provider, account), revisions in newest.items():
        last = max(revision.day for revision in revisions if revision.day)
        recent = [row for row in revisions if row.day and row.day > last - timedelta(days=_WATERMARK_DAYS)]
        found = engine.run(
            "marts/watermark", params={"provider": provider}, inputs={"charges": _files(Dataset.CHARGES, recent)}
        ).to_pylist()
        for row in found:
            _move_watermark(provider, account, row["newest_day"], bool(row["ends_period"]))


def _move_watermark(provider: str, account: str, newest_day: date, ends_period: bool) -> None:
    known, _ = BillingAccount.objects.get_or_create(provider=provider, billing_account_id=account)
    lag = 0 if ends_period else known.settle_lag_days
    through = newest_day + timedelta(days=1 - lag)
    if known.billed_through != through:
        BillingAccount.objects.filter(pk=known.pk).update(billed_through=through)
