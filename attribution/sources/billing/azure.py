"""Azure cost details, actual and amortised: EA, MCA and pay-as-you-go, in the spellings that their exports have used.

The two files of one bill have the same columns; which one a file is shows in its commitment lines: the actual cost has
the purchase and covered usage at 0, the amortised cost has that usage at its share and the unused rest. A file without
any commitment says the same on both sides and is read as actual; sides.py looks at such files of one command together.

Source: Microsoft Cost Management, "Understand usage details fields"; German names: the EA portal's usage file.
"""

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from hashlib import md5

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.schemas import MONEY
from attribution.vocabulary import Basis, Dataset

from .base import BillingFormat, Column, Head, Kind
from .distinct import map_distinct

_DECIMAL, _TIME, _MAP = Kind.DECIMAL, Kind.TIME, Kind.MAP
# EA writes US dates; the German portal writes dots, so that a day is never taken for a month.
_DATES = ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d.%m.%Y", "%d.%m.%Y %H:%M:%S")

# As manifests call the two sides (exportConfig.type).
ACTUAL, AMORTIZED = "ActualCost", "AmortizedCost"
_ZERO = r"^[-+]?0*\.?0*([eE][-+]?\d+)?$"

_CHARGE_TYPE = Column("charge_type", aliases=("Belastungstyp", "Gebührentyp"))
_PRICING_MODEL = Column("pricing_model", aliases=("Preismodell",))
_RESERVATION = Column("reservation_id", aliases=("Reservierungs-ID",))
_BENEFIT = Column("benefit_id", aliases=("Vorteils-ID",))
_COST = Column(
    "cost_in_billing_currency",
    _DECIMAL,
    required=True,
    filled=True,
    aliases=("Cost", "PreTaxCost", "ExtendedCost", "Kosten", "KostenInAbrechnungswährung", "Erweiterte Kosten"),
)
_CATEGORY = Column(
    "meter_category", required=True, aliases=("Verbrauchseinheitskategorie", "Kategorie der Verbrauchseinheit")
)
_EVIDENCE = (_CHARGE_TYPE, _PRICING_MODEL, _RESERVATION, _BENEFIT, _COST)
_ACCOUNT = Column(
    "billing_account_id",
    required=True,
    filled=True,
    aliases=("EnrollmentNumber", "Abrechnungskonto-ID", "Registrierungsnummer"),
)
_PERIOD = Column(
    "billing_period_start_date",
    _TIME,
    required=True,
    filled=True,
    aliases=("BillingPeriodStart", "Startdatum des Abrechnungszeitraums"),
    formats=_DATES,
)

COLUMNS = (
    _COST,
    _CATEGORY,
    Column(
        "date",
        _TIME,
        required=True,
        filled=True,
        aliases=("UsageDateTime", "UsageDate", "UsageStart", "Datum"),
        formats=_DATES,
    ),
    Column(
        "billing_currency",
        required=True,
        filled=True,
        aliases=("BillingCurrencyCode", "Currency", "Abrechnungswährung", "Währung"),
    ),
    _ACCOUNT,
    Column("billing_account_name", aliases=("Name des Abrechnungskontos",)),
    _PERIOD,
    Column(
        "billing_period_end_date",
        _TIME,
        aliases=("BillingPeriodEnd", "Enddatum des Abrechnungszeitraums"),
        formats=_DATES,
    ),
    Column("invoice_id", aliases=("InvoiceNumber", "Rechnungs-ID")),
    Column("subscription_id", aliases=("SubscriptionGuid", "SubscriptionGUID", "Abonnement-GUID", "Abonnement-ID")),
    Column("subscription_name", aliases=("Abonnementname",)),
    Column("meter_sub_category", aliases=("Unterkategorie der Verbrauchseinheit",)),
    Column("meter_id", aliases=("MeterGuid", "Verbrauchseinheits-ID", "Verbrauchseinheit-ID")),
    Column("meter_name", aliases=("Verbrauchseinheitsname", "Name der Verbrauchseinheit")),
    Column("product_name", aliases=("Product", "Produkt", "Produktname")),
    Column("product_id", aliases=("PartNumber", "Teilenummer")),
    Column("service_family", aliases=("Dienstfamilie",)),
    Column("quantity", _DECIMAL, aliases=("UsageQuantity", "ConsumedQuantity", "Menge", "Verbrauchte Menge")),
    Column("unit_of_measure", aliases=("Unit", "Maßeinheit")),
    Column("unit_price", _DECIMAL, aliases=("Preis pro Einheit",)),
    Column("payg_cost_in_billing_currency", _DECIMAL),
    Column("resource_location", aliases=("Location", "Ressourcenspeicherort")),
    Column("availability_zone", aliases=("Verfügbarkeitszone",)),
    Column("consumed_service", aliases=("Verbrauchter Dienst",)),
    Column("resource_id", aliases=("InstanceId", "InstanceName", "Instanz-ID", "Ressourcen-ID")),
    Column("resource_name", aliases=("Ressourcenname",)),
    Column("additional_info", aliases=("Zusatzinformationen", "Zusätzliche Informationen")),
    Column("tags", _MAP, aliases=("Markierungen",)),
    _CHARGE_TYPE,
    Column("frequency", aliases=("Häufigkeit",)),
    _PRICING_MODEL,
    Column("publisher_type", aliases=("Herausgebertyp",)),
    Column("publisher_name", aliases=("Herausgebername",)),
    _RESERVATION,
    Column("reservation_name", aliases=("Reservierungsname",)),
    _BENEFIT,
    Column("benefit_name", aliases=("Vorteilsname",)),
)


