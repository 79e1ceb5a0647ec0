"""Settings > Notifications as each persona sees and uses it, without a script."""

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from governance.models import Channel, Delivery, Subscription, User
from governance.notifications import signing
from governance.notifications.delivering import deliver_due
from tests.governance.notifications.helpers import Clock, Hook, Inbox, event, tell

MakeChannel = Callable[..., Channel]
PAGE = "/settings/notifications"


@pytest.fixture
def as_person(people: dict[str, User], lake_root: object) -> Callable[[str], Client]:
    def make(name: str) -> Client:
        client = Client()
        client.force_login(people[name])
        return client

    return make


def text_of(client: Client, address: str = PAGE) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_stranger_signs_in_first(client: Client, db: None) -> None:
    assert client.get(PAGE).headers["Location"].startswith("/sign-in")


def test_an_owner_adds_a_webhook_sees_its_secret_once_and_tests_it(
    as_person: Callable[[str], Client], hook: Hook
) -> None:
    client = as_person("owner")
    answer = client.post(
        f"{PAGE}/channels", {"name": "ours", "kind": "webhook", "address": f"{hook.url}/secret-path", "team": "ml"}
    )
    text = answer.content.decode()
    assert answer.status_code == 200
    assert signing.PREFIX in text
    assert "no-store" in answer.headers["Cache-Control"]
    later = text_of(client)
    assert signing.PREFIX not in later
    assert "secret-path" not in later
    assert "127.0.0.1" in later

    channel = Channel.objects.get()
    assert client.post(f"{PAGE}/channels/{channel.pk}", {"do": "test"}).status_code == 302
    assert deliver_due() == 1
    assert hook.requests[0].json["subject"] == "Test message from Weir"
    assert "Sent" in text_of(client)


def test_a_bad_address_is_said_at_its_field(as_person: Callable[[str], Client]) -> None:
    answer = as_person("owner").post(f"{PAGE}/channels", {"name": "x", "kind": "slack", "address": "https://evil.org"})

    assert answer.status_code == 400
    assert "https://hooks.slack.com/services/" in answer.content.decode()
    assert not Channel.objects.exists()


def test_a_failed_message_is_shown_and_sent_again(
    as_person: Callable[[str], Client], make_channel: MakeChannel, hook: Hook
) -> None:
    make_channel("webhook", hook.url, team="ml", name="ours")
    hook.answers = [(410, {})]
    tell(event())
    deliver_due()
    lead, owner = as_person("lead"), as_person("owner")
    for client in (lead, owner):
        text = text_of(client)
        assert "1 message did not arrive or may not have." in text
        assert "it answered 410" in text
    number = Delivery.objects.get().pk

    assert "Send again" not in text_of(lead)
    assert lead.post(f"{PAGE}/deliveries/{number}").status_code == 403
    assert as_person("other").post(f"{PAGE}/deliveries/{number}").status_code == 404
    assert owner.post(f"{PAGE}/deliveries/{number}").status_code == 302
    assert deliver_due() == 1
    assert "did not arrive" not in text_of(owner)


def test_one_chooses_what_one_hears_and_forgets_the_choice(
    as_person: Callable[[str], Client], people: dict[str, User]
) -> None:
    client = as_person("lead")
    form = {"mode": "daily", "kinds": ["budget.crossed"], "zone": "Asia/Kolkata", "quiet_from": "", "quiet_until": ""}

    assert client.post(f"{PAGE}/choice", form).status_code == 302
    kept = Subscription.objects.get()
    assert (kept.user, kept.mode, kept.kinds, kept.zone) == (
        people["lead"],
        "daily",
        ["budget.crossed"],
        "Asia/Kolkata",
    )
    refused = client.post(f"{PAGE}/choice", form | {"zone": "Mars/Base"})
    assert refused.status_code == 400
    assert "write one like Europe/Berlin" in refused.content.decode()
    assert client.post(f"{PAGE}/choice", {"forget": "1"}).status_code == 302
    assert not Subscription.objects.exists()


def test_no_kind_ticked_means_nothing_and_all_mean_everything(as_person: Callable[[str], Client]) -> None:
    from governance.dashboards.notification_forms import KINDS

    client = as_person("lead")
    client.post(f"{PAGE}/choice", {"mode": "now", "kinds": []})
    assert Subscription.objects.get().mode == "off"
    client.post(f"{PAGE}/choice", {"mode": "now", "kinds": [kind for kind, _ in KINDS]})
    assert (Subscription.objects.get().mode, Subscription.objects.get().kinds) == ("now", [])


@pytest.mark.parametrize("name", ["viewer", "lead", "member", "other", "outsider"])
def test_who_may_not_edit_channels_is_offered_nothing_and_refused(
    as_person: Callable[[str], Client], make_channel: MakeChannel, name: str
) -> None:
    channel = make_channel("webhook", "https://example.org/1", team="ml", name="of ml")
    client = as_person(name)
    text = text_of(client)

    assert "Add a channel" not in text
    assert ("of ml" in text) == (name in ("viewer", "lead", "member"))
    assert client.post(f"{PAGE}/channels", {"name": "x", "kind": "slack"}).status_code == 403
    expected = 403 if name in ("viewer", "lead", "member") else 404
    for action in ("test", "pause", "remove", "rotate"):
        assert client.post(f"{PAGE}/channels/{channel.pk}", {"do": action}).status_code == expected
    assert Channel.objects.get().is_active


def test_the_log_names_nothing_of_another_team(
    as_person: Callable[[str], Client], make_channel: MakeChannel, inbox: Inbox, clock: Clock
) -> None:
    make_channel("webhook", "https://example.org/1", team="sales", name="of sales")
    tell(event(team="sales", subject="About sales"))
    tell(event(subject="About ml", once_key="2"))
    text = text_of(as_person("lead"))

    assert "About ml" in text
    for secret in ("About sales", "of sales", "other@example.org", "Sales"):
        assert secret not in text


def test_the_page_says_that_mail_is_off_and_how_to_turn_it_on(
    as_person: Callable[[str], Client], settings: Settings
) -> None:
    settings.WEIR_SMTP_URL = ""
    text = text_of(as_person("lead"))
    assert "E-mail is off." in text
    assert "WEIR_SMTP_URL" in text


def test_another_teams_budget_is_not_there(as_person: Callable[[str], Client]) -> None:
    client = as_person("lead")
    assert client.get(f"{PAGE}?budget=1").status_code == 404
    assert client.get(f"{PAGE}?budget=%F0%9D%9F%8F").status_code == 404
    assert client.post(f"{PAGE}/choice", {"mode": "now", "budget": "1"}).status_code == 404


def test_reading_the_page_takes_the_same_questions_for_one_message_and_for_many(
    as_person: Callable[[str], Client],
    make_channel: MakeChannel,
    inbox: Inbox,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    for number in range(4):
        make_channel("webhook", f"https://example.org/{number}", team="ml", name=f"c{number}")
    for number in range(20):
        tell(event(once_key=str(number)))
    client = as_person("owner")
    with django_assert_max_num_queries(30):
        client.get(PAGE)
