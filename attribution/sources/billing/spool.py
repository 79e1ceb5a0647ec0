"""Where a delivery's rows wait, by partition, until all files are read: in memory up to a limit, then in Arrow files.

One spill file holds one record batch a partition, so a partition is read back without touching the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from .base import PARTITION
from .charges import Account

MEMORY_BYTES = 128 << 20


@dataclass(frozen=True, order=True)
class Slot:
    """One partition of one format and one delivery scope ('' = the default scope of its format and account)."""

    scope: str
    format: str
    provider: str
    billing_account_id: str
    billing_period: str
    day: date

    @property
    def account(self) -> Account:
        return Account(self.provider, self.billing_account_id, self.billing_period)


@dataclass(frozen=True)
class _Place:
    """A batch of one file: in memory, or the n-th of a spill file."""

    file: int
    rows: int
    batch: pa.RecordBatch | None
    spill: Path | None = None
    number: int = 0


class Spool:
    """Rows by slot. `folder` must exist and be private to this spool."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = 0
        self._spills = 0
        self._places: dict[Slot, list[_Place]] = {}
        self._readers: dict[Path, pa.ipc.RecordBatchFileReader] = {}

    def add(self, scope: str, form: str, file: int, rows: pa.Table) -> None:
        """Take over PARTITION rows of one file, cut by partition."""
        if not rows.num_rows:
            return
        for slot, batch in _cut(scope, form, rows):
            self._places.setdefault(slot, []).append(_Place(file, batch.num_rows, batch))
            self._held += batch.nbytes
        if self._held > MEMORY_BYTES:
            self._spill()

    def forget(self, file: int) -> None:
        """Drop everything that came from a file."""
        for slot in list(self._places):
            self._places[slot] = [place for place in self._places[slot] if place.file != file]
            if not self._places[slot]:
                del self._places[slot]

    def slots(self) -> list[Slot]:
        return sorted(self._places)

    def count(self, slot: Slot) -> int:
        return sum(place.rows for place in self._places.get(slot, ()))

    def rows(self, slot: Slot) -> pa.Table:
        """All rows of a partition; empty where there are none."""
        batches = [self._read(place) for place in self._places.get(slot, ())]
        return pa.Table.from_batches(batches, schema=PARTITION).combine_chunks()

    def _spill(self) -> None:
        path = self._folder / f"spill-{self._spills}.arrow"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        number = 0
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, PARTITION, options=options) as writer:
            for places in self._places.values():
                for index, place in enumerate(places):
                    if place.batch is not None:
                        writer.write_batch(place.batch)
                        places[index] = _Place(place.file, place.rows, None, path, number)
                        number += 1
        self._spills += 1
        self._held = 0

    def _read(self, place: _Place) -> pa.RecordBatch:
        if place.batch is not None or place.spill is None:
            return place.batch
        if place.spill not in self._readers:
            self._readers[place.spill] = pa.ipc.open_file(pa.memory_map(str(place.spill)))
        return self._readers[place.spill].get_batch(place.number)


def _cut(scope: str, form: str, rows: pa.Table) -> Iterator[tuple[Slot, pa.RecordBatch]]:
    day = pc.cast(rows.column("charge_period_start"), pa.date32())
    names = ("provider", "billing_account_id", "billing_period")
    joined = pc.binary_join_element_wise(*[rows.column(name) for name in names], pc.cast(day, pa.string()), "\x1f")
    coded = joined.combine_chunks().dictionary_encode()
    order = pc.sort_indices(coded.indices)
    # Typed and made one batch before it is cut: thousands of slices cost nothing then.
    (ordered,) = rows.take(order).cast(PARTITION).combine_chunks().to_batches()
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(coded.indices).to_pylist()}
    start = 0
    for code in sorted(counts):
        provider, account, period, text = coded.dictionary[code].as_py().split("\x1f")
        slot = Slot(scope, form, provider, account, period, date.fromisoformat(text))
        yield slot, ordered.slice(start, counts[code])
        start += counts[code]
