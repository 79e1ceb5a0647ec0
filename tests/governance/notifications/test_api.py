"""The API of notifications: what each persona sees and may do; no secret in any answer, page, log or trail."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from attribution.models import AuditEntry
from governance.identity import services as identity
from governance.models import Channel, Delivery, Subscription, User
from governance.notifications import sealing, signing
from governance.notifications.delivering import deliver_due
from tests.governance.notifications.helpers import Clock, Hook, Inbox, event, states, tell

Api = Callable[..., Client]
MakeChannel = Callable[..., Channel]
SLACK = "https://hooks.slack.com/services/T0AAAAAAA/B0BBBBBBB/cccccccccccccccccccccccc"


@pytest.fixture
def api(people: dict[str, User]) -> Api:
    """A client with a token of the person."""

    def make(name: str, *, may_write: bool = True) -> Client:
        secret = identity.issue_token(people[name], name="test", may_write=may_write).secret
        return Client(headers={"authorization": f"Bearer {secret}"})

    return make


def post(client: Client, path: str, /, **body: object) -> tuple[int, dict]:
    answer = client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json() if answer.content else {}


def test_an_operator_adds_a_channel_and_nobody_reads_its_address(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = api("operator")
    status, made = post(
        client, "channels", name="finops", kind="slack", address=SLACK, wants={"kinds": ["period.closed"]}
    )

    assert (status, made["hint"], made["secret"]) == (201, "hooks.slack.com/services/…", None)
    assert made["wants"]["kinds"] == ["period.closed"]
    kept = Channel.objects.get()
    assert sealing.unseal(kept.sealed) == SLACK
    everything = [
        json.dumps(list(Channel.objects.values()), default=str),
        json.dumps(list(AuditEntry.objects.values()), default=str),
        client.get("/api/v1/channels").content.decode(),
        client.get(f"/api/v1/channels/{kept.pk}").content.decode(),
        caplog.text,
        repr(made),
    ]
    assert all("ccccccc" not in text and "T0AAAAAAA" not in text for text in everything)
    assert AuditEntry.objects.get().action == "create"


def test_a_webhooks_secret_is_shown_once_and_signs(api: Api, hook: Hook) -> None:
    client = api("owner")
    status, made = post(client, "webhooks", name="ours", address=f"{hook.url}/x", team="ml")
    assert status == 201
    secret = made["secret"]
    assert secret not in client.get("/api/v1/webhooks").content.decode()
    tell(event(), timezone.now())
    assert deliver_due() == 1
    (request,) = hook.requests
    signing.verify(request.body, request.headers[signing.HEADER], secret, timezone.now())

    status, rotated = post(client, f"webhooks/{made['id']}/rotate")
    assert status == 200
    tell(event(once_key="2"), timezone.now())
    deliver_due()
    for valid in (secret, rotated["secret"]):
        signing.verify(hook.requests[1].body, hook.requests[1].headers[signing.HEADER], valid, timezone.now())


def test_a_replay_sends_again_with_the_first_ids(api: Api, hook: Hook) -> None:
    client = api("owner")
    _, made = post(client, "webhooks", name="ours", address=hook.url)
    start = timezone.now()
    for number in range(3):
        tell(event(once_key=str(number)), timezone.now())
    deliver_due()

    status, answer = post(client, f"webhooks/{made['id']}/replay", since=start.isoformat())
    assert (status, answer) == (202, {"count": 3})
    deliver_due()
    ids = [request.headers["Weir-Message-Id"] for request in hook.requests]
    assert ids[3:] == ids[:3]
    late = (timezone.now() - timedelta(days=31)).isoformat()
    assert post(client, f"webhooks/{made['id']}/replay", since=late)[0] == 400


def test_a_failed_delivery_is_visible_and_can_be_sent_again(api: Api, hook: Hook) -> None:
    client = api("owner")
    post(client, "webhooks", name="ours", address=hook.url, team="ml")
    hook.answers = [(404, {})]
    tell(event(), timezone.now())
    deliver_due()

    (row,) = api("lead").get("/api/v1/notifications").json()["rows"]
    (delivery,) = row["deliveries"]
    assert (delivery["state"], delivery["error"]) == ("failed", "it answered 404")
    assert post(api("lead"), f"deliveries/{delivery['id']}/retry")[0] == 403
    assert post(api("other"), f"deliveries/{delivery['id']}/retry")[0] == 404
    assert post(client, f"deliveries/{delivery['id']}/retry")[0] == 202
    assert deliver_due() == 1
    assert states() == {"ours": "sent"}


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("owner", {"of ml", "of sales", "of all"}),
        ("operator", {"of ml", "of sales", "of all"}),
        ("viewer", {"of ml", "of sales", "of all"}),
        ("lead", {"of ml"}),
        ("member", {"of ml"}),
        ("other", {"of sales"}),
    ],
)
def test_channels_and_the_log_are_those_of_ones_teams(
    api: Api, make_channel: MakeChannel, clock: Clock, inbox: Inbox, name: str, seen: set[str]
) -> None:
    for team in ("ml", "sales", None):
        make_channel("webhook", "https://example.org/secret-path", team=team, name=f"of {team or 'all'}")
    tell(event(subject="About ml"))
    tell(event(team="sales", subject="About sales", once_key="2"))
    tell(event(team=None, subject="About all", once_key="3"))
    client = api(name)

    assert {row["name"] for row in client.get("/api/v1/channels").json()["rows"]} == seen
    text = client.get("/api/v1/notifications").content.decode()
    for team in ("ml", "sales", "all"):
        assert (f"About {team}" in text) == (f"of {team}" in seen)
    if name in ("lead", "member", "other"):
        hidden = {"lead": "other@", "member": "other@", "other": "lead@"}[name]
        assert hidden not in text
    if name == "member":
        # Mail to the lead is the lead's.
        assert '"lead"' not in text


@pytest.mark.parametrize("name", ["viewer", "lead", "member", "other"])
def test_who_may_not_edit_channels_changes_nothing(api: Api, make_channel: MakeChannel, name: str) -> None:
    mine = make_channel("webhook", "https://example.org/1", team="sales" if name == "other" else "ml")
    client = api(name)

    assert post(client, "channels", name="x", kind="slack", address=SLACK)[0] == 403
    assert post(client, "channels", name="x", kind="slack", address=SLACK, team="ml")[0] == 403
    for action in ("test", "rotate"):
        base = "channels" if action == "test" else "webhooks"
        assert post(client, f"{base}/{mine.pk}/{action}")[0] == 403
    assert client.delete(f"/api/v1/channels/{mine.pk}").status_code == 403
    assert client.patch(f"/api/v1/channels/{mine.pk}", "{}", content_type="application/json").status_code == 403
    assert Channel.objects.get().is_active
    assert not Delivery.objects.exists()


def test_another_teams_channel_is_not_there(api: Api, make_channel: MakeChannel) -> None:
    theirs = make_channel("webhook", "https://example.org/1", team="sales")
    client = api("lead")

    exists = client.get(f"/api/v1/channels/{theirs.pk}")
    absent = client.get("/api/v1/channels/999999")
    assert (exists.status_code, exists.json()) == (absent.status_code, absent.json())
    assert exists.status_code == 404
    assert post(client, f"channels/{theirs.pk}/test")[0] == 404
    assert client.delete(f"/api/v1/channels/{theirs.pk}").status_code == 404


@pytest.mark.parametrize("address", ["channels", "webhooks", "notifications", "subscriptions"])
def test_an_outsider_and_a_stranger_get_nothing(api: Api, address: str) -> None:
    assert api("outsider").get(f"/api/v1/{address}").status_code == 403
    assert Client().get(f"/api/v1/{address}").status_code == 401


def test_a_reading_token_changes_nothing(api: Api, people: dict[str, User]) -> None:
    client = api("owner", may_write=False)

    assert post(client, "channels", name="x", kind="slack", address=SLACK)[0] == 403
    answer = client.put("/api/v1/subscriptions", json.dumps({"mode": "off"}), content_type="application/json")
    assert answer.status_code == 403
    assert not Channel.objects.exists()
    assert not Subscription.objects.exists()


def test_one_chooses_for_oneself(api: Api, people: dict[str, User]) -> None:
    client = api("member")
    body = {"mode": "daily", "quiet_from": "22:00", "quiet_until": "07:00", "zone": "Asia/Kolkata", "budget_id": 3}

    answer = client.put("/api/v1/subscriptions", json.dumps(body), content_type="application/json")

    assert answer.status_code == 200
    assert client.get("/api/v1/subscriptions").json()["rows"] == [answer.json()]
    assert answer.json() == {
        "budget_id": 3,
        "kinds": [],
        "mode": "daily",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "zone": "Asia/Kolkata",
        "digest_at": None,
    }
    assert Subscription.objects.get().user == people["member"]
    assert api("lead").get("/api/v1/subscriptions").json()["rows"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "kind": "slack", "address": "https://hooks.slack.com.evil.org/services/T/B/c"}, "address"),
        ({"name": "x", "kind": "slack", "address": SLACK + "?template=file:///etc/passwd"}, "address"),
        ({"name": "x", "kind": "webhook", "address": "file:///etc/passwd"}, "address"),
        ({"name": "x", "kind": "webhook", "address": "https://user:pass@example.org/"}, "address"),
        ({"name": "x", "kind": "webhook"}, "address"),
        ({"name": "x", "kind": "webhook", "reference": "env:WEIR_SECRET_KEY"}, "reference"),
        ({"name": "x", "kind": "webhook", "reference": "file:/etc/passwd"}, "reference"),
        ({"name": "x", "kind": "webhook", "reference": "file:/run/secrets/../../etc/passwd"}, "reference"),
        ({"name": "x", "kind": "email", "address": "not an address"}, "address"),
        ({"name": "x", "kind": "pagerduty", "address": "short"}, "address"),
        ({"name": "x", "kind": "carrier pigeon", "address": "y"}, "kind"),
        ({"name": "x", "kind": "slack", "address": SLACK, "team": "nobody"}, "team"),
        ({"name": "x", "kind": "slack", "address": SLACK, "colour": "red"}, "colour"),
        ({"name": "x", "kind": "slack", "address": SLACK, "wants": {"zone": "Mars/Base"}}, "zone"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_fix(api: Api, body: dict, field: str) -> None:
    status, problem = post(api("owner"), "channels", **body)

    assert status == 400
    assert [one["field"] for one in problem["errors"]] == [field]
    assert all(one["fix"] for one in problem["errors"])
    assert not Channel.objects.exists()


def test_a_removed_channels_address_is_forgotten_and_its_log_stays(api: Api, make_channel: MakeChannel) -> None:
    channel = make_channel("webhook", "https://example.org/secret-path")
    tell(event())
    client = api("owner")

    assert client.delete(f"/api/v1/channels/{channel.pk}").status_code == 204
    assert client.get("/api/v1/channels").json()["rows"] == []
    assert sealing.unseal(Channel.objects.get().sealed) == ""
    (row,) = client.get("/api/v1/notifications").json()["rows"]
    assert row["deliveries"][0]["to"] == "the webhook"


def test_the_log_is_read_in_pages(api: Api) -> None:
    for number in range(5):
        tell(event(once_key=str(number), subject=f"number {number}"))
    client = api("owner")

    first = client.get("/api/v1/notifications?limit=2").json()
    second = client.get(f"/api/v1/notifications?limit=2&after={first['next_after']}").json()
    third = client.get(f"/api/v1/notifications?limit=2&after={second['next_after']}").json()

    subjects = [row["subject"] for page in (first, second, third) for row in page["rows"]]
    assert subjects == [f"number {number}" for number in (4, 3, 2, 1, 0)]
    assert third["next_after"] is None
    assert client.get("/api/v1/notifications?limit=0").status_code == 400
