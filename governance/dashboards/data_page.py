"""The Data page: reconciliation matrix and proof, sources, imports, quarantine. Pure: the selectors' rows in."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from attribution.selectors import ImportRow, QuarantineRow, ReconciliationRow, SourceRow
from attribution.vocabulary import Reason
from governance.dashboards import formats, labels
from governance.dashboards.shown import Shown, shown_money

MONTHS_AT_FIRST = 6


@dataclass(frozen=True)
class Cell:
    """One provider and month in one currency; `link` names its proof."""

    billed: Shown
    difference: str
    is_zero: bool
    title: str
    link: str
    is_chosen: bool


@dataclass(frozen=True)
class MatrixRow:
    provider: str
    accounts: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Matrix:
    currency: str
    months: tuple[tuple[str, bool], ...]  # its name, and whether it is still open
    rows: tuple[MatrixRow, ...]
    totals: tuple[tuple[Shown, str, bool], ...]
    outside: tuple[tuple[Shown, str], ...]  # what is not inference, and its share of the bill
    unattributed: tuple[tuple[Shown, str], ...]  # of the rest, and its share of that
    hidden_months: int


@dataclass(frozen=True)
class ProofRow:
    account: str
    billed: Shown
    attributed: Shown
    reasons: tuple[Shown, ...]
    difference: str
    is_zero: bool


@dataclass(frozen=True)
class Proof:
    """Why a cell reads as it does: billed (from the raw files) against the ledger's parts, by account."""

    title: str
    currency: str
    billed: Shown
    attributed: Shown
    unattributed: Shown
    outside: Shown
    difference: str
    is_zero: bool
    reasons: tuple[tuple[str, str], ...]  # heads of the reason columns and what they mean
    rows: tuple[ProofRow, ...]
    total: ProofRow


@dataclass(frozen=True)
class SourceLine:
    name: str
    detail: str
    state: str  # ok, warn, bad: the shape and colour of the dot
    state_words: str
    error: str
    last_success: str
    deliveries: str
    rows: str
    quarantined: int


@dataclass(frozen=True)
class ImportLine:
    """One delivery: all files of one command."""

    source: str
    detail: str
    files: tuple[str, ...]  # path and rows of each, when there are several
    when: str
    state: str
    state_words: str
    rows_read: str
    rows_kept: str
    rows_quarantined: int
    rows_dropped: str
    changes: str
    notes: str


@dataclass(frozen=True)
class QuarantineLine:
    path: str
    line: str
    field: str
    value: str
    reason: str
    fix: str
    count: int
    when: str


# Words of a reason -> what the operator does about it; the first match counts.
_FIXES = (
    ("currency", "Export the bill with a billing currency on every line."),
    ("period", "Correct the dates at the source, or export the month again; then ingest the file again."),
    ("date", "Correct the date at the source, then ingest the file again."),
    ("time", "Correct the time at the source, then ingest the file again."),
    ("number", "Export the amount as a plain decimal with a point, then ingest the file again."),
    ("decimal", "Export the amount as a plain decimal with a point, then ingest the file again."),
    ("cached", "The sender counts cached tokens outside its input: set input_includes_cache to false."),
    ("token", "Correct the sender's token counts; ingest the corrected lines."),
    ("negative", "Correct the sender's counts; ingest the corrected lines."),
    ("json", "Write one JSON object a line; ingest the corrected lines."),
    ("account", "Export the bill with its billing account, then ingest the file again."),
)
_FIX_OTHERWISE = "Correct the row at its source and ingest the file again; rows that were kept do not change."


def matrices(rows: Sequence[ReconciliationRow], *, chosen: str, all_months: bool, today: date) -> tuple[Matrix, ...]:
    """One matrix a currency. chosen: the `link` of the cell whose proof is open."""
    currencies = sorted({row.currency for row in rows}, key=lambda each: (each != "USD", each))
    return tuple(_matrix(rows, currency, chosen, all_months, today) for currency in currencies)


