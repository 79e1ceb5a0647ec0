"""URLs of notifications, below /api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import notifications

urlpatterns: list[URLPattern | URLResolver] = [
    path("channels", notifications.ChannelsView.as_view(), name="channels"),
    path("channels/<int:channel_id>", notifications.ChannelView.as_view(), name="channel"),
    path("channels/<int:channel_id>/test", notifications.ChannelTestView.as_view(), name="channel-test"),
    path("webhooks", notifications.WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<int:channel_id>/rotate", notifications.RotateView.as_view(), name="webhook-rotate"),
    path("webhooks/<int:channel_id>/replay", notifications.ReplayView.as_view(), name="webhook-replay"),
    path("notifications", notifications.NotificationsView.as_view(), name="notifications-api"),
    path("deliveries/<int:delivery_id>/retry", notifications.RetryView.as_view(), name="delivery-retry"),
    path("subscriptions", notifications.SubscriptionsView.as_view(), name="subscriptions"),
]