def _has(head: Head, column: Column) -> bool:
    return not head.keys.isdisjoint(column.keys())


def is_cost_details(head: Head) -> bool:
    """Cost details in any spelling; a price sheet has meters but no charges."""
    places = ("ConsumedService", "InstanceId", "ResourceId", "SubscriptionId", "SubscriptionGuid", "ChargeType")
    german = ("Verbrauchter Dienst", "Instanz-ID", "Abonnement-GUID", "Abonnement-ID")
    return _has(head, _COST) and _has(head, _CATEGORY) and any(head.has(name) for name in places + german)


def _is_amortized(head: Head) -> bool:
    """Whether the file says, or its first decisive line shows, that it holds amortised cost."""
    if not is_cost_details(head):
        return False
    if head.hint:
        return head.hint == AMORTIZED
    return side_of(head) == AMORTIZED


def side_of(head: Head) -> str:
    """ACTUAL or AMORTIZED by the first line that can only stand on one side; '' where the whole file has none.

    Only the actual side has a commitment's purchase and its covered usage at no cost; only the amortised side has
    usage with a share of it and its unused rest.
    """
    for rows in head.scan(replace(AZURE_ACTUAL, columns=_EVIDENCE)):
        side = _side_shown_by(rows)
        if side:
            return side
    return ""


def _side_shown_by(rows: pa.Table) -> str:
    charge = pc.utf8_lower(pc.fill_null(rows.column("charge_type"), "usage"))
    model = pc.utf8_lower(pc.fill_null(rows.column("pricing_model"), ""))
    committed = pc.or_(
        pc.is_in(model, value_set=pa.array(["reservation", "savingsplan"])),
        pc.or_(pc.is_valid(rows.column("reservation_id")), pc.is_valid(rows.column("benefit_id"))),
    )
    if pc.any(pc.starts_with(charge, "unused")).as_py():
        return AMORTIZED
    if pc.any(pc.and_(committed, pc.is_in(charge, value_set=pa.array(["purchase", "refund"])))).as_py():
        return ACTUAL
    covered = rows.filter(pc.and_(committed, pc.equal(charge, "usage"))).column("cost_in_billing_currency")
    if not len(covered):
        return ""
    free = pc.match_substring_regex(pc.fill_null(covered, "0"), _ZERO)
    return ACTUAL if pc.all(free).as_py() else AMORTIZED


def _prepare(raw: pa.Table, *, side: str) -> pa.Table:
    """Adds the side, and the quantity in pricing units: Azure counts single units beside a block ("1K", "10 Hours")."""
    blocks = map_distinct([raw.column("unit_of_measure")], _block_share, pa.decimal256(19, 18))
    quantity = pc.multiply(pc.cast(raw.column("quantity"), pa.decimal256(38, 18)), blocks)
    priced = pc.cast(pc.round(quantity, ndigits=18, round_mode="half_to_even"), MONEY)
    raw = raw.append_column("pricing_quantity", priced)
    if side == "amortized":
        plain = pc.if_else(_is_committed(raw), None, raw.column("cost_in_billing_currency"))
        raw = raw.append_column("plain_cost", plain)
    return raw.append_column("side", pa.repeat(side, raw.num_rows))


