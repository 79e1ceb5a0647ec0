"""To whom an event goes, and when: subscriptions, defaults, and who may know of the team. Reads only."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Q

from attribution.models import Team
from governance.identity.scoping import team_scope_of, teams_below
from governance.models import Channel, Membership, Role, Subscription, User
from governance.notifications import digest
from governance.notifications.events import IMPORTANT, Event


@dataclass(frozen=True)
class Recipient:
    """A channel or a person, and when their message is due."""

    due_at: datetime
    is_digest: bool
    channel: Channel | None = None
    user: User | None = None


def recipients(event: Event, now: datetime) -> Iterator[Recipient]:
    """Everybody who is to be told: each channel and each person once."""
    if settings.WEIR_SMTP_URL:
        yield from _people(event, now)
    yield from _channels(event, now)


def channel_may_know(channel: Channel, team: str | None, now: datetime) -> bool:
    """May what is about `team` go to this channel now? An organisation's channel may know all."""
    if not channel.is_active or channel.removed_at is not None:
        return False
    return channel.team is None or (team is not None and team in _below(channel.team, now))


def person_may_know(user: User, team: str | None, now: datetime) -> bool:
    """May what is about `team` go to this person now?"""
    return user.is_active and team_scope_of(user, now).allows(team)


def _channels(event: Event, now: datetime) -> Iterator[Recipient]:
    found = Channel.objects.filter(is_active=True, removed_at__isnull=True).prefetch_related("subscriptions")
    for channel in found.order_by("id"):
        if not channel_may_know(channel, event.team, now):
            continue
        wanted = _wanted(channel.subscriptions.all(), event)
        if wanted is not None:
            due_at, is_digest = _when(wanted, now)
            yield Recipient(due_at, is_digest, channel=channel)


def _people(event: Event, now: datetime) -> Iterator[Recipient]:
    defaults = _default_listeners(event.team, now) if event.kind in IMPORTANT else set()
    asked: dict[int, list[Subscription]] = defaultdict(list)
    for one in Subscription.objects.filter(user__isnull=False):
        if one.user_id is not None:
            asked[one.user_id].append(one)
    for user in User.objects.filter(pk__in={*asked, *defaults}, is_active=True).order_by("pk"):
        mine = asked[user.pk]
        wanted = _wanted(mine, event)
        has_decided = any(one.budget_id in (None, event.budget_id) for one in mine)
        if wanted is None and (has_decided or user.pk not in defaults):
            continue
        if not person_may_know(user, event.team, now):
            continue
        due_at, is_digest = _when(wanted, now) if wanted else (now, False)
        yield Recipient(due_at, is_digest, user=user)


def _wanted(subscriptions: Iterable[Subscription], event: Event) -> Subscription | None:
    """The subscription that wants the event. One for the event's budget decides alone."""
    by_budget = {one.budget_id: one for one in subscriptions}
    one = by_budget.get(event.budget_id) or by_budget.get(None)
    if one is None or one.mode == Subscription.Mode.OFF:
        return None
    return one if not one.kinds or event.kind in one.kinds else None


def _when(wanted: Subscription, now: datetime) -> tuple[datetime, bool]:
    if wanted.mode == Subscription.Mode.DAILY:
        return digest.next_wall(now, wanted.digest_at or digest.DIGEST_AT, wanted.zone), True
    return digest.earliest(now, digest.quiet_or_none(wanted.quiet_from, wanted.quiet_until, wanted.zone)), False


def _default_listeners(team: str | None, now: datetime) -> set[int]:
    """Who hears what is important without having asked: the team's leads; of the organisation, owners and operators."""
    valid = Membership.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=now), valid_from__lte=now)
    if team is None:
        return set(valid.filter(role__in=[Role.OWNER, Role.OPERATOR]).values_list("user_id", flat=True))
    leads: dict[int, set[int]] = {}
    for team_id, user_id in valid.filter(role=Role.LEAD, team__isnull=False).values_list("team_id", "user_id"):
        if team_id is not None:
            leads.setdefault(team_id, set()).add(user_id)
    day = now.astimezone(UTC).date()
    return {user for team_id, users in leads.items() if team in teams_below([team_id], day) for user in users}


def _below(slug: str, now: datetime) -> frozenset[str]:
    return teams_below(Team.objects.filter(slug=slug).values_list("id", flat=True), now.astimezone(UTC).date())
