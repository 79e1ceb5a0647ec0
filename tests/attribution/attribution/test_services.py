"""Runs of `attribute` on a lake of hand-made partitions: what is published, when nothing is, and why."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.utils import timezone

from attribution import services
from attribution.lake import catalogue
from attribution.lake.catalogue import PartitionKey
from attribution.models import (
    AttributedUnit,
    Authority,
    BillingAccount,
    Binding,
    OwnershipRule,
    Project,
    Revision,
    Team,
)
from attribution.reconcile import reconcile
from attribution.vocabulary import Dataset
from tests.attribution.attribution import tables
from tests.attribution.attribution.tables import DAY, charge, charges, shown, usage, used

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _lake(lake_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty lake, whose bills are written in the shorthand of `tables`."""
    monkeypatch.setattr(services, "recognize_table", tables.recognize)
    if not OwnershipRule.objects.exists():  # the default rules, which flushing a test database takes away
        for place, part in enumerate(("team", "project")):
            for field in (f"tag:{part}", f"event:{part}"):
                OwnershipRule.objects.create(position=1000 + place, field=field, operator="value", takes=part)


def bill(*rows: dict[str, Any], days: tuple[date, ...] = ()) -> None:
    """Publish bill lines as partitions of CHARGES; `days` are emptied."""
    table = charges(*rows)
    keys = {(row["scope"], row["billing_account_id"], row["billing_period"], row["day"]) for row in rows}
    staged = []
    for scope, account, period, day in keys | {("cur", "payer", f"{day:%Y-%m}", day) for day in days}:
        key = PartitionKey(Dataset.CHARGES, scope=scope, billing_account_id=account, billing_period=period, day=day)
        mine = [
            (row["scope"], row["billing_account_id"], row["billing_period"], row["day"])
            == (scope, account, period, day)
            for row in rows
        ]
        staged.append(catalogue.stage(key, table.filter(pa.array(mine, pa.bool_()))))
        for provider in {row["provider"] for row, is_mine in zip(rows, mine, strict=True) if is_mine}:
            Authority.objects.get_or_create(
                provider=provider, billing_account_id=account, billing_period=period, defaults={"scope": scope}
            )
    catalogue.publish(staged)


def count(*rows: dict[str, Any]) -> None:
    """Publish usage as partitions of USAGE_HOURLY."""
    for day in {row["day"] for row in rows}:
        key = PartitionKey(Dataset.USAGE_HOURLY, scope="gateway", day=day)
        catalogue.publish([catalogue.stage(key, usage(*(row for row in rows if row["day"] == day)))])


def stored(dataset: Dataset) -> pa.Table:
    tables_of = [catalogue.read_table(revision) for revision in catalogue.current(dataset)]
    return pa.concat_tables(tables_of) if tables_of else pa.table({})


def hashes() -> dict[str, str]:
    return {each: catalogue.lake_hash(each) for each in (Dataset.LEDGER, Dataset.USAGE_OWNED, Dataset.ROLLUP_DAILY)}


def test_it_publishes_the_ledger_the_rollup_and_owned_usage_in_one_commit() -> None:
    bill(charge(cost="10"), charge("s3", cost="5"))
    count(used("a", 75), used("b", 25))
    summary = services.attribute()
    assert [(unit.provider, unit.month, unit.changes, unit.reason) for unit in summary.units] == [
        ("aws", "2026-05", 3, "first attribution")
    ]
    assert shown(stored(Dataset.LEDGER), "team", "method", "reason", "billed_cost") == [
        (None, "unattributed", "other_scope", "5"),
        ("a", "token_share", None, "7.5"),
        ("b", "token_share", None, "2.5"),
    ]
    assert shown(stored(Dataset.ROLLUP_DAILY), "team", "billed_cost", "parts") == [
        (None, "5", 1),
        ("a", "7.5", 1),
        ("b", "2.5", 1),
    ]
    assert shown(stored(Dataset.USAGE_OWNED), "team", "owned", "output") == [("a", True, 75), ("b", True, 25)]
    written = Revision.objects.filter(dataset__in=[Dataset.LEDGER, Dataset.ROLLUP_DAILY, Dataset.USAGE_OWNED])
    assert len({revision.commit_seq for revision in written}) == 1
    ledger = Revision.objects.get(dataset=Dataset.LEDGER)
    assert ledger.inputs["charges_rev"] == 1
    assert ledger.inputs["rules"]
    assert ledger.reason == "first attribution"


