"""What a Django request asks for: the channel, or one of the server's own paths and its mount."""

from __future__ import annotations

from django.http import HttpRequest

from eventcast.engine.names import channel_from_scope
from eventcast.exceptions import ReservedChannel


def channel_from_request(request: HttpRequest) -> str:
    """The channel that a Django request's path names; under WSGI there is no raw path, and the decoded one must do.

    :raises InvalidChannel: as :func:`channel_from_scope`.
    """
    return channel_from_scope(getattr(request, "scope", None) or {"path": request.path})


def mount_of(request: HttpRequest, own: str) -> str:
    """The mount, such as ``/live/``, by a request to one of the server's own paths below it.

    :param own: that path, such as ``-/channels``.
    :raises ReservedChannel: Django was led here by another path than the client has sent, so what lies below is not
        below that.
    """
    name, root_path = channel_from_request(request), request.META.get("SCRIPT_NAME", "").rstrip("/")
    if not name.endswith(own) or name not in (request.path_info, root_path + request.path_info):
        raise ReservedChannel(f"There is no {own} here.")
    return name.removesuffix(own)
