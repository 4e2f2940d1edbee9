"""The standalone server: ``daphne eventcast_project.asgi:application``, or any other ASGI server."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventcast_project.settings")

# Loads the settings and the apps, which the imports below need.
django_application = get_asgi_application()

from eventcast.routing import EventcastRouter  # noqa: E402
from eventcast_project.static import StaticFiles  # noqa: E402

application = EventcastRouter(
    StaticFiles(django_application),  # the admin's files, with DEBUG off too
    excluded=("/admin/", "/static/"),
    publish_directly=True,  # past the middleware above, none of which a publisher needs
)
