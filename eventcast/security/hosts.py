"""The ``Host`` of a request, held to ``ALLOWED_HOSTS`` where Django's own middleware does not see the request."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import DisallowedHost as DjangoDisallowedHost
from django.http import HttpRequest

from eventcast.conf import setting_of_django
from eventcast.exceptions import DisallowedHost

_allowed: dict[str, Any] = {}
"""Values of ``Host`` that were allowed, and the setting that allowed each: checking one takes Django 10 µs."""

REMEMBERED = 1000


def check_host(request: HttpRequest) -> None:
    """Check the ``Host`` of a request, or of a WebSocket's handshake: another site's name that points here would give
    its pages a way in. Neither Channels nor Daphne look. A client of HTTP/1.0 may leave it out.

    :raises DisallowedHost: it is not in ``ALLOWED_HOSTS``.
    """
    host = request.META.get("HTTP_HOST", "")
    setting = setting_of_django("ALLOWED_HOSTS", ())
    # With this, Django checks another header, and nothing is known about this one.
    forwarded = setting_of_django("USE_X_FORWARDED_HOST", False)
    if not host or (_allowed.get(host) is setting and not forwarded):
        return
    try:
        request.get_host()
    except DjangoDisallowedHost as error:
        raise DisallowedHost("{error!s:.200} (ALLOWED_HOSTS in the settings.)", error=error) from None
    if forwarded:
        return
    if len(_allowed) >= REMEMBERED:
        _allowed.clear()
    _allowed[host] = setting
