"""Days of one telemetry source in the lake: merge what arrived with what is held, price it, publish it.

A day is REQUESTS, SERIES and USAGE_HOURLY of (source, day), made current together. What a day holds is a function of
the set of records that ever arrived for it, so repetition, order and splitting change nothing; see
sql/staging/dedupe_requests.sql for the rule. Prices are those of the book when a record first arrived, until `reprice`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from attribution.lake import catalogue
from attribution.lake.catalogue import PartitionKey, Stale
from attribution.lake.engine import Engine, Files, Input
from attribution.lake.schemas import SCHEMAS, TEXT, TIME
from attribution.models import Revision
from attribution.pricing.book import PriceBook
from attribution.pricing.rating import Offer, rate_requests
from attribution.sources.telemetry.normalize import FACTS, Normalizer, SeriesFacts
from attribution.sources.telemetry.spool import SPOOLED
from attribution.vocabulary import Dataset

DATASETS = (Dataset.REQUESTS, Dataset.SERIES, Dataset.USAGE_HOURLY)
_ATTEMPTS = 8
_DAY = timedelta(days=1)
# Two records of one request may end on different days; both lie this close to midnight then.
_EDGE = timedelta(hours=1)

_PRICE_OF_SERIES = ("context_band", "price_version", "price_status")
_HELD_SERIES = pa.schema(
    [("day", pa.date32()), ("series_id", pa.int32()), ("series", pa.int32()), *[(n, TEXT) for n in _PRICE_OF_SERIES]]
)
_DAYS = pa.schema([("day", pa.date32()), ("whole", pa.bool_()), ("first_hour_end", TIME), ("last_hour_start", TIME)])


@dataclass(frozen=True)
class FileSums:
    """What one file of a run added. None is unknown."""

    file: int
    kept: int
    requests: int
    input_uncached: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None
    reasoning: int | None
    estimated_cost: Decimal | None
    unpriced_requests: int


@dataclass(frozen=True)
class Merged:
    """What merging some days did. changes: partitions with a new revision."""

    changes: int = 0
    sums: tuple[FileSums, ...] = ()


class UsageDays:
    """The days of one source. `normalizer` numbers the series of the run; held ones are added to it."""

    def __init__(self, source: str, normalizer: Normalizer, engine: Engine, book: PriceBook) -> None:
        self._source = source
        self._normalizer = normalizer
        self._engine = engine
        self._book = book

    def merge(self, days: Sequence[date], incoming: Input, *, inputs: dict[str, Any]) -> Merged:
        """Merge `incoming` (SPOOLED rows of these days) into them; unchanged days get no revision.

        Each call is one transaction. Raises Stale when other writers kept getting in between.
        """
        return _retried(lambda: self._merge(list(days), incoming, inputs=inputs, reason="", reprice=False))

    def reprice(self, days: Sequence[date], *, reason: str) -> Merged:
        """Price all requests of these days by the book of now; days whose estimates stay get no revision."""
        nothing = SPOOLED.empty_table()
        return _retried(lambda: self._merge(list(days), nothing, inputs={}, reason=reason, reprice=True))

    def _merge(
        self, days: list[date], incoming: Input, *, inputs: dict[str, Any], reason: str, reprice: bool
    ) -> Merged:
        around = sorted({day + shift * _DAY for day in days for shift in (-1, 0, 1)})
        keys = self._keys(around)
        seen = catalogue.seen(keys)
        held = {
            revision.day: revision for revision in catalogue.current(Dataset.REQUESTS, scope=self._source, days=around)
        }
        held_series = self._held_series(around)
        order = self._order()
        winners = self._engine.run(
            "staging/dedupe_requests",
            inputs={
                "incoming": incoming,
                "requests": _files_of(held.values()),
                "held_series": held_series,
                "series_order": order,
                "days": _days_table(around, whole=frozenset(days)),
            },
        )
        beaten = pc.unique(winners.filter(winners["beaten"])["day"]).to_pylist()
        if beaten:
            # Rows on the other side of midnight lost to arrivals: their days change too.
            whole = sorted({*days, *beaten})
            return self._merge(whole, incoming, inputs=inputs, reason=reason, reprice=reprice)
        if reprice:
            winners = winners.set_column(
                winners.schema.get_field_index("file"), "file", pa.repeat(pa.scalar(0, pa.int32()), winners.num_rows)
            )
        changed = _changed_days(winners, days, held)
        if not changed:
            return Merged()
        return self._publish(changed, winners, order, read=keys, seen=seen, inputs=inputs, reason=reason)

    def _publish(
        self,
        days: list[date],
        winners: pa.Table,
        order: pa.Table,
        *,
        read: list[PartitionKey],
        seen: dict[str, int | None],
        inputs: dict[str, Any],
        reason: str,
    ) -> Merged:
        run = self._engine.run
        winners = winners.filter(pc.is_in(winners["day"], pa.array(days, pa.date32())))
        rated = rate_requests(self._engine, winners, self._offer, self._book)
        numbered = run("staging/number_series", inputs={"requests": rated, "series_order": order})
        stored = run("staging/store_requests", inputs={"requests": rated, "numbered": numbered})
        named = self._numbered_series(numbered)
        hourly = run(
            "marts/usage_hourly", params={"source": self._source}, inputs={"requests": stored, "series": named}
        )
        sums = run("marts/request_sums", inputs={"requests": rated})
        parts = {
            Dataset.REQUESTS: _split(stored, Dataset.REQUESTS),
            Dataset.SERIES: _split(named, Dataset.SERIES),
            Dataset.USAGE_HOURLY: _split(hourly, Dataset.USAGE_HOURLY),
        }
        pairs = [(self._key(dataset, day), _part(parts[dataset], dataset, day)) for day in days for dataset in DATASETS]
        staged = catalogue.stage_many(pairs, inputs=inputs, reason=reason)

        ours = {key.name for key, _ in pairs}

        def refuse_stale_neighbours(_: int) -> None:
            now = catalogue.seen([key for key in read if key.name not in ours])
            if any(seen[name] != revision for name, revision in now.items()):
                raise Stale(f"a neighbour day of {days[0]} to {days[-1]} changed meanwhile; read it again and retry")

        try:
            published = catalogue.publish(
                staged, expected={name: seen[name] for name in ours}, also=refuse_stale_neighbours
            )
        except BaseException:
            catalogue.discard(staged)
            raise
        return Merged(len(published.changed), tuple(_sums(row) for row in sums.to_pylist()))

    def _key(self, dataset: Dataset, day: date) -> PartitionKey:
        return PartitionKey(dataset=dataset, scope=self._source, day=day)

    def _keys(self, days: Iterable[date]) -> list[PartitionKey]:
        return [self._key(dataset, day) for day in days for dataset in DATASETS]

    def _held_series(self, days: Sequence[date]) -> pa.Table:
        """Series numbers of the lake -> those of this run, with the price each row had."""
        tables = []
        for revision in catalogue.current(Dataset.SERIES, scope=self._source, days=days):
            rows = catalogue.read_table(revision).to_pylist()
            tables.append(
                pa.Table.from_pylist(
                    [
                        {
                            "day": revision.day,
                            "series_id": row["series_id"],
                            "series": self._normalizer.index_of(_held_facts(row)),
                            **{name: row[name] for name in _PRICE_OF_SERIES},
                        }
                        for row in rows
                    ],
                    schema=_HELD_SERIES,
                )
            )
        return pa.concat_tables(tables) if tables else _HELD_SERIES.empty_table()

    def _order(self) -> pa.Table:
        """Each series' place by content, so that nothing depends on the order in which they were met."""
        facts = self._normalizer.series
        ranked = sorted(range(len(facts)), key=lambda index: _sort_key(facts[index]))
        places = [0] * len(ranked)
        for place, index in enumerate(ranked):
            places[index] = place
        return pa.table({"series": pa.array(range(len(facts)), pa.int32()), "place": pa.array(places, pa.int32())})

    def _offer(self, series: int) -> Offer | None:
        """What a series buys by the token; a pool is paid by the hour, whatever its model costs elsewhere."""
        facts = self._normalizer.series[series]
        return None if facts.pool else (facts.provider, facts.model, facts.routing, facts.tier)

    def _numbered_series(self, numbered: pa.Table) -> pa.Table:
        """SERIES rows with their day."""
        rows = []
        for row in numbered.to_pylist():
            facts = self._normalizer.series[row["series"]]
            texts = {name: getattr(facts, name) for name in FACTS}
            price = {name: row[name] for name in _PRICE_OF_SERIES}
            rows.append({"day": row["day"], "series_id": row["series_id"], **texts, **price})
        schema = pa.schema([("day", pa.date32()), *SCHEMAS[Dataset.SERIES]])
        return pa.Table.from_pylist(rows, schema=schema)


