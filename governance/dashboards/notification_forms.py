"""Forms of Settings > Notifications: what one hears, a channel's, a new channel."""

from collections.abc import Sequence
from typing import Any, cast

from django import forms

from governance.models import Channel, Subscription
from governance.notifications.events import IMPORTANT, SUBSCRIBABLE, WORDS
from governance.notifications.services import NotificationError, Wants

KINDS = [(kind.value, WORDS[kind]) for kind in SUBSCRIBABLE]
_CLOCK = {"type": "time", "step": "60", "class": "input"}


class WantsForm(forms.Form):
    """Which kinds, at once or daily, and when not."""

    mode = forms.ChoiceField(choices=Subscription.Mode.choices, widget=forms.RadioSelect, label="Tell me")
    kinds = forms.MultipleChoiceField(choices=KINDS, required=False, widget=forms.CheckboxSelectMultiple, label="About")
    quiet_from = forms.TimeField(required=False, label="Quiet from", widget=forms.TimeInput(_CLOCK, format="%H:%M"))
    quiet_until = forms.TimeField(required=False, label="Quiet until", widget=forms.TimeInput(_CLOCK, format="%H:%M"))
    digest_at = forms.TimeField(required=False, label="Digest at", widget=forms.TimeInput(_CLOCK, format="%H:%M"))
    zone = forms.CharField(
        max_length=64,
        required=False,
        label="Time zone",
        widget=forms.TextInput({"class": "input", "placeholder": "UTC"}),
    )

    def wants(self) -> Wants:
        given = self.cleaned_data
        kinds = tuple(given["kinds"])
        return Wants(
            # All boxes ticked means every kind, also one that a later version adds.
            kinds=() if len(kinds) == len(KINDS) else kinds,
            mode=given["mode"] if kinds else Subscription.Mode.OFF,
            quiet_from=given["quiet_from"],
            quiet_until=given["quiet_until"],
            zone=given["zone"] or "UTC",
            digest_at=given["digest_at"],
        )

    def refuse(self, error: NotificationError) -> None:
        """Show a service's refusal at its field."""
        self.add_error(error.field if error.field in self.fields else None, str(error))


class ChannelForm(forms.Form):
    """A new channel."""

    name = forms.CharField(max_length=100, widget=forms.TextInput({"class": "input", "autocomplete": "off"}))
    kind = forms.ChoiceField(choices=Channel.Kind.choices, widget=forms.Select({"class": "input"}))
    team = forms.ChoiceField(required=False, label="For", widget=forms.Select({"class": "input"}))
    address = forms.CharField(
        max_length=2000,
        required=False,
        help_text="E-mail addresses, the address of a Slack or Teams webhook, a PagerDuty integration key, or an "
        "https address. Kept encrypted, never shown again.",
        widget=forms.TextInput({"class": "input", "autocomplete": "off", "spellcheck": "false"}),
    )
    reference = forms.CharField(
        max_length=300,
        required=False,
        label="Or where it is kept",
        help_text="env:WEIR_CHANNEL_NAME, or file:/run/secrets/name.",
        widget=forms.TextInput({"class": "input", "autocomplete": "off", "spellcheck": "false"}),
    )
    kinds = forms.MultipleChoiceField(
        choices=KINDS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Told about",
        initial=sorted(IMPORTANT),
    )

    def __init__(self, teams: Sequence[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chooser = cast(forms.ChoiceField, self.fields["team"])
        chooser.choices = [("", "The whole organisation"), *teams]

    def values(self) -> dict[str, Any]:
        given = self.cleaned_data
        kinds = tuple(given["kinds"])
        return {
            "name": given["name"],
            "kind": given["kind"],
            "team": given["team"] or None,
            "address": given["address"],
            "reference": given["reference"],
            "wants": Wants(kinds=() if len(kinds) == len(KINDS) else kinds),
        }

    def refuse(self, error: NotificationError) -> None:
        self.add_error(error.field if error.field in self.fields else None, str(error))
