"""Parsed rows of a run, kept by UTC day until the day is done: in memory while they are few, else in a folder."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from attribution.lake.engine import Files, Input
from attribution.sources.telemetry.rows import INCOMING

# INCOMING, and which file of the run a row came from.
SPOOLED = INCOMING.append(pa.field("file", pa.int32()))
MAX_ROWS = 125_000  # in memory, and merged at a time


class Spool:
    """folder: made here, private to this spool; the caller removes it."""

    def __init__(self, folder: Path, *, max_rows: int = MAX_ROWS) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._max_rows = max_rows
        self._tables: dict[date, list[pa.Table]] = defaultdict(list)
        self._paths: dict[date, list[Path]] = defaultdict(list)
        self._rows: dict[date, int] = defaultdict(int)
        self._in_memory = 0

    def add(self, rows: pa.Table, file: int) -> None:
        """rows: INCOMING, any days."""
        if not rows.num_rows:
            return
        numbered = rows.append_column("file", pa.repeat(pa.scalar(file, pa.int32()), rows.num_rows))
        for day, part in _by_day(numbered):
            self._tables[day].append(part)
            self._rows[day] += part.num_rows
        self._in_memory += rows.num_rows
        if self._in_memory > self._max_rows:
            self._spill()

    def batches(self) -> Iterator[list[date]]:
        """All days, some at a time: as many as fit into the memory that one step may take, at least one."""
        chosen: list[date] = []
        for day in sorted(self._rows):
            if chosen and sum(self._rows[one] for one in chosen) + self._rows[day] > self._max_rows:
                yield chosen
                chosen = []
            chosen.append(day)
        if chosen:
            yield chosen

    def rows_of(self, days: list[date]) -> Input:
        """The rows of some days, SPOOLED."""
        in_memory = [table for day in days for table in self._tables.get(day, ())]
        paths = [path for day in days for path in self._paths.get(day, ())]
        if not paths:
            return pa.concat_tables(in_memory) if in_memory else SPOOLED.empty_table()
        if in_memory:
            self._spill()
            paths = [path for day in days for path in self._paths[day]]
        return Files(paths, SPOOLED)

    def forget(self, days: list[date]) -> None:
        """Days that are done."""
        for day in days:
            self._in_memory -= sum(table.num_rows for table in self._tables.pop(day, ()))
            for path in self._paths.pop(day, ()):
                path.unlink()

    def _spill(self) -> None:
        for day, tables in self._tables.items():
            path = self._folder / f"{day.isoformat()}-{len(self._paths[day])}.parquet"
            pq.write_table(pa.concat_tables(tables), path, compression="lz4")
            self._paths[day].append(path)
        self._tables.clear()
        self._in_memory = 0


def _by_day(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    days = pc.unique(rows["day"]).to_pylist()
    if len(days) == 1:
        yield days[0], rows
        return
    ordered = rows.take(pc.sort_indices(rows, sort_keys=[("day", "ascending")]))
    counts = sorted((pair["values"], pair["counts"]) for pair in pc.value_counts(ordered["day"]).to_pylist())
    start = 0
    for day, count in counts:
        yield day, ordered.slice(start, count)
        start += count
