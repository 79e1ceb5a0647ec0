"""Quotas and their use: by team, key and model, over all clouds or one, a minute, a day or a month."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from attribution.actors import Forbidden
from attribution.ingest_telemetry import ingest_telemetry
from attribution.models import AuditEntry
from attribution.scope import EVERYTHING
from governance import quotas
from governance.budget_drafts import Invalid
from governance.quotas import QuotaDraft, QuotaState
from tests.attribution.serving_lake import publish_lake, usage
from tests.governance.budgets.personas import NOW, People


def _lake() -> None:
    publish_lake(
        used=[
            usage("2026-05-19", "search", "1", model="gpt-large", input_uncached=500, output=100, requests=3),
            usage("2026-05-20", "search", "1", model="gpt-large", input_uncached=300, output=50, requests=2),
            usage("2026-05-20", "ads", "1", model="gpt-large", cache_read=40, requests=1, api_key="key-7"),
            usage("2026-05-20", "search", "1", provider="gcp", model="gemini", input_uncached=9, requests=5),
            usage("2026-04-30", "search", "1", model="gpt-large", input_uncached=999_999, requests=99),
        ],
        billed_through={("aws", "111"): "2026-05-18"},
    )


@pytest.mark.parametrize(
    ("draft", "used"),
    [
        (QuotaDraft("tokens", "day", 1000, team="search", model="gpt-large"), 350),
        (QuotaDraft("tokens", "month", 1000, team="search", model="gpt-large"), 950),
        (QuotaDraft("requests", "month", 1000, team="search"), 10),
        # Over all clouds, and of one.
        (QuotaDraft("tokens", "day", 1000), 399),
        (QuotaDraft("tokens", "day", 1000, provider="gcp"), 9),
        (QuotaDraft("tokens", "day", 1000, key="key-7"), 40),
        # The unit's teams together.
        (QuotaDraft("tokens", "day", 1000, team="products"), 399),
        (QuotaDraft("tokens", "day", 1000, team="labs"), 0),
    ],
)
def test_use_is_counted_by_what_the_quota_names(people: People, lake: Path, draft: QuotaDraft, used: int) -> None:
    _lake()
    assert quotas.create_quota(draft, actor=people.owner, now=NOW).used == used


@pytest.mark.parametrize(
    ("limit", "state"), [(350, QuotaState.EXHAUSTED), (400, QuotaState.NEAR), (1000, QuotaState.OK)]
)
def test_a_state_follows_from_use(people: People, lake: Path, limit: int, state: QuotaState) -> None:
    _lake()
    draft = QuotaDraft("tokens", "day", limit, team="search", model="gpt-large")
    made = quotas.create_quota(draft, actor=people.lead, now=NOW)
    assert (made.state, made.resets_at) == (state, datetime(2026, 5, 21, tzinfo=UTC))
    assert [each.id for each in quotas.exhausted(NOW)] == ([made.id] if state is QuotaState.EXHAUSTED else [])
    # The next day it is free again.
    assert quotas.exhausted(NOW + timedelta(days=1)) == []


def test_without_telemetry_use_is_not_known(people: People, lake: Path) -> None:
    for window in ("minute", "day", "month"):
        made = quotas.create_quota(QuotaDraft("tokens", window, 10), actor=people.owner, now=NOW)
        assert (made.used, made.state) == (None, QuotaState.UNKNOWN)


def test_the_second_editor_of_a_quota_is_told(people: People, lake: Path) -> None:
    draft = QuotaDraft("tokens", "day", 10, team="search")
    made = quotas.create_quota(draft, actor=people.owner, now=NOW)
    quotas.edit_quota(made.id, 1, QuotaDraft("tokens", "day", 20, team="search"), actor=people.owner, now=NOW)
    with pytest.raises(quotas.QuotaConflict) as told:
        quotas.edit_quota(made.id, 1, QuotaDraft("tokens", "day", 30, team="search"), actor=people.lead, now=NOW)
    assert told.value.current.limit == 20
    actions = list(AuditEntry.objects.order_by("seq").values_list("actor", "action"))
    assert actions == [("Owner", "quota.create"), ("Owner", "quota.edit"), ("Lead", "quota.edit_refused")]


def test_each_manages_the_quotas_of_their_teams(people: People, lake: Path) -> None:
    draft = QuotaDraft("tokens", "day", 10, team="search")
    made = quotas.create_quota(draft, actor=people.lead, now=NOW)
    with pytest.raises(Invalid, match="such a quota already"):
        quotas.create_quota(draft, actor=people.lead, now=NOW)
    for who in (people.other_lead, people.member, people.outsider):
        with pytest.raises(Forbidden):
            quotas.create_quota(draft, actor=who, now=NOW)
    with pytest.raises(Forbidden):
        quotas.create_quota(QuotaDraft("tokens", "day", 10), actor=people.lead, now=NOW)
    with pytest.raises(quotas.MissingQuota):
        quotas.archive_quota(made.id, 1, actor=people.other_lead, now=NOW)
    with pytest.raises(Forbidden):
        quotas.archive_quota(made.id, 1, actor=people.member, now=NOW)
    quotas.archive_quota(made.id, 1, actor=people.lead, now=NOW)
    assert quotas.quotas(EVERYTHING, NOW) == []


def _requests(tmp_path: Path) -> Path:
    """12:00 to 12:02: 100, 70 and 200 tokens of search; 5 of ads at 12:02."""
    lines = [
        ("a", "2026-05-20T12:00:10Z", "search", 100),
        ("b", "2026-05-20T12:01:10Z", "search", 30),
        ("c", "2026-05-20T12:01:50Z", "search", 40),
        ("d", "2026-05-20T12:02:20Z", "search", 200),
        ("e", "2026-05-20T12:02:30Z", "ads", 5),
    ]
    file = tmp_path / "calls.ndjson"
    file.write_text(
        "".join(
            json.dumps(
                {
                    "request_id": key,
                    "completed_at": at,
                    "provider": "aws",
                    "request_model": "claude-sonnet-4.5",
                    "team": team,
                    "input_tokens": tokens,
                    "output_tokens": 0,
                }
            )
            + "\n"
            for key, at, team, tokens in lines
        )
    )
    return file


def test_a_minute_quota_shows_the_last_minute_and_the_peak(people: People, lake: Path, tmp_path: Path) -> None:
    ingest_telemetry([_requests(tmp_path)], source="test")
    now = datetime(2026, 5, 20, 12, 2, 25, tzinfo=UTC)
    made = quotas.create_quota(QuotaDraft("tokens", "minute", 60, team="search"), actor=people.owner, now=now)
    # The minute that runs is not whole yet.
    assert (made.used, made.peak, made.state) == (70, 100, QuotaState.EXHAUSTED)
    later = quotas.quota(EVERYTHING, made.id, now + timedelta(minutes=1))
    assert (later.used, later.peak) == (200, 200)
    requests = quotas.create_quota(QuotaDraft("requests", "minute", 60), actor=people.owner, now=later.resets_at)
    assert (requests.used, requests.peak) == (2, 2)
    # Today's use is known from telemetry before anything has an owner.
    today = quotas.create_quota(QuotaDraft("tokens", "day", 600, team="products"), actor=people.owner, now=now)
    assert today.used == 375
