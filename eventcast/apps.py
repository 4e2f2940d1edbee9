"""The Django application."""

from django.apps import AppConfig


class EventcastConfig(AppConfig):
    """``INSTALLED_APPS = ["eventcast", ...]``."""

    name = "eventcast"
    verbose_name = "Eventcast"

    def ready(self) -> None:
        """Bind the system checks."""
        from eventcast import checks  # noqa: F401