def test_a_second_run_does_nothing() -> None:
    bill(charge())
    count(used("a", 100))
    services.attribute()
    again = services.attribute()
    assert (again.changes, again.units, again.skipped) == (0, [], 1)


def test_a_rerun_from_nothing_remembered_makes_the_same_revisions() -> None:
    bill(charge())
    count(used("a", 100))
    services.attribute()
    before = hashes()
    AttributedUnit.objects.all().delete()
    again = services.attribute()
    assert again.changes == 0
    assert hashes() == before


def test_teams_and_projects_found_by_name_are_listed_as_discovered() -> None:
    Team.objects.create(slug="a", name="The A team")
    bill(charge(tags='{"project":"x","team":"a"}'))
    count(used("b", 100))
    services.attribute()
    assert list(Team.objects.order_by("slug").values_list("slug", "name", "discovered")) == [
        ("a", "The A team", False),
        ("b", "b", True),
    ]
    assert Project.objects.get().discovered


def test_a_changed_rule_re_attributes_only_what_it_covers_and_says_why() -> None:
    later = date(2026, 5, 20)
    bill(charge(sub_account_id="1"), charge(sub_account_id="1", day=later))
    services.attribute()
    OwnershipRule.objects.create(position=1, field="sub_account_id", value="1", team="a", valid_from=date(2026, 5, 10))
    summary = services.attribute()
    # The ledger's partition of 20 May and the roll-up of its month.
    assert (summary.changes, summary.units[0].reason) == (2, "changed: rules")
    revisions = {revision.day: revision for revision in catalogue.current(Dataset.LEDGER)}
    assert (revisions[DAY].rev, revisions[later].rev) == (1, 2)
    assert revisions[later].reason == "changed: rules"
    assert shown(stored(Dataset.LEDGER), "day", "team") == [(DAY, None), (later, "a")]


def test_a_rule_of_another_time_re_attributes_nothing() -> None:
    bill(charge())
    services.attribute()
    OwnershipRule.objects.create(position=1, field="sub_account_id", value="1", team="a", valid_from=date(2026, 6, 1))
    assert services.attribute().skipped == 1


def test_a_late_correction_in_the_next_bill_leaves_the_earlier_months_line_in_place() -> None:
    first = date(2026, 5, 1)
    bill(charge(cost="12.50", day=first))
    services.attribute()
    bill(
        charge(cost="-0.50", day=first, billing_period="2026-06", charge_class="Correction"),
        charge(cost="7", day=date(2026, 6, 2)),
    )
    services.attribute()
    assert shown(stored(Dataset.LEDGER), "billing_period", "day", "billed_cost") == [
        ("2026-05", first, "12.5"),
        ("2026-06", first, "-0.5"),
        ("2026-06", date(2026, 6, 2), "7"),
    ]
    # June's roll-up holds days of two units, whichever was made last.
    june = [row for row in stored(Dataset.ROLLUP_DAILY).to_pylist() if row["billing_period"] == "2026-06"]
    assert sorted(row["billed_cost"] for row in june) == [Decimal("-0.5"), Decimal(7)]


def test_a_vanished_day_becomes_empty() -> None:
    other = date(2026, 5, 5)
    bill(charge(cost="1"), charge(cost="2", day=other))
    services.attribute()
    bill(days=(other,))
    services.attribute()
    assert shown(stored(Dataset.LEDGER), "day", "billed_cost") == [(DAY, "1")]
    assert shown(stored(Dataset.ROLLUP_DAILY), "day", "billed_cost") == [(DAY, "1")]


