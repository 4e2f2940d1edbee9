"""The scenes' ASGI application: every path is a channel, except those of their pages and their static files."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scenes.settings")
django_application = get_asgi_application()

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402

from eventcast.routing import EventcastRouter  # noqa: E402

application = EventcastRouter(ASGIStaticFilesHandler(django_application), excluded=("/scenes/", "/static/"))
