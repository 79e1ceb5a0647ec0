"""Signatures, seals, quiet hours, the words of messages, and Apprise's kinds, each by itself."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests
from django.core.checks import run_checks
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from governance.models import Channel, Delivery
from governance.notifications import channels, digest, messages, outbox, sealing, signing
from governance.notifications.channels import DeliveryError, Outgoing, Target
from governance.notifications.delivering import deliver_due, network
from governance.notifications.events import Kind, Told, kept_figures
from governance.notifications.mail import BadAddress, MailServer
from tests.governance.notifications.helpers import NOW, Clock, Hook, Inbox, event, tell

MakeChannel = Callable[..., Channel]
ZONES = ["UTC", "Asia/Kolkata", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"]
CLOCKS = st.times().map(lambda each: each.replace(second=0, microsecond=0, tzinfo=None))
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))

# Signatures


def test_a_signature_is_the_documented_one() -> None:
    """HMAC-SHA256 of '1772366400.{"a":1}' with the key 'k', worked out with openssl."""
    header = signing.sign(b'{"a":1}', ["k"], NOW)

    assert header == "t=1772366400,v1=" + EXPECTED
    assert signing.verify(b'{"a":1}', header, "k", NOW) == NOW


EXPECTED = "1ae2d9e07253721f02a8fe97cd9a1bd2a9bbd92031a141319904237911d4363d"


@pytest.mark.parametrize(
    ("body", "header", "secret", "later", "words"),
    [
        (b"b", None, "k", 0, "no signature matches"),
        (b"a", None, "other", 0, "no signature matches"),
        (b"a", None, "k", 301, "more than"),
        (b"a", None, "k", -301, "more than"),
        (b"a", "v1=00", "k", 0, "no time"),
        (b"a", "t=x,v1=00", "k", 0, "no time"),
        (b"a", "", "k", 0, "no time"),
    ],
)
def test_a_changed_old_or_foreign_request_is_refused(
    body: bytes, header: str | None, secret: str, later: int, words: str
) -> None:
    given_header = signing.sign(b"a", ["k"], NOW) if header is None else header
    with pytest.raises(signing.BadSignature, match=words):
        signing.verify(body, given_header, secret, NOW + timedelta(seconds=later))


# Seals


def test_a_seal_opens_with_its_key_or_a_former_one_only(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "first", []
    sealed = sealing.seal("https://example.org/secret")
    assert "secret" not in sealed
    assert sealing.unseal(sealed) == "https://example.org/secret"

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "second", ["first"]
    assert sealing.unseal(sealed) == "https://example.org/secret"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealing.SealError, match="another WEIR_SECRET_KEY"):
        sealing.unseal(sealed)


def test_a_reference_reads_what_is_meant_for_channels_and_nothing_else(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEIR_HOME = tmp_path
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "hook").write_text("https://example.org/x\n")
    (tmp_path / "secret_key").write_text("the key")
    (folder / "link").symlink_to(tmp_path / "secret_key")
    monkeypatch.setenv("WEIR_CHANNEL_HOOK", "https://example.org/y")

    assert sealing.dereference(f"file:{folder}/hook") == "https://example.org/x"
    assert sealing.dereference("env:WEIR_CHANNEL_HOOK") == "https://example.org/y"
    for refused in (
        "env:PATH",
        "env:WEIR_SECRET_KEY",
        f"file:{tmp_path}/secret_key",
        f"file:{folder}/../secret_key",
        f"file:{folder}/link",
        f"file:{folder}/absent",
        "env:WEIR_CHANNEL_ABSENT",
        "x",
    ):
        with pytest.raises(sealing.SealError):
            sealing.dereference(refused)


def test_a_channel_by_reference_is_read_when_it_is_sent(
    make_channel: MakeChannel, hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = make_channel("webhook", "https://example.org/")
    Channel.objects.filter(pk=channel.pk).update(sealed="", reference="env:WEIR_CHANNEL_HOOK")
    tell(event())
    assert deliver_due(clock) == 0
    assert "the environment has no WEIR_CHANNEL_HOOK" in Delivery.objects.get().error

    monkeypatch.setenv("WEIR_CHANNEL_HOOK", hook.url)
    tell(event(once_key="2"))
    assert deliver_due(clock) == 1


# Times


@given(INSTANTS, CLOCKS, CLOCKS, st.sampled_from(ZONES))
def test_what_leaves_leaves_outside_of_quiet_hours_and_at_most_a_day_later(
    now: datetime, start: time, until: time, zone: str
) -> None:
    quiet = digest.quiet_or_none(start, until, zone)
    due = digest.earliest(now, quiet)

    assert now <= due <= now + timedelta(hours=25, minutes=1)
    assert quiet is None or not quiet.holds(due) or due.astimezone(ZoneInfo(zone)).fold == 1


@given(INSTANTS, CLOCKS, st.sampled_from(ZONES))
def test_the_next_digest_is_after_now_and_within_a_day(now: datetime, wall: time, zone: str) -> None:
    due = digest.next_wall(now, wall, zone)

    assert now < due <= now + timedelta(hours=26)


def test_a_wall_time_that_spring_leaves_out_counts_when_the_clocks_jump() -> None:
    # New York, 8 March 2026: 02:00 EST (07:00 UTC) becomes 03:00 EDT; 02:30 does not exist, it is 03:30 EDT.
    before = datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert digest.next_wall(before, time(2, 30), "America/New_York") == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    # 1 November: 01:30 is shown twice; the first is EDT, 05:30 UTC.
    autumn = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert digest.next_wall(autumn, time(1, 30), "America/New_York") == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


@given(st.integers(1, 40), st.text(max_size=40))
def test_waits_grow_to_half_an_hour_with_jitter(attempts: int, key: str) -> None:
    longest = min(timedelta(seconds=10) * 2 ** (attempts - 1), timedelta(minutes=30))

    assert longest / 2 <= outbox.wait_after(attempts, key) <= longest
    assert outbox.wait_after(attempts, key) == outbox.wait_after(attempts, key)


# Words


def test_unknown_figures_are_said_to_be_unknown() -> None:
    message = messages.compose(Told("budget.crossed", "S", {"budget": "Search", "spend": "0.001"}, "/b/3"), "https://w")

    assert message.lines == (
        ("Budget", "Search"),
        ("Spend", "1,000\u00a0µ$"),
        ("Forecast", "not known yet"),
        ("Limit", "not known yet"),
        ("Resets", "not known yet"),
    )


def test_the_reset_is_told_in_the_budgets_zone() -> None:
    figures = {"budget": "B", "resets_at": "2026-03-31T18:30:00+00:00", "zone": "Asia/Kolkata"}

    assert ("Resets", "1 Apr 2026 00:00 Asia/Kolkata") in messages.compose(
        Told("test", "S", figures), "https://w"
    ).lines


def test_further_figures_have_lines_of_their_own_and_what_is_not_about_a_budget_says_so() -> None:
    message = messages.compose(
        Told("change.waiting", "S", {"moves": "18 % to mid", "words": "W."}, "/c/1"), "https://w/"
    )

    assert message.text == ("W.\n\nBudget: none; this is not about one budget\nMoves:  18 % to mid\n\nhttps://w/c/1")


def test_a_subject_never_breaks_a_header(inbox: Inbox, make_channel: MakeChannel, clock: Clock) -> None:
    make_channel("email", "a@example.org")
    tell(event(subject="Übersicht\r\nBcc: evil@example.org\x00"))
    deliver_due(clock)

    (mail,) = inbox.messages
    assert mail["Subject"] == "Übersicht Bcc: evil@example.org"
    assert mail["Bcc"] is None
    assert inbox.envelopes[0][1] == ["a@example.org"]


def test_a_float_is_no_figure() -> None:
    with pytest.raises(TypeError, match="never a float"):
        kept_figures({"spend": 1.5})  # type: ignore[dict-item]
    assert kept_figures({"a": Decimal("1E+3"), "b": date(2026, 3, 1)}) == {"a": "1000", "b": "2026-03-01"}


@pytest.mark.parametrize(
    "changed",
    [{"kind": "budget.gone"}, {"link_path": "https://evil.org"}, {"link_path": "//evil.org"}, {"once_key": ""}],
)
def test_an_event_that_says_too_little_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        event(**changed)


# Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://relay.example.org", ("plain", 25, "", "")),
        ("smtp+starttls://u%40x:p%2Fw@smtp.example.org:2525", ("starttls", 2525, "u@x", "p/w")),
        ("smtps://smtp.example.org", ("tls", 465, "", "")),
    ],
)
def test_a_mail_server_is_read(url: str, expected: tuple[str, int, str, str]) -> None:
    server = MailServer.parse(url, "weir@example.org")

    assert (server.security, server.port, server.user, server.password) == expected
    assert "p/w" not in repr(server)


@pytest.mark.parametrize("url", ["smtp.example.org", "http://x", "smtp://", "smtp://h:99999"])
def test_a_mail_server_that_cannot_be_read_is_named_at_start(settings: Settings, url: str) -> None:
    with pytest.raises(BadAddress):
        MailServer.parse(url, "weir@example.org")
    settings.WEIR_SMTP_URL = url
    assert "weir.E011" in [found.id for found in run_checks()]


@pytest.mark.parametrize("url", ["", "weir.example.org", "ftp://weir.example.org", "https://"])
def test_a_public_address_that_leads_nowhere_is_named_at_start(settings: Settings, url: str) -> None:
    settings.WEIR_PUBLIC_URL = url
    assert "weir.E010" in [found.id for found in run_checks()]


# Apprise's kinds

SLACK = "https://hooks.slack.com/services/T0AAAAAAA/B0BBBBBBB/cccccccccccccccccccccccc"
TEAMS = (
    "https://prod-01.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/"
    "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=abcdefgh&redirect=yes&template=%2Fetc"
)


def test_teams_keeps_of_its_address_what_it_needs() -> None:
    normal, hint = channels.checked("teams", TEAMS)

    assert "template" not in normal
    assert "redirect" not in normal
    assert hint == "prod-01.westeurope.logic.azure.com/workflows/…"
    with pytest.raises(BadAddress):
        channels.checked("teams", TEAMS.replace("logic.azure.com", "logic.azure.com.evil.org"))


@pytest.mark.parametrize("kind", ["slack", "pagerduty"])
def test_apprise_hands_over_to_the_service_with_our_words(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _redirect_services(monkeypatch, hook)
    channels.send(*_to(kind), network(), hand_over=lambda: None, now=NOW)

    (request,) = hook.requests
    text = json.dumps(request.json, ensure_ascii=False)
    assert "Search will pass" in text
    assert "https://w/b/3" in text
    if kind == "pagerduty":
        assert request.json["dedup_key"] == "k" * 32


def test_a_budgets_name_pings_nobody_and_hides_no_link(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    _redirect_services(monkeypatch, hook)
    told = Told(
        Kind.BUDGET_CROSSED, "<!channel> [go](https://evil.org)", {"budget": "<!here> <https://evil.org|go>"}, "/b"
    )
    outgoing = Outgoing(messages.compose(told, "https://w"), "k" * 32, {})
    for kind, address in (("slack", SLACK), ("teams", channels.checked("teams", TEAMS)[0])):
        channels.send(Target(kind, address), outgoing, network(), hand_over=lambda: None, now=NOW)

    slack, teams = (json.dumps(request.json) for request in hook.requests)
    assert "<!" not in slack
    assert "<https" not in slack
    assert "[go](" not in teams
    assert "Budget:   <\\\\!here" in teams


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (403, False), (429, True), (503, True)])
def test_a_services_refusal_says_whether_to_try_again(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, status: int, retryable: bool
) -> None:
    _redirect_services(monkeypatch, hook)
    hook.answers = [(status, {})]
    with pytest.raises(DeliveryError) as failed:
        channels.send(*_to("slack"), network(), hand_over=lambda: None, now=NOW)

    assert failed.value.retryable == retryable
    assert not failed.value.may_have_arrived
    assert f"{status}" in str(failed.value)
    assert "ccccc" not in str(failed.value)


def test_a_services_redirect_is_not_followed(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    _redirect_services(monkeypatch, hook)
    hook.answers = [(307, {"Location": f"{hook.url}/elsewhere"})]
    with pytest.raises(DeliveryError):
        channels.send(*_to("slack"), network(), hand_over=lambda: None, now=NOW)

    assert len(hook.requests) == 1


def test_apprise_reaches_no_inner_address(hook: Hook, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    _redirect_services(monkeypatch, hook)
    settings.WEIR_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(DeliveryError, match="loopback") as failed:
        channels.send(*_to("slack"), network(), hand_over=lambda: None, now=NOW)

    assert not failed.value.retryable
    assert hook.requests == []


def test_a_webhook_reaches_no_inner_address(hook: Hook, settings: Settings) -> None:
    settings.WEIR_ALLOW_PRIVATE_ADDRESSES = False
    target = Target("webhook", hook.url, ("k",))
    with pytest.raises(DeliveryError, match="is a loopback address"):
        channels.send(target, _to("slack")[1], network(), hand_over=lambda: None, now=NOW)
    assert hook.requests == []


def test_a_receiver_that_drips_its_answer_is_left_after_the_deadline(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends a byte of its first line every 20 ms, for ever: no single read is ever late."""
    settings.WEIR_ALLOW_PRIVATE_ADDRESSES = True
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.2)
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        line, _ = server.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(b"HTTP/1.1 ")
            while not over.wait(0.02):
                line.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        target = Target("webhook", f"http://127.0.0.1:{server.getsockname()[1]}/", ("k",))
        with pytest.raises(DeliveryError) as failed:
            channels.send(target, _to("slack")[1], network(), hand_over=lambda: None, now=NOW)
        over.set()
        thread.join()
    assert (failed.value.retryable, failed.value.may_have_arrived) == (True, True)


