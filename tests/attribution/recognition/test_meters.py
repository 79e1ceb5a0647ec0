"""What meters mean. The names are in samples/meters: one line a rule at least, as bills and price lists write them."""

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from attribution.lake.schemas import RECOGNIZED
from attribution.recognition.meters import (
    Meter,
    Recognition,
    recognize,
    recognize_table,
    rule_name,
    rule_names,
    sku_key,
)

SAMPLES = Path(__file__).parents[2] / "samples" / "meters"
K, M = Decimal(1000), Decimal(1_000_000)
SONNET = "Claude Sonnet 4.5 (Amazon Bedrock Edition)"


def rows(name: str) -> list[dict[str, str | None]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as handle:
        return [{key: value or None for key, value in row.items()} for row in csv.DictReader(handle)]


TOKENS, OTHERS = rows("token_meters.csv"), rows("other_meters.csv")


def meter_of(row: dict[str, str | None]) -> Meter:
    names = ("provider", "service_name", "service_code", "operation", "sku_meter", "description", "pricing_unit")
    columns = {name: row[name] for name in (*names, "resource_type")}
    return Meter(**columns, charge_category="Usage")  # type: ignore[arg-type]


def bedrock(meter: str, unit: str | None = "1K tokens", name: str = "Amazon Bedrock") -> Meter:
    return Meter("aws", name, "AmazonBedrock", None, meter, None, unit, "Usage")


@pytest.mark.parametrize("row", TOKENS, ids=lambda row: row["sku_meter"] or row["description"])
def test_a_token_meter_is_read_whole(row: dict[str, str | None]) -> None:
    meter = meter_of(row)
    found = recognize(meter)
    assert rule_name(meter) == row["rule"]
    assert found.understood
    assert found.charge_scope == "inference"
    assert (found.model, found.token_type, found.tier) == (row["model"], row["token_type"], row["tier"])
    assert (found.context_band, found.routing) == (row["context_band"], row["routing"])
    assert found.tokens_per_unit == Decimal(row["tokens_per_unit"] or "")
    assert found.publisher is not None


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row["sku_meter"])
def test_other_meters_keep_their_scope(row: dict[str, str | None]) -> None:
    meter = meter_of(row)
    found = recognize(meter)
    assert rule_name(meter) == row["rule"]
    assert (found.charge_scope, found.understood) == (row["charge_scope"], row["understood"] == "yes")
    assert (found.token_type, found.model, found.hardware) == (row["token_type"], row["model"], row["hardware"])
    assert found.tokens_per_unit is None


def test_every_rule_has_a_case() -> None:
    assert {row["rule"] for row in TOKENS + OTHERS} - {None} == set(rule_names())


def test_the_token_unit_is_never_inferred_from_the_meter() -> None:
    assert recognize(bedrock("USE1-NovaPro-input-tokens", "1M tokens")).tokens_per_unit == M
    for unit in ("Units", "Hours", "Characters", None):
        found = recognize(bedrock("USE1-NovaPro-input-tokens", unit))
        assert found.tokens_per_unit is None
        assert not found.understood
        assert found.charge_scope == "inference"


def test_the_description_says_what_units_are() -> None:
    meter = bedrock("USE1-MP:USE1_InputTokenCount-Units", "Units", SONNET)
    assert recognize(replace(meter, description="$0.003 per 1K Input Tokens")).tokens_per_unit == K
    million = "AWS Marketplace software usage|us-east-1|Million Input Tokens"
    assert recognize(replace(meter, description=million)).tokens_per_unit == M


def test_tax_and_fees_keep_the_scope_of_the_service_they_name() -> None:
    tax = recognize(Meter("aws", "Amazon Bedrock", "AmazonBedrock", charge_category="Tax"))
    assert (tax.charge_scope, tax.understood, tax.token_type) == ("inference", True, None)
    support = recognize(Meter("aws", "AWS Support", "AWSSupportEnterprise", charge_category="Usage"))
    assert support.charge_scope == "other"
    assert recognize(replace(bedrock("USE1-NovaPro-input-tokens"), charge_category="Credit")).model == "nova-pro"


def test_a_tax_on_tokens_counts_none() -> None:
    found = recognize(replace(bedrock("USE1-NovaPro-input-tokens"), charge_category="Tax"))
    assert (found.charge_scope, found.token_type, found.tokens_per_unit) == ("inference", None, None)


def test_equal_meters_have_equal_keys_and_unknown_is_not_empty() -> None:
    meter = bedrock("USE1-NovaPro-input-tokens")
    assert sku_key(meter) == sku_key(replace(meter))
    assert sku_key(meter) != sku_key(replace(meter, operation=""))


def test_a_table_of_meters_is_recognized_row_by_row() -> None:
    meters = [meter_of(row) for row in TOKENS + OTHERS]
    columns = Meter.__dataclass_fields__
    distinct = pa.table({name: pa.array([getattr(meter, name) for meter in meters], pa.string()) for name in columns})
    found = recognize_table(distinct)
    assert found.schema == RECOGNIZED
    assert [Recognition(**row) for row in found.to_pylist()] == [recognize(meter) for meter in meters]
    assert recognize_table(distinct.slice(0, 0)).num_rows == 0
