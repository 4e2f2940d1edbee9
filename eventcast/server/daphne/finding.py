"""Which connection of Daphne's an application serves, and what is known of its client."""

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
    """Daphne's protocol or request behind an ASGI ``send``, or None if there is none to be found.

    Middleware wraps ``send`` in functions, partials and objects; each holds what it wraps, so those references are
    followed. ``client``, the scope's, proves that the protocol is this connection's and no other.
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

    :class:`eventcast.routing.EventcastRouter` has noted the request in the scope. Without the router, the request is
    looked for among all connections. The list of headers, one object that the request and its scope share, proves that
    it is the right one: with ``--proxy-headers`` the client's address in the scope is whatever the client says.
    """
    if "eventcast.protocol" in scope:
        return scope["eventcast.protocol"]
    if "daphne.server" not in sys.modules:
        return None
    from twisted.internet import reactor

    for reader in cast(Any, reactor).getReaders():
        protocol = getattr(reader, "protocol", None)
        protocol = getattr(protocol, "wrappedProtocol", protocol)  # TLS
        channel = getattr(protocol, "_channel", protocol)  # what chose between HTTP/1.1 and HTTP/2
        for request in getattr(channel, "requests", None) or ():
            if getattr(request, "clean_headers", None) is scope.get("headers"):
                return request
    return None


def is_running() -> bool:
    """Whether this process runs Twisted's reactor, and so a server."""
    return bool(getattr(sys.modules.get("twisted.internet.reactor"), "running", False))


def request_target(protocol: Any) -> bytes | None:
    """The request target of a WebSocket's handshake as the client sent it (RFC 9112 section 3.2)."""
    target = getattr(protocol, "http_request_uri", None)
    return target.encode("latin-1") if isinstance(target, str) else None


def peer_of(protocol: Any) -> str | None:
    """The other end of a connection; an empty string for a Unix socket, None if it cannot be told."""
    transport = getattr(protocol, "transport", None)
    return None if transport is None else str(getattr(transport.getPeer(), "host", ""))


def without_spoofed_root_path(scope: dict[str, Any], protocol: Any) -> dict[str, Any]:
    """The scope with the root path the server was started with; any client may send another as Daphne-Root-Path."""
    root_path = getattr(getattr(protocol, "server", None), "root_path", None)
    return scope if root_path is None or root_path == scope.get("root_path") else {**scope, "root_path": root_path}
