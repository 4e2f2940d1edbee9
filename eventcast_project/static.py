"""Static files with DEBUG off: the admin's, and eventcast's own."""

from __future__ import annotations

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import SuspiciousOperation
from django.http import FileResponse, Http404, HttpRequest, HttpResponse


class StaticFiles(ASGIStaticFilesHandler):
    """Django's handler, which answers /static/../a with a traceback and a 500; here that is 404 as well."""

    def serve(self, request: HttpRequest) -> HttpResponse | FileResponse:
        """The file that the request's path names.

        :raises Http404: there is none.
        """
        try:
            return super().serve(request)
        except SuspiciousOperation as error:
            raise Http404(str(error)) from error
