"""What budgets and quotas are measured with: daily spend by any dimension, settled against estimated, hours, counts.

Reads only, within no scope: whoever shows a figure of it has checked that the reader may see it (a budget's team).
Not here: what a budget makes of it (the layer above).
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pyarrow as pa

from attribution.lake import catalogue, serving
from attribution.lake.schemas import SCHEMAS
from attribution.lake.serving_sql import costs_statement
from attribution.models import BillingAccount, CommitSequence, Revision
from attribution.queries import CostQuery, Dimension, Granularity
from attribution.scope import EVERYTHING
from attribution.vocabulary import Basis, Dataset

# An account whose bill stands still for longer than its provider's newest is out of use: it holds nothing up.
LIVE = timedelta(days=14)
LOOK_BACK_DAYS = 21
MAX_ROWS = 5_000_000
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_WATERMARKS = pa.schema([("provider", pa.string()), ("settled_through", pa.date32())])
_ACCOUNTS = pa.schema([("provider", pa.string()), ("billing_account_id", pa.string()), ("billed_through", pa.date32())])


@dataclass(frozen=True)
class SpendRow:
    """A day's spend of one group; see `attribution.selectors.Amounts` for the figures."""

    day: date
    currency: str
    group: tuple[str | None, ...]
    cost: Decimal | None
    estimated_cost: Decimal | None
    uncounted_cost: Decimal | None
    unknown_parts: int
    metered_tokens: int | None = None


@dataclass(frozen=True)
class SettledRow:
    """One settled day and model: the book's estimate in USD, and the comparable bill on each basis (None: unknown)."""

    day: date
    provider: str
    model: str | None
    estimated_cost: Decimal
    costs: Mapping[Basis, Decimal | None]


@dataclass(frozen=True)
class UnestimatedRow:
    """Cost of one of an account's last settled days that no estimate foretells. age 1: the last settled day."""

    provider: str
    billing_account_id: str
    billed_through: date
    age: int
    currency: str
    model: str | None
    team: str | None
    project: str | None
    environment: str | None
    costs: Mapping[Basis, Decimal | None]


@dataclass(frozen=True)
class CountRow:
    """Requests and tokens of a UTC day; tokens None: not known."""

    day: date
    provider: str
    model: str | None
    team: str | None
    key: str | None
    requests: int
    tokens: int | None


@dataclass(frozen=True)
class _Account:
    provider: str
    billing_account_id: str
    billed_through: date


@dataclass(frozen=True)
class _Content:
    """What a revision holds: equal for equal content, whatever rows of whatever database name it."""

    dataset: str
    content_hash: str
    revision: Revision = field(compare=False)

    @classmethod
    def of(cls, revision: Revision) -> "_Content":
        return cls(revision.dataset, revision.content_hash, revision)


def fingerprint() -> str:
    """Changes exactly when daily spend may have; '' while there is none."""
    file = serving.newest()
    return file.fingerprint if file else ""


def commit_seq() -> int:
    """The newest commit of the lake; 0 before the first."""
    return CommitSequence.objects.filter(pk=1).values_list("value", flat=True).first() or 0


def daily(start: date, end: date, by: Sequence[Dimension], basis: Basis) -> tuple[SpendRow, ...]:
    """What the UTC days [start, end) cost, by day, currency and the dimensions `by`."""
    if end <= start:
        return ()
    query = CostQuery(start=start, end=end, group_by=tuple(by), granularity=Granularity.DAY, basis=basis)
    statement = costs_statement(EVERYTHING, query, None, MAX_ROWS)
    for attempt in range(2):
        file = serving.newest()
        if file is None:
            return ()
        try:
            return tuple(_spend_row(row, len(by)) for row in serving.fetch(file, statement))
        except FileNotFoundError:
            # It aged out between the look-up and the opening; the second look finds its successor.
            if attempt:
                raise
    return ()


def _spend_row(row: serving.Row, groups: int) -> SpendRow:
    cost, estimated, uncounted, _total, unknown, _attributed, _unattributed, tokens = row[2 + groups : 10 + groups]
    return SpendRow(row[0], row[1], tuple(row[2 : 2 + groups]), cost, estimated, uncounted, unknown, tokens)


def settled_through() -> dict[str, date]:
    """Provider -> the day before which all its live accounts are settled."""
    found: dict[str, date] = {}
    for account in _live_accounts():
        through = account.billed_through
        found[account.provider] = min(found.get(account.provider, through), through)
    return found


