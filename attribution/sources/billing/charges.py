"""Typed chunks into charges: the staging model, the checks that every format shares, control totals, counts."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake.engine import Engine
from attribution.money import EXACT
from attribution.quarantine import Quarantine
from attribution.vocabulary import Basis

from .base import PARTITION, STAGED, BillingFormat
from .cells import Issue, Typer, add_wide
from .reading import RawChunk

CATEGORIES = frozenset({"Usage", "Purchase", "Tax", "Credit", "Adjustment"})
_PERIOD = re.compile(r"(199\d|20\d\d|21\d\d)-(0[1-9]|1[0-2])")
_LONGEST = {"provider": 64, "billing_account_id": 200, "billing_currency": 8}
_NEEDED = (
    "provider",
    "billing_account_id",
    "billing_period",
    "billing_currency",
    "charge_period_start",
    "charge_period_end",
    "charge_category",
)


class BrokenModel(RuntimeError):
    """A staging model lost or doubled a row: a bug in Weir, never in the file."""


@dataclass(frozen=True)
class Account:
    """What control totals are kept by, besides currency and basis."""

    provider: str
    billing_account_id: str
    billing_period: str


@dataclass
class Control:
    """A raw sum and the rows in it."""

    amount: Decimal = Decimal(0)
    rows: int = 0


@dataclass
class FileTally:
    """Counts of one file. rows_read + rows_created = rows_kept + rows_quarantined + rows_dropped."""

    rows_read: int = 0
    rows_created: int = 0
    rows_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantine: Quarantine = field(default_factory=Quarantine)
    residue: Decimal = Decimal(0)
    providers: Counter[str] = field(default_factory=Counter)
    controls: dict[tuple[Account, str, Basis], Control] = field(default_factory=dict)
    # Readable first-basis cost of quarantined rows, and billed cost of kept ones, by currency.
    quarantined_cost: dict[str, Decimal] = field(default_factory=dict)
    billed_cost: dict[str, Decimal] = field(default_factory=dict)

    @property
    def rows_dropped(self) -> int:
        return sum(self.dropped.values())


class FileStager:
    """Turns the chunks of one file into partition rows (base.PARTITION) and counts what happens to each row."""

    def __init__(self, form: BillingFormat, engine: Engine, file_index: int) -> None:
        self._form = form
        self._engine = engine
        self._typer = Typer(form)
        self._file = file_index
        self.tally = FileTally()

    def stage(self, chunk: RawChunk) -> pa.Table:
        """The rows of a chunk that go on to a partition (kept and created)."""
        tally = self.tally
        tally.rows_read += len(chunk.lines) + len(chunk.refused)
        for refused in chunk.refused:
            tally.quarantine.add(refused.line, refused.field, refused.value, refused.reason)
        if not len(chunk.lines):
            return PARTITION.empty_table()
        typed = self._typer.type(chunk)
        for name in self._money():
            tally.residue = add_wide(tally.residue, typed.residues.get(name, Decimal(0)))
        raw = self._form.prepare(typed.table)
        staged = _ordered(self._engine.run(self._form.model, inputs={"raw": raw}), len(chunk.lines), self._form)
        created_mask = pc.equal(staged.column("fate"), "created")
        main = staged.filter(pc.invert(created_mask))
        issues = _checked(main, typed.issues)
        self._count_controls(raw, main, issues)
        for row, issue in issues.items():
            tally.quarantine.add(chunk.lines[row].as_py(), issue.field, issue.value, issue.reason)
        return self._leaving(staged, main, issues)

    def _money(self) -> tuple[str, ...]:
        """The columns whose rounding residue is reported: those of the first basis that the file states."""
        return self._form.rounded or next(iter(self._form.controls.values()), ())

    def _count_controls(self, raw: pa.Table, main: pa.Table, issues: dict[int, Issue]) -> None:
        first = next(iter(self._form.controls), None)
        keys = {name: main.column(name) for name in ("provider", "billing_account_id", "billing_period")}
        currency = main.column("billing_currency")
        unreadable = {row for row, issue in issues.items() if issue.field in (*_LONGEST, "billing_period")}
        readable = _mask(main.num_rows, unreadable)
        out = pa.chunked_array([_mask(main.num_rows, set(issues))])
        for basis, columns in self._form.controls.items():
            amount = pc.coalesce(*[raw.column(name) for name in columns])
            table = pa.table({**keys, "currency": currency, "kept": out, "amount": amount})
            table = table.filter(pa.chunked_array([readable])).drop_null()
            for group in _sums(table, ["provider", "billing_account_id", "billing_period", "currency", "kept"]):
                account = Account(group["provider"], group["billing_account_id"], group["billing_period"])
                control = self.tally.controls.setdefault((account, group["currency"], basis), Control())
                control.amount = EXACT.add(control.amount, group["amount_sum"])
                control.rows += group["amount_count"]
                if basis is first and not group["kept"]:
                    _add(self.tally.quarantined_cost, group["currency"], group["amount_sum"])

    def _leaving(self, staged: pa.Table, main: pa.Table, issues: dict[int, Issue]) -> pa.Table:
        tally = self.tally
        fates = main.column("fate")
        good = pa.chunked_array([_mask(main.num_rows, set(issues))])
        dropped = main.filter(pc.and_(good, pc.equal(fates, "dropped")))
        for reason in pc.value_counts(pc.fill_null(dropped.column("fate_reason"), "by the format's rule")).to_pylist():
            tally.dropped[reason["values"]] += reason["counts"]
        on_main = pc.and_(good, pc.equal(fates, "kept"))
        alive = pc.filter(main.column("row"), on_main)
        # A created row lives and dies with the row that it was made from.
        on_all = pc.and_(
            pc.is_in(staged.column("row"), value_set=alive.combine_chunks()),
            pc.is_in(staged.column("fate"), value_set=pa.array(["kept", "created"])),
        )
        leaving = staged if pc.all(on_all).as_py() else staged.filter(on_all)
        tally.rows_created += leaving.num_rows - len(alive)
        tally.rows_kept += leaving.num_rows
        for group in pc.value_counts(leaving.column("provider")).to_pylist():
            tally.providers[group["values"]] += group["counts"]
        return leaving.append_column("file", pa.array([self._file], pa.int32()).take(_zeros(leaving.num_rows)))


def count_settled(tally: FileTally, before: pa.Table, after: pa.Table) -> None:
    """Moves what a format's `settle` dropped from kept to dropped, and adds up what is billed in the end."""
    gone = after.filter(pc.equal(after.column("fate"), "dropped"))
    if after.num_rows != before.num_rows:
        raise BrokenModel(f"settle turned {before.num_rows} rows into {after.num_rows}")
    tally.rows_kept -= gone.num_rows
    for reason in pc.value_counts(gone.column("fate_reason")).to_pylist():
        tally.dropped[reason["values"]] += reason["counts"]


