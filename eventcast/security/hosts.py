"""The ``Host`` of a request, held to ``ALLOWED_HOSTS`` where Django's own middleware does not see the request."""

from __future__ import annotations

from django.core.exceptions import DisallowedHost as DjangoDisallowedHost
from django.http import HttpRequest

from eventcast.conf import setting_of_django, worked_out
from eventcast.exceptions import DisallowedHost

REMEMBERED = 1000
"""Values of ``Host`` that are known to be allowed: checking one takes Django 10 µs."""


def check_host(request: HttpRequest) -> None:
    """Check the ``Host`` of a request, or of a WebSocket's handshake: another site's name that points here would give
    its pages a way in. Neither Channels nor Daphne look. A client of HTTP/1.0 may leave it out.

    :raises DisallowedHost: it is not in ``ALLOWED_HOSTS``.
    """
    host = request.META.get("HTTP_HOST", "")
    allowed = worked_out("eventcast hosts")
    if not host or host in allowed:
        return
    try:
        request.get_host()
    except DjangoDisallowedHost as error:
        raise DisallowedHost("{error!s:.200} (ALLOWED_HOSTS in the settings.)", error=error) from None
    # With this setting Django checks another header, and nothing is known about this one.
    if len(allowed) < REMEMBERED and not setting_of_django("USE_X_FORWARDED_HOST", False):
        allowed[host] = True
