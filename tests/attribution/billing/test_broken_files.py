"""Broken input: one clear sentence or quarantined rows, never a wrong number, never a stack trace."""

import gzip
import io
import json
import resource
import subprocess
import sys
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from attribution.ingest import ingest_billing

D = Decimal


@pytest.fixture
def run(lake):
    """run(path) -> the command's JSON; CommandError (one sentence, exit 1) where it fails."""

    def command(path):
        out = io.StringIO()
        call_command("ingest", "billing", path, "--json", stdout=out)
        return json.loads(out.getvalue())["files"][0]

    return command


@pytest.fixture
def two_rows(bills):
    return bills.focus_text({}, {"BilledCost": "2"})


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda text: b"", "is empty"),
        (lambda text: b"\n\n  \n", "is empty"),
        (lambda text: gzip.compress(text)[:-20], "middle of its gzip data|damaged gzip"),
        (lambda text: gzip.compress(text)[:100] + b"rubbish" + gzip.compress(text)[107:], "gzip data"),
        (lambda text: text.replace(b",", b";"), "separates its columns with semicolons"),
        (lambda text: text.replace(b",", b"\t"), "separates its columns with tabs"),
        (lambda text: text.replace(b"BilledCost", b"Betrag"), "looks like focus but lacks billed_cost"),
        (lambda text: text.replace(b"ChargePeriodEnd", b"Ende"), "lacks the column charge_period_end"),
        (lambda text: text.replace(b"ListCost", b"BilledCost"), "two columns for billed_cost"),
        (lambda text: text.decode().encode("utf-16-le"), "not text"),
        (lambda text: text.decode().encode("utf-16")[:-1], "damaged UTF-16"),
        (lambda text: text.decode().encode("utf-32"), "UTF-32"),
        (lambda text: b"\x89PNG\r\n\x1a\n\x00\x00", "not text"),
        (lambda text: b"PK\x03\x04" + text, "zip archive"),
        (lambda text: b"PAR1" + text, "damaged Parquet"),
        (lambda text: b"{" + text, "not well-formed JSON"),
        (lambda text: b"[]", "no JSON object"),
        (lambda text: text.replace(b"\n", b"\r"), "CR alone"),
        (lambda text: text + b'"never closed,1,2\n', "not well-formed CSV"),
        (lambda text: b"hello world\n", "not a table"),
        (lambda text: b"a,b\n1,2\n", "is no bill that Weir knows"),
    ],
)
def test_an_unreadable_file_is_one_clear_sentence(run, write, two_rows, broken, says, bills):
    path = write("bill", broken(two_rows.encode()))
    with pytest.raises(CommandError, match=says) as raised:
        run(path)
    assert path in str(raised.value)
    assert bills.charges() == []


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"BilledCost": "NaN"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "Infinity"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "1,25"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "1.234,56"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "$1.25"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "0x10"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "1e400"}, "billed_cost", "not a decimal"),
        ({"BilledCost": "1000000000000000"}, "billed_cost", "10\\^15 or more"),
        ({"BilledCost": ""}, "billed_cost", "empty"),
        ({"PricingQuantity": "many"}, "pricing_quantity", "not a decimal"),
        ({"ChargePeriodStart": "0001-01-01T00:00:00Z"}, "charge_period_start", "outside the years"),
        ({"ChargePeriodStart": "9999-12-31T23:59:59-12:00"}, "charge_period_start", "outside the years"),
        ({"ChargePeriodStart": "05/02/2026"}, "charge_period_start", "not a time"),
        ({"ChargePeriodStart": "2026-02-30T00:00:00Z"}, "charge_period_start", "not a time"),
        ({"ChargePeriodEnd": "2026-05-01T00:00:00Z"}, "charge_period_end", "before the charge period's start"),
        ({"ChargeCategory": "Gebühr"}, "charge_category", "not one of"),
        ({"BillingAccountId": "x" * 201}, "billing_account_id", "longer than 200"),
        ({"BillingCurrency": "DOLLARSUS"}, "billing_currency", "longer than 8"),
        ({"BillingAccountId": "a\x1fb"}, "billing_account_id", "control character"),
        ({"Tags": "{not json"}, "tags", "not JSON"),
        ({"Tags": "[1]"}, "tags", "keys and values"),
        ({"Tags": '{"a": NaN}'}, "tags", "not JSON"),
        ({"ProviderName": "", "InvoiceIssuerName": ""}, "provider_name", "no column names the provider"),
    ],
)
def test_a_row_that_cannot_be_kept_is_quarantined(run, write, bills, change, field, reason):
    file = run(write("bill.csv", bills.focus_text({}, change)))
    assert (file["rows_kept"], file["rows_quarantined"]) == (1, 1)
    (complaint,) = file["quarantine"]
    assert (complaint["line"], complaint["field"]) == (3, field)
    assert __import__("re").search(reason, complaint["reason"])
    assert bills.billed() == {"USD": D("1.25")}


def test_a_row_with_too_few_or_too_many_cells(run, write, two_rows):
    file = run(write("bill.csv", two_rows + "1,2,3\n" + two_rows.splitlines()[1] + ",extra\n"))
    assert (file["rows_kept"], file["rows_quarantined"]) == (2, 2)
    assert [one["line"] for one in file["quarantine"]] == [4, 5]


def test_lines_are_those_of_the_file(run, write, bills):
    text = bills.focus_text({"ChargeDescription": "two\nlines"}, {}, {"BilledCost": "NaN"}, {"BilledCost": "inf"})
    blank = text.replace("\nNaN", "\n\n\nNaN")
    file = run(write("bill.csv", blank))
    # Header 1, first row 2 and 3, second 4, blank 5 and 6.
    assert [one["line"] for one in file["quarantine"]] == [7, 8]