def _is_committed(raw: pa.Table) -> pa.ChunkedArray:
    """Whether a line belongs to a commitment, as stg_azure.sql decides it; only the actual side knows its bill."""
    charge = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(raw.column("charge_type"), "usage")))
    model = pc.replace_substring(pc.utf8_lower(pc.fill_null(raw.column("pricing_model"), "")), " ", "")
    named = pc.or_(pc.is_valid(raw.column("reservation_id")), pc.is_valid(raw.column("benefit_id")))
    unused = pc.is_in(charge, value_set=pa.array(["unusedreservation", "unusedsavingsplan"]))
    return pc.or_(pc.or_(named, unused), pc.is_in(model, value_set=pa.array(["reservation", "savingsplan"])))


_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_SCALES = {"k": 1_000, "m": 1_000_000}


def _block_share(unit: str | None) -> Decimal:
    """1 / block size of a unit of measure: "1K" -> 0.001, "10 Hours" -> 0.1, "1/Month" -> 1; without a number 1."""
    if unit is None:
        return Decimal(1)
    digits = ""
    rest = unit.strip()
    while rest and (rest[0].isdigit() or rest[0] in ",."):
        digits, rest = digits + rest[0], rest[1:]
    try:
        block = Decimal(digits.replace(",", "").rstrip(".") or "1")
    except ArithmeticError:
        return Decimal(1)
    scale = rest[:1].lower()
    # "1K", "1M Tokens"; never "1 Month" or "100 MB".
    if scale in _SCALES and not rest[1:2].isalpha():
        block *= _SCALES[scale]
    if not 0 < block <= 10**12:
        return Decimal(1)
    return _EXACT.divide(Decimal(1), block).quantize(Decimal(1).scaleb(-18), context=_EXACT)


def bill_of(head: Head) -> tuple[str | None, str | None]:
    """Account and period of the file's first lines: two files of one bill have the same."""
    return _first_cell(head, _ACCOUNT), _first_cell(head, _PERIOD)


def _first_cell(head: Head, column: Column) -> str | None:
    keys = column.keys()
    return next((found for key in keys if (found := head.first(key))), None)


def content_of(head: Head) -> tuple[int, int]:
    """(rows, order-free digest) of a whole file: equal for the two sides of a bill without commitments."""
    rows = total = 0
    for number, table in enumerate(head.scan(replace(AZURE_ACTUAL, columns=COLUMNS))):
        if number == 0 and head.more is not None:
            continue  # the sample, which the file repeats
        texts = [pc.fill_null(column, "\x1e") for column in table.columns]
        lines = pc.binary_join_element_wise(*texts, "\x1f").to_pylist()
        rows += len(lines)
        total += sum(int.from_bytes(md5(line.encode(), usedforsecurity=False).digest()) for line in lines)
    return rows, total


AZURE_AMORTIZED = BillingFormat(
    name="azure-amortized",
    family="cost-details",
    columns=COLUMNS,
    detect=_is_amortized,
    model="staging/stg_azure",
    # What it says of the bill counts while the actual side has not come (attribution/reconcile.py).
    controls={Basis.EFFECTIVE: ("cost_in_billing_currency",), Basis.BILLED: ("plain_cost",)},
    dataset=Dataset.CHARGES_AMORTIZED,
    prepare=partial(_prepare, side="amortized"),
    merge_model="staging/merge_azure",
)

AZURE_ACTUAL = BillingFormat(
    name="azure-actual",
    family="cost-details",
    columns=COLUMNS,
    # Asked after AZURE_AMORTIZED: what isn't amortised is actual.
    detect=is_cost_details,
    model="staging/stg_azure",
    controls={Basis.BILLED: ("cost_in_billing_currency",)},
    dataset=Dataset.CHARGES_ACTUAL,
    prepare=partial(_prepare, side="actual"),
    merge_model="staging/merge_azure",
)
