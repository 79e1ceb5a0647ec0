"""Django's registration of the attribution app."""

from django.apps import AppConfig


class AttributionConfig(AppConfig):
    name = "attribution"
    label = "attribution"
    verbose_name = "Weir: attribution"
