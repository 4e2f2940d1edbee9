"""The standalone server: ``daphne eventcast_project.asgi:application``, or any other ASGI server."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventcast_project.settings")

# This loads the settings and the apps for the imports below.
django_application = get_asgi_application()

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.core.exceptions import SuspiciousOperation  # noqa: E402
from django.http import Http404, HttpRequest, HttpResponse  # noqa: E402
from django.utils.decorators import method_decorator  # noqa: E402
from django.views.decorators.gzip import gzip_page  # noqa: E402
from django.views.decorators.http import conditional_page  # noqa: E402

from eventcast.routing import EventcastRouter  # noqa: E402


class StaticFiles(ASGIStaticFilesHandler):
    """The files of the admin and eventcast, also with DEBUG off: compressed, and sent again only if they changed."""

    def serve(self, request: HttpRequest) -> HttpResponse:
        """The file for the request's path. Django calls this in a thread.

        :raises Http404: there is no such file.
        """
        response = self._compressed(request)
        # Pages of any origin may import the scripts: they are the same for everybody, and come without cookies.
        response["Access-Control-Allow-Origin"] = "*"
        # Names of files do not change with their content, so that a browser has to ask if it has the newest.
        response["Cache-Control"] = "public, no-cache"
        response["X-Content-Type-Options"] = "nosniff"
        return response

    @method_decorator([gzip_page, conditional_page])  # the ETag is that of the file before it is compressed
    def _compressed(self, request: HttpRequest) -> HttpResponse:
        # The ETag decides alone. A new version may have files with the time of the old one.
        request.META.pop("HTTP_IF_MODIFIED_SINCE", None)
        request.method = "GET"  # HEAD is answered with the same headers, and the server leaves out the body.
        try:
            response = super().serve(request)
        except SuspiciousOperation as error:
            # A path such as /static/../a, for which Django would answer 500.
            raise Http404(str(error)) from error
        whole = HttpResponse(response.getvalue(), headers=response.headers)
        response.close()
        return whole


application = EventcastRouter(
    StaticFiles(django_application),
    excluded=("/admin/", "/static/"),
    publish_directly=True,  # without the middleware, because no publisher needs it
)