def count_billed(tally: FileTally, rows: pa.Table) -> None:
    """Adds the billed cost of rows that stay."""
    for group in _sums(
        pa.table({"currency": rows.column("billing_currency"), "amount": rows.column("billed_cost")}).drop_null(),
        ["currency"],
    ):
        _add(tally.billed_cost, group["currency"], group["amount_sum"])


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = EXACT.add(sums.get(currency, Decimal(0)), amount)


def _sums(table: pa.Table, keys: list[str]) -> Iterator[dict[str, Any]]:
    if not table.num_rows:
        return iter(())
    return iter(table.group_by(keys).aggregate([("amount", "sum"), ("amount", "count")]).to_pylist())


def _zeros(count: int) -> pa.Array:
    return pa.array(memoryview(bytes(count)), pa.uint8())


def _mask(count: int, without: set[int]) -> pa.Array:
    """True everywhere but at `without`."""
    flags = bytearray(b"\x01" * count)
    for row in without:
        flags[row] = 0
    return pc.cast(pa.array(memoryview(flags), pa.uint8()), pa.bool_())


def _ordered(staged: pa.Table, count: int, form: BillingFormat) -> pa.Table:
    """The model's rows as STAGED, by raw row; proves that each raw row is there once."""
    missing = [name for name in STAGED.names if name not in staged.column_names]
    if missing:
        raise BrokenModel(f"{form.model} gives no {', '.join(missing)}")
    staged = staged.select(STAGED.names).cast(STAGED)
    each_once = pa.array(range(count), pa.int64())
    if staged.column("row").combine_chunks().equals(each_once):
        # The usual chunk: nothing created, nothing moved.
        if not pc.any(pc.equal(staged.column("fate"), "created")).as_py():
            return staged
    else:
        staged = staged.take(pc.sort_indices(staged, sort_keys=[("row", "ascending")]))
    rows = pc.filter(staged.column("row"), pc.not_equal(staged.column("fate"), "created")).combine_chunks()
    if not rows.equals(each_once):
        raise BrokenModel(f"{form.model} made {len(rows)} rows of {count}; it must give each raw row once")
    return staged