def cell_key(row: ReconciliationRow) -> str:
    return f"{row.provider}:{row.billing_period}:{row.currency}"


def default_cell(rows: Sequence[ReconciliationRow]) -> str:
    """The proof that opens first: one that doesn't come to zero, else the newest month's largest bill."""
    if not rows:
        return ""
    by_cell: dict[str, list[ReconciliationRow]] = defaultdict(list)
    for row in rows:
        by_cell[cell_key(row)].append(row)
    newest = max(row.billing_period for row in rows)
    return max(
        by_cell,
        key=lambda key: (
            any(row.difference for row in by_cell[key]),
            by_cell[key][0].billing_period == newest,
            sum((row.billed for row in by_cell[key]), Decimal(0)),
        ),
    )


def proof(rows: Sequence[ReconciliationRow], chosen: str) -> Proof | None:
    """The proof of one cell; None when there is no such cell."""
    found = sorted((row for row in rows if cell_key(row) == chosen), key=lambda row: row.billing_account_id)
    if not found:
        return None
    first = found[0]
    reasons = sorted(
        {reason for row in found for reason in row.unattributed},
        key=lambda reason: (reason == Reason.OTHER_SCOPE.value, reason),
    )
    lines = tuple(_proof_row(row.billing_account_id, [row], reasons) for row in found)
    total = _proof_row(_count(len(found), "account"), found, reasons)
    unattributed = sum((_unattributed(row) for row in found), Decimal(0))
    provider = labels.provider(first.provider)
    return Proof(
        title=f"Proof: {provider}, {formats.month(first.billing_period)}",
        currency=first.currency,
        billed=total.billed,
        attributed=total.attributed,
        unattributed=shown_money(unattributed, first.currency),
        outside=shown_money(sum((_outside(row) for row in found), Decimal(0)), first.currency),
        difference=total.difference,
        is_zero=total.is_zero,
        reasons=tuple((labels.entity("reason", each), labels.meaning("reason", each)) for each in reasons),
        rows=lines,
        total=total,
    )


def summary(rows: Sequence[ReconciliationRow], sources: Sequence[SourceRow]) -> str:
    """The answer first, in words: how many sources work, and whether every month reconciles."""
    failed = sum(1 for each in sources if each.status == "failed")
    working = f"{_count(len(sources), 'source')}" + (f", {failed} failed" if failed else "") + "."
    if not rows:
        return f"{working} Nothing to reconcile yet."
    wrong = [row for row in rows if row.difference]
    months = len({(row.provider, row.billing_account_id, row.billing_period) for row in rows})
    if not wrong:
        return f"{working} All {_count(months, 'account month')} reconcile to the last digit."
    return f"{working} {len(wrong)} of {_count(months, 'account month')} do not reconcile."


def source_lines(rows: Sequence[SourceRow], today: date, imports: Sequence[ImportRow] = ()) -> tuple[SourceLine, ...]:
    """The sources; `imports` tell all providers of one that brings in the bills of several."""
    providers: dict[str, set[str]] = defaultdict(set)
    for file in imports:
        providers[file.source].update(file.provider.split(","))
    states = {"done": ("ok", "Working"), "running": ("none", "Running"), "failed": ("bad", "Failed")}
    lines = []
    for row in rows:
        state, words = states.get(row.status, ("warn", row.status.capitalize()))
        if row.status == "failed":
            words = f"Failed {formats.moment(row.last_started, today)}"
        found = providers[row.source] | set(row.provider.split(","))
        provider = ", ".join(labels.provider(each) for each in sorted(found) if each)
        lines.append(
            SourceLine(
                name=row.source,
                detail=", ".join(each for each in (row.kind.capitalize(), provider) if each),
                state=state,
                state_words=words,
                error=row.error,
                last_success=formats.moment(row.last_success, today),
                deliveries=formats.whole(row.deliveries),
                rows=formats.whole(row.rows_kept),
                quarantined=row.rows_quarantined,
            )
        )
    return tuple(lines)