def last_telemetry() -> datetime | None:
    """The last hour with usage in it, any source; None: none ever. Its end, in UTC."""
    newest = (
        Revision.objects.filter(dataset=Dataset.USAGE_HOURLY, current=True, rows__gt=0).order_by("-day", "-id").first()
    )
    if newest is None:
        return None
    hours = catalogue.read_table(newest).column("hour").to_pylist()
    newest_hour: datetime = max(hours)
    return newest_hour.astimezone(UTC) + timedelta(hours=1)


def settled_estimates(days: int = LOOK_BACK_DAYS) -> list[SettledRow]:
    """Of the last settled days: what the book had estimated against what was billed."""
    marks = settled_through()
    if not marks:
        return []
    first = min(marks.values()) - timedelta(days=days)
    table = pa.Table.from_pylist([{"provider": each, "settled_through": marks[each]} for each in marks], _WATERMARKS)
    with catalogue.open_engine() as engine:
        rows = engine.run(
            "marts/settled_estimates",
            params={"days": days},
            inputs={"rollup_daily": _rollups(first), "usage_owned": _usage(first), "watermarks": table},
        ).to_pylist()
    return [SettledRow(row["day"], row["provider"], row["model"], row["estimated_cost"], _costs(row)) for row in rows]


def unestimated_days() -> list[UnestimatedRow]:
    """Of each live account's last seven settled days: cost that no estimate foretells."""
    accounts = _live_accounts()
    if not accounts:
        return []
    first = min(each.billed_through for each in accounts) - timedelta(days=7)
    with catalogue.open_engine() as engine:
        rows = engine.run(
            "marts/unestimated_days",
            inputs={
                "rollup_daily": _rollups(first),
                "usage_owned": _usage(first),
                "accounts": pa.Table.from_pylist([asdict(each) for each in accounts], _ACCOUNTS),
            },
        ).to_pylist()
    return [
        UnestimatedRow(
            row["provider"],
            row["billing_account_id"],
            row["billed_through"],
            row["age"],
            row["currency"],
            row["model"],
            row["team"],
            row["project"],
            row["environment"],
            _costs(row),
        )
        for row in rows
    ]


def usage_counts(start: date, end: date) -> tuple[CountRow, ...]:
    """Requests and tokens of the UTC days [start, end) by provider, model, team and key."""
    revisions = tuple(
        Revision.objects.filter(
            dataset=Dataset.USAGE_OWNED, current=True, rows__gt=0, day__gte=start, day__lt=end
        ).order_by("key")
    )
    return tuple(row for revision in revisions for row in _counts_of(_Content.of(revision)))


@functools.lru_cache(maxsize=256)
def _counts_of(content: _Content) -> tuple[CountRow, ...]:
    with catalogue.open_engine() as engine:
        rows = engine.run(
            "marts/usage_counts", inputs={"usage_owned": catalogue.read_table(content.revision)}
        ).to_pylist()
    return tuple(
        CountRow(row["day"], row["provider"], row["model"], row["team"], row["api_key"], row["requests"], row["tokens"])
        for row in rows
    )


def hourly_counts(day: date) -> tuple[CountRow, ...]:
    """Requests and tokens of a UTC day as telemetry names who asked: newer than `usage_counts`, before ownership."""
    revisions = Revision.objects.filter(dataset=Dataset.USAGE_HOURLY, current=True, rows__gt=0, day=day).order_by("key")
    return tuple(row for revision in revisions for row in _counts_of(_Content.of(revision)))


def minute_counts(since: datetime, until: datetime) -> tuple[tuple[datetime, CountRow], ...]:
    """(start of the minute, its requests and tokens) of the instants [since, until), as telemetry names who asked."""
    days = {since.astimezone(UTC).date(), until.astimezone(UTC).date()}
    held = Revision.objects.filter(dataset__in=[Dataset.REQUESTS, Dataset.SERIES], current=True, rows__gt=0)
    pairs: dict[tuple[str, date], dict[str, Revision]] = {}
    for revision in held.filter(day__in=days).order_by("key"):
        if revision.day is not None:
            pairs.setdefault((revision.scope, revision.day), {})[revision.dataset] = revision
    found: list[tuple[datetime, CountRow]] = []
    for (_, day), pair in sorted(pairs.items()):
        if len(pair) == 2:
            found += _minutes_of(
                _Content.of(pair[Dataset.REQUESTS]), _Content.of(pair[Dataset.SERIES]), day, since, until
            )
    return tuple(found)


