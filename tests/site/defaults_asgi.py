"""The site's ASGI application. It makes its database when it starts, and says what a test needs to log in."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site.defaults")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.core.checks import run_checks  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from eventcast.routing import EventcastRouter  # noqa: E402

application = EventcastRouter(ASGIStaticFilesHandler(django_application), prefix=settings.MOUNT)

if os.environ.get("SITE_DEFAULTS"):
    call_command("migrate", run_syncdb=True, verbosity=0)
    User = get_user_model()
    client = Client()
    client.force_login(User.objects.create_superuser(**{User.USERNAME_FIELD: "ann@example.com", "password": None}))
    print("session:", client.cookies["sessionid"].value)
    print("admin:", reverse("admin:index"))
    print("checks:", *(message.id for message in run_checks()))
