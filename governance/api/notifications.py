"""/api/v1/channels, /webhooks, /notifications, /deliveries, /subscriptions: thin over governance.notifications.

No answer holds a channel's address; a webhook's signing secret stands in the answer that makes it, once.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attribution.api.access import actor_of
from attribution.api.grammar import Mistake, NotUnderstood
from attribution.api.problems import MEDIA_TYPE
from attribution.api.serializers import ProblemSerializer
from governance.models import Channel, Delivery, Subscription, User
from governance.notifications import selectors, services
from governance.notifications.events import SUBSCRIBABLE, Kind
from governance.notifications.selectors import ChannelRow, LogRow, NotificationRow
from governance.notifications.services import NoSuch, NotificationError, Wants

MAX_PAGE = 200
KINDS = [each.value for each in SUBSCRIBABLE]


def problems(*codes: int) -> dict[Any, Any]:
    return {(code, MEDIA_TYPE): ProblemSerializer for code in (400, 401, 403, 406, *codes)}


class Body(serializers.Serializer[Any]):
    """A request's body: what it does not know is a mistake, not ignored."""

    @classmethod
    def read(cls, request: Request, *, partial: bool = False) -> dict[str, Any]:
        if not isinstance(request.data, Mapping):
            raise NotUnderstood([Mistake("body", "it is no JSON object", "send one JSON object")])
        form = cls(data=request.data, partial=partial)
        names = ", ".join(form.fields)
        unknown = [
            Mistake(str(name)[:60], "there is no such field", f"use {names}")
            for name in request.data
            if name not in form.fields
        ]
        if form.is_valid() and not unknown:
            return dict(form.validated_data)
        wrong = (
            [Mistake(name, _words(error), "see /api/docs") for name, error in form.errors.items()]
            if form.errors
            else []
        )
        raise NotUnderstood([*unknown, *wrong])


class WantsBody(Body):
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=KINDS), required=False, help_text="empty: every kind"
    )
    mode = serializers.ChoiceField(choices=Subscription.Mode.choices, required=False)
    quiet_from = serializers.TimeField(allow_null=True, required=False, help_text="wall clock in `zone`")
    quiet_until = serializers.TimeField(allow_null=True, required=False, help_text="may be on the next day")
    zone = serializers.CharField(max_length=64, required=False)
    digest_at = serializers.TimeField(allow_null=True, required=False, help_text="08:00 unless given")


class ChannelBody(Body):
    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField(choices=Channel.Kind.choices)
    team = serializers.CharField(max_length=100, allow_null=True, required=False, help_text="null: the organisation")
    address = serializers.CharField(
        max_length=2000, required=False, write_only=True, help_text="kept encrypted, never shown again"
    )
    reference = serializers.CharField(
        max_length=300, required=False, help_text="instead of address: env:WEIR_CHANNEL_NAME, or file:PATH"
    )
    wants = WantsBody(required=False)


class WebhookBody(Body):
    name = serializers.CharField(max_length=100)
    team = serializers.CharField(max_length=100, allow_null=True, required=False, help_text="null: the organisation")
    address = serializers.CharField(max_length=2000, required=False, write_only=True)
    reference = serializers.CharField(max_length=300, required=False)
    wants = WantsBody(required=False)


class ChannelChangeBody(Body):
    name = serializers.CharField(max_length=100, required=False)
    is_active = serializers.BooleanField(required=False)
    address = serializers.CharField(max_length=2000, required=False, write_only=True)
    reference = serializers.CharField(max_length=300, required=False)
    wants = WantsBody(required=False)


class SubscriptionBody(WantsBody):
    budget_id = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, allow_null=True, required=False, help_text="null: everything"
    )


class ReplayBody(Body):
    since = serializers.DateTimeField(help_text="an instant of the last 30 days")


class WantsAnswer(serializers.Serializer[None]):
    kinds = serializers.ListField(child=serializers.CharField(), help_text="empty: every kind")
    mode = serializers.CharField()
    quiet_from = serializers.CharField(allow_null=True)
    quiet_until = serializers.CharField(allow_null=True)
    zone = serializers.CharField()
    digest_at = serializers.CharField(allow_null=True)


class ChannelAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    team = serializers.CharField(allow_null=True, help_text="null: the organisation")
    hint = serializers.CharField(help_text="what may be shown of the address")
    is_active = serializers.BooleanField()
    wants = WantsAnswer(allow_null=True)
    last_sent = serializers.CharField(allow_null=True)
    waiting = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="failed or unknown in the last 7 days")
    error = serializers.CharField(allow_blank=True, help_text="of the newest of those, if nothing arrived since")


