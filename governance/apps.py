"""Django's registration of the governance app."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    label = "governance"
    verbose_name = "Weir: governance"

    def ready(self) -> None:
        # Registering the checks is all that this import does.
        from . import checks  # noqa: F401
