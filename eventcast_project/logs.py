"""The log of the standalone server: a client can cause only one short line with each request."""

from __future__ import annotations

import logging

LONGEST = 500
"""Characters of one of Django's lines about a request. They contain the path or ``Host``: up to 16 000 characters."""


class Brief(logging.Filter):
    """Shortens Django's lines about requests, and removes the traceback of suspicious ones.

    For a ``Host`` that is not in ``ALLOWED_HOSTS`` and similar requests (``django.security``), Django would log a
    traceback of 40 lines, though the server has no error.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security"):
            record.exc_info = record.exc_text = None
        if record.name.startswith(("django.security", "django.request")) and len(text := record.getMessage()) > LONGEST:
            record.msg, record.args = f"{text[:LONGEST]}…", ()
        return True
