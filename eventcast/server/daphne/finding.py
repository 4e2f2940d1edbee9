"""Which connection of Daphne's an application serves: it is told nothing but ``receive``, ``send`` and the scope."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any, cast

SEARCH_LIMIT = 64
"""Objects looked at behind a wrapped ``send`` before giving up: some ten layers of middleware."""


def find_protocol(send: Any, client: Any) -> Any | None:
    """The Daphne WebSocket protocol behind an ASGI ``send``, or None if there is none to be found.

    Middleware wraps ``send`` in functions, partials and objects; whatever it is, it has to hold what it wraps, so those
    references are followed. ``client``, the scope's, proves that the protocol is this connection's and no other.
    """
    server = sys.modules.get("daphne.server")
    candidates = [send] if server is not None else []
    for _ in range(SEARCH_LIMIT):
        if not candidates:
            break
        candidate = candidates.pop(0)
        if isinstance(candidate, functools.partial):
            if getattr(candidate.func, "__func__", None) is server.Server.handle_reply:  # type: ignore[union-attr]
                protocol = candidate.args[0]
                return protocol if getattr(protocol, "client_addr", client) == client else None
            candidates += [candidate.func, *candidate.args]
        else:
            candidates += _callables_behind(candidate)
    return None


def _callables_behind(candidate: Any) -> list[Any]:
    if inspect.ismethod(candidate):
        candidate = candidate.__self__
    if inspect.isfunction(candidate):
        held = [cell.cell_contents for cell in candidate.__closure__ or () if cell != types.CellType()]
    else:
        held = list(getattr(candidate, "__dict__", {}).values())
    return [value for value in held if callable(value) and not isinstance(value, type)]


def find_request(scope: Mapping[str, Any]) -> Any | None:
    """Daphne's HTTP request with this scope, or None if it cannot be found or the server is not Daphne.

    :class:`eventcast.routing.EventcastRouter` has noted the request in the scope. Without it, the connection is looked
    for among all of the process, which takes the longer the more there are. What proves that it is the right one is
    the list of headers, one object that the request and its scope share: with ``--proxy-headers`` the client's address
    in the scope is whatever the client says, and may be somebody else's.
    """
    if (noted := scope.get("eventcast.protocol")) is not None:
        return noted
    if "daphne.server" not in sys.modules:
        return None
    from twisted.internet import reactor

    for reader in cast(Any, reactor).getReaders():
        protocol = getattr(reader, "protocol", None)
        protocol = getattr(protocol, "wrappedProtocol", protocol)  # TLS
        channel = getattr(protocol, "_channel", protocol)  # what chose between HTTP/1.1 and HTTP/2
        for request in getattr(channel, "requests", None) or ():
            if getattr(request, "clean_headers", None) is scope["headers"]:
                return request
    return None
