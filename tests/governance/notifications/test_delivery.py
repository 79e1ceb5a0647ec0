"""From an event to a real SMTP server and a real HTTP server: once, in full, and with failures in words."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from governance.models import Channel, Delivery, Membership, Notification, Role, Subscription, User
from governance.notifications import outbox
from governance.notifications.delivering import deliver_due
from tests.governance.notifications.helpers import NOW, Clock, Hook, Inbox, event, states, tell, verified

MakeChannel = Callable[..., Channel]


def test_one_event_is_one_mail_to_the_lead_and_one_signed_request(
    people: dict[str, User], inbox: Inbox, hook: Hook, make_channel: MakeChannel, clock: Clock, settings: Settings
) -> None:
    settings.WEIR_PUBLIC_URL = "https://weir.example.org/"
    make_channel("webhook", f"{hook.url}/in?x=1")
    tell(event())
    tell(event())

    assert deliver_due(clock) == 2
    assert deliver_due(clock) == 0

    (mail,) = inbox.messages
    assert (mail["To"], mail["Subject"]) == ("lead@example.org", "Search will pass its budget")
    text = mail.get_content()
    for words in (
        "Search will pass $40,000 on the 21st.",
        "Budget:   Search, March",
        "Spend:    $31,200.00",
        "Forecast: $41,900.50",
        "Limit:    $40,000.00",
        "Resets:   1 Apr 2026 00:00 UTC",
        "https://weir.example.org/budgets/3",
    ):
        assert words in text
    (request,) = hook.requests
    assert request.path == "/in?x=1"
    assert verified(request, NOW) == NOW
    assert request.json["budget"] == {
        "budget": "Search, March",
        "spend": "31200.00",
        "forecast": "41900.5",
        "limit": "40000",
        "resets_at": "2026-04-01T00:00:00+00:00",
        "currency": "USD",
    }
    assert request.json["link"] == "https://weir.example.org/budgets/3"
    assert request.headers["Idempotency-Key"] == request.json["id"]
    assert states() == {"lead": "sent", "the webhook": "sent"}


def test_an_event_of_a_rolled_back_transaction_is_never_told(
    people: dict[str, User], inbox: Inbox, clock: Clock
) -> None:
    def crash() -> None:
        with transaction.atomic():
            outbox.enqueue(event(), NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()

    assert deliver_due(clock) == 0
    assert not Notification.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="in the transaction of what happened"):
        outbox.enqueue(event(), NOW)


def test_a_retryable_failure_waits_longer_each_time_and_keeps_its_key(
    hook: Hook, make_channel: MakeChannel, clock: Clock
) -> None:
    make_channel("webhook", hook.url)
    tell(event())
    hook.answers = [(503, {}), (429, {"Retry-After": "120"})]

    assert deliver_due(clock) == 0
    first = Delivery.objects.get()
    assert (first.state, first.error) == ("waiting", "it answered 503")
    assert timedelta(seconds=5) <= first.due_at - NOW <= timedelta(seconds=10)
    assert deliver_due(clock) == 0, "not due yet"
    assert len(hook.requests) == 1

    clock.now = first.due_at
    deliver_due(clock)
    assert Delivery.objects.get().due_at == clock.now + timedelta(seconds=120)
    clock.pass_(seconds=120)
    assert deliver_due(clock) == 1
    assert len({request.headers["Weir-Message-Id"] for request in hook.requests}) == 1
    assert verified(hook.requests[-1], clock.now) == clock.now.replace(microsecond=0)


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (404, {}, "it answered 404"),
        (401, {}, "it answered 401"),
        (307, {"Location": "http://127.0.0.1:1/"}, "a redirect, which is never followed"),
    ],
)
def test_a_permanent_failure_is_not_tried_again(
    hook: Hook, make_channel: MakeChannel, clock: Clock, status: int, headers: dict[str, str], words: str
) -> None:
    make_channel("webhook", hook.url)
    tell(event())
    hook.answers = [(status, headers)]
    deliver_due(clock)
    clock.pass_(days=30)
    deliver_due(clock)

    assert len(hook.requests) == 1
    failed = Delivery.objects.get()
    assert failed.state == "failed"
    assert words in failed.error


def test_it_gives_up_after_its_last_attempt(hook: Hook, make_channel: MakeChannel, clock: Clock) -> None:
    make_channel("webhook", hook.url)
    tell(event())
    hook.answers = [(500, {})] * 50
    for _ in range(20):
        deliver_due(clock)
        clock.pass_(minutes=31)

    failed = Delivery.objects.get()
    assert (failed.state, failed.attempts) == ("failed", outbox.MAX_ATTEMPTS)
    assert failed.error == "given up after 12 attempts: it answered 500"
    assert len(hook.requests) == 12


def test_a_mail_server_that_is_busy_is_tried_again_and_one_that_refuses_is_not(
    people: dict[str, User], inbox: Inbox, clock: Clock
) -> None:
    inbox.answers = ["451 come back later"]
    tell(event())
    assert deliver_due(clock) == 0
    assert Delivery.objects.get().error == "the mail server answered 451: come back later"
    clock.pass_(seconds=10)
    assert deliver_due(clock) == 1

    inbox.answers = ["554 no thanks"]
    tell(event(once_key="2"))
    deliver_due(clock)
    assert states() == {"lead": "failed"}
    assert len(inbox.messages) == 1


def test_a_list_of_addresses_is_one_mail_and_a_refused_one_is_named(
    inbox: Inbox, make_channel: MakeChannel, clock: Clock
) -> None:
    make_channel("email", "a@example.org, gone@example.org; B@example.org")
    inbox.refused = {"gone@example.org"}
    tell(event())
    deliver_due(clock)

    assert inbox.envelopes == [("weir@example.org", ["a@example.org", "b@example.org"])]
    sent = Delivery.objects.get()
    assert (sent.state, sent.error) == ("sent", "refused for gone@example.org")


def test_a_silent_channel_does_not_hold_up_the_others_and_its_rows_wait(
    hook: Hook, make_channel: MakeChannel, clock: Clock
) -> None:
    make_channel("webhook", "http://127.0.0.1:1/", name="dead")
    make_channel("webhook", hook.url, name="alive")
    for number in range(3):
        tell(event(once_key=str(number)))

    assert deliver_due(clock) == 3
    dead = Delivery.objects.filter(channel__name="dead")
    assert sorted(dead.values_list("attempts", flat=True)) == [0, 0, 1]
    assert len(hook.requests) == 3


def test_without_a_mail_server_nobody_is_mailed_and_nothing_fails(
    people: dict[str, User], settings: Settings, clock: Clock
) -> None:
    settings.WEIR_SMTP_URL = ""
    tell(event())

    assert deliver_due(clock) == 0
    assert Notification.objects.count() == 1
    assert not Delivery.objects.exists()


# Who is told


def told() -> set[str]:
    found = Delivery.objects.select_related("user", "channel")
    return {one.user.name if one.user else one.channel.name for one in found}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("team", "who"),
    [("ml", {"lead"}), ("ml-eval", {"lead"}), ("sales", {"other"}), (None, {"owner", "operator"})],
)
def test_who_has_asked_for_nothing_hears_what_is_important_of_their_own(
    people: dict[str, User], inbox: Inbox, team: str | None, who: set[str]
) -> None:
    tell(event(team=team))

    assert told() == who


def test_what_is_not_important_goes_to_who_asked(people: dict[str, User], inbox: Inbox) -> None:
    Subscription.objects.create(user=people["member"], kinds=["period.closed"])
    tell(event(kind="period.closed"))
    tell(event(once_key="2"))

    assert [one.user.name for one in Delivery.objects.order_by("id")] == ["member", "lead"]  # type: ignore[union-attr]


def test_a_subscription_never_reaches_beyond_its_persons_teams(people: dict[str, User], inbox: Inbox) -> None:
    for user in people.values():
        Subscription.objects.create(user=user)
    tell(event(team="sales"))
    assert told() == {"owner", "operator", "viewer", "other"}

    Delivery.objects.all().delete()
    tell(event(team=None, once_key="2"))
    assert told() == {"owner", "operator", "viewer"}


def test_a_teams_channel_hears_its_team_and_those_below_and_the_organisations_hears_all(
    teams: object, make_channel: MakeChannel
) -> None:
    make_channel("webhook", "https://example.org/1", team="ml", name="of ml")
    make_channel("webhook", "https://example.org/2", team="ml-eval", name="of ml-eval")
    make_channel("webhook", "https://example.org/3", name="of all")
    heard = {}
    for team in ("ml", "ml-eval", "sales", None):
        Delivery.objects.all().delete()
        tell(event(team=team, once_key=f"{team}"))
        heard[team] = told()

    assert heard == {
        "ml": {"of ml", "of all"},
        "ml-eval": {"of ml", "of ml-eval", "of all"},
        "sales": {"of all"},
        None: {"of all"},
    }


def test_a_subscription_for_one_budget_decides_alone(people: dict[str, User], inbox: Inbox) -> None:
    Subscription.objects.create(user=people["lead"], budget_id=3, mode="off")
    tell(event())
    tell(event(budget_id=4, once_key="2"))

    assert list(Delivery.objects.values_list("notification__budget_id", flat=True)) == [4]


def test_who_left_the_team_in_between_is_not_told(people: dict[str, User], inbox: Inbox, clock: Clock) -> None:
    tell(event())
    Membership.objects.filter(user=people["lead"], role=Role.LEAD).update(valid_to=NOW)

    assert deliver_due(clock) == 0
    assert states() == {"lead": "cancelled"}
    assert inbox.messages == []


def test_a_removed_channel_gets_nothing_more(hook: Hook, make_channel: MakeChannel, clock: Clock) -> None:
    channel = make_channel("webhook", hook.url)
    tell(event())
    Channel.objects.filter(pk=channel.pk).update(removed_at=NOW, is_active=False)

    assert deliver_due(clock) == 0
    assert states() == {"the webhook": "cancelled"}
    assert hook.requests == []


# Quiet hours and digests


def test_quiet_hours_hold_a_message_until_they_end(people: dict[str, User], inbox: Inbox, clock: Clock) -> None:
    Subscription.objects.create(user=people["lead"], quiet_from="22:00", quiet_until="07:30", zone="Asia/Kolkata")
    # 20:00 UTC is 01:30 in Kolkata; 07:30 there is 02:00 UTC.
    night = datetime(2026, 3, 1, 20, tzinfo=UTC)
    clock.now = night
    tell(event(), night)
    assert deliver_due(clock) == 0

    clock.now = datetime(2026, 3, 2, 1, 59, 59, tzinfo=UTC)
    assert deliver_due(clock) == 0
    clock.now = datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert deliver_due(clock) == 1


def test_a_digest_is_one_mail_of_what_its_reader_may_still_know(
    people: dict[str, User], inbox: Inbox, clock: Clock
) -> None:
    Subscription.objects.create(user=people["owner"], mode="daily", digest_at="09:00")
    Subscription.objects.create(user=people["lead"], mode="off")
    Subscription.objects.create(user=people["other"], mode="off")
    tell(event())
    tell(event(team="sales", subject="Sales will pass its budget", once_key="2"))
    assert deliver_due(clock) == 0

    clock.now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert deliver_due(clock) == 1
    assert deliver_due(clock) == 0

    (mail,) = inbox.messages
    assert mail["Subject"] == "Weir: 2 notifications since the last digest"
    text = mail.get_content()
    assert text.index("Search will pass its budget") < text.index("Sales will pass its budget")
    assert text.count("Limit:    $40,000.00") == 2
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["bundled", "bundled", "sent"]


def test_a_digest_leaves_out_what_its_reader_may_not_know_any_more(
    people: dict[str, User], teams: dict[str, object], inbox: Inbox, clock: Clock
) -> None:
    lead = people["lead"]
    Membership.objects.create(user=lead, role=Role.MEMBER, team=teams["sales"], valid_from=NOW - timedelta(days=1))
    Subscription.objects.create(user=lead, mode="daily")
    Subscription.objects.create(user=people["other"], mode="off")
    tell(event())
    tell(event(team="sales", subject="Sales will pass its budget", once_key="2"))
    Membership.objects.filter(user=lead, role=Role.MEMBER).update(valid_to=NOW)
    clock.pass_(days=1)

    assert deliver_due(clock) == 1
    assert "Sales" not in inbox.messages[0].get_content()