@functools.lru_cache(maxsize=16)
def _minutes_of(
    requests: _Content, series: _Content, day: date, since: datetime, until: datetime
) -> tuple[tuple[datetime, CountRow], ...]:
    with catalogue.open_engine() as engine:
        rows = engine.run(
            "marts/minute_counts",
            params={"since": since, "until": until},
            inputs={
                "requests": _files(Dataset.REQUESTS, [requests.revision]),
                "series": _files(Dataset.SERIES, [series.revision]),
            },
        ).to_pylist()
    return tuple(
        (
            row["minute"],
            CountRow(day, row["provider"], row["model"], row["team"], row["api_key"], row["requests"], row["tokens"]),
        )
        for row in rows
    )


def hour_shares(days: Iterable[date]) -> dict[tuple[date, str], tuple[Decimal, ...]]:
    """(UTC day, provider) -> which share of the day's estimated cost each of its 24 hours has; they sum to 1.

    By requests where nothing is estimated. A day without telemetry is not in it.
    """
    sums: dict[tuple[date, str], list[Decimal]] = {}
    for revision in Revision.objects.filter(
        dataset=Dataset.USAGE_HOURLY, current=True, rows__gt=0, day__in=set(days)
    ).order_by("key"):
        if revision.day is None:
            continue
        for provider, by_hour in _hours_of(_Content.of(revision)):
            held = sums.setdefault((revision.day, provider), [Decimal(0)] * 24)
            for hour, weight in enumerate(by_hour):
                held[hour] += weight
    return {place: _shares(weights) for place, weights in sums.items() if any(weights)}


@functools.lru_cache(maxsize=128)
def _hours_of(content: _Content) -> tuple[tuple[str, tuple[Decimal, ...]], ...]:
    rows = catalogue.read_table(content.revision).select(["provider", "hour", "estimated_cost", "requests"]).to_pylist()
    by_provider: dict[str, tuple[list[Decimal], list[Decimal]]] = {}
    for row in rows:
        estimated, requests = by_provider.setdefault(row["provider"], ([Decimal(0)] * 24, [Decimal(0)] * 24))
        hour = row["hour"].astimezone(UTC).hour
        estimated[hour] += row["estimated_cost"] or Decimal(0)
        requests[hour] += Decimal(row["requests"] or 0)
    return tuple(
        (provider, tuple(estimated if any(estimated) else requests))
        for provider, (estimated, requests) in sorted(by_provider.items())
    )


def _shares(weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    total = sum(weights, Decimal(0))
    return tuple(_WIDE.divide(weight, total) for weight in weights)


def _live_accounts() -> list[_Account]:
    rows = [
        _Account(provider, account, through)
        for provider, account, through in BillingAccount.objects.order_by("provider", "billing_account_id").values_list(
            "provider", "billing_account_id", "billed_through"
        )
        if through is not None
    ]
    newest: dict[str, date] = {}
    for row in rows:
        newest[row.provider] = max(newest.get(row.provider, row.billed_through), row.billed_through)
    return [row for row in rows if row.billed_through >= newest[row.provider] - LIVE]


def _rollups(first: date) -> catalogue.Files:
    """Roll-ups that may hold days from `first` on: a day may stand in the document of the month before or after."""
    month = f"{first.replace(day=1) - timedelta(days=1):%Y-%m}"
    return _files(
        Dataset.ROLLUP_DAILY, [one for one in catalogue.current(Dataset.ROLLUP_DAILY) if one.billing_period >= month]
    )


def _usage(first: date) -> catalogue.Files:
    revisions = Revision.objects.filter(dataset=Dataset.USAGE_OWNED, current=True, day__gte=first).order_by("key")
    return _files(Dataset.USAGE_OWNED, list(revisions))


def _files(dataset: Dataset, revisions: Sequence[Revision]) -> catalogue.Files:
    return catalogue.Files([catalogue.path_of(each) for each in revisions if each.path], SCHEMAS[dataset])


def _costs(row: Mapping[str, object]) -> dict[Basis, Decimal | None]:
    found: dict[Basis, Decimal | None] = {}
    for basis in Basis:
        amount = row[f"{basis.value}_cost"]
        known = not row.get(f"{basis.value}_unknown") and isinstance(amount, Decimal)
        found[basis] = amount if known and isinstance(amount, Decimal) else None
    return found