def import_lines(rows: Sequence[ImportRow], today: date) -> tuple[ImportLine, ...]:
    """The deliveries of these files, newest first; a live source's that follow each other without a fault are one."""
    deliveries: dict[int, list[ImportRow]] = defaultdict(list)
    for row in rows:
        deliveries[row.delivery_id].append(row)
    lines: list[list[list[ImportRow]]] = []
    for files in deliveries.values():
        if lines and _is_faultless(files) and _is_faultless(lines[-1][0]) and files[0].source == lines[-1][0][0].source:
            lines[-1].append(files)
        else:
            lines.append([files])
    return tuple(_import_line(files, today) if not more else _folded([files, *more], today) for files, *more in lines)


def _is_faultless(files: Sequence[ImportRow]) -> bool:
    """Whether this is telemetry of which there is nothing to say but how much came."""
    return files[0].kind == "telemetry" and all(row.status == "done" and not row.rows_quarantined for row in files)


def _folded(deliveries: Sequence[Sequence[ImportRow]], today: date) -> ImportLine:
    """Deliveries, newest first, as one line: how many, since when, and the last one's time."""
    line = _import_line([row for files in deliveries for row in files], today)
    first = formats.moment(deliveries[-1][0].started_at, today)
    return replace(
        line,
        detail=f"{len(deliveries):,} deliveries since {first}",
        files=(),
        changes=formats.whole(sum(files[0].changes for files in deliveries)),
    )


def _import_line(files: Sequence[ImportRow], today: date) -> ImportLine:
    states = {"done": ("ok", "Imported"), "running": ("none", "Running"), "failed": ("bad", "Failed")}
    first = files[0]
    quarantined = sum(row.rows_quarantined for row in files)
    state, words = states.get(first.status, ("warn", first.status.capitalize()))
    if first.status == "done" and quarantined:
        state, words = "warn", "Imported in part"
    created, duplicates = sum(row.rows_created for row in files), sum(row.duplicates for row in files)
    residue = sum((Decimal(row.rounding_residue or 0) for row in files), Decimal(0))
    notes = [
        first.error,
        f"{created:,} rows created" if created else "",
        f"{duplicates:,} duplicates" if duplicates else "",
        f"rounding residue {formats.exact(residue)}" if residue else "",
    ]
    formats_read = ", ".join(sorted({row.format for row in files if row.format}))
    return ImportLine(
        source=first.source,
        detail=f"{first.path}, {formats_read}" if len(files) == 1 else f"{len(files)} files, {formats_read}",
        files=tuple(f"{row.path}: {row.rows_read:,} read, {row.rows_kept:,} kept" for row in files)
        if len(files) > 1
        else (),
        when=formats.moment(first.started_at, today),
        state=state,
        state_words=words,
        rows_read=formats.whole(sum(row.rows_read for row in files)),
        rows_kept=formats.whole(sum(row.rows_kept for row in files)),
        rows_quarantined=quarantined,
        rows_dropped=formats.whole(sum(row.rows_dropped for row in files)),
        changes=formats.whole(first.changes),
        notes="; ".join(each for each in notes if each),
    )


def quarantine_lines(rows: Sequence[QuarantineRow], today: date) -> tuple[QuarantineLine, ...]:
    return tuple(
        QuarantineLine(
            path=row.path,
            line=formats.whole(row.line),
            field=row.field,
            value=row.value,
            reason=row.reason,
            fix=fix_of(row.reason),
            count=row.count,
            when=formats.moment(row.delivered_at, today),
        )
        for row in rows
    )


def fix_of(reason: str) -> str:
    """What the operator does about a reason."""
    words = reason.lower()
    return next((fix for part, fix in _FIXES if part in words), _FIX_OTHERWISE)


