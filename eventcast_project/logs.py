"""The log of the standalone server: what strangers can put there at will is a short line each."""

from __future__ import annotations

import logging

LONGEST = 500
"""Characters of a line of Django's about a request, which has its whole path or ``Host``: up to 16 000."""


class Brief(logging.Filter):
    """Lets everything pass, but what Django says of requests cut, and without a traceback if they are suspicious.

    A ``Host`` that is not in ``ALLOWED_HOSTS``, and the like (``django.security``), is nobody's fault here, and Django
    would write 40 lines for each.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security"):
            record.exc_info = record.exc_text = None
        if record.name.startswith(("django.security", "django.request")) and len(text := record.getMessage()) > LONGEST:
            record.msg, record.args = f"{text[:LONGEST]}…", ()
        return True
