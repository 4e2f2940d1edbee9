"""The Django application."""

from django.apps import AppConfig


class EventcastConfig(AppConfig):
    """``INSTALLED_APPS = ["eventcast", ...]``."""

    name = "eventcast"
    verbose_name = "Eventcast"

    def ready(self) -> None:
        """Register the system checks, the handler of Django's signal for logging out, the roads of ``publish``, and the
        functions in the ``snapshots.py`` of all apps."""
        from django.contrib.auth.signals import user_logged_out
        from django.utils.module_loading import autodiscover_modules

        from eventcast import checks, edits, elsewhere  # noqa: F401
        from eventcast.security import revocation

        user_logged_out.connect(revocation.logged_out, dispatch_uid="eventcast")
        elsewhere.install()
        autodiscover_modules("snapshots")
