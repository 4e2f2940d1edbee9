"""All that eventcast knows of the insides of Daphne, Twisted and autobahn.

Under plain ``daphne`` a connection is *taken over* once its handshake may be accepted, or its response has begun.
``eventcast serve`` *hands over* what is not for a channel. Elsewhere, and where :func:`problems` finds some, ASGI does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

HIGH_WATER, FLUSH_INTERVAL, FLUSH_TIMEOUT = 64 * 1024, 0.01, 2.0
"""Bytes that Twisted may have to write before a connection that was not taken over gets more; seconds between two looks
at that; and seconds for the last bytes when Daphne shuts down."""

_registered: weakref.WeakSet[Any] = weakref.WeakSet()


@functools.cache
def problems() -> tuple[str, ...]:
    """Attributes that this module needs and the installed versions lack; empty if they lack none."""
    try:
        from daphne import server, ws_protocol
        from twisted.internet import abstract, tcp
    except Exception as error:
        return (f"{type(error).__name__}: {error}",)
    needs: dict[Any, str] = {
        server.Server: "handle_reply protocol_disconnected kill_all_applications log_action",
        ws_protocol.WebSocketProtocol: "STATE_OPEN STATE_CLOSED sendData dropConnection",
        tcp.Connection: "startReading stopReading stopWriting TLS",
        abstract.FileDescriptor(object()): "dataBuffer offset _tempDataBuffer _tempDataLen",  # type: ignore[arg-type]
    }
    return tuple(f"{kind} has no {name}" for kind in needs for name in needs[kind].split() if not hasattr(kind, name))


def find_protocol(scope: Mapping[str, Any], send: Any = None) -> Any | None:
    """Daphne's protocol of a WebSocket, or its HTTP request, that has this scope; None if there is none to be found.
    Where ``send`` is wrapped, all connections are looked through. The list of headers, which a protocol shares with its
    scope and all copies of that, proves that it is the right one; the client's address may be anybody's."""
    server = sys.modules.get("daphne.server")
    if "eventcast.protocol" in scope or server is None:
        return scope.get("eventcast.protocol")
    if isinstance(send, functools.partial) and getattr(send.func, "__func__", None) is server.Server.handle_reply:
        return send.args[0]
    from twisted.internet import reactor

    for reader in cast(Any, reactor).getReaders():
        protocol = getattr(reader, "protocol", None)
        protocol = getattr(protocol, "wrappedProtocol", protocol)  # TLS
        for found in (protocol, *(getattr(getattr(protocol, "_channel", protocol), "requests", None) or ())):
            if getattr(found, "clean_headers", None) is scope.get("headers", scope):
                return found
    return None


def is_running() -> bool:
    """Whether this process runs Twisted's reactor, and so a server."""
    return bool(getattr(sys.modules.get("twisted.internet.reactor"), "running", False))


def request_target(protocol: Any) -> bytes | None:
    """The target of a handshake as the client sent it; the scope's path has lost something: ``//a/b`` is ``/b``."""
    target = getattr(protocol, "http_request_uri", None)
    return target.encode("latin-1") if isinstance(target, str) else None


def peer_of(protocol: Any) -> str | None:
    """The address of the client; an empty string for a Unix socket, None if it is not known."""
    transport = getattr(protocol, "transport", None)
    return None if transport is None else str(getattr(transport.getPeer(), "host", ""))


def without_spoofed_root_path(scope: dict[str, Any], protocol: Any) -> dict[str, Any]:
    """The scope with the root path the server was started with; any client may send another as Daphne-Root-Path."""
    root_path = getattr(getattr(protocol, "server", None), "root_path", None)
    return scope if root_path is None or root_path == scope.get("root_path") else {**scope, "root_path": root_path}


class TakenOver(NamedTuple):
    """A connection that is ours now: what Twisted had to send still, what came behind the handshake, whether the
    response that has begun is in chunks, how often to ping, and what writes the access log, if there is one."""

    sock: socket.socket
    unsent: bytes
    received: bytes
    chunked: bool
    ping_times: tuple[float, float | None]
    log: Callable[[str], None] | None