class ChannelsAnswer(serializers.Serializer[None]):
    rows = ChannelAnswer(many=True)


class MadeAnswer(ChannelAnswer):
    secret = serializers.CharField(allow_null=True, help_text="a webhook's signing secret; it is shown here only")


class SecretAnswer(serializers.Serializer[None]):
    secret = serializers.CharField(help_text="shown here only; the one before signs beside it for 24 hours")


class QueuedAnswer(serializers.Serializer[None]):
    delivery = serializers.IntegerField(help_text="its number in the log")


class CountAnswer(serializers.Serializer[None]):
    count = serializers.IntegerField()


class DeliveryAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    notification = serializers.IntegerField()
    to = serializers.CharField()
    channel_kind = serializers.CharField()
    state = serializers.ChoiceField(
        choices=Delivery.State.choices, help_text="uncertain: a worker died while it was sent; look there, then retry"
    )
    due_at = serializers.CharField()
    settled_at = serializers.CharField(allow_null=True)
    attempts = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    key = serializers.CharField(help_text="Message-ID, Weir-Message-Id: the same in every attempt")


class NotificationAnswer(serializers.Serializer[None]):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    budget_id = serializers.IntegerField(allow_null=True)
    subject = serializers.CharField()
    figures = serializers.DictField(child=serializers.CharField(allow_null=True))
    link_path = serializers.CharField()
    created_at = serializers.CharField()
    deliveries = DeliveryAnswer(many=True)


class NotificationsAnswer(serializers.Serializer[None]):
    rows = NotificationAnswer(many=True)
    next_after = serializers.IntegerField(allow_null=True, help_text="'after' of the next page; null on the last")


class SubscriptionAnswer(WantsAnswer):
    budget_id = serializers.IntegerField(allow_null=True, help_text="null: everything without its own choice")


class SubscriptionsAnswer(serializers.Serializer[None]):
    rows = SubscriptionAnswer(many=True)


