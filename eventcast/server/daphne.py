"""All that eventcast knows of the insides of Daphne, Twisted and autobahn.

Three things are done with them:

- **Take over**: under plain ``daphne`` a connection is taken from them once its handshake, or the head of its response,
  is written. From then on it is a connection of our own, like those of ``eventcast serve``.
- **Hand over**: ``eventcast serve`` hands them the connections that are not for a channel, with the bytes read so far.
- **Ask**: for the raw request target (the scope's path has lost something: ``//a/b`` is ``/b``), the other end of the
  connection and the root path (a client may make the scope lie about both), and for a place in their shutdown.

Where :func:`problems` finds that they are built otherwise, all connections are served by plain ASGI.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import socket
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

SEARCH_LIMIT = 64
"""Objects looked at behind a wrapped ``send`` before giving up: some ten layers of middleware."""

FLUSH_INTERVAL, FLUSH_TIMEOUT = 0.01, 2.0
"""Seconds between two looks at what Twisted still has to write, and for the close frames that leave when plain Daphne
shuts down."""

HIGH_WATER = 64 * 1024
"""Bytes that Twisted may have to write before a connection that was not taken over gets more."""


@functools.cache
def problems() -> tuple[str, ...]:
    """What about the installed versions is not as this module needs it; empty if all is well.

    Found out by looking rather than from version numbers, so that a newer version that still works is not turned away.
    """
    try:
        from daphne.http_protocol import WebRequest
        from daphne.server import Server
        from daphne.ws_protocol import WebSocketProtocol
        from twisted.internet.abstract import FileDescriptor
        from twisted.internet.tcp import Connection
    except Exception as error:
        return (f"{type(error).__name__}: {error}",)
    wanted: dict[Any, str] = {
        Server: "handle_reply protocol_disconnected kill_all_applications",
        WebRequest: "handle_reply process",
        WebSocketProtocol: "STATE_OPEN STATE_CLOSED sendData dropConnection",
        Connection: "startReading stopReading stopWriting TLS",
        FileDescriptor(object()): "dataBuffer offset _tempDataBuffer",  # type: ignore[arg-type]
    }
    return tuple(
        f"{owner} has no {name}"
        for owner, names in wanted.items()
        for name in names.split()
        if not hasattr(owner, name)
    )


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


def refuse(protocol: Any, status: int, code: str, answer: bytes) -> bool:
    """Turn down a WebSocket's handshake with an HTTP answer, where ASGI alone could say only 403; False if that cannot
    be done.

    :param answer: the whole answer, which says ``Connection: close``.
    """
    if protocol.__dict__.pop("handshake_deferred", None) is None:
        return False
    # What autobahn does with a ConnectionDeny, which has no place for headers and a body. autobahn also tells Daphne
    # that this is over, when it is: told before, Daphne may have forgotten the connection by then, and raises.
    protocol.wasNotCleanReason = code
    protocol.sendData(answer)
    protocol.dropConnection(abort=False)
    return True


class TakenOver(NamedTuple):
    """A connection that is ours now."""

    sock: socket.socket
    unsent: bytes
    """What Twisted was given to send and has not sent."""
    received: bytes
    """What was read and is not part of the handshake."""


def hold_back(protocol: Any) -> None:
    """Read nothing more from a connection, so that what comes meanwhile stays in the kernel."""
    protocol.transport.pauseProducing()


def read_on(protocol: Any) -> None:
    """Read again after :func:`hold_back`, once the application has taken what was read."""
    if protocol.application_queue.empty():
        protocol.transport.resumeProducing()


def take_over(protocol: Any) -> TakenOver | None:
    """Take a connection from Daphne, which forgets it; None if that cannot be done, and nothing has changed.

    :param protocol: of a WebSocket that was accepted, or a request whose response has begun.
    """
    transport = getattr(protocol, "transport", None)
    if problems() or transport is None or getattr(transport, "socket", None) is None or not transport.connected:
        return None
    if transport.TLS or transport.disconnecting or getattr(protocol, "_perMessageCompress", None) is not None:
        return None
    server = protocol.server
    sock = socket.socket(fileno=os.dup(transport.socket.fileno()))
    sock.setblocking(False)
    unsent = b"".join([transport.dataBuffer[transport.offset :], *transport._tempDataBuffer])
    received = bytes(getattr(protocol, "data", None) or b"")
    transport.stopReading()
    transport.stopWriting()
    transport.socket.close()  # Our duplicate keeps the connection.
    transport.connected, transport.disconnected = 0, 1
    # From here on Daphne drops whatever the application still sends.
    server.protocol_disconnected(protocol)
    if hasattr(protocol, "STATE_CLOSED"):
        protocol.state = protocol.STATE_CLOSED
        for name in ("openHandshakeTimeoutCall", "autoPingPendingCall", "closeHandshakeTimeoutCall"):
            if (timer := getattr(protocol, name, None)) is not None:
                with contextlib.suppress(Exception):  # It has run already: txaio and Twisted each say so in their way.
                    timer.cancel()
    # All these refer to each other, and would wait for Python's garbage collector, with 15 KB a connection.
    if (channel := getattr(transport, "producer", None)) is not None:
        channel.setTimeout(None)
        channel.requests, channel.transport, channel._networkProducer = [], None, None
    transport.protocol = transport.producer = protocol.channel = None
    for name in ("transport", "handshake_deferred", "application_deferred"):
        protocol.__dict__.pop(name, None)
    return TakenOver(sock, unsent, received)


async def wait_until_taken(protocol: Any) -> None:
    """Wait while Twisted still has much to write to a connection that was not taken over.

    Other servers' ``send`` waits by itself. Daphne's never does, so that a client that reads nothing has no bound.
    """
    transport: Any = getattr(protocol, "transport", None)
    transport = getattr(transport, "transport", transport)  # what TLS is wrapped around
    if hasattr(transport, "dataBuffer"):
        while transport.connected and _unsent(transport) > HIGH_WATER:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(FLUSH_INTERVAL)


def _unsent(transport: Any) -> int:
    size: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return size


def mended(send: Any, protocol: Any) -> Any:
    """An ASGI ``send`` for a WebSocket that was not taken over. Daphne's own leaves out empty messages, fails for the
    close codes of servers (1001, 1013), forgets reasons and never waits."""

    async def mended_send(event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "websocket.close" and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=event["code"], reasonUtf8=event.get("reason", "").encode()[:123])
        elif kind == "websocket.send" and not (event.get("text") or event.get("bytes")):
            protocol.sendMessage(b"", event.get("bytes") is not None)
        else:
            await send(event)
        if kind == "websocket.send":
            await wait_until_taken(protocol)

    return mended_send


def abort(protocol: Any) -> None:
    """Cut a connection off, whatever is still to be written."""
    transport: Any = getattr(protocol, "transport", None)
    if hasattr(transport, "abortConnection"):
        transport.abortConnection()


def ping_times(protocol: Any) -> tuple[float, float | None]:
    """Seconds between two pings, and for an answer, as the server was told them."""
    return protocol.server.ping_interval, protocol.server.ping_timeout or None


_registered: weakref.WeakSet[Any] = weakref.WeakSet()


def close_at_shutdown(protocol: Any, hub: Any) -> None:
    """Have a hub's ``say_goodbye`` called when Twisted shuts down, and its last bytes written before sockets close.

    Daphne itself just drops its sockets, and a client cannot tell that from a broken network.

    :param protocol: that of any connection or request.
    """
    if hub in _registered:
        return
    _registered.add(hub)
    from twisted.internet import defer, reactor

    async def flush(subscribers: list[Any]) -> None:
        tasks = [details.get("application_instance") for details in protocol.server.connections.values()]
        # Tasks with which Django waits for clients to go end in an exception that nothing takes, and a traceback.
        tasks += [task for task in asyncio.all_tasks() if "listen_for_disconnect" in repr(task.get_coro())]
        for task in tasks:
            if task is not None:
                task.cancel()
        for _ in range(int(FLUSH_TIMEOUT / FLUSH_INTERVAL)):
            await asyncio.sleep(FLUSH_INTERVAL)  # once in any case: streams end by themselves
            if not any(each.pending for each in subscribers) and all(task is None or task.done() for task in tasks):
                break

    def shut_down() -> Any:
        # At once: Daphne has just cancelled its applications, which end with the event loop's next turn.
        return defer.Deferred.fromFuture(asyncio.ensure_future(flush(hub.say_goodbye())))

    cast(Any, reactor).addSystemEventTrigger("before", "shutdown", shut_down)


def behind_the_door(application: Any, *, on_closed: Callable[[], None], **options: Any) -> Any:
    """A Daphne that listens on nothing and is handed its connections.

    :param on_closed: called when one of them is over.
    :param options: Daphne's own, such as ``action_logger``.
    """
    from daphne.server import Server
    from twisted.internet import reactor

    class BehindTheDoor(Server):
        def run_with(self, begin: Callable[[], None]) -> None:
            """Run until :meth:`stop`; ``begin`` is called once the event loop runs."""
            self.endpoints: list[str] = []  # The constructor wants some.
            cast(Any, reactor)._asyncioEventloop.call_soon(begin)
            self.run()

        def hand_over(self, sock: socket.socket, data: bytes) -> None:
            """Serve a connection of which ``data`` was read already."""
            with sock:  # Twisted makes a duplicate, unless the client has gone.
                try:
                    transport = cast(Any, reactor).adoptStreamConnection(sock.fileno(), sock.family, self.http_factory)
                except OSError:
                    return
            protocol = transport.protocol
            channel = getattr(protocol, "_channel", protocol)  # what chooses between HTTP/1.1 and HTTP/2
            # The door has checked the head, and lets longer ones pass: Twisted would hang up without a whole answer.
            channel.MAX_LENGTH = channel.totalHeadersSize = len(data)
            protocol.dataReceived(data)

        def protocol_disconnected(self, protocol: Any) -> None:
            super().protocol_disconnected(protocol)
            on_closed()

        def kill_all_applications(self) -> Any:
            # Daphne fails here, and cancels no application, if one connection has none: a request only half received,
            # or a socket that was upgraded within the last second.
            nothing: asyncio.Future[None] = asyncio.get_event_loop().create_future()
            nothing.cancel()
            for details in self.connections.values():
                details.setdefault("application_instance", nothing)
            return super().kill_all_applications()

    # verbosity: without it Daphne sends what Twisted logs to nowhere, an exception that only Twisted saw too.
    return BehindTheDoor(application, endpoints=["tcp:0"], signal_handlers=False, verbosity=2, **options)