def _retried(attempt: Callable[[], Merged]) -> Merged:
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except Stale:
            continue
    return attempt()


def _files_of(revisions: Iterable[Revision]) -> Files:
    return Files([catalogue.path_of(one) for one in revisions if one.path], SCHEMAS[Dataset.REQUESTS])


def _days_table(days: Sequence[date], *, whole: frozenset[date]) -> pa.Table:
    starts = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    return pa.table(
        {
            "day": list(days),
            "whole": [day in whole for day in days],
            "first_hour_end": [start + _EDGE for start in starts],
            "last_hour_start": [start + _DAY - _EDGE for start in starts],
        },
        schema=_DAYS,
    )


def _held_facts(row: dict[str, Any]) -> SeriesFacts:
    return SeriesFacts(**{name: row[name] for name in FACTS})


def _sort_key(facts: SeriesFacts) -> tuple[tuple[bool, str], ...]:
    return tuple((value is not None, value or "") for value in astuple(facts))


def _changed_days(winners: pa.Table, days: Sequence[date], held: dict[date | None, Revision]) -> list[date]:
    """Days where something arrived that counts, or where a held row lost."""
    kept = winners.group_by("day").aggregate([("file", "max"), ("day", "count")]).to_pylist()
    by_day = {row["day"]: row for row in kept}
    changed = []
    for day in sorted(days):
        before = held[day].rows if day in held else 0
        now = by_day.get(day, {"file_max": -1, "day_count": 0})
        if now["file_max"] >= 0 or now["day_count"] != before:
            changed.append(day)
    return changed


def _split(table: pa.Table, dataset: Dataset) -> dict[date, pa.Table]:
    """A table by its day, with exactly the dataset's columns."""
    counts = sorted((pair["values"], pair["counts"]) for pair in pc.value_counts(table["day"]).to_pylist())
    if len(counts) > 1:
        table = table.take(pc.sort_indices(table, sort_keys=[("day", "ascending")]))
    columns = table.select(SCHEMAS[dataset].names)
    parts = {}
    start = 0
    for day, count in counts:
        parts[day] = columns.slice(start, count)
        start += count
    return parts


def _part(parts: dict[date, pa.Table], dataset: Dataset, day: date) -> pa.Table:
    return parts.get(day, SCHEMAS[dataset].empty_table())


def _sums(row: dict[str, Any]) -> FileSums:
    counts = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    return FileSums(**(row | {name: None if row[name] is None else int(row[name]) for name in counts}))
