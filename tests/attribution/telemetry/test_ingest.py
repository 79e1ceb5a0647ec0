"""Telemetry into the lake: one row a request, one revision a change, an estimate at once."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.ingest_telemetry import ingest_telemetry, reprice_usage
from attribution.lake import catalogue
from attribution.lake.catalogue import Stale
from attribution.models import Delivery, ImportedFile, Price, QuarantinedRow, Revision
from attribution.pricing.store import unpriced_usage
from attribution.sources.billing.base import UnreadableFile
from attribution.vocabulary import Dataset

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("book", "lake_root")]

DATASETS = (Dataset.REQUESTS, Dataset.SERIES, Dataset.USAGE_HOURLY)
TWENTIETH, NEXT = date(2026, 11, 20), date(2026, 11, 21)


def record(request_id="r", at="2026-11-20T12:00:00Z", **more) -> dict:
    usage = {"input_tokens": 100, "output_tokens": 10}
    return {"request_id": request_id, "completed_at": at, "provider": "openai", "request_model": "gpt-5"} | usage | more


def ingest(folder: Path, *files: list[dict], source=None) -> dict:
    paths = []
    for number, records in enumerate(files):
        path = folder / f"{number}.ndjson"
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        paths.append(path)
    return ingest_telemetry(paths, source)


def rows(dataset=Dataset.REQUESTS, source="ndjson", day=None) -> list[dict]:
    days = None if day is None else [day]
    found = catalogue.current(dataset, scope=source, days=days)
    return [row for revision in found for row in catalogue.read_table(revision).to_pylist()]


def hashes(source="ndjson") -> dict[tuple[str, date | None], str]:
    return {
        (dataset, revision.day): revision.content_hash
        for dataset in DATASETS
        for revision in catalogue.current(dataset, scope=source)
        if revision.rows
    }


def test_a_file_becomes_rows_tokens_and_dollars(samples):
    summary = ingest_telemetry([samples / "telemetry" / "weir.ndjson"])
    # Two days, each of three datasets.
    assert summary["changes"] == 6
    file = summary["files"][0]
    assert (file["format"], file["provider"]) == ("ndjson", "anthropic,aws,gcp,openai")
    assert (file["rows_read"], file["rows_kept"], file["rows_quarantined"], file["rows_dropped"]) == (7, 7, 0, 0)
    # Six requests and a bucket of five.
    assert (file["requests"], file["duplicates"], file["unpriced_requests"]) == (11, 0, 1)
    assert file["tokens"] == {
        "input_uncached": 176 + 176 + 200_000 + 200 + 4000 + 10,
        "cache_read": 1024 + 1024 + 100_000 + 800,
        "cache_write_5m": 100,
        "cache_write_1h": 50,
        "output": 210 + 210 + 800 + 500 + 1,
        "reasoning": 64 + 300,
    }
    # Micro-dollars: 4,383.72 + 4,660.2 + 537,000 (300,000 tokens of input: the long band) + 5,350 + 520.
    assert file["estimated_cost"] == {"USD": "0.55191392"}


def test_each_request_names_its_price_or_why_it_has_none(samples):
    ingest_telemetry([samples / "telemetry" / "weir.ndjson"])
    series = {(row["day"], row["series_id"]): row for row in _series()}
    found = {}
    for row in rows():
        of = series[(row["completed_at"].date(), row["series_id"])]
        found[row["request_key"][:6]] = (row["estimated_cost"], of["price_status"], of["context_band"])
        assert (of["price_version"] is None) == (of["price_status"] == "unpriced")
    assert found == {
        "r-1": (Decimal("0.00438372"), "priced", "base"),
        "r-2": (Decimal("0.0046602"), "priced", "base"),
        "r-3": (Decimal("0.537"), "priced", "long"),
        "r-4": (None, "no_usage", "base"),
        "bucket": (Decimal("0.00535"), "aggregate", None),
        "r-5": (Decimal("0.00052"), "priced", "base"),
        "r-6": (None, "unpriced", None),
    }


def _series() -> list[dict]:
    return [
        row | {"day": revision.day}
        for revision in catalogue.current(Dataset.SERIES)
        for row in catalogue.read_table(revision).to_pylist()
    ]


def test_the_hourly_mart_adds_up_to_the_requests(samples):
    ingest_telemetry([samples / "telemetry" / "weir.ndjson"])
    hourly = rows(Dataset.USAGE_HOURLY)
    assert sum(row["requests"] for row in hourly) == 11
    assert sum(row["requests_without_usage"] for row in hourly) == 1
    assert sum(row["errors"] for row in hourly) == 1
    assert sum(row["unpriced_requests"] for row in hourly) == 1
    assert sum(row["estimated_cost"] or 0 for row in hourly) == Decimal("0.55191392")
    failed = next(row for row in hourly if row["price_status"] == "no_usage")
    assert (failed["input_uncached"], failed["estimated_cost"]) == (None, None)
    assert {row["hour"] for row in hourly if row["day"] == TWENTIETH} == {
        datetime(2026, 11, 20, 12, tzinfo=UTC),
        datetime(2026, 11, 20, 23, tzinfo=UTC),
    }


def test_the_same_file_again_changes_nothing_and_counts_its_duplicates(samples):
    path = samples / "telemetry" / "weir.ndjson"
    ingest_telemetry([path])
    before = Revision.objects.count()
    again = ingest_telemetry([path])
    assert again["changes"] == 0
    assert (again["files"][0]["duplicates"], again["files"][0]["requests"]) == (7, 0)
    assert Revision.objects.count() == before


def test_every_record_is_accounted_for(tmp_path):
    path = tmp_path / "x.ndjson"
    good = json.dumps(record("a"))
    path.write_text("\n".join([good, good, "{broken", json.dumps(record("b", input_tokens=-1))]))
    file = ingest_telemetry([path])["files"][0]
    assert file["rows_read"] == 4 == file["rows_kept"] + file["rows_quarantined"] + file["rows_dropped"]
    assert file["dropped"] == [{"reason": "duplicate", "count": 1}]
    assert [(one["line"], one["field"], one["value"]) for one in file["quarantine"]] == [
        (3, "", "7 bytes"),
        (4, "input_tokens", "-1"),
    ]


def test_a_late_request_of_an_old_day_adds_exactly_one_revision_of_that_day(tmp_path):
    ingest(tmp_path, [record("a"), record("b", "2026-11-21T12:00:00Z"), record("c", "2026-11-22T12:00:00Z")])
    ingest(tmp_path, [record("late", "2026-11-21T13:00:00Z", team="new")])
    revisions = [(r.dataset, r.day, r.rev) for r in Revision.objects.filter(current=True).order_by("dataset", "day")]
    assert revisions == [
        (str(dataset), day, 2 if day == NEXT else 1)
        for dataset in sorted(DATASETS)
        for day in (TWENTIETH, NEXT, date(2026, 11, 22))
    ]


def test_files_of_one_command_share_their_duplicates(tmp_path):
    summary = ingest(tmp_path, [record("a"), record("b")], [record("b"), record("c")])
    assert [(file["rows_kept"], file["duplicates"]) for file in summary["files"]] == [(2, 0), (1, 1)]


def test_two_sources_are_kept_apart(tmp_path):
    ingest(tmp_path, [record("a")], source="gateway")
    ingest(tmp_path, [record("a")], source="sdk")
    assert len(rows(source="gateway")) == len(rows(source="sdk")) == 1


def test_the_record_with_usage_wins_whenever_it_comes(tmp_path):
    bare = record("a", "2026-11-20T12:00:01Z", input_tokens=None, output_tokens=None)
    ingest(tmp_path, [record("a")])
    ingest(tmp_path, [bare])
    assert [row["input_uncached"] for row in rows()] == [100]


def test_a_bucket_that_is_read_again_while_it_fills_is_replaced(tmp_path):
    hour = {"bucket_start": "2026-11-20T12:00:00Z", "bucket_end": "2026-11-20T13:00:00Z", "provider": "openai"}
    ingest(tmp_path, [hour | {"requests": 5, "input_tokens": 50, "output_tokens": 1}])
    ingest(tmp_path, [hour | {"requests": 9, "input_tokens": 90, "output_tokens": 2}])
    assert [(row["requests"], row["input_uncached"]) for row in rows()] == [(9, 90)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_request_on_two_sides_of_midnight_is_one(tmp_path, order):
    records = [record("a", "2026-11-20T23:59:59.9Z"), record("a", "2026-11-21T00:00:00.1Z"), record("b")]
    for position in order:
        ingest(tmp_path, [records[position], records[2]])
    assert [(row["request_key"], row["completed_at"].day) for row in rows()] == [("a", 20), ("b", 20)]
    assert rows(Dataset.USAGE_HOURLY, day=NEXT) == []


def test_across_midnight_too_the_record_with_usage_wins(tmp_path):
    bare = record("a", "2026-11-20T23:59:59.9Z", input_tokens=None, output_tokens=None)
    ingest(tmp_path, [bare])
    ingest(tmp_path, [record("a", "2026-11-21T00:00:00.1Z")])
    assert [(row["completed_at"].day, row["input_uncached"]) for row in rows()] == [(21, 100)]


def test_an_id_that_returns_another_day_is_another_request(tmp_path):
    ingest(tmp_path, [record("a", "2026-11-20T12:00:00Z"), record("a", "2026-11-21T12:00:00Z")])
    assert len(rows()) == 2


def test_a_price_that_comes_later_is_applied_by_repricing_with_its_reason(tmp_path):
    ingest(tmp_path, [record("a", request_model="gpt-99"), record("b")])
    found = unpriced_usage()
    assert [(one.provider, one.model, one.requests, one.tokens, one.first_day) for one in found] == [
        ("openai", "gpt-99", 1, 110, TWENTIETH)
    ]
    for token_type in ("input_uncached", "output"):
        rates = {"token_type": token_type, "usd_per_token": Decimal("0.000001"), "source": "contract", "version": "7"}
        Price.objects.create(provider="openai", model="gpt-99", tier="standard", **rates)
    assert reprice_usage(reason="contract of 2026") == 3
    assert unpriced_usage() == []
    assert {row["estimated_cost"] for row in rows()} == {Decimal("0.00011"), Decimal("0.000225")}
    assert Revision.objects.filter(current=True, reason="contract of 2026").count() == 3
    assert reprice_usage(reason="again") == 0


def test_repricing_keeps_what_a_bucket_is(tmp_path):
    hour = {"bucket_start": "2026-11-20T12:00:00Z", "bucket_end": "2026-11-20T13:00:00Z", "requests": 3}
    many = hour | {"provider": "gcp", "request_model": "gemini-2.5-pro", "input_tokens": 900_000, "output_tokens": 0}
    ingest(tmp_path, [many, many | {"context_band": "long"}])
    before = hashes()
    assert {row["estimated_cost"] for row in rows()} == {Decimal("1.125"), Decimal("2.25")}
    assert reprice_usage(reason="nothing new") == 0
    assert hashes() == before


def test_a_pool_is_paid_by_the_hour_and_has_no_price_a_token(tmp_path):
    ingest(tmp_path, [record("a", pool="gpu-west")])
    assert [row["estimated_cost"] for row in rows()] == [None]
    assert [(one.model, one.pool) for one in unpriced_usage()] == [("gpt-5", "gpu-west")]


def test_an_unreadable_file_publishes_nothing_of_its_command(tmp_path):
    (tmp_path / "z.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableFile):
        ingest_telemetry([tmp_path / "z.csv"])
    (tmp_path / "0.ndjson").write_text(json.dumps(record("a")))
    with pytest.raises(UnreadableFile):
        ingest_telemetry([tmp_path])
    assert Revision.objects.count() == 0
    assert {delivery.status for delivery in Delivery.objects.all()} == {Delivery.Status.FAILED}


def test_what_came_is_recorded(tmp_path):
    ingest(tmp_path, [record("a"), record("b", tier="never")])
    delivery = Delivery.objects.get()
    file = ImportedFile.objects.get(delivery=delivery)
    assert (delivery.kind, delivery.status, delivery.changes) == ("telemetry", "done", 3)
    assert (file.path, file.format, file.rows_read, file.rows_kept, file.rows_quarantined) == (
        "0.ndjson",
        "ndjson",
        2,
        1,
        1,
    )
    assert QuarantinedRow.objects.get(file=file).value == "never"


def test_no_prompt_and_no_end_user_is_stored_anywhere(samples, lake_root):
    for name in ("weir.ndjson", "litellm.jsonl", "otlp.json"):
        ingest_telemetry([samples / "telemetry" / name])
    for path in lake_root.rglob("*.parquet"):
        assert "secret plan" not in str(pq.read_table(path).to_pylist())
        assert "person-1" not in str(pq.read_table(path).to_pylist())
    assert "secret plan" not in str(list(ImportedFile.objects.values())) + str(list(QuarantinedRow.objects.values()))


def test_a_writer_in_between_is_waited_for(tmp_path, monkeypatch):
    publish = catalogue.publish
    others = iter([[record("other")], None])

    def interrupted(*args, **kwargs):
        other = next(others, None)
        if other:
            folder = tmp_path / "other"
            folder.mkdir()
            ingest(folder, other)
        return publish(*args, **kwargs)

    monkeypatch.setattr(catalogue, "publish", interrupted)
    ingest(tmp_path, [record("a")])
    assert sorted(row["request_key"] for row in rows()) == ["a", "other"]


def test_a_neighbour_day_that_changed_meanwhile_is_read_again(tmp_path, monkeypatch):
    publish = catalogue.publish
    others = iter([[record("a", "2026-11-20T23:59:59Z")], None])

    def interrupted(*args, **kwargs):
        other = next(others, None)
        if other:
            folder = tmp_path / "other"
            folder.mkdir()
            ingest(folder, other)
        return publish(*args, **kwargs)

    monkeypatch.setattr(catalogue, "publish", interrupted)
    ingest(tmp_path, [record("a", "2026-11-21T00:00:01Z"), record("b", "2026-11-21T12:00:00Z")])
    assert sorted((row["request_key"], row["completed_at"].day) for row in rows()) == [("a", 20), ("b", 21)]


def test_writers_that_never_stop_are_reported(tmp_path, monkeypatch):
    def stale(*args, **kwargs):
        raise Stale("somebody else")

    monkeypatch.setattr(catalogue, "publish", stale)
    with pytest.raises(Stale):
        ingest(tmp_path, [record("a")])
    assert list((tmp_path / "lake").rglob("*.parquet")) == []


def test_the_command_prints_one_object_or_says_what_is_wrong(samples, tmp_path, capsys):
    path = str(samples / "telemetry" / "weir.ndjson")
    call_command("ingest", "telemetry", path, "--json")
    assert json.loads(capsys.readouterr().out)["changes"] == 6
    call_command("ingest", "telemetry", path)
    assert "0 requests, 7 duplicates" in capsys.readouterr().out
    call_command("prices", "--unpriced", "--json")
    assert [one["model"] for one in json.loads(capsys.readouterr().out)] == ["gpt-99-ultra"]
    with pytest.raises(CommandError, match="there is no such file"):
        call_command("ingest", "telemetry", str(tmp_path / "none"))


# One request's records lie within an hour, here around midnight or in the day.
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
_moments = st.integers(-1799, 1799).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))
_records = st.builds(
    lambda key, moment, usage, team: record(
        key, moment.isoformat(), team=team, input_tokens=usage, output_tokens=usage
    ),
    st.sampled_from("abcd"),
    _moments,
    st.none() | st.integers(0, 5),
    st.sampled_from([None, "x", "y"]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(_records, min_size=1, max_size=8), data=st.data())
def test_order_splitting_and_repetition_change_nothing(found, data, tmp_path):
    name = f"run-{Revision.objects.count()}-{Delivery.objects.count()}"
    folder = tmp_path / name
    folder.mkdir()
    ingest(folder, found, source=f"{name}-whole")
    shuffled = data.draw(st.permutations(found + data.draw(st.lists(st.sampled_from(found), max_size=4))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=2)))
    for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
        if start < end:
            ingest(folder, shuffled[start:end], source=f"{name}-parts")

    def content(source):
        return [
            {key: value for key, value in row.items() if key != "source"}
            for dataset in DATASETS
            for row in rows(dataset, source)
        ]

    assert content(f"{name}-parts") == content(f"{name}-whole")
