"""Files of telemetry: formats by content, gzip, broken lines, and never a good line lost."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution.sources.billing.base import UnreadableFile
from attribution.sources.telemetry import reading
from attribution.sources.telemetry.reading import TelemetryFile, find_files


def line(number: int, **more) -> bytes:
    record = {"request_id": f"r-{number}", "completed_at": "2026-11-20T12:00:00Z", "provider": "openai"} | more
    return json.dumps(record).encode()


def read(path: Path, content: bytes | None = None):
    """(request ids with their lines, problems)."""
    if content is not None:
        path.write_bytes(content)
    batches = list(TelemetryFile(path).batches())
    events = [
        (event.request_id, number) for batch in batches for event, number in zip(batch.events, batch.lines, strict=True)
    ]
    return events, [problem for batch in batches for problem in batch.problems]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a file without a telling name"


def test_a_line_is_a_request_and_its_number_is_the_files(path):
    content = b"\xef\xbb\xbf" + line(1) + b"\r\n\n  \n" + line(4) + b"\n" + line(5)
    assert read(path, content) == ([("r-1", 1), ("r-4", 4), ("r-5", 5)], [])


def test_a_broken_line_takes_no_good_one_with_it(path):
    events, problems = read(path, line(1) + b"\n{broken\n" + line(3, input_tokens="7") + b"\n" + line(4) + b"\n")
    assert events == [("r-1", 1), ("r-4", 4)]
    assert [(one.line, one.field, one.value) for one in problems] == [(2, "", "7 bytes"), (3, "input_tokens", "7")]


def test_a_line_nested_without_end_is_one_bad_line(path):
    nested = b'{"messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    events, problems = read(path, line(1) + b"\n" + nested + b"\n" + line(3))
    assert events == [("r-1", 1), ("r-3", 3)]
    assert [one.line for one in problems] == [2]


def test_a_prompt_is_never_quarantined(path):
    secret = "the secret plan"
    records = [
        b'{"request_id":"r-1","messages":"' + secret.encode() + b'","completed_at":',
        line(2, error={"message": secret}),
        line(3, api_key={"secret": secret}),
        line(4, team=[secret]),
        line(5, input_tokens={"text": secret}),
    ]
    events, problems = read(path, b"\n".join([line(0), *records]))
    assert len(problems) == 5
    assert [secret in one.value or secret in one.reason for one in problems] == [False] * 5
    assert events == [("r-0", 1)]


def test_gzip_is_known_by_its_content_and_may_have_several_members(path):
    content = gzip.compress(line(1) + b"\n") + gzip.compress(line(2) + b"\n")
    assert read(path, content) == ([("r-1", 1), ("r-2", 2)], [])


def test_a_truncated_gzip_keeps_every_whole_line_before_the_cut(path):
    packed = gzip.compress(b"".join(line(number) + b"\n" for number in range(1, 5001)), mtime=0)
    events, problems = read(path, packed[: len(packed) // 2])
    assert len(events) > 1000
    assert events == [(f"r-{number}", number) for number in range(1, len(events) + 1)]
    assert problems[0].line == len(events) + 1
    assert problems[0].reason == "the gzip ends early; the lines before this one are kept"


def test_a_broken_gzip_keeps_what_precedes_the_break(path):
    packed = bytearray(gzip.compress(b"".join(line(number) + b"\n" for number in range(1, 50_001)), mtime=0))
    packed[len(packed) // 2 : len(packed) // 2 + 20] = b"\xff" * 20
    events, problems = read(path, bytes(packed))
    assert events[0] == ("r-1", 1)
    assert "the gzip" in problems[-1].reason


def test_an_endless_line_is_let_go_in_constant_memory(path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE", 4 << 20)
    endless = b'{"request_id":"' + b"x" * (9 << 20) + b'"}'
    events, problems = read(path, line(1) + b"\n" + endless + b"\n" + line(3) + b"\n")
    assert events == [("r-1", 1), ("r-3", 3)]
    assert [(one.line, one.reason) for one in problems] == [(2, "a line longer than 4 MB")]
    assert int(problems[0].value.split()[0]) == len(endless)


def test_an_array_is_read_by_its_elements(path):
    content = json.dumps([json.loads(line(1)), json.loads(line(2, input_tokens="7"))], indent=2).encode()
    events, problems = read(path, content)
    assert events == [("r-1", 1)]
    assert [(one.line, one.field) for one in problems] == [(2, "input_tokens")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        ("{}".encode("utf-16"), "it is UTF-16"),
        (b"a,b,c\n1,2,3\n", "no telemetry format is like this"),
        (b'{"resourceLogs":[]}', "OTLP logs or metrics, not traces"),
        (b'[{"request_id":"r-1"}', "broken JSON"),
        (gzip.compress(line(1))[:5], "nothing can be read: the gzip ends early"),
    ],
)
def test_what_cannot_be_read_at_all_says_why_and_what_to_do(path, content, reason):
    with pytest.raises(UnreadableFile, match=reason) as caught:
        read(path, content)
    assert caught.value.fix


def test_a_missing_path_says_so(path):
    with pytest.raises(UnreadableFile, match="there is no such file"):
        find_files([path])


def test_a_folder_is_its_files_in_order_without_the_hidden_ones(tmp_path):
    for name in ("b/2.ndjson", "a/1.ndjson", ".hidden", "b/.x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(line(1))
    assert [path.name for path in find_files([tmp_path])] == ["1.ndjson", "2.ndjson"]


def test_a_prompt_that_looks_like_another_format_does_not_mislead(path):
    path.write_bytes(line(1, messages='{"resourceSpans": [], "litellm_call_id": 1}'))
    assert TelemetryFile(path).format_name == "ndjson"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    good=st.lists(st.booleans(), min_size=1, max_size=12),
    chunk=st.integers(1, 400),
    garbage=st.binary(min_size=1, max_size=60).filter(lambda text: b"\n" not in text and text.strip()),
    packed=st.booleans(),
)
def test_no_good_line_is_lost_whatever_stands_between(path, good, chunk, garbage, packed):
    garbage = b"#" + garbage
    content = line(0) + b"\n" + b"".join((line(n) if is_good else garbage) + b"\n" for n, is_good in enumerate(good, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_CHUNK", chunk)
        events, problems = read(path, gzip.compress(content) if packed else content)
    assert events == [("r-0", 1)] + [(f"r-{n}", n + 1) for n, is_good in enumerate(good, 1) if is_good]
    assert [one.line for one in problems] == [n + 1 for n, is_good in enumerate(good, 1) if not is_good]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_a_mutated_file_is_read_or_refused_and_never_breaks(path, samples, data):
    name = data.draw(st.sampled_from(["weir.ndjson", "litellm.jsonl", "otlp.json"]))
    content = bytearray((samples / "telemetry" / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
    with suppress(UnreadableFile):
        read(path, bytes(content))