class View(APIView):
    """Services' errors become problems."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case NoSuch():
                exc = NotFound()
            case NotificationError():
                exc = NotUnderstood([Mistake(exc.field, exc.words, exc.fix)])
        return super().handle_exception(exc)


class ChannelsView(View):
    @extend_schema(
        operation_id="channels",
        summary="Where messages go",
        description="The channels of your teams, or all. An address never leaves Weir; `hint` says what may be shown.",
        responses={200: ChannelsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        _no_parameters(request)
        return Response({"rows": [_channel(row) for row in selectors.channels(actor_of(request), timezone.now())]})

    @extend_schema(
        operation_id="channels-create",
        summary="Add a channel",
        description="An e-mail list, Slack, Teams, PagerDuty or a webhook. For who may edit channels.",
        request=ChannelBody,
        responses={201: MadeAnswer, **problems(415)},
        examples=[
            OpenApiExample(
                "Slack",
                {"name": "finops", "kind": "slack", "address": "https://hooks.slack.com/services/T0/B0/x"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        given = ChannelBody.read(request)
        made = services.create_channel(actor_of(request), **_with_wants(given), now=timezone.now())
        return _made(request, made)


class ChannelView(View):
    @extend_schema(operation_id="channel", summary="One channel", responses={200: ChannelAnswer, **problems(404)})
    def get(self, request: Request, channel_id: int) -> Response:
        _no_parameters(request)
        return Response(_channel(_row(request, channel_id)))

    @extend_schema(
        operation_id="channel-change",
        summary="Change a channel",
        description="What is left out stays. `is_active: false` pauses it.",
        request=ChannelChangeBody,
        responses={200: ChannelAnswer, **problems(404, 415)},
    )
    def patch(self, request: Request, channel_id: int) -> Response:
        given = _with_wants(ChannelChangeBody.read(request, partial=True))
        services.change_channel(actor_of(request), channel_id, **given, now=timezone.now())
        return Response(_channel(_row(request, channel_id)))

    @extend_schema(
        operation_id="channel-remove",
        summary="Remove a channel",
        description="Nothing goes there any more; its address is forgotten, the log stays.",
        responses={204: None, **problems(404)},
    )
    def delete(self, request: Request, channel_id: int) -> Response:
        services.remove_channel(actor_of(request), channel_id, timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class ChannelTestView(View):
    @extend_schema(
        operation_id="channel-test",
        summary="Send a test message",
        request=None,
        responses={202: QueuedAnswer, **problems(404, 415)},
    )
    def post(self, request: Request, channel_id: int) -> Response:
        number = services.test_channel(actor_of(request), channel_id, timezone.now())
        return Response({"delivery": number}, status=status.HTTP_202_ACCEPTED)


class WebhooksView(View):
    @extend_schema(
        operation_id="webhooks",
        summary="Signed webhooks",
        description="The channels of kind webhook. docs/notifications.md says what is sent and how it is signed.",
        responses={200: ChannelsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        _no_parameters(request)
        rows = selectors.channels(actor_of(request), timezone.now())
        return Response({"rows": [_channel(row) for row in rows if row.kind == Channel.Kind.WEBHOOK]})

    @extend_schema(
        operation_id="webhooks-create",
        summary="Add a webhook",
        description="The answer holds the signing secret, once.",
        request=WebhookBody,
        responses={201: MadeAnswer, **problems(415)},
        examples=[
            OpenApiExample("Webhook", {"name": "billing", "address": "https://example.org/weir"}, request_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        given = WebhookBody.read(request)
        made = services.create_channel(
            actor_of(request), kind=Channel.Kind.WEBHOOK, **_with_wants(given), now=timezone.now()
        )
        return _made(request, made)


class RotateView(View):
    @extend_schema(
        operation_id="webhook-rotate",
        summary="A new signing secret",
        description="For 24 hours requests carry two signatures: of the new and of the newest old secret.",
        request=None,
        responses={200: SecretAnswer, **problems(404, 415)},
    )
    def post(self, request: Request, channel_id: int) -> Response:
        return Response({"secret": services.rotate_secret(actor_of(request), channel_id, timezone.now())})


class ReplayView(View):
    @extend_schema(
        operation_id="webhook-replay",
        summary="Send again what was told since an instant",
        description="Oldest first, at most 1,000, each with its first id: a receiver that has it ignores it.",
        request=ReplayBody,
        responses={202: CountAnswer, **problems(404, 415)},
    )
    def post(self, request: Request, channel_id: int) -> Response:
        since: datetime = ReplayBody.read(request)["since"]
        count = services.replay(actor_of(request), channel_id, since, timezone.now())
        return Response({"count": count}, status=status.HTTP_202_ACCEPTED)


class NotificationsView(View):
    @extend_schema(
        operation_id="notifications",
        summary="What was told, and what became of it",
        description="Newest first: what is about your teams, with the deliveries that you may see.",
        parameters=[
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, description="50"),
            OpenApiParameter(
                "after", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, description="next_after"
            ),
            OpenApiParameter(
                "kind", {"type": "string", "enum": [each.value for each in Kind]}, description="only these"
            ),
        ],
        responses={200: NotificationsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        limit, after, kinds = _page(request)
        rows = selectors.notifications(actor_of(request), kinds=kinds, before=after, limit=limit + 1)
        return Response(
            {
                "rows": [_notification(row) for row in rows[:limit]],
                "next_after": rows[limit - 1].id if len(rows) > limit else None,
            }
        )


class RetryView(View):
    @extend_schema(
        operation_id="delivery-retry",
        summary="Send a delivery again",
        description="A failed, unknown or cancelled one; a webhook's also when it was sent.",
        request=None,
        responses={202: QueuedAnswer, **problems(404, 415)},
    )
    def post(self, request: Request, delivery_id: int) -> Response:
        _person(request)
        services.send_again(actor_of(request), delivery_id, timezone.now())
        return Response({"delivery": delivery_id}, status=status.HTTP_202_ACCEPTED)


class SubscriptionsView(View):
    @extend_schema(
        operation_id="subscriptions",
        summary="What you hear by e-mail",
        description="Your own choices. Without one, a lead hears what is important of their teams.",
        responses={200: SubscriptionsAnswer, **problems()},
    )
    def get(self, request: Request) -> Response:
        _no_parameters(request)
        return Response({"rows": [_subscription(one) for one in selectors.subscriptions(_user(request))]})

    @extend_schema(
        operation_id="subscriptions-set",
        summary="Choose what you hear",
        description="Replaces the choice for everything, or for one budget; that one then decides alone.",
        request=SubscriptionBody,
        responses={200: SubscriptionAnswer, **problems(415)},
    )
    def put(self, request: Request) -> Response:
        user = _person(request)
        given = SubscriptionBody.read(request)
        budget_id = given.pop("budget_id", None)
        return Response(_subscription(services.subscribe(user, _wants(given), budget_id)))


def _words(error: Any) -> str:
    if isinstance(error, Mapping):
        return "; ".join(f"{name}: {_words(each)}" for name, each in error.items())[:300]
    return " ".join(_words(each) if isinstance(each, Mapping | list) else str(each) for each in error)[:300]


def _no_parameters(request: Request) -> None:
    fix = "leave it out: the answer is always the whole"
    unknown = [Mistake(name[:60], "there is no such parameter", fix) for name in request.query_params]
    if unknown:
        raise NotUnderstood(unknown)


def _page(request: Request) -> tuple[int, int | None, list[str]]:
    """limit, after, kinds. Raises NotUnderstood."""
    asked = request.query_params
    mistakes = [
        Mistake(name[:60], "there is no such parameter", "use limit, after, kind")
        for name in asked
        if name not in ("limit", "after", "kind")
    ]
    found: dict[str, int | None] = {}
    for name, least, most in (("limit", 1, MAX_PAGE), ("after", 1, 2**63 - 1)):
        text = asked.get(name)
        ok = text is None or (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most)
        if not ok:
            mistakes.append(Mistake(name, f"{(text or '')[:40]!r} is not possible", f"write {least} to {most}"))
        found[name] = int(text) if text is not None and ok else None
    kinds = [kind for kind in asked.getlist("kind") if kind in Kind._value2member_map_]
    if len(kinds) != len(asked.getlist("kind")):
        mistakes.append(Mistake("kind", "this kind is not known", f"use {', '.join(Kind)}"))
    if mistakes:
        raise NotUnderstood(mistakes)
    return found["limit"] or selectors.PAGE_SIZE, found["after"], kinds


def _user(request: Request) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _person(request: Request) -> User:
    """Who calls, if they may write at all: a token only if it was made to."""
    if not getattr(request.auth, "may_write", True):
        raise PermissionDenied("This token only reads: make one with 'manage.py create_token --write'.")
    return _user(request)


def _wants(given: Mapping[str, Any]) -> Wants:
    values = {name: value for name, value in given.items() if name != "kinds"}
    return Wants(kinds=tuple(given.get("kinds", ())), **values)


def _with_wants(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "wants": _wants(given["wants"])} if "wants" in given else given


def _row(request: Request, channel_id: int) -> ChannelRow:
    row = selectors.channel(actor_of(request), channel_id, timezone.now())
    if row is None:
        raise NoSuch
    return row


def _made(request: Request, made: services.Made) -> Response:
    answer = {**_channel(_row(request, made.channel.pk)), "secret": made.secret}
    headers = {"Cache-Control": "no-store", "Location": f"/api/v1/channels/{made.channel.pk}"}
    return Response(answer, status=status.HTTP_201_CREATED, headers=headers)


def _channel(row: ChannelRow) -> dict[str, Any]:
    shown = ("id", "name", "kind", "team", "hint", "is_active", "last_sent", "waiting", "failed", "error")
    values = {name: value for name, value in vars(row).items() if name in shown}
    return {**values, "wants": _shown_wants(row.wants) if row.wants else None}


def _shown_wants(one: Subscription) -> dict[str, Any]:
    clock: Callable[[Any], str | None] = lambda each: f"{each:%H:%M}" if each else None  # noqa: E731
    return {
        "kinds": one.kinds,
        "mode": one.mode,
        "quiet_from": clock(one.quiet_from),
        "quiet_until": clock(one.quiet_until),
        "zone": one.zone,
        "digest_at": clock(one.digest_at),
    }


def _subscription(one: Subscription) -> dict[str, Any]:
    return {"budget_id": one.budget_id, **_shown_wants(one)}


def _notification(row: NotificationRow) -> dict[str, Any]:
    one = row.notification
    return {
        "id": one.pk,
        "kind": one.kind,
        "team": one.team,
        "budget_id": one.budget_id,
        "subject": one.subject,
        "figures": one.figures,
        "link_path": one.link_path,
        "created_at": one.created_at,
        "deliveries": [_delivery(each) for each in row.deliveries],
    }


def _delivery(row: LogRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "notification": row.notification_id,
        "to": row.to,
        "channel_kind": row.to_kind,
        "state": row.state,
        "due_at": row.due_at,
        "settled_at": row.settled_at,
        "attempts": row.attempts,
        "error": row.error,
        "key": row.key,
    }