def _matrix(rows: Sequence[ReconciliationRow], currency: str, chosen: str, all_months: bool, today: date) -> Matrix:
    mine = [row for row in rows if row.currency == currency]
    every = sorted({row.billing_period for row in mine})
    months = every if all_months else every[-MONTHS_AT_FIRST:]
    providers = sorted({row.provider for row in mine})
    cells: dict[tuple[str, str], list[ReconciliationRow]] = defaultdict(list)
    for row in mine:
        cells[row.provider, row.billing_period].append(row)
    return Matrix(
        currency=currency,
        months=tuple((formats.month(each), each >= f"{today:%Y-%m}") for each in months),
        rows=tuple(
            MatrixRow(
                labels.provider(provider),
                _count(len({row.billing_account_id for row in mine if row.provider == provider}), "account"),
                tuple(_cell(cells[provider, month], currency, chosen) for month in months),
            )
            for provider in providers
        ),
        totals=tuple(_month_total(_of(mine, month), currency) for month in months),
        outside=tuple(_month_share(_of(mine, month), currency, _outside) for month in months),
        unattributed=tuple(
            _month_share(_of(mine, month), currency, _unattributed, beside=_outside) for month in months
        ),
        hidden_months=len(every) - len(months),
    )


def _cell(rows: Sequence[ReconciliationRow], currency: str, chosen: str) -> Cell | None:
    if not rows:
        return None
    billed = sum((row.billed for row in rows), Decimal(0))
    attributed = sum((row.attributed for row in rows), Decimal(0))
    unattributed = sum((_unattributed(row) for row in rows), Decimal(0))
    # Each account on its own: two differences must not cancel out.
    is_zero = not any(row.difference for row in rows)
    key = cell_key(rows[0])
    outside = sum((_outside(row) for row in rows), Decimal(0))
    title = (
        f"billed {formats.exact(billed)}, attributed {formats.exact(attributed)}, "
        f"unattributed {formats.exact(unattributed)}, outside inference {formats.exact(outside)} {currency}"
    )
    return Cell(shown_money(billed, currency), _difference(rows), is_zero, title, key, key == chosen)


def _month_total(rows: Sequence[ReconciliationRow], currency: str) -> tuple[Shown, str, bool]:
    billed = sum((row.billed for row in rows), Decimal(0))
    return shown_money(billed, currency), _difference(rows), not any(row.difference for row in rows)


def _month_share(
    rows: Sequence[ReconciliationRow],
    currency: str,
    part: Callable[[ReconciliationRow], Decimal],
    beside: Callable[[ReconciliationRow], Decimal] | None = None,
) -> tuple[Shown, str]:
    """A part of a month's bill and its share of it, less what stands `beside`."""
    amount = sum((part(row) for row in rows), Decimal(0))
    of = sum((row.billed - (beside(row) if beside else 0) for row in rows), Decimal(0))
    return shown_money(amount, currency), f"{formats.percent(amount, of, 2)} %" if of else ""


def _of(rows: Sequence[ReconciliationRow], month: str) -> list[ReconciliationRow]:
    return [row for row in rows if row.billing_period == month]


def _proof_row(account: str, rows: Sequence[ReconciliationRow], reasons: Sequence[str]) -> ProofRow:
    currency = rows[0].currency
    return ProofRow(
        account=account,
        billed=shown_money(sum((row.billed for row in rows), Decimal(0)), currency),
        attributed=shown_money(sum((row.attributed for row in rows), Decimal(0)), currency),
        reasons=tuple(
            shown_money(sum((row.unattributed.get(each, Decimal(0)) for row in rows), Decimal(0)), currency)
            for each in reasons
        ),
        difference=_difference(rows),
        is_zero=not any(row.difference for row in rows),
    )


def _difference(rows: Sequence[ReconciliationRow]) -> str:
    """The sum of the differences' sizes, in full: '0.00' only when each is zero."""
    return formats.difference(sum((abs(row.difference) for row in rows), Decimal(0)))


def _outside(row: ReconciliationRow) -> Decimal:
    return row.unattributed.get(Reason.OTHER_SCOPE.value, Decimal(0))


def _unattributed(row: ReconciliationRow) -> Decimal:
    """What belongs to inference and has no owner."""
    return sum(row.unattributed.values(), Decimal(0)) - _outside(row)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