def take_over(protocol: Any) -> TakenOver | None:
    """Take a WebSocket that may be accepted, or a request whose response has begun, from Daphne, which forgets it; None
    if that cannot be done, and nothing has changed."""
    from twisted.internet.tcp import Connection

    transport: Any = getattr(protocol, "transport", None)
    is_open = isinstance(transport, Connection) and transport.connected and not transport.disconnecting
    if problems() or not is_open or transport.TLS:
        return None
    server, is_websocket, log = protocol.server, hasattr(protocol, "STATE_CLOSED"), None
    if server.action_logger is not None and is_websocket:
        details = {"path": protocol.request.path, "client": ":".join(map(str, protocol.client_addr or ())) or None}
        log = functools.partial(server.log_action, "websocket", details=details)
    sock = transport.socket.dup()
    unsent = b"".join([transport.dataBuffer[transport.offset :], *transport._tempDataBuffer])
    channel = getattr(transport, "producer", None)
    # What came in one packet with the handshake is in Twisted's buffer for the next request, the rest in autobahn's.
    received = b"".join([*getattr(channel, "_dataBuffer", ()), getattr(protocol, "data", None) or b""])
    transport.stopReading()
    transport.stopWriting()
    transport.socket.close()  # Our duplicate keeps the connection.
    transport.connected, transport.disconnected = 0, 1
    # From here on Daphne drops whatever the application still sends.
    server.protocol_disconnected(protocol)
    if is_websocket:
        protocol.state = protocol.STATE_CLOSED
        for name in ("openHandshakeTimeoutCall", "autoPingPendingCall", "closeHandshakeTimeoutCall"):
            with contextlib.suppress(Exception):  # There is no timer, or it has run; each kind raises its own error.
                getattr(protocol, name).cancel()
    # All these refer to each other, and would wait for Python's garbage collector, with 15 KB a connection.
    if channel is not None:
        channel.setTimeout(None)
        channel.requests, channel.transport, channel._networkProducer = [], None, None
    transport.protocol = transport.producer = protocol.channel = None
    for name in ("transport", "handshake_deferred", "application_deferred"):
        vars(protocol).pop(name, None)
    chunked, ping_times = bool(getattr(protocol, "chunked", False)), (server.ping_interval, server.ping_timeout or None)
    return TakenOver(sock, unsent, received, chunked, ping_times, log)


def hold_back(protocol: Any) -> None:
    """Read nothing more from a connection, if it is Daphne's, so that what comes meanwhile stays in the kernel."""
    if protocol is not None:
        protocol.transport.pauseProducing()


def read_on(protocol: Any) -> None:
    """Read again, once the application has taken what was read."""
    if protocol is not None and protocol.application_queue.empty():
        protocol.transport.resumeProducing()


def refuse(protocol: Any, code: str, answer: bytes) -> bool:
    """Refuse a handshake with any HTTP answer; ASGI alone has only 403. False if that cannot be done."""
    protocol.transport.resumeProducing()
    if protocol.__dict__.pop("handshake_deferred", None) is None:
        return False
    # What autobahn does with a ConnectionDeny, which has no place for headers. It also tells Daphne when this is over.
    protocol.wasNotCleanReason = code
    protocol.sendData(answer)
    protocol.dropConnection(abort=False)
    return True


def mended(send: Any, protocol: Any) -> Any:
    """An ASGI ``send`` for a WebSocket. Daphne's own leaves out empty messages, fails for the close codes of servers
    (1001, 1013), forgets reasons, loses what came with the handshake, and does not wait for a client that is slow."""

    async def mended_send(event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            data = event.get("bytes")
            protocol.sendMessage(event["text"].encode() if data is None else data, data is not None)
            await wait_until_taken(protocol)
        elif event["type"] == "websocket.close" and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=event["code"], reasonUtf8=event.get("reason", "").encode()[:123])
        else:
            await send(event)
            # What came in one packet with the handshake is kept for a next request by Twisted, in what TLS wraps.
            channel = getattr(protocol.transport, "producer", None)
            if early := getattr(getattr(channel, "_producer", channel), "_dataBuffer", None):
                protocol.dataReceived(b"".join(early.pop(0) for _ in range(len(early))))

    return mended_send


