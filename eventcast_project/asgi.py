"""The standalone server: ``daphne eventcast_project.asgi:application``, or any other ASGI server."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventcast_project.settings")

# This loads the settings and the apps for the imports below.
django_application = get_asgi_application()

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.core.exceptions import SuspiciousOperation  # noqa: E402
from django.http import FileResponse, Http404, HttpRequest, HttpResponse  # noqa: E402

from eventcast.routing import EventcastRouter  # noqa: E402


class StaticFiles(ASGIStaticFilesHandler):
    """The files of the admin and eventcast, also with DEBUG off.

    For a path such as /static/../a, Django's handler answers 500 and logs a traceback; this one answers 404.
    """

    def serve(self, request: HttpRequest) -> HttpResponse | FileResponse:
        """The file for the request's path.

        :raises Http404: there is no such file.
        """
        try:
            return super().serve(request)
        except SuspiciousOperation as error:
            raise Http404(str(error)) from error


application = EventcastRouter(
    StaticFiles(django_application),
    excluded=("/admin/", "/static/"),
    publish_directly=True,  # without the middleware, because no publisher needs it
)