def test_two_providers_in_one_delivery_do_not_disturb_each_other() -> None:
    bill(charge(cost="1"), charge(cost="2", provider="azure"))
    services.attribute()
    assert shown(stored(Dataset.LEDGER), "provider", "billed_cost") == [("aws", "1"), ("azure", "2")]
    assert shown(stored(Dataset.ROLLUP_DAILY), "provider", "billed_cost") == [("aws", "1"), ("azure", "2")]
    assert services.attribute().skipped == 2


def test_telemetry_of_a_provider_without_a_bill_is_kept_with_its_owner() -> None:
    count(used("a", 10, provider="openai"))
    services.attribute()
    assert shown(stored(Dataset.USAGE_OWNED), "provider", "team", "output") == [("openai", "a", 10)]
    assert services.attribute().skipped == 1


def test_new_telemetry_of_a_new_provider_makes_a_new_unit() -> None:
    count(used("a", 10))
    services.attribute()
    count(used("a", 10), used("b", 5, provider="gcp"))
    services.attribute()
    assert shown(stored(Dataset.USAGE_OWNED), "provider", "team", "output") == [("aws", "a", 10), ("gcp", "b", 5)]


def test_a_binding_added_later_moves_the_usage_to_its_account() -> None:
    bill(charge(billing_account_id="one"), charge(billing_account_id="two"))
    count(used("a", 100, endpoint="e"))
    services.attribute()
    Binding.objects.create(provider="aws", endpoint="e", billing_account_id="one")
    summary = services.attribute()
    assert summary.units[0].reason == "changed: bindings"
    assert shown(stored(Dataset.LEDGER), "billing_account_id", "reason") == [("one", None), ("two", "bypass")]


def test_closing_a_period_makes_its_rows_final() -> None:
    bill(charge())
    services.attribute()
    Authority.objects.update(closed_at=timezone.now())
    assert services.attribute().units[0].reason == "changed: closed"
    assert stored(Dataset.LEDGER)["state"].to_pylist() == ["final"]


@pytest.mark.parametrize(
    ("newest", "through"), [(date(2026, 5, 20), date(2026, 5, 20)), (date(2026, 5, 31), date(2026, 6, 1))]
)
def test_a_bill_reaches_to_its_newest_usage_day_and_over_a_periods_end(newest: date, through: date) -> None:
    bill(charge(), charge(day=newest), charge(charge_category="Tax", day=date(2026, 5, 31)))
    services.attribute()
    assert BillingAccount.objects.get().billed_through == through


def test_reconcile_compares_with_the_control_totals_and_finds_a_missing_line() -> None:
    tables.control_total(Decimal("16"))
    bill(charge(cost="10"), charge("s3", cost="5"))
    count(used("a", 100))
    services.attribute()
    (row,) = reconcile()
    assert (row.billed, row.attributed, row.unattributed) == (Decimal(16), Decimal(10), {"other_scope": Decimal(5)})
    assert row.difference == 1


def test_a_broken_law_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_a_row(engine: Any, *args: Any, **inputs: Any) -> Any:
        built = honest(engine, *args, **inputs)
        return services.replace(built, ledger=built.ledger.slice(1))

    honest = services.ledger.build
    monkeypatch.setattr(services.ledger, "build", lose_a_row)
    bill(charge())
    with pytest.raises(services.ledger.BrokenLaw, match="nothing is published"):
        services.attribute()
    assert not Revision.objects.filter(dataset=Dataset.LEDGER).exists()


def test_a_stale_unit_is_read_again() -> None:
    bill(charge(cost="1"))
    honest, calls = services.ledger.build, []

    def overtaken(engine: Any, unit: Any, **inputs: Any) -> Any:
        built = honest(engine, unit, **inputs)
        calls.append(unit)
        if len(calls) == 1:
            # Another process attributes the same unit between our reading and our publishing.
            services.attribute()
        return built

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services.ledger, "build", overtaken)
        summary = services.attribute()
    assert len(calls) == 2
    assert summary.skipped == 1
    assert shown(stored(Dataset.LEDGER), "billed_cost") == [("1",)]