def _checked(main: pa.Table, issues: dict[int, Issue]) -> dict[int, Issue]:
    """All rows that can't be kept, with their first reason: cells, then the model's, then what every charge needs."""
    found = dict(issues)
    for row in _rows(pc.equal(main.column("fate"), "quarantined")):
        where = main.column("fate_field")[row].as_py() or "(row)"
        value = main.column("fate_value")[row].as_py() or ""
        found.setdefault(row, Issue(row, where, value, main.column("fate_reason")[row].as_py() or "not a charge"))
    dropped = set(_rows(pc.equal(main.column("fate"), "dropped")))
    for row, issue in _invalid(main):
        if row not in dropped:
            found.setdefault(row, issue)
    return found


def _invalid(main: pa.Table) -> Iterator[tuple[int, Issue]]:
    for name in _NEEDED:
        for row in _rows(pc.is_null(main.column(name))):
            yield row, Issue(row, name, "", "unknown; a charge needs it")
    for name in ("provider", "billing_account_id", "billing_currency"):
        control = pc.match_substring_regex(main.column(name), "[\\x00-\\x1f]")
        yield from _where(main, name, control, "has a control character")
    for name, longest in _LONGEST.items():
        yield from _where(main, name, pc.greater(pc.utf8_length(main.column(name)), longest), f"longer than {longest}")
    periods = main.column("billing_period")
    odd = [text for text in pc.unique(periods).to_pylist() if text is not None and not _PERIOD.fullmatch(text)]
    if odd:
        yield from _where(main, "billing_period", pc.is_in(periods, value_set=pa.array(odd)), "not a month YYYY-MM")
    unknown = pc.invert(pc.is_in(main.column("charge_category"), value_set=pa.array(sorted(CATEGORIES))))
    yield from _where(main, "charge_category", unknown, "not one of " + ", ".join(sorted(CATEGORIES)))
    backwards = pc.less(main.column("charge_period_end"), main.column("charge_period_start"))
    yield from _where(main, "charge_period_end", backwards, "before the charge period's start")
    costless = pc.and_(pc.is_null(main.column("billed_cost")), pc.is_null(main.column("effective_cost")))
    for row in _rows(costless):
        yield row, Issue(row, "billed_cost", "", "neither a billed nor an effective cost is known")


def _where(main: pa.Table, name: str, mask: pa.ChunkedArray, reason: str) -> Iterator[tuple[int, Issue]]:
    for row in _rows(mask):
        yield row, Issue(row, name, str(main.column(name)[row].as_py())[:200], reason)


def _rows(mask: pa.ChunkedArray) -> list[int]:
    if not pc.any(mask).as_py():
        return []
    indices: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return indices
