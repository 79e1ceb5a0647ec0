"""FOCUS from anybody: spellings, null words, times, who the provider is. Also the cases of the SQL model."""

import gzip
import json
from decimal import Decimal

import pytest

from attribution.ingest import ingest_billing

D = Decimal


@pytest.fixture
def take(lake, bills, write):
    def ingest(*changes):
        ingest_billing([write("focus.csv", bills.focus_text(*changes))])
        return bills.charges()

    return ingest


def test_a_row_as_it_stands(take):
    (row,) = take({})
    assert [row[f"{basis}_cost"] for basis in ("billed", "effective", "list", "contracted")] == [
        D("1.25"),
        D("1.00"),
        D("2.00"),
        D("1.25"),
    ]
    assert (row["scope"], row["provider"], row["billing_period"], row["day"].isoformat()) == (
        "aws/focus/acct-1",
        "aws",
        "2026-05",
        "2026-05-02",
    )
    assert json.loads(row["tags"]) == {"team": "search"}


@pytest.mark.parametrize("text", ["NULL", "null", ""])
def test_null_words(take, text):
    (row,) = take({"Tags": text, "ListCost": text, "ChargeClass": text})
    assert (row["tags"], row["list_cost"], row["charge_class"]) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-02 00:00:00",
        "2026-05-02T00:00Z",
        "2026-05-02T00:00",
        "2026-05-02T00:00:00.0000000Z",
        "2026-05-02",
        "2026-05-02T02:00:00+02:00",
        "2026-05-02 00:00:00 UTC",
    ],
)
def test_times(take, text):
    (row,) = take({"ChargePeriodStart": text})
    assert row["charge_period_start"].isoformat() == "2026-05-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("names", "provider"),
    [
        ({"ProviderName": "Amazon Web Services"}, "aws"),
        ({"ProviderName": "Microsoft"}, "azure"),
        ({"ProviderName": "Google Cloud"}, "gcp"),
        ({"ProviderName": "Acme Co."}, "acme-co"),
        # 1.4: a cloud's marketplace bills what another serves; the bill is the cloud's.
        ({"ProviderName": "", "InvoiceIssuerName": "Microsoft", "ServiceProviderName": "Datadog"}, "azure"),
        ({"ProviderName": "", "InvoiceIssuerName": "Datadog", "ServiceProviderName": "Datadog"}, "datadog"),
    ],
)
def test_who_the_provider_is(take, names, provider):
    (row,) = take(names)
    assert row["provider"] == provider


def test_azure_writes_zero_for_a_price_it_does_not_know(take):
    (row,) = take({"ProviderName": "Microsoft", "ListCost": "0", "ContractedCost": "0"})
    assert (row["list_cost"], row["contracted_cost"], row["billed_cost"]) == (None, None, D("1.25"))
    assert json.loads(row["x_repairs"])[0]["column"] == "list_cost"


def test_a_missing_basis_is_unknown(lake, bills, write):
    lines = bills.focus_text({}).splitlines()
    where = lines[0].split(",").index("EffectiveCost")
    text = "\n".join(",".join(cell for at, cell in enumerate(line.split(",")) if at != where) for line in lines)
    ingest_billing([write("focus.csv", text)])
    assert bills.charges()[0]["effective_cost"] is None


def test_google_labels_are_tags(take, bills, lake, write):
    text = bills.focus_text({"Tags": ""}).replace("Tags", "x_Labels").splitlines()
    text[1] += '"[{""key"":""team"",""value"":""search""}]"'
    ingest_billing([write("google.csv", "\n".join(text))])
    assert json.loads(bills.charges()[0]["tags"]) == {"team": "search"}


def test_json_rows_keep_their_literals(lake, bills, write):
    row = json.dumps({**bills.FOCUS_ROW, "Tags": {"team": "search"}}).replace('"1.25"', "1.100000000000000001", 1)
    ingest_billing([write("rows.json", row + "\n" + row.replace("1.100000000000000001", "2.5e-3") + "\n")])
    assert bills.billed() == {"USD": D("1.102500000000000001")}
    assert json.loads(bills.charges()[0]["tags"]) == {"team": "search"}


def test_an_array_of_rows(lake, bills, write):
    text = json.dumps([dict(bills.FOCUS_ROW)] * 3, indent=1)
    ingest_billing([write("rows.json", text)])
    assert bills.billed() == {"USD": D("3.75")}


def test_the_answer_of_bigquery(lake, bills, write):
    fields = [
        {"name": name, "type": "TIMESTAMP" if name.endswith(("Start", "End")) else "STRING"} for name in bills.FOCUS_ROW
    ]
    # 2026-05-01, 06-01, 05-02, 05-03 as microseconds.
    times = iter(["1777593600000000", "1780272000000000", "1777680000000000", "1777766400000000"])
    cells = [
        {"v": next(times) if name.endswith(("Start", "End")) else value} for name, value in bills.FOCUS_ROW.items()
    ]
    ingest_billing([write("answer.json", json.dumps({"schema": {"fields": fields}, "rows": [{"f": cells}]}))])
    (row,) = bills.charges()
    assert (row["billed_cost"], row["day"].isoformat()) == (D("1.25"), "2026-05-02")


def test_gzip_and_utf16_are_read(lake, bills, write):
    text = bills.focus_text({"ChargeDescription": 'größer, "mehr"\nzweite Zeile'})
    ingest_billing([write("a.csv.gz", gzip.compress(text.encode()))])
    assert ingest_billing([write("b.csv", text.encode("utf-16"))]).changes == 0
    assert ingest_billing([write("c.csv", "\ufeff" + text)]).changes == 0
    assert bills.charges()[0]["charge_description"] == 'größer, "mehr"\nzweite Zeile'


def test_googles_own_export_names_nobody_on_tax_rows(take):
    nobody = {"ProviderName": "", "InvoiceIssuerName": "", "PublisherName": "", "ChargeCategory": "Tax"}
    (row,) = take({**nobody, "BillingAccountId": "0A0101-F0FFF0-61C528", "x_CostType": "tax"})
    assert (row["provider"], row["scope"]) == ("gcp", "gcp/focus/0A0101-F0FFF0-61C528")
