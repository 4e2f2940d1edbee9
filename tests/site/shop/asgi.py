from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site.shop.settings")
django_application = get_asgi_application()

from eventcast.routing import EventcastRouter  # noqa: E402

application = EventcastRouter(django_application, prefix="/live/")