def test_bytes_that_are_not_utf8_quarantine_their_row(run, write, two_rows, bills):
    file = run(write("bill.csv", two_rows.encode().replace(b"tokens", b"t\xf6kens", 1)))
    assert (file["rows_kept"], file["rows_quarantined"]) == (1, 1)
    assert "UTF-8" in file["quarantine"][0]["reason"]
    assert file["quarantined_cost"] == {"USD": "1.25"}


def test_a_zero_byte_quarantines_its_row(run, write, two_rows):
    # Past the first 4 KiB, which would make the file no text at all.
    lines = two_rows.splitlines(keepends=True)
    text = "".join([lines[0], *lines[1:2] * 40, lines[2].replace("tokens", "to\x00kens")])
    file = run(write("bill.csv", text))
    assert (file["rows_kept"], file["rows_quarantined"]) == (40, 1)


def test_an_unusual_quote_is_read_by_the_strict_reader(run, write, bills):
    # A quote inside an unquoted cell stands for itself; it must not swallow the next line.
    text = bills.focus_text({"ChargeDescription": "24 inch"}, {}).replace("24 inch", '24" screen')
    assert run(write("bill.csv", text))["rows_kept"] == 2
    assert {row["charge_description"] for row in bills.charges()} == {'24" screen', "tokens"}


def test_text_behind_a_closing_quote_is_refused(run, write, two_rows):
    with pytest.raises(CommandError, match="line 2 is not well-formed CSV"):
        run(write("bill.csv", two_rows.replace("tokens", '"tok"ens', 1)))


def test_crlf_and_a_missing_last_newline(run, write, two_rows):
    assert run(write("bill.csv", two_rows.replace("\n", "\r\n").removesuffix("\r\n")))["rows_kept"] == 2


def test_a_wrong_json_line_is_quarantined(run, write, bills):
    good = json.dumps(dict(bills.FOCUS_ROW))
    file = run(write("rows.json", "\n".join([good, '{"BilledCost": ', "17", good])))
    assert (file["rows_kept"], file["rows_quarantined"]) == (2, 2)
    assert [one["line"] for one in file["quarantine"]] == [2, 3]


def test_absurd_json_is_quarantined(run, write, bills):
    row = json.dumps({**bills.FOCUS_ROW, "BilledCost": "@"})
    deep, long = row.replace('"@"', "[" * 900 + "]" * 900), row.replace('"@"', "9" * 5000)
    file = run(write("rows.json", "\n".join([json.dumps(dict(bills.FOCUS_ROW)), deep, long])))
    assert (file["rows_kept"], file["rows_quarantined"]) == (1, 2)


def test_a_name_that_is_too_long_is_refused(lake, write, bills):
    with pytest.raises(CommandError, match="has 301 characters"):
        call_command("ingest", "billing", write("bill.csv", bills.focus_text({})), "--scope", "x" * 301)


def test_a_cut_array_is_refused(run, write, bills):
    text = json.dumps([dict(bills.FOCUS_ROW)] * 2)
    with pytest.raises(CommandError, match=r"JSON|no proper end"):
        run(write("rows.json", text[:-40]))


def test_a_folder_that_cannot_be_read(run, tmp_path):
    with pytest.raises(CommandError, match="isn't there"):
        run(str(tmp_path / "nothing"))


def test_complaints_of_one_kind_are_one_line(run, write, bills):
    file = run(write("bill.csv", bills.focus_text({}, *[{"BilledCost": "NaN"}] * 50)))
    assert [(one["line"], one["count"]) for one in file["quarantine"]] == [(3, 50)]


def test_many_different_values_do_not_flood_the_quarantine(run, write, bills):
    file = run(write("bill.csv", bills.focus_text({}, *[{"BilledCost": f"x{n}"} for n in range(500)])))
    assert file["rows_quarantined"] == sum(one["count"] for one in file["quarantine"]) == 500
    assert len(file["quarantine"]) == 201


LONG_LINE = """
import resource, sys
from pathlib import Path
from attribution.sources.billing.base import UnreadableFile
from attribution.sources.billing.reading import select
from attribution.sources.billing.registry import find_format, open_reader
path = sys.argv[1]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    _, reader = open_reader(Path(path), path)
    form = find_format(path, reader.head)
    for _ in reader.chunks(select(path, reader.head, form.columns, form.null_words)):
        pass
except UnreadableFile as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_line_of_two_gigabytes_is_refused_in_bounded_memory(write, two_rows, tmp_path):
    path = tmp_path / "long.csv.gz"
    block = gzip.compress(b"9" * (1 << 20), 1)
    with path.open("wb") as sink:  # gzip members follow one another: 2 GiB of text in 10 MB
        sink.write(gzip.compress(two_rows.encode()))
        for _ in range(2048):
            sink.write(block)
    done = subprocess.run([sys.executable, "-c", LONG_LINE, str(path)], capture_output=True, text=True, check=True)
    message, used_mb = done.stdout.strip().splitlines()
    assert "line 4 is longer than 8 MiB" in message
    assert int(used_mb) < 200
    assert resource.getpagesize()  # the module is Unix only, as the product


def test_nothing_is_left_behind(run, write, two_rows, lake):
    with pytest.raises(CommandError):
        run(write("bill.csv", gzip.compress(two_rows.encode())[:-9]))
    assert [path for path in lake.rglob("*") if path.is_file()] == []
    assert list((lake / "tmp").iterdir()) == []


def test_the_exit_code_is_zero_with_quarantined_rows(run, write, bills):
    assert run(write("bill.csv", bills.focus_text({"BilledCost": "NaN"})))["rows_quarantined"] == 1
    assert ingest_billing([write("bill.csv", bills.focus_text({"BilledCost": "NaN"}))]).changes == 0
