"""What a Django request asks for: the channel, or one of the server's own paths and its mount."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpRequest

from eventcast.engine.names import channel_from_scope
from eventcast.exceptions import ReservedChannel
from eventcast.http.answers import View
from eventcast.server import daphne


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


def below_root_path(view: View) -> View:
    """A view that is refused below a root path that only the client has claimed.

    Any client may claim one by ``Daphne-Root-Path`` under plain Daphne, and Django takes it off the path to find its
    view.
    """

    @functools.wraps(view)
    async def checked(request: HttpRequest) -> Any:
        scope = getattr(request, "scope", {})
        if scope.get("root_path"):
            protocol = daphne.find_request(scope)
            if daphne.without_spoofed_root_path(scope, protocol) is not scope:
                raise ReservedChannel("There is no channel here: this is not the server's root path.")
        return await view(request)

    return checked
