"""A channel's messages as a stream for the admin, which ends when its user loses the permission."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from eventcast.exceptions import StreamingUnavailable
from eventcast.http.streams import FORMATS, SSE, Stream
from eventcast.security.admission import Permit
from eventcast.security.authorization import SessionClaim
from eventcast.security.authorization.permits import identity_of
from eventcast.security.authorization.sessions import STAFF

PERMISSION = "eventcast.view_channel"


def tail(request: HttpRequest, channel: str) -> Any:
    """A Django response with the messages of ``channel`` as Server-Sent Events.

    The user of the request is checked again every ``RECHECK_INTERVAL`` seconds.

    :raises StreamingUnavailable: the server is not an ASGI server.
    """
    if getattr(request, "scope", None) is None:
        raise StreamingUnavailable("Streams need an ASGI server, such as Daphne.")
    user: Any = request.user
    claims = tuple(SessionClaim(request.session.session_key, user.pk, asked) for asked in (STAFF, PERMISSION))
    permit = Permit(user.get_username(), claims=claims, identity=identity_of(user))
    return Stream(request, channel, FORMATS[SSE], permit).for_django()