async def wait_until_taken(protocol: Any) -> None:
    """Wait while Twisted still has much to write to a connection."""
    transport: Any = getattr(protocol, "transport", None)
    transport = getattr(transport, "transport", transport)  # what TLS is wrapped around
    while getattr(transport, "connected", 0) and len(transport.dataBuffer) + transport._tempDataLen > HIGH_WATER:  # noqa: ASYNC110
        await asyncio.sleep(FLUSH_INTERVAL)  # There is no event for it.


def abort(protocol: Any) -> None:
    """Cut a connection off, with its unsent bytes."""
    with contextlib.suppress(AttributeError):  # The connection is closed.
        protocol.transport.abortConnection()


def close_at_shutdown(protocol: Any, hub: Any) -> None:
    """Have a hub's ``stop`` called when Twisted shuts down: Daphne itself would just drop its sockets."""
    if protocol is not None and hub not in _registered:
        from twisted.internet import reactor

        _registered.add(hub)
        # At once: Daphne has just cancelled its applications, which end with the event loop's next turn.
        cast(Any, reactor).addSystemEventTrigger("before", "shutdown", _end, protocol.server, hub.stop)


def _end(server: Any, stop: Callable[[], list[Any]] = list) -> Any:
    """End all applications, where Daphne itself fails to if a connection has none yet, and let last bytes leave."""
    from twisted.internet import defer

    subscribers = stop()
    tasks = [task for each in server.connections.values() if (task := each.get("application_instance")) is not None]
    # Tasks with which Django waits for clients to go end in an exception that nothing takes, and a traceback.
    tasks += [task for task in asyncio.all_tasks() if "listen_for_disconnect" in repr(task.get_coro())]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        for _ in range(int(FLUSH_TIMEOUT / FLUSH_INTERVAL)):
            await asyncio.sleep(FLUSH_INTERVAL)  # once in any case: streams end by themselves
            if not any(each.pending for each in subscribers) and all(task.done() for task in tasks):
                break

    return defer.Deferred.fromFuture(asyncio.ensure_future(end()))


def behind_the_door(application: Any, begin: Callable[[], None], **options: Any) -> Any:
    """A Daphne that listens on nothing and is handed its connections; ``begin`` is called once its event loop runs."""
    from daphne.server import Server
    from twisted.internet import reactor

    class BehindTheDoor(Server):
        kill_all_applications = _end

        def hand_over(self, sock: socket.socket, data: bytes, patience: float) -> None:
            """Serve a connection of which ``data`` was read. A half-closed one waits ``patience`` seconds."""
            with sock, contextlib.suppress(OSError):  # Twisted makes a duplicate, unless the client has gone.
                transport = cast(Any, reactor).adoptStreamConnection(sock.fileno(), sock.family, self.http_factory)
                channel = getattr(transport.protocol, "_channel", transport.protocol)  # HTTP/1.1, and not HTTP/2
                # The door has checked the head, and lets longer ones pass: Twisted would hang up without an answer.
                channel.MAX_LENGTH = channel.totalHeadersSize = len(data)
                wait = functools.partial(transport.reactor.callLater, patience, transport.abortConnection)
                lost = transport.connectionLost
                transport.readConnectionLost = lambda by: wait() if patience and channel._handlingRequest else lost(by)
                transport.protocol.dataReceived(data)

    cast(Any, reactor)._asyncioEventloop.call_soon(begin)
    # verbosity: without it Daphne sends what Twisted logs to nowhere, an exception that only Twisted saw too.
    server = BehindTheDoor(application, endpoints=["tcp:0"], signal_handlers=False, verbosity=2, **options)
    server.endpoints = []  # The constructor wants some.
    return server