# Leases


def test_what_a_dead_worker_left_is_sent_again_where_a_repeat_is_known_and_not_where_it_is_not(
    make_channel: MakeChannel, hook: Hook, clock: Clock
) -> None:
    make_channel("webhook", hook.url, name="knows repeats")
    make_channel("slack", SLACK, name="does not")
    tell(event())
    for claim in outbox.claims(clock(), 10):
        claim.hand_over(clock())  # and then the worker dies
    assert deliver_due(clock) == 0, "their leases have not ended"

    clock.now += outbox.LEASE
    assert deliver_due(clock) == 1
    by_name = {one.channel.name: one for one in Delivery.objects.select_related("channel")}  # type: ignore[union-attr]
    assert by_name["knows repeats"].state == "sent"
    assert by_name["does not"].state == "uncertain"
    assert "look there" in by_name["does not"].error


def test_what_a_worker_had_claimed_but_not_handed_over_is_sent_everywhere(
    make_channel: MakeChannel, hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _redirect_services(monkeypatch, hook)
    make_channel("slack", SLACK)
    tell(event())
    assert len(list(outbox.claims(clock(), 10))) == 1
    clock.now += outbox.LEASE

    assert deliver_due(clock) == 1
    assert len(hook.requests) == 1


def test_a_worker_that_lost_its_lease_does_not_hand_over(make_channel: MakeChannel, hook: Hook, clock: Clock) -> None:
    make_channel("webhook", hook.url)
    tell(event())
    (slow,) = outbox.claims(clock(), 10)
    clock.now += outbox.LEASE
    assert deliver_due(clock) == 1

    with pytest.raises(outbox.ClaimLost):
        slow.hand_over(clock())
    with pytest.raises(outbox.ClaimLost):
        slow.sent(clock())
    assert len(hook.requests) == 1


def test_what_is_old_is_forgotten_unless_it_is_still_on_its_way(make_channel: MakeChannel, clock: Clock) -> None:
    make_channel("webhook", "https://example.org/")
    tell(event())
    tell(event(once_key="2"))
    Delivery.objects.filter(notification__once_key="2").update(state="sent")

    assert outbox.forget(NOW + timedelta(days=400)) == 0
    assert outbox.forget(NOW + timedelta(days=401)) == 1
    assert [one.notification.once_key for one in Delivery.objects.all()] == [event().once_key]


def test_two_workers_never_claim_one_row(make_channel: MakeChannel, clock: Clock) -> None:
    make_channel("webhook", "https://example.org/")
    tell(event())

    assert len(list(outbox.claims(clock(), 10))) == 1
    assert list(outbox.claims(clock(), 10)) == []


def _to(kind: str) -> tuple[Target, Outgoing]:
    address = SLACK if kind == "slack" else "us:" + "a" * 32
    told = Told(Kind.BUDGET_CROSSED, "Search will pass", {"budget": "Search"}, "/b/3")
    message = messages.compose(told, "https://w")
    body = messages.body_of(told, message, key="k" * 32, notification_id=1, team="ml", created_at=NOW)
    return Target(kind, address), Outgoing(message, "k" * 32, body)


def _redirect_services(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    """Slack's and PagerDuty's own hosts are replaced by the sink; nothing leaves this machine."""
    from apprise.plugins import pagerduty, slack

    monkeypatch.setattr(slack.NotifySlack, "webhook_url", hook.url)
    post = requests.post
    monkeypatch.setattr(
        "apprise.plugins.workflows.requests.post",
        lambda url, **more: post(hook.url if "logic.azure" in url else url, **more),
    )
    monkeypatch.setattr(pagerduty, "PAGERDUTY_API_LOOKUP", dict.fromkeys(pagerduty.PAGERDUTY_API_LOOKUP, hook.url))
