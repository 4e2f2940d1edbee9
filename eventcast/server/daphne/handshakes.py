"""How a connection began: what its client asked for, and from where; and how a WebSocket is turned down."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, cast


def request_target(protocol: Any) -> bytes | None:
    """The request target of a WebSocket's handshake as the client sent it (RFC 9112 section 3.2)."""
    target = getattr(protocol, "http_request_uri", None)
    return target.encode("latin-1") if isinstance(target, str) else None


def without_spoofed_root_path(scope: dict[str, Any], protocol: Any) -> dict[str, Any]:
    """The scope with the root path the server was started with; any client may send another as Daphne-Root-Path."""
    root_path = getattr(getattr(protocol, "server", None), "root_path", None)
    return scope if root_path is None or root_path == scope.get("root_path") else {**scope, "root_path": root_path}


def started_root_path() -> str | None:
    """The root path that this process' Daphne was started with; None if no Daphne listens here."""
    server = _server()
    if server is None:
        server = _find_server()
    return None if server is None else server.root_path


def _nowhere() -> Any:
    return None


_server: Callable[[], Any] = _nowhere
"""A weak reference to it: all that is read is looked through for it, and that may be very many connections."""


def _find_server() -> Any:
    global _server
    if "daphne.server" not in sys.modules:
        return None
    from twisted.internet import reactor

    for reader in cast(Any, reactor).getReaders():
        factory = getattr(reader, "factory", None)
        server = getattr(getattr(factory, "wrappedFactory", factory), "server", None)  # TLS
        if hasattr(server, "root_path"):
            _server = weakref.ref(server)
            return server
    return None


def peer_of(protocol: Any) -> str | None:
    """The other end of a connection; an empty string for a Unix socket, None if it cannot be told."""
    transport = getattr(protocol, "transport", None)
    return None if transport is None else str(getattr(transport.getPeer(), "host", ""))


def refuse(
    protocol: Any, status: int, code: str, body: bytes, headers: Mapping[str, str] = types.MappingProxyType({})
) -> bool:
    """Turn down a handshake with an HTTP answer; False if that can't be done.

    :param code: its reason phrase, which clients see that show no body.
    :param body: JSON.
    """
    if protocol.__dict__.pop("handshake_deferred", None) is None:
        return False
    # What autobahn does with a ConnectionDeny, which has no place for headers and a body. It also tells Daphne that
    # this is over, when it is: told before, Daphne may have forgotten the connection by then, and raises.
    protocol.wasNotCleanReason = code
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **headers}
    head = [f"HTTP/1.1 {status} {code}", *(f"{name}: {value}" for name, value in fields.items())]
    protocol.sendData("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    protocol.dropConnection(abort=False)
    return True
