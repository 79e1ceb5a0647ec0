"""Laws that hold for any damage to a bill: no stack trace, every row accounted for, every dollar either kept or told.

WEIR_MUTATIONS raises the number of examples.
"""

import csv
import gzip
import io
import json
import os
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("WEIR_MUTATIONS", "25"))
LAWFUL = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NASTY = st.sampled_from(
    [
        *("", " ", "NaN", "inf", "-0", "1e5", "1E-30", "9" * 30, "1,5", "1.10", "-3"),
        *('"', '""', "\n", "\r", "\x00", "ü", "\ud7ff", "NULL", ",", ";", "\x1f"),
        *("0001-01-01", "2026-13-01T00:00:00Z", "2026-05-02T00:00:00+99:00"),
        *("{", "[]", "null", '{"a":1}'),
        *("Usage", "Tax", "SavingsPlanNegation", "RIFee", "EUR"),
    ]
)


@pytest.fixture
def run(lake, bills, write):
    """run(name, content) -> (the file's JSON or None, the ledgered cost); the lake is empty before and after."""

    def ingest(name, content):
        path = write(name, content)
        out, message = io.StringIO(), ""
        with transaction.atomic():
            try:
                call_command("ingest", "billing", path, "--json", stdout=out)
            except CommandError as error:
                message = str(error)
            ledgered = bills.billed()
            transaction.set_rollback(True)
        if message:
            assert path in message or "account" in message
            assert ledgered == {}
            return None, {}
        return json.loads(out.getvalue())["files"][0], ledgered

    return ingest


def decimals(amounts):
    return {currency: Decimal(amount) for currency, amount in amounts.items() if Decimal(amount)}


def assert_lawful(file, ledgered):
    assert file["rows_read"] + file["rows_created"] == (
        file["rows_kept"] + file["rows_quarantined"] + file["rows_dropped"]
    )
    assert file["rows_quarantined"] == sum(one["count"] for one in file["quarantine"])
    assert decimals(file["billed_cost"]) == decimals(ledgered)
    left = decimals(file["control_totals"].get("billed", {}))
    for currency, amount in decimals(file["quarantined_cost"]).items():
        left[currency] = left.get(currency, Decimal(0)) - amount
    assert {currency: amount for currency, amount in left.items() if amount} == decimals(ledgered)


def sources(bills):
    plan = {"savingsPlan/SavingsPlanARN": "arn:plan", "savingsPlan/SavingsPlanEffectiveCost": "0.7"}
    return {
        "focus": bills.focus_text({}, {"BilledCost": "2", "ChargeDescription": "a, b\nc"}, {"BillingCurrency": "EUR"}),
        "cur": bills.cur_text(
            {},
            {**plan, "lineItem/LineItemType": "SavingsPlanCoveredUsage"},
            {**plan, "lineItem/LineItemType": "SavingsPlanNegation", "lineItem/UnblendedCost": "-1"},
            {
                "lineItem/LineItemType": "RIFee",
                "lineItem/UnblendedCost": "4",
                "reservation/UnusedRecurringFee": "0.5",
                "reservation/ReservationARN": "arn:ri",
            },
        ),
        "json": "\n".join(json.dumps({**bills.FOCUS_ROW, "BilledCost": cost}) for cost in ("1.5", "2", "3")),
    }


@LAWFUL
@given(data=st.data(), name=st.sampled_from(["focus", "cur", "json"]), packed=st.booleans())
def test_mutated_bytes(run, bills, data, name, packed):
    content = sources(bills)[name].encode()
    if packed:
        content = gzip.compress(content, mtime=0)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 12))
        new = data.draw(st.binary(max_size=8) | NASTY.map(lambda text: text.encode()))
        content = content[:start] + new + content[start + length :]
    file, ledgered = run("bill", content)
    if file is not None:
        assert_lawful(file, ledgered)


@LAWFUL
@given(data=st.data(), name=st.sampled_from(["focus", "cur"]))
def test_mutated_cells(run, bills, data, name):
    rows = list(csv.reader(io.StringIO(sources(bills)[name])))
    cost = rows[0].index("BilledCost" if name == "focus" else "lineItem/UnblendedCost")
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(0, len(rows) - 1))
        cell = data.draw(st.integers(0, len(rows[row]) - 1))
        rows[row][cell] = data.draw(NASTY | st.text(max_size=10))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    file, ledgered = run("bill.csv", text.getvalue().encode("utf-8", "surrogatepass"))
    if file is None:
        return
    assert_lawful(file, ledgered)
    if rows[0][cost] not in ("BilledCost", "lineItem/UnblendedCost"):
        return
    # Whatever else was damaged: a ledgered dollar stands in a cost cell of the file.
    readable = [amount for row in rows[1:] if (amount := number(row[cost])) is not None]
    assert sum(ledgered.values()) in {sum(chosen) for chosen in subsets(readable)}


def number(text):
    try:
        value = Decimal(text.strip())
    except ArithmeticError:
        return None
    return value.quantize(Decimal("1e-18")) if value.is_finite() and abs(value) < 10**15 else None


def subsets(amounts):
    chosen = [()]
    for amount in amounts:
        chosen += [(*one, amount) for one in chosen]
    return chosen


@LAWFUL
@given(order=st.permutations(range(8)), copies=st.lists(st.integers(0, 7), max_size=5))
def test_the_order_of_lines_means_nothing_and_a_copy_is_a_charge(run, bills, order, copies):
    # Costs 1, 2, 4, ... 128: each multiset of lines has its own sum.
    lines = [bills.focus_text({"BilledCost": str(2**n)}).splitlines()[1] for n in range(8)]
    header = bills.focus_text({}).splitlines()[0]
    chosen = [*order, *copies]
    file, ledgered = run("bill.csv", "\n".join([header, *(lines[n] for n in chosen)]) + "\n")
    assert file["rows_kept"] == len(chosen)
    assert ledgered == {"USD": Decimal(sum(2**n for n in chosen))}
